//! What comes of a world once nothing goes wrong any more.

use std::time::Duration;

use super::{
    Broken, Rules, World,
    consumer::{Condition, Consumer},
    steps::{Fetch, Step},
};

/// So many rounds of everything are enough for all that is still to be done.
const ROUNDS: usize = 300;
/// How long a round takes.
const ROUND: Duration = Duration::from_millis(1_500);

impl World {
    /// Lets everything go well until all that can be read is stored. `seen` is told each step.
    pub(crate) fn settle(&mut self, rules: &Rules, mut seen: impl FnMut(Step)) -> Result<(), Broken> {
        (self.faults_left, self.appends_left) = (0, 0);
        // Nobody has to continue a frozen worker, as long as there is another one.
        if self.consumers.iter().all(|consumer| consumer.condition == Condition::Frozen) {
            self.consumers[0].condition = Condition::Up;
        }
        let mut steps = Vec::new();
        for _ in 0..ROUNDS {
            if (0..rules.partitions).all(|partition| self.database.has_all(partition, &self.topic))
                && self.consumers.iter().all(Consumer::reports_nothing)
            {
                let misses_nothing = (0..rules.partitions)
                    .all(|partition| self.database.misses_nothing(partition, &self.topic));
                return if misses_nothing { Ok(()) } else { Err(Broken::Lost) };
            }
            self.wait(ROUND);
            steps.clear();
            self.steps(rules, &mut steps);
            for &step in &steps {
                // One step may leave nothing to do for the next.
                if self.is_possible(rules, step) {
                    let step = match step {
                        Step::Fetch(fetch) => Step::Fetch(Fetch { most: usize::MAX, ..fetch }),
                        Step::Turn { consumer, .. } => Step::Turn { consumer, waited: Duration::ZERO },
                        step => step,
                    };
                    seen(step);
                    self.take(rules, step);
                }
            }
            if let Some(broken) = self.broken() {
                return Err(broken);
            }
        }
        Err(Broken::Stuck)
    }

    fn is_possible(&self, rules: &Rules, step: Step) -> bool {
        let mut steps = Vec::new();
        self.steps(rules, &mut steps);
        steps.contains(&step)
    }
}
