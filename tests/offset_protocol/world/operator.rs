//! What an operator does, with the commands that there are.

use sensorpipe::log::Gap;

use super::World;

impl World {
    /// `offsets accept-…`: goes on where the log begins. Readings that are gone are given up; those that are still there
    /// and stored are read again.
    pub(super) fn accept(&mut self, partition: usize) {
        let Some(gap) = self.database.gap(partition, &self.topic) else { return };
        match gap {
            Gap::OffsetPastEnd | Gap::LogDiverged => self.read_again(partition),
            // What the log has was not stored before.
            Gap::RecordsExpired | Gap::TopicRecreated => {}
        }
        self.begin_at_start(partition);
    }

    /// `offsets replay`: has everything that the log has read again.
    pub(super) fn replay(&mut self, partition: usize) {
        self.read_again(partition);
        self.begin_at_start(partition);
    }

    fn read_again(&mut self, partition: usize) {
        let ends = self.topic.logs[partition].watermarks();
        let log = &self.topic.logs[partition];
        self.database.replay(log.records(ends.low, ends.high).chain(log.cut()));
    }

    fn begin_at_start(&mut self, partition: usize) {
        let low = self.topic.logs[partition].watermarks().low;
        self.database.give_up(&self.topic.logs[partition]);
        self.database.begin(partition as i32, low, self.topic.id());
    }
}
