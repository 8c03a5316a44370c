//! Trouble that goes on is said now and then, not once for each that meets it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

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
        let mut said = self.0.lock();
        let is_due = said.is_none_or(|at| now - at >= INTERVAL);
        if is_due {
            *said = Some(now);
        }
        is_due
    }
}

/// The same for several kinds of trouble, each by its name.
#[derive(Debug)]
pub(crate) struct Reminders {
    interval: Duration,
    said: Mutex<BTreeMap<String, Instant>>,
}

/// Kinds that are remembered; of one more each is said again.
const KINDS_MAX: usize = 100;

impl Reminders {
    /// Of what has never been said.
    pub(crate) const fn new() -> Self {
        Self::every(INTERVAL)
    }

    /// The same, where each kind is said again after `interval`.
    pub(crate) const fn every(interval: Duration) -> Self {
        Self { interval, said: Mutex::new(BTreeMap::new()) }
    }

    /// Whether to say it now; the next one who asks about this kind is told no for a while.
    pub(crate) fn is_due(&self, kind: &str) -> bool {
        self.is_due_at(kind, Instant::now())
    }

    fn is_due_at(&self, kind: &str, now: Instant) -> bool {
        let mut said = self.said.lock();
        if said.get(kind).is_some_and(|at| now - *at < self.interval) {
            return false;
        }
        if said.len() >= KINDS_MAX {
            said.clear();
        }
        said.insert(kind.to_owned(), now);
        true
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
    #[test]
    fn each_kind_is_said_for_itself() {
        let (reminders, start) = (Reminders::new(), Instant::now());
        assert!(reminders.is_due_at("53200", start) && reminders.is_due_at("53100", start));
        assert!(!reminders.is_due_at("53200", start + INTERVAL / 2));
        assert!(reminders.is_due_at("53200", start + INTERVAL));
        for kind in 0..=KINDS_MAX {
            assert!(reminders.is_due(&kind.to_string()));
        }
    }
}
