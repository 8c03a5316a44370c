//! Keeps the days that charts were asked for and that nobody has kept yet.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chrono::NaiveDate;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{
    reminder::Reminder,
    store::{Pool, stats},
};

/// Sensors whose days wait; one more takes the place of the oldest, and its chart asks again.
const SENSORS_MAX: usize = 64;
/// Pause where the database does not answer.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// Of days that cannot be kept.
static SAID: Reminder = Reminder::new();

/// Days that wait to be kept; clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Filler(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<VecDeque<Wanted>>,
    somebody: Notify,
}

/// Runs of days, first and last, of a sensor.
#[derive(Debug)]
struct Wanted {
    sensor_id: i32,
    days: Vec<(NaiveDate, NaiveDate)>,
}

impl Wanted {
    /// Takes the newest day.
    fn take(&mut self) -> Option<NaiveDate> {
        let (first, last) = self.days.pop()?;
        if let Some(before) = last.pred_opt().filter(|before| *before >= first) {
            self.days.push((first, before));
        }
        Some(last)
    }
}

impl Filler {
    /// Has these days of a sensor kept, soon.
    pub(super) fn want(&self, sensor_id: i32, days: Vec<(NaiveDate, NaiveDate)>) {
        let mut queue = self.0.queue.lock();
        if days.is_empty() || queue.iter().any(|wanted| wanted.sensor_id == sensor_id) {
            return;
        }
        if queue.len() == SENSORS_MAX {
            queue.pop_front();
        }
        queue.push_back(Wanted { sensor_id, days });
        drop(queue);
        self.0.somebody.notify_one();
    }

    /// Keeps days, one at a time and one sensor after the other, for as long as there are any; for ever.
    ///
    /// It rests as long as it works, so that at most half of one connection's time goes there.
    pub(in crate::http) async fn run(&self, pool: Pool) {
        loop {
            let Some(mut wanted) = self.0.queue.lock().pop_front() else {
                self.0.somebody.notified().await;
                continue;
            };
            let Some(day) = wanted.take() else { continue };
            let started = Instant::now();
            let sensor_id = wanted.sensor_id;
            match stats::roll_up_quarter_hours(&pool, sensor_id, day).await {
                Ok(()) => {
                    self.want(sensor_id, wanted.days);
                    sleep(started.elapsed()).await;
                }
                // Whoever looks at the chart asks for it again; the days before it do not wait for that.
                Err(error) => {
                    let pause = if error.is_answer() {
                        self.want(sensor_id, wanted.days);
                        started.elapsed()
                    } else {
                        FAILURE_PAUSE
                    };
                    if SAID.is_due() {
                        tracing::warn!(
                            db.sqlstate = error.sqlstate(),
                            "a day of sensor {sensor_id} is not rolled up for charts: {day}: {error}: {}",
                            error.server_message()
                        );
                    }
                    sleep(pause).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
    }

    #[test]
    fn the_newest_day_comes_first() {
        let mut wanted = Wanted { sensor_id: 1, days: vec![(date(1), date(1)), (date(4), date(6))] };
        let days: Vec<NaiveDate> = std::iter::from_fn(|| wanted.take()).collect();
        assert_eq!(days, [6, 5, 4, 1].map(date));
    }

    #[test]
    fn what_waits_has_a_bound() {
        let filler = Filler::default();
        for sensor_id in 0..100 {
            filler.want(sensor_id, vec![(date(1), date(2))]);
            filler.want(sensor_id, vec![(date(3), date(3))]);
            filler.want(sensor_id, vec![]);
        }
        let queue = filler.0.queue.lock();
        assert_eq!((queue.len(), queue[0].sensor_id), (SENSORS_MAX, 36));
    }
}
