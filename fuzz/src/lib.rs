//! What holds for any bytes: a function for each fuzz target, which panics where something does not hold.
//!
//! ```text
//! fuzz_targets/<name>.rs ──> <name>::check(bytes)   libFuzzer's bytes     dev/fuzz
//! tests/poison/          ──> <name>::check(bytes)   corpus and proptest's cargo test
//!                              └─ reference: the same contract read by serde_json, chrono and the standard library
//! ```
//!
//! `tests/poison` has these files as a module of its own, so that `cargo test` needs neither a fuzzer nor a build of
//! its own for them.

pub mod decode;
pub mod headers;
pub mod letters;
pub mod queries;
pub mod readings;
pub mod reference;
pub mod sensor_data;
pub mod timestamps;
pub mod work;
