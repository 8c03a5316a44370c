//! Which log lines are written, changeable while the process runs.

use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// Puts a filter in force; whether it is.
pub type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// The levels by name, the quietest first.
pub const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Longest text that is taken.
pub const TEXT_MAX: usize = 200;

/// The level of this process's log; clones share it.
#[derive(Clone)]
pub struct LogLevel(Arc<Shared>);

struct Shared {
    configured: String,
    current: Mutex<String>,
    set: SetFilter,
}

/// Not a level, nor levels of modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a log level is off, error, warn, info, debug or trace, for all or for a module: `info`, `info,sensorpipe::store=debug`"
)]
pub struct InvalidLogLevel;

impl LogLevel {
    /// What is configured, and how to change it.
    pub fn new(configured: &str, set: SetFilter) -> Self {
        let (configured, current) = (configured.to_owned(), Mutex::new(configured.to_owned()));
        Self(Arc::new(Shared { configured, current, set }))
    }

    /// What it is now.
    pub fn current(&self) -> String {
        self.0.current.lock().clone()
    }

    /// What the process was started with.
    pub fn configured(&self) -> &str {
        &self.0.configured
    }

    /// Changes it: a level, or `module=level`, or some of them with commas between.
    pub fn set(&self, text: &str) -> Result<(), InvalidLogLevel> {
        if !is_valid(text) {
            return Err(InvalidLogLevel);
        }
        self.put(text)
    }

    /// Between what is configured and the debug lines of this crate.
    pub fn toggle_debug(&self) {
        let debug = format!("{},sensorpipe=debug", self.0.configured);
        let next = if self.current() == self.0.configured { debug } else { self.0.configured.clone() };
        // What is configured was taken at the start.
        let _ = self.put(&next);
    }

    fn put(&self, text: &str) -> Result<(), InvalidLogLevel> {
        let filter = filter_of(text).map_err(|_| InvalidLogLevel)?;
        let mut current = self.0.current.lock();
        if !(self.0.set)(filter) {
            return Err(InvalidLogLevel);
        }
        text.clone_into(&mut current);
        // Whoever reads the log later has to know why there is more of it; a level that hides this is said nowhere.
        tracing::warn!(filter = text, "log level changed");
        Ok(())
    }
}

/// The filter that a text stands for. A pool's own lines are left out where it does not ask for them: it logs an error for
/// each connection that it does not get, and what is wrong is said once by who wanted it.
pub fn filter_of(text: &str) -> Result<EnvFilter, ParseError> {
    const POOL: &str = "sqlx_core::pool";
    let filter = EnvFilter::try_new(text)?;
    Ok(if text.contains(POOL) { filter } else { filter.add_directive(format!("{POOL}=off").parse()?) })
}

/// What the filter's own parser takes is more than anybody means: it takes any word for a module.
fn is_valid(text: &str) -> bool {
    let is_level = |text: &str| LEVELS.contains(&text);
    text.len() <= TEXT_MAX
        && text.split(',').all(|directive| match directive.split_once('=') {
            None => is_level(directive),
            Some((module, level)) => {
                is_level(level)
                    && module.split("::").all(|name| !name.is_empty() && name.bytes().all(is_of_name))
            }
        })
}

fn is_of_name(letter: u8) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(configured: &str) -> LogLevel {
        LogLevel::new(configured, Box::new(|_| true))
    }

    #[test]
    fn a_level_or_levels_of_modules_are_taken() {
        let log_level = level("info");
        for good in ["off", "trace", "info,sensorpipe=debug", "sensorpipe::store::write=trace,warn"] {
            assert_eq!((log_level.set(good), log_level.current().as_str()), (Ok(()), good));
        }
        for bad in ["", "loud", "INFO", "info,", "=info", "a::=info", "a=b", "info,[span]=debug", "a-b=info"]
        {
            assert_eq!(log_level.set(bad), Err(InvalidLogLevel), "{bad}");
        }
        assert_eq!(log_level.set(&"warn,".repeat(50)), Err(InvalidLogLevel));
        assert_eq!(
            (log_level.current().as_str(), log_level.configured()),
            ("sensorpipe::store::write=trace,warn", "info")
        );
    }

    #[test]
    fn debug_comes_and_goes() {
        let log_level = level("warn");
        log_level.toggle_debug();
        assert_eq!(log_level.current(), "warn,sensorpipe=debug");
        log_level.toggle_debug();
        assert_eq!(log_level.current(), "warn");
    }
}
