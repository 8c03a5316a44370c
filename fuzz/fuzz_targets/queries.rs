//! See `queries::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sensorpipe_fuzz::queries::check(data));
