//! How fast counts grow, over the last few seconds.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Batches come in bursts, so a rate is that of a while.
const WINDOW: Duration = Duration::from_secs(5);
/// Over less than this a rate says little.
const SPAN_MIN: Duration = Duration::from_millis(500);

/// A count at some moments.
#[derive(Debug, Default)]
pub(super) struct Growth(VecDeque<(Instant, i64)>);

impl Growth {
    /// The count is so much now; one that is smaller than it was is another one.
    pub(super) fn see(&mut self, now: Instant, count: i64) {
        if self.0.back().is_some_and(|&(_, before)| before > count) {
            self.0.clear();
        }
        self.0.push_back((now, count));
        while self.0.front().is_some_and(|&(at, _)| now - at > WINDOW) {
            self.0.pop_front();
        }
    }

    /// Growth in a second; none where it is not known now.
    pub(super) fn per_second(&self, now: Instant) -> Option<f64> {
        let (&(first, start), &(last, end)) = (self.0.front()?, self.0.back()?);
        let is_known = last - first >= SPAN_MIN && now - last < SPAN_MIN;
        is_known.then(|| (end - start) as f64 / (last - first).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let (mut growth, start) = (Growth::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        growth.see(at(0), 1_000);
        assert_eq!(growth.per_second(at(0)), None, "one look is none");
        growth.see(at(1), 1_100);
        growth.see(at(2), 1_300);
        assert_eq!(growth.per_second(at(2)), Some(150.0));
        for second in 3..=10 {
            growth.see(at(second), 1_300);
        }
        assert_eq!(growth.per_second(at(10)), Some(0.0));
        assert_eq!(growth.per_second(at(12)), None, "nobody has looked since");
        growth.see(at(13), 5);
        assert_eq!(growth.per_second(at(13)), None, "counted anew");
    }
}
