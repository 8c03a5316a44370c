//! Records on their way from the partitions' queues into the batch that fills.

use std::time::{Duration, Instant};

use super::{member::MemberError, session::Session, start_offsets::count_log_check};
use crate::{
    kafka::{Fetched, TurnTaken},
    log::RecordIdentity,
    protocol::{Event, Met, Proof, Run},
    reading::{Timestamp, Window, untimed::GivenTimes},
};

/// Most records taken out of one partition's queue before it is the next one's turn.
const MAX_DRAIN: usize = 1_024;
/// Most records taken at first. Then as many as were taken before: what they hold tells how many more fit.
const FIRST_DRAIN: usize = 16;

impl Session<'_> {
    /// Fills the batch from the partitions' queues, in turns. Returns how many records were taken.
    pub(super) fn take_records(&mut self) -> Result<usize, MemberError> {
        if self.link.state.is_stopping() {
            return Ok(0);
        }
        let (mut taken, mut empty) = (0, 0);
        let (started, mut fetching) = (Instant::now(), Duration::ZERO);
        let window = self.member.config.ingest.acceptance().window(Timestamp::now());
        while !self.filling.is_full() && empty < self.consumer.partition_count() {
            let most = self.filling.room_in_records().min(taken.clamp(FIRST_DRAIN, MAX_DRAIN));
            let TurnTaken { count, fetching: took, .. } = self.take_from_next(most, &window)?;
            taken += count;
            fetching += took;
            empty = if count == 0 { empty + 1 } else { 0 };
        }
        if taken > 0 {
            let (fetch, decode) = &mut self.filling_took;
            *fetch += fetching;
            *decode += started.elapsed().saturating_sub(fetching);
        }
        Ok(taken)
    }

    /// Takes what one partition has, and reports it: records once for all of them.
    fn take_from_next(&mut self, most: usize, window: &Window) -> Result<TurnTaken, MemberError> {
        let mut events: Vec<Event<GivenTimes>> = Vec::new();
        let mut run: Option<(i32, Run)> = None;
        let state = &mut self.link.state;
        let (filling, fetch_errors) = (&mut self.filling, &mut self.fetch_errors);
        let turn = self.consumer.drain_next(most, |partition, item| {
            if run.is_none() {
                run = state.run(partition).map(|run| (partition, run));
            }
            match item {
                Fetched::Record(record) => {
                    let Some((_, run)) = &mut run else { return };
                    let position = run.next;
                    if run.meet(record.offset, || record.identity()) == Met::Taken
                        && let Some(given) = state.given_times_mut(partition)
                    {
                        filling.push(&record, position, window, given);
                    }
                }
                Fetched::End(offset) => {
                    if let Some((_, run)) = &mut run {
                        run.meet_end(offset);
                    }
                    events.push(Event::Passed { partition, offset });
                }
                Fetched::Failed(error) => {
                    events.push(Event::FetchFailed { partition, fault: error.fault });
                    fetch_errors.insert(partition, error);
                }
            }
        });
        if let Some((partition, run)) = run {
            self.report_run(partition, run, turn.last_record)?;
        }
        for event in events {
            self.on(event)?;
        }
        Ok(turn)
    }

    fn report_run(
        &mut self,
        partition: i32,
        run: Run,
        last_record: Option<RecordIdentity>,
    ) -> Result<(), MemberError> {
        let Some(before) = self.link.state.run(partition) else { return Ok(()) };
        if run.proof == Proof::Complete && before.proof != Proof::Complete {
            count_log_check("same");
        }
        if let Some(last_record) = last_record.filter(|_| run.next > before.next) {
            self.filling_since.get_or_insert_with(Instant::now);
            self.on(Event::Taken { partition, next: run.next, last_record })?;
        } else if run.proof != before.proof {
            self.on(Event::Proven { partition, left: run.proof })?;
        }
        if run.has_diverged {
            count_log_check("diverged");
            self.on(Event::Diverged(partition))?;
        }
        Ok(())
    }
}
