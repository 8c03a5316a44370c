//! Trouble that goes on is said now and then, not once for each that meets it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often the same trouble is said.
const INTERVAL: Duration = Duration::from_secs(30);

/// When something was said last, by whichever thread.
#[derive(Debug)]
pub(crate) struct Reminder(Mutex<Option<Instant>>);

impl Reminder {
    /// Of what has never been said.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether to say it now; the next one who asks is told no for a while.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = said.is_none_or(|at| now - at >= INTERVAL);
        if is_due {
            *said = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_again_after_a_while() {
        let (reminder, start) = (Reminder::new(), Instant::now());
        assert!(reminder.is_due_at(start));
        assert!(!reminder.is_due_at(start + INTERVAL / 2));
        assert!(reminder.is_due_at(start + INTERVAL));
        assert!(!reminder.is_due_at(start + INTERVAL * 3 / 2));
        let reminder = Reminder::new();
        assert!(reminder.is_due() && !reminder.is_due());
    }
}
