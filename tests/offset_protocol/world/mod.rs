//! A simulated world around the state machine that ships: Kafka, a database, and a thin shell for each consumer.
//!
//! ```text
//! steps: what may happen next ──> take: what it does to ── topic · group · database · consumers (State and shell)
//! ```
//!
//! Both explorers take the same steps: one takes every one of them everywhere, the other a random one for a long time.

mod bug;
mod consumer;
mod database;
mod group;
mod growing;
mod operator;
mod settling;
mod steps;
mod taking;
mod topic;

use std::time::Duration;

use sensorpipe::{
    log::RecordIdentity,
    protocol::{Bounds, Time},
};

pub(crate) use self::{
    bug::Bug,
    group::GroupProtocol,
    steps::{Fetch, Step},
};
use self::{consumer::Consumer, database::Database, group::Group, topic::Topic};

/// What is stored beside an offset: the number of the last record before it, which tells whether the two go together.
pub(crate) type LastRecord = u16;

/// What is stored beside an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Beside {
    given_times: LastRecord,
    last_record: Option<RecordIdentity>,
}

/// What a world is made of, and what may go wrong in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) consumers: usize,
    pub(crate) partitions: usize,
    /// Records of each partition that are there from the beginning.
    pub(crate) records: usize,
    /// Records and markers that producers add to all partitions.
    pub(crate) appends: u8,
    pub(crate) faults: u8,
    pub(crate) group: GroupProtocol,
    /// Whether brokers and operators lose, cut and move things, beside what befalls the consumers.
    pub(crate) disasters: bool,
    /// Whether a loop turns as soon as it has been told something, which leaves out orders that are much alike.
    pub(crate) turns_at_once: bool,
    pub(crate) bug: Option<Bug>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now: Time,
    topic: Topic,
    group: Group,
    database: Database,
    consumers: Vec<Consumer>,
    appends_left: u8,
    faults_left: u8,
}

/// A promise that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A reading is stored twice, though no operator had it read again.
    Twice,
    /// A stored offset has gone past a reading that is not stored, though no operator gave it up.
    Lost,
    /// What is stored beside an offset is not of that offset.
    Beside,
    /// Once faults stop, not everything gets stored.
    Stuck,
}

const BOUNDS: Bounds = Bounds { linger: Duration::ZERO, drain_timeout: Duration::from_secs(10) };

impl World {
    pub(crate) fn new(rules: &Rules) -> Self {
        Self {
            now: Time::ZERO,
            topic: Topic::new(rules.partitions, rules.records),
            group: Group::new(rules.partitions),
            database: Database::new(rules.partitions, rules.bug != Some(Bug::LastRecordNotCompared)),
            consumers: (0..rules.consumers).map(|_| Consumer::new()).collect(),
            appends_left: rules.appends,
            faults_left: rules.faults,
        }
    }

    /// Which promise is broken, if any.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.database.broken(&self.topic)
    }

    /// The same moment with every clock set back: what happened happened just now, what is due lies ahead. Without it no
    /// two states of a world would be the same.
    pub(crate) fn without_time(mut self) -> Self {
        for consumer in &mut self.consumers {
            consumer.state.set_clock_back();
        }
        self.now = Time::ZERO;
        self
    }
}
