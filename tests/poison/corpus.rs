//! What the fuzzer found, replayed: the inputs that reach everything, and those that broke something once.

use std::{fs, path::Path};

use crate::targets;

/// Runs the files of `fuzz/corpus/<target>` and, where there are any, of `fuzz/regressions/<target>`.
fn replay(target: &str, check: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let in_corpus = run_files(&fuzz.join("corpus").join(target), check);
    assert!(in_corpus >= 20, "{in_corpus} files in fuzz/corpus/{target}");
    let regressions = fuzz.join("regressions").join(target);
    if regressions.exists() {
        assert!(run_files(&regressions, check) > 0, "no file in fuzz/regressions/{target}");
    }
}

fn run_files(folder: &Path, check: fn(&[u8])) -> usize {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be read").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("the file can be read"));
        count += 1;
    }
    count
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
