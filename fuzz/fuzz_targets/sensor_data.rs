//! See `sensor_data::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sensorpipe_fuzz::sensor_data::check(data));
