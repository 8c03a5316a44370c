//! Everything that runs for as long as its role does. What ends unasked, or panics, brings the process down: it would go
//! on without a part of itself, and say that it is well.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use anyhow::bail;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::panics;

/// Watches the tasks and threads of a process; clones share what they have seen.
#[derive(Clone, Debug)]
pub(super) struct Supervisor {
    /// Asks the whole process to stop.
    stop: CancellationToken,
    /// The first that ended unexpectedly.
    failure: Arc<Mutex<Option<String>>>,
}

impl Supervisor {
    /// Of a process that drains and stops when `stop` is cancelled.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { stop, failure: Arc::default() }
    }

    /// The same task, watched: it may end once `asked` is cancelled, and not before.
    pub(super) fn watch<T: Future<Output = ()>>(
        &self,
        name: &'static str,
        asked: &CancellationToken,
        task: T,
    ) -> impl Future<Output = ()> + use<T> {
        let (supervisor, asked) = (self.clone(), asked.clone());
        async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(()) if asked.is_cancelled() => {}
                Ok(()) => supervisor.fail(format!("{name} ended unexpectedly")),
                Err(panic) => supervisor.note_panic(name, &*panic),
            }
        }
    }

    /// The same for what serves metrics and health, as on an address that is taken already.
    pub(super) fn watch_server<T: Future<Output = std::io::Result<()>>>(
        &self,
        asked: &CancellationToken,
        serving: T,
    ) -> impl Future<Output = ()> + use<T> {
        let supervisor = self.clone();
        self.watch("the server of metrics and health", asked, async move {
            if let Err(error) = serving.await {
                supervisor.fail(format!("metrics and health cannot be served: {error}"));
            }
        })
    }

    /// Does a thread's work; none where it panics.
    pub(super) fn catch<T>(&self, name: &str, work: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| self.note_panic(name, &*panic)).ok()
    }

    /// Asks the process to stop, and to say that this is why.
    pub(super) fn fail(&self, failure: String) {
        tracing::error!("{failure}; the process stops");
        self.failure.lock().get_or_insert(failure);
        self.stop.cancel();
    }

    /// An error where anything ended unexpectedly.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        match &*self.failure.lock() {
            Some(failure) => bail!("{failure}"),
            None => Ok(()),
        }
    }

    fn note_panic(&self, name: &str, panic: &(dyn Any + Send)) {
        self.fail(format!("{name} panicked: {}", panics::message(panic)));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn supervisor() -> (Supervisor, CancellationToken) {
        let stop = CancellationToken::new();
        (Supervisor::new(stop.clone()), stop)
    }

    #[tokio::test]
    async fn a_task_that_panics_stops_the_process_and_is_named() {
        let (supervisor, stop) = supervisor();
        let rows: Vec<i32> = vec![];
        let task = async move { assert_eq!(rows.len(), 1, "a row is missing") };
        tokio::spawn(supervisor.watch("retention", &stop, task)).await.unwrap();
        assert!(stop.is_cancelled());
        let verdict = supervisor.verdict().unwrap_err().to_string();
        assert!(
            verdict.starts_with("retention panicked: ") && verdict.contains("a row is missing"),
            "{verdict}"
        );
    }

    #[tokio::test]
    async fn a_task_may_end_when_it_was_asked_to_and_not_before() {
        let (supervisor, stop) = supervisor();
        let (asked, ended) = (CancellationToken::new(), asked_to_end());
        supervisor.watch("a task that was asked", &ended, async {}).await;
        assert!(supervisor.verdict().is_ok() && !stop.is_cancelled());
        supervisor.watch("letters", &asked, async {}).await;
        assert!(stop.is_cancelled());
        // The first is the reason; what ends after it may follow from that.
        supervisor.watch("checkpoints", &asked, async {}).await;
        assert_eq!(supervisor.verdict().unwrap_err().to_string(), "letters ended unexpectedly");
    }

    fn asked_to_end() -> CancellationToken {
        let asked = CancellationToken::new();
        asked.cancel();
        asked
    }

    #[test]
    fn a_thread_that_panics_stops_the_process_and_is_named() {
        let (supervisor, stop) = supervisor();
        let watching = supervisor.clone();
        let thread = thread::spawn(move || watching.catch("consumer-3", || "x".parse::<u8>().unwrap()));
        assert_eq!(thread.join().unwrap(), None);
        assert!(stop.is_cancelled());
        let verdict = supervisor.verdict().unwrap_err().to_string();
        assert!(verdict.starts_with("consumer-3 panicked: "), "{verdict}");
        assert_eq!(supervisor.catch("consumer-4", || 4), Some(4));
    }
}
