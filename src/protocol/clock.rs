//! The state apart from the time of day, for those who explore it.

use super::{State, Time, partition::Phase, rebalance::Rebalance};

impl<B: Clone + Default + PartialEq> State<B> {
    /// Sets its clock back to the beginning: what has happened happened then, and what is due is due later. So two states
    /// are the same where nothing but time is between them.
    pub fn set_clock_back(&mut self) {
        self.filling_since = self.filling_since.map(|_| Time::ZERO);
        self.last_trial = self.last_trial.map(|_| Time::ZERO);
        self.drain_deadline = self.drain_deadline.map(|_| self.bounds.drain_timeout);
        (self.submitted, self.last_check, self.last_housekeeping) = (Time::ZERO, Time::ZERO, Time::ZERO);
        if let Rebalance::Revoking { deadline, .. } = &mut self.rebalance {
            *deadline = self.bounds.drain_timeout;
        }
        for held in self.partitions.values_mut() {
            if let Phase::Failed(reread) = &mut held.phase {
                reread.set_clock_back();
            }
        }
    }
}
