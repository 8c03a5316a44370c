//! Variables of the environment and of `.env`: those without a value, and those that cannot be read at all.

use std::{env, path::Path};

use clap::{builder::Resettable, error::ErrorKind};

use super::secrets::{env_file_fault, without_secrets};

/// In the working folder and in no other: a process that is started below a folder that others write to is not to be
/// configured by them.
const ENV_FILE: &str = ".env";

/// Adds what `.env` has to the environment, where the variable is not set yet; a missing file is the usual case. Says
/// what is wrong with a broken one, without repeating a value.
pub fn load_env_file() -> Result<(), String> {
    // A folder of that name is somebody's Python environment.
    if !Path::new(ENV_FILE).is_file() {
        return Ok(());
    }
    // The crate's own loading would panic on the first of these, and prefer the file for the second.
    for (name, value) in dotenvy::from_path_iter(ENV_FILE).into_iter().flatten().map_while(Result::ok) {
        if value.contains('\0') {
            return Err(format!("{name} contains a NUL byte"));
        }
        if !is_utf8(&name) {
            return Err(format!("{name} is set in the environment, too, where it is not valid UTF-8"));
        }
    }
    let loaded = dotenvy::from_path(ENV_FILE);
    loaded.err().as_ref().and_then(env_file_fault).map_or(Ok(()), |fault| Err(fault.to_string()))
}

/// The same command for which an empty variable counts as not set: compose files and charts set variables that nobody gave
/// a value.
pub fn without_empty_variables(command: clap::Command) -> clap::Command {
    let value = |arg: &clap::Arg| arg.get_env().and_then(env::var_os);
    let is_empty = |arg: &clap::Arg| value(arg).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// An error of the command line, without secrets; variables of ours that are not UTF-8 are named, which clap does not.
pub fn explained(error: clap::Error, command: &clap::Command) -> clap::Error {
    // One of several words is looked up in a list first.
    if matches!(error.kind(), ErrorKind::InvalidUtf8 | ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        let mut names = Vec::new();
        collect_variables(command, &mut names);
        names.retain(|name| !is_utf8(name));
        names.sort_unstable();
        names.dedup();
        if !names.is_empty() {
            let verb = if names.len() == 1 { "is" } else { "are" };
            return clap::Error::raw(
                ErrorKind::InvalidUtf8,
                format!("{} {verb} not valid UTF-8\n", names.join(", ")),
            );
        }
    }
    without_secrets(error)
}

/// Whether a variable is UTF-8, or not there.
fn is_utf8(name: &str) -> bool {
    env::var_os(name).is_none_or(|value| value.to_str().is_some())
}

/// The variables that the flags of a command and of those below it are read from.
fn collect_variables(command: &clap::Command, names: &mut Vec<String>) {
    let variables = command.get_arguments().filter_map(clap::Arg::get_env).filter_map(|name| name.to_str());
    names.extend(variables.map(str::to_owned));
    command.get_subcommands().for_each(|below| collect_variables(below, names));
}
