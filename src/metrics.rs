//! Every metric: its name, help and buckets.
