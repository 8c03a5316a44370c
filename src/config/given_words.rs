//! Arguments as a test writes them, without a program's name before them.

use clap::{Args, Command, Error, Subcommand};

/// What these flags say.
pub(crate) fn arguments<A: Args>(words: &[&str]) -> Result<A, Error> {
    A::from_arg_matches(&A::augment_args(test()).try_get_matches_from(words)?)
}

/// Which command these words are, and what they say of it.
pub(crate) fn command<C: Subcommand>(words: &str) -> Result<C, Error> {
    let commands = C::augment_subcommands(test()).subcommand_required(true);
    C::from_arg_matches(&commands.try_get_matches_from(words.split(' '))?)
}

fn test() -> Command {
    Command::new("test").no_binary_name(true)
}
