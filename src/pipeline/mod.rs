//! From records to batches to the database; names neither `rdkafka` nor `sqlx`.
