//! Logs that grow, also over an end that somebody has read past.

use super::{World, consumer::Job};

impl World {
    /// A producer adds a record, or the end of a transaction.
    pub(super) fn append(&mut self, partition: usize, is_record: bool) {
        let is_read_past = self.is_read_past(partition);
        self.topic.append(partition, is_record, is_read_past.is_some());
        // A log of which no record was ever taken has nothing to be known by.
        if is_read_past == Some(false) {
            self.database.give_up_regrown(partition as i32, &self.topic.logs[partition]);
        }
    }

    /// Whether somebody goes on after the end of a log, which was cut, and whether they all know a record of it.
    fn is_read_past(&self, partition: usize) -> Option<bool> {
        let end = self.topic.logs[partition].watermarks().high;
        let number = partition as i32;
        let stored = self.database.stored(number).filter(|stored| stored.topic_id == self.topic.id());
        let mut going_on = Vec::from_iter(stored.map(|stored| (stored.next_offset, stored.last_record)));
        for consumer in &self.consumers {
            let last_record = consumer.state.last_record(number);
            let client = consumer.client.get(&number).map(|position| position.offset);
            going_on.extend(consumer.state.position(number).max(client).map(|next| (next, last_record)));
            going_on.extend(consumer.jobs.iter().find_map(|job| {
                match job {
                    Job::Write(batch, _) => batch
                        .spans
                        .iter()
                        .find(|(span, _)| span.partition == number)
                        .map(|(span, beside)| (span.next, beside.last_record)),
                    Job::ReadStoredOffsets(..) | Job::StoredOffsetsRead(..) => None,
                }
            }));
        }
        going_on.retain(|(next, _)| *next > end);
        (!going_on.is_empty()).then(|| going_on.iter().all(|(_, last_record)| last_record.is_some()))
    }
}
