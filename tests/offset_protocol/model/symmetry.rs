//! States that differ in names alone are one: whose number a consumer or a partition has makes no difference.

use super::state::{Batch, Consumer, Event, State, Writer};

impl State {
    /// The one state that stands for all those that differ in the names of consumers and partitions alone.
    pub(super) fn representative(&self) -> Self {
        permutations(self.offsets.len())
            .map(|order| {
                let mut renamed = self.with_partitions_in(&order);
                let mut consumers: Vec<usize> = (0..self.consumers.len()).collect();
                consumers.sort_by_cached_key(|&index| renamed.everything_of(index));
                renamed.put_consumers_in(&consumers);
                renamed
            })
            .min()
            .expect("there is at least one order")
    }

    fn with_partitions_in(&self, order: &[usize]) -> Self {
        let renamed =
            |partition: usize| order.iter().position(|&old| old == partition).expect("an order has all");
        let mut state = self.clone();
        state.offsets = order.iter().map(|&old| self.offsets[old].clone()).collect();
        state.sensor_data = order.iter().map(|&old| self.sensor_data[old].clone()).collect();
        state.owners = order.iter().map(|&old| self.owners[old]).collect();
        for consumer in &mut state.consumers {
            consumer.rename_partitions(renamed);
        }
        state
    }

    /// A consumer and what others hold of it.
    fn everything_of(&self, index: usize) -> (Consumer, Vec<bool>, Vec<bool>) {
        let owned = self.owners.iter().map(|&owner| owner == Some(index)).collect();
        let locked = self.offsets.iter().map(|offset| offset.locked_by == Some(index)).collect();
        (self.consumers[index].clone(), owned, locked)
    }

    fn put_consumers_in(&mut self, order: &[usize]) {
        let renamed = |index: usize| order.iter().position(|&old| old == index);
        self.consumers = order.iter().map(|&old| self.consumers[old].clone()).collect();
        for owner in &mut self.owners {
            *owner = owner.and_then(renamed);
        }
        for offset in &mut self.offsets {
            offset.locked_by = offset.locked_by.and_then(renamed);
        }
    }
}

/// All orders of so many things, which are few.
fn permutations(count: usize) -> impl Iterator<Item = Vec<usize>> {
    assert!(count <= 2, "orders of more than two partitions are not needed");
    let natural: Vec<usize> = (0..count).collect();
    let reversed = (count == 2).then(|| natural.iter().rev().copied().collect());
    std::iter::once(natural).chain(reversed)
}

fn renamed_batch(batch: &Batch, renamed: impl Fn(usize) -> usize) -> Batch {
    batch.iter().map(|(&partition, span)| (renamed(partition), span.clone())).collect()
}

impl Consumer {
    fn rename_partitions(&mut self, renamed: impl Fn(usize) -> usize + Copy) {
        for event in &mut self.events {
            let (Event::Assigned(partition) | Event::Revoked(partition) | Event::Lost(partition)) = event;
            *partition = renamed(*partition);
        }
        self.assignment = self.assignment.iter().map(|(&p, &position)| (renamed(p), position)).collect();
        for partition in &mut self.revoking {
            *partition = renamed(*partition);
        }
        self.failed = self.failed.iter().map(|&partition| renamed(partition)).collect();
        self.filling = renamed_batch(&self.filling, renamed);
        match &mut self.writer {
            Writer::Idle => {}
            Writer::Pending(batch)
            | Writer::Writing(batch)
            | Writer::HalfCommitted(batch)
            | Writer::Committed(batch) => *batch = renamed_batch(batch, renamed),
            Writer::Fenced(batch, fences) => {
                *batch = renamed_batch(batch, renamed);
                *fences = fences.iter().map(|(&p, &next)| (renamed(p), next)).collect();
            }
        }
    }
}
