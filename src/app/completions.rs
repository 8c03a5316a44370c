//! `sensorpipe completions`.

use std::io::{Write as _, stdout};

use clap_complete::{Shell, generate};

/// Prints the shell's script for the command line `cli`.
pub(super) fn print(shell: Shell, mut cli: clap::Command) -> anyhow::Result<()> {
    // Through memory: the generator panics where a pipe closes early.
    let mut script = Vec::new();
    generate(shell, &mut cli, "sensorpipe", &mut script);
    stdout().write_all(&script)?;
    Ok(())
}
