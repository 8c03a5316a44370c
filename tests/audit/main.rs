//! `audit` against real servers: what is as it should be is clean, and nothing else is.

mod differences;
mod fates;
mod kept;
mod logs;
mod removals;
mod site;
mod untimed;
mod watch;
