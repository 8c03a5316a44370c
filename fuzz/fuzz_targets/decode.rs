//! See `decode::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sensorpipe_fuzz::decode::check(data));
