//! The settings that the database has for every process: an api that started while Postgres was away has not read them.

use super::ApiError;
use crate::config::{IngestConfig, RunningSettings};

/// What this process runs with, or the answer to who comes before that is known.
pub(in crate::http) fn running_settings(ingest: &RunningSettings) -> Result<&IngestConfig, ApiError> {
    ingest.get().ok_or_else(|| ApiError::Unavailable("The settings have not been read yet.".into()))
}
