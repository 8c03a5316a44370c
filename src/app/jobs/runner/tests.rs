use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{sync::oneshot, time::timeout};

use super::*;

/// Bound on anything that is done at once.
const PATIENCE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3_600);
const QUICK: Restart = Restart { first: Duration::from_millis(1), longest: Duration::from_millis(2) };

enum Script {
    Succeeds,
    IsElsewhere,
    Fails(&'static str),
    Panics(&'static str),
}
use Script::{Fails, IsElsewhere, Panics, Succeeds};

/// A job whose rounds are known beforehand; once all have been done it says so, and its next round has no end.
struct Scripted {
    rounds: VecDeque<Script>,
    done: Option<oneshot::Sender<()>>,
    interval: Duration,
}

impl Job for Scripted {
    const NAME: &'static str = "scripted";

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        match self.rounds.pop_front() {
            Some(Succeeds) => Ok(Round::Done),
            Some(IsElsewhere) => Ok(Round::Elsewhere),
            Some(Fails(why)) => Err(Failure::passing(&io::Error::other(why))),
            Some(Panics(why)) => panic!("{why}"),
            None => {
                self.done.take().unwrap().send(()).unwrap();
                std::future::pending().await
            }
        }
    }
}

fn scripted(rounds: impl Into<VecDeque<Script>>, interval: Duration) -> (Scripted, oneshot::Receiver<()>) {
    let (done, ended) = oneshot::channel();
    (Scripted { rounds: rounds.into(), done: Some(done), interval }, ended)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged and what is counted while these rounds are done.
fn played(rounds: impl Into<VecDeque<Script>>) -> (String, String) {
    let (job, ended) = scripted(rounds, Duration::from_millis(1));
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let recorder = PrometheusBuilder::new().build_recorder();
    let stop = CancellationToken::new();
    let playing = async {
        let played = async {
            ended.await.unwrap();
            stop.cancel();
        };
        tokio::join!(run(job, QUICK, stop.clone()), played);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async { timeout(PATIENCE, playing).await.unwrap() });
        });
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (log, recorder.handle().render())
}

fn series(outcome: &str, rounds: u64) -> String {
    format!(r#"sensorpipe_job_rounds_total{{job_name="scripted",outcome="{outcome}"}} {rounds}"#)
}

#[test]
fn a_job_that_panics_is_named_counted_and_begun_again() {
    let (log, counted) = played([Panics("no row"), Panics("no column"), Succeeds, Succeeds]);
    for line in ["background job scripted panicked: no row;", "background job scripted panicked: no column;"]
    {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
    assert!(log.contains("succeeds again") && log.contains("failed_rounds=2"), "{log}");
    assert!(
        counted.contains(&series("panicked", 2)) && counted.contains(&series("succeeded", 2)),
        "{counted}"
    );
}

#[test]
fn a_kind_of_failure_is_logged_once_until_a_round_succeeds() {
    let (log, counted) = played([
        Fails("no broker"),
        Fails("no broker"),
        Fails("no topic"),
        Fails("no broker"),
        Succeeds,
        Fails("no broker"),
    ]);
    let failures = |why: &str| log.matches(&format!("error=\"{why}\"")).count();
    assert_eq!((failures("no broker"), failures("no topic")), (2, 1), "{log}");
    assert_eq!(log.matches("succeeds again").count(), 1, "{log}");
    assert!(log.contains("job=\"scripted\"") && log.contains("failed_rounds=4"), "{log}");
    assert!(counted.contains(&series("failed", 5)) && counted.contains(&series("succeeded", 1)), "{counted}");
}

/// Where another process has the work, this one knows nothing of how that goes.
#[test]
fn a_round_that_is_done_elsewhere_is_no_success() {
    let (log, counted) = played([Fails("no broker"), IsElsewhere, Fails("no broker"), IsElsewhere]);
    assert_eq!(log.matches("error=\"no broker\"").count(), 1, "{log}");
    assert!(!log.contains("succeeds again"), "{log}");
    assert!(counted.contains(&series("failed", 2)) && !counted.contains("succeeded"), "{counted}");
}

#[test]
fn rounds_that_succeed_are_not_logged() {
    let (log, counted) = played([Succeeds, Succeeds]);
    assert_eq!(log, "");
    assert!(counted.contains(&series("succeeded", 2)), "{counted}");
}

#[tokio::test]
async fn stop_ends_a_job_in_the_middle_of_a_round() {
    let (job, ended) = scripted([], HOUR);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(job, QUICK, stop.clone()));
    ended.await.unwrap();
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

/// Of each pause: after success, after failure and after a panic.
#[tokio::test]
async fn stop_ends_a_job_in_the_middle_of_a_pause() {
    let an_hour = Restart { first: HOUR, longest: HOUR };
    for round in [Succeeds, Fails("no broker"), Panics("no row")] {
        let (job, mut ended) = scripted([round], HOUR);
        let stop = CancellationToken::new();
        let running = run(job, an_hour, stop.clone());
        tokio::pin!(running);
        // Polled once, it has done its round and pauses.
        assert!(futures_util::poll!(running.as_mut()).is_pending());
        assert!(ended.try_recv().is_err(), "it is in its second round");
        stop.cancel();
        timeout(PATIENCE, running).await.unwrap();
    }
}

#[test]
fn the_pause_after_panics_grows_to_a_bound() {
    let pauses: Vec<u64> =
        [1, 2, 3, 8, 9, 10, 32, 33, u32::MAX].map(|panics| Restart::DEFAULT.pause(panics).as_secs()).into();
    assert_eq!(pauses, [1, 2, 4, 128, 256, 300, 300, 300, 300]);
}

#[test]
fn jitter_adds_a_tenth_at_most() {
    for pause in [Duration::ZERO, Duration::from_secs(15), HOUR, Duration::MAX] {
        let with_jitter = with_jitter(pause);
        assert!(with_jitter >= pause && with_jitter <= pause.saturating_add(pause / 10), "{with_jitter:?}");
    }
}

#[test]
fn only_what_may_pass_is_tried_sooner() {
    let (job, _ended) = scripted([], HOUR);
    let passing = Failure::passing(&io::Error::other("no broker"));
    assert_eq!(pause_after(&passing, &job), Duration::from_secs(60));
    let (quick, _ended) = scripted([], Duration::from_secs(10));
    assert_eq!(pause_after(&passing, &quick), Duration::from_secs(10));
}
