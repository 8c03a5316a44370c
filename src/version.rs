//! What was built.

/// The package's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from; `unknown` outside of a repository.
pub const COMMIT: &str = env!("SENSORPIPE_COMMIT");
/// Both, as `--version` shows them.
pub const VERSION_AND_COMMIT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SENSORPIPE_COMMIT"), ")");
