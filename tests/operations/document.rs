//! What is generated is what its generator makes.

use std::process::Command;

use crate::{repository, text_of};

/// `UPDATE_DOCS=1` writes it instead.
#[test]
fn the_document_of_the_metrics_is_current() {
    let (path, wanted) = ("docs/metrics.md", sensorpipe::metrics::document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(repository(path), &wanted).expect("the document can be written");
    }
    assert!(
        text_of(path) == wanted,
        "{path} is not what src/metrics/ says: UPDATE_DOCS=1 cargo test --test operations document"
    );
}

#[test]
fn the_dashboards_are_what_their_script_writes() {
    let output =
        Command::new(repository("dev/dashboards")).arg("--check").output().expect("python3 is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
