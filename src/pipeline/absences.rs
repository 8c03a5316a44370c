//! Consumers that are kept out of the group, or could not take what it assigned: what `/readyz` shows of them.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::health::Component;

/// The consumers of a process that have no partition and should have; clones share them. The component is down while
/// there is one.
#[derive(Clone, Debug)]
pub struct Absences {
    /// By number, with the reason.
    absent: Arc<Mutex<BTreeMap<usize, String>>>,
    component: Component,
}

impl Absences {
    /// None yet.
    pub fn new(component: Component) -> Self {
        component.up();
        Self { absent: Arc::default(), component }
    }

    /// Notes why a consumer is out; whether no other one has said so before.
    pub(super) fn add(&self, consumer: usize, reason: String) -> bool {
        let mut absent = self.absent.lock();
        let is_news = !absent.values().any(|known| *known == reason);
        self.component.down(reason.clone());
        absent.insert(consumer, reason);
        is_news
    }

    /// Notes that the group has given a consumer what is its.
    pub(super) fn remove(&self, consumer: usize) {
        let mut absent = self.absent.lock();
        if absent.remove(&consumer).is_none() {
            return;
        }
        match absent.values().next() {
            Some(reason) => self.component.down(reason.clone()),
            None => self.component.up(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Health, Need, State};

    #[test]
    fn one_absent_consumer_is_enough_and_each_reason_is_news_once() {
        let health = Health::default();
        let absences = Absences::new(health.component("worker_group", Need::Required));
        assert!(health.report().ready);
        assert!(absences.add(0, "no right".to_owned()));
        assert!(!absences.clone().add(1, "no right".to_owned()));
        assert!(absences.add(1, "no table".to_owned()));
        absences.remove(0);
        absences.remove(7);
        assert_eq!(health.report().components["worker_group"], State::Down("no table".to_owned()));
        absences.remove(1);
        assert!(health.report().ready);
    }
}
