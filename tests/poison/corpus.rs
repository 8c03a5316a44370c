//! The fuzzer's corpus, replayed: whatever it found once is tried for ever.

use std::{fs, path::Path};

use crate::targets;

/// Runs the files of `fuzz/corpus/<target>`.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("the folder can be read").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("the file can be read"));
        files += 1;
    }
    assert!(files >= 20, "{files} files in {}", folder.display());
}

#[test]
fn of_decode() {
    replay("decode", targets::decode::check);
}

#[test]
fn of_timestamps() {
    replay("timestamps", targets::timestamps::check);
}

#[test]
fn of_sensor_data() {
    replay("sensor_data", targets::sensor_data::check);
}

#[test]
fn of_readings() {
    replay("readings", targets::readings::check);
}

#[test]
fn of_queries() {
    replay("queries", targets::queries::check);
}

#[test]
fn of_headers() {
    replay("headers", targets::headers::check);
}

#[test]
fn each_target_is_replayed() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    let mut names: Vec<&str> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    names.sort_unstable();
    let files = [
        "decode.rs\"",
        "headers.rs\"",
        "queries.rs\"",
        "readings.rs\"",
        "sensor_data.rs\"",
        "timestamps.rs\"",
    ];
    assert_eq!(names, files);
}
