//! `audit` against real servers: what is as it should be is clean, and nothing else is.

mod beside;
mod budget;
mod dead_letter_bounds;
mod deletion;
mod differences;
mod fates;
mod kept;
mod letters_of_many;
mod letters_read_again;
mod logs;
mod metrics;
mod removals;
mod sensors;
mod site;
mod untimed;
mod watch;
