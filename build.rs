//! The embedded migrations are part of the binary: a new file must rebuild it. So is the commit that it shows.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-env-changed=SENSORPIPE_COMMIT");
    // An image is built without the repository, and says what it is built from.
    let given = std::env::var("SENSORPIPE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| {
        // The log of HEAD changes with every commit and checkout, HEAD itself only where a branch changes.
        let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
        if let Some(log) = log.filter(|log| std::path::Path::new(log).exists()) {
            println!("cargo:rerun-if-changed={log}");
        }
        git(&["describe", "--always", "--abbrev=12", "--exclude=*"])
    });
    println!("cargo:rustc-env=SENSORPIPE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// What git answers; none where there is no git or no repository.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    let answer = String::from_utf8(output.stdout).ok()?;
    Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty())
}
