//! The sample data: two sensors, 14 days of minute readings each.
