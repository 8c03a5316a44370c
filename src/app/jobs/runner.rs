//! Runs a job round after round: the pauses, what is logged and counted of a round, and the stop.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Failure, FailureLog, Job, Round};
use crate::{metrics::JOB_ROUNDS, panics};

/// No job turns faster than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// How long a job that panicked rests, the longer the more often it has in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Restart {
    /// What brings a round down rarely takes longer to come back than a connection does, and a job that panics each
    /// time costs no more than one connection each five minutes.
    pub(super) const DEFAULT: Self =
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) };

    /// After so many panics in a row, from 1 on.
    fn pause(self, panics: u32) -> Duration {
        let factor = 1_u32.checked_shl(panics - 1).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

/// Runs `job` until `stop`, whatever its rounds come to; the round that is under way then is dropped, which rolls its
/// transaction back.
pub(super) async fn run(mut job: impl Job, restart: Restart, stop: CancellationToken) {
    if let Some(never) = stop.run_until_cancelled(rounds(&mut job, restart)).await {
        match never {}
    }
}

async fn rounds<J: Job>(job: &mut J, restart: Restart) -> std::convert::Infallible {
    let mut log = FailureLog::new(J::NAME);
    let mut panics = 0;
    sleep(job.first_pause()).await;
    loop {
        let outcome = AssertUnwindSafe(job.round()).catch_unwind().await;
        panics = if outcome.is_err() { panics + 1 } else { 0 };
        let pause = match outcome {
            Ok(Ok(Round::Elsewhere)) => job.interval(),
            Ok(Ok(Round::Done)) => {
                count::<J>("succeeded");
                log.note_success();
                job.interval()
            }
            Ok(Err(failure)) => {
                count::<J>("failed");
                let pause = pause_after(&failure, job);
                log.note_failure(&failure, pause);
                pause
            }
            Err(panic) => {
                count::<J>("panicked");
                let pause = restart.pause(panics);
                log.note_panic(panics::message(&*panic), pause);
                pause
            }
        };
        sleep(with_jitter(pause).max(SHORTEST_PAUSE)).await;
    }
}

fn pause_after(failure: &Failure, job: &impl Job) -> Duration {
    if failure.may_pass() { job.retry_interval().min(job.interval()) } else { job.interval() }
}

/// Up to a tenth longer, so that workers which started together do not stay together.
fn with_jitter(pause: Duration) -> Duration {
    pause.saturating_add((pause / 10).mul_f64(rand::random()))
}

fn count<J: Job>(outcome: &'static str) {
    metrics::counter!(JOB_ROUNDS, "job_name" => J::NAME, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;
