//! How a quarter of an hour is kept.

/// Numbers of each quarter of an hour in the column.
pub(in crate::store) const FIGURES: usize = 5;
