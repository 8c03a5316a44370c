//! Choices about the statistics that are kept.

/// Whether statistics of days that are over are kept.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollups {
    /// Kept, and forgotten with any change of their day's readings.
    On,
    /// Computed anew for every request; workers leave what is kept as it is.
    Off,
}

/// What becomes of daily statistics whose readings retention drops.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionStats {
    /// Computed where they are missing, and kept for good.
    Keep,
    /// Dropped with the readings.
    Drop,
}
