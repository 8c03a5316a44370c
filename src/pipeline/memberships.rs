//! A consumer's life: one membership of the group after the other.

use std::{sync::mpsc as replies, thread, time::Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    batch_size::BatchSize,
    lag::{InFlight, Lag},
    member::{Link, Member, MemberError, Reply, send},
    session::Session,
    writer,
};
use crate::{
    protocol::{Bounds, State},
    store::BatchWriter,
};

impl Member {
    /// Consumes until asked to stop; blocks the thread.
    pub fn run(&self) -> Result<(), MemberError> {
        let abandon = CancellationToken::new();
        let _abandon_at_end = abandon.clone().drop_guard();
        let (jobs, jobs_taken) = mpsc::channel(2);
        let (answer, answers) = replies::channel();
        let (answer_writer, owner) = (answer.clone(), thread::current());
        let done = move |outcome| send(&answer_writer, &owner, Reply::Wrote(outcome));
        let store = BatchWriter::new(self.config.writer.clone());
        let (health, outage) = (self.config.health.clone(), self.config.outage.clone());
        let writer = self.runtime.spawn(writer::run(store, health, outage, jobs_taken, abandon, done));
        let mut link = Link {
            jobs,
            answers,
            answer,
            state: State::new(Bounds {
                linger: self.config.linger,
                drain_timeout: self.config.drain_timeout,
            }),
            started: Instant::now(),
            in_flight: InFlight::default(),
            batch_size: BatchSize::new(self.config.limits.max_readings),
            spare: None,
            lag: Lag::default(),
            writer,
            membership: 0,
            failed_assignments: 0,
            first_trial: Some(self.config.first_trial.clone()),
        };
        while let Some(database) = self.wait_until_permitted(&mut link) {
            let Some(session) = Session::join(self, &mut link, database)? else { return Ok(()) };
            session.run()?;
            if link.state.is_stopping() {
                return Ok(());
            }
            tracing::warn!("left the group, so that others may take over");
        }
        Ok(())
    }
}
