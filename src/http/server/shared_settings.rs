//! The settings that the database has for every process: an api that started while Postgres was away has not read them.

use super::ApiError;
use crate::config::{IngestConfig, KnownIngest};

/// What this process runs with, or the answer to who comes before that is known.
pub(in crate::http) fn known(ingest: &KnownIngest) -> Result<&IngestConfig, ApiError> {
    ingest.get().ok_or_else(|| ApiError::Unavailable("The settings have not been read yet.".into()))
}
