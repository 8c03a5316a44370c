//! Bytes of a record to readings.
