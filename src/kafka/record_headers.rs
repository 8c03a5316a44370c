//! Headers of a record: what it carries besides its readings.

use rdkafka::message::{Header, OwnedHeaders};

/// Names and values, in their order; mostly few or none.
#[derive(Clone, Debug, Default)]
pub struct RecordHeaders(Option<OwnedHeaders>);

impl RecordHeaders {
    /// Adds one at the end.
    #[must_use]
    pub fn with(self, key: &str, value: &str) -> Self {
        let headers = self.0.unwrap_or_default();
        Self(Some(headers.insert(Header { key, value: Some(value) })))
    }

    /// Adds one whose value is any bytes, or none, at the end.
    #[must_use]
    pub fn with_bytes(self, key: &str, value: Option<&[u8]>) -> Self {
        let headers = self.0.unwrap_or_default();
        Self(Some(headers.insert(Header { key, value })))
    }

    /// For the client, which knows no headers from an empty list.
    pub(super) fn into_inner(self) -> Option<OwnedHeaders> {
        self.0
    }
}
