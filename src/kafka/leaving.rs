//! How a member leaves its group: a last commit, the request to be let go, and the end of its client.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::RDKafkaErrorCode,
};

use super::{group::Notes, membership::is_member};

/// How long the last commit is tried.
const LAST_COMMIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Between looks at the group.
const PAUSE: Duration = Duration::from_millis(10);

/// What makes a member leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// The client asks the coordinator to let it go, and forgets its member id then.
    ByRequest,
    /// The new protocol: its last heartbeat says so.
    ByHeartbeat,
    /// Nothing: a static member is one until its session is over, and finds its partitions when it is back before.
    Never,
}

impl Leaving {
    pub(super) fn of(is_classic: bool, is_static: bool) -> Self {
        match (is_classic, is_static) {
            (false, _) => Self::ByHeartbeat,
            (true, false) => Self::ByRequest,
            (true, true) => Self::Never,
        }
    }

    /// Commits these offsets, leaves and closes the client; waits for that so long and then lets it end by itself.
    pub(super) fn leave(self, client: BaseConsumer<Notes>, offsets: TopicPartitionList, timeout: Duration) {
        client.context().close();
        let (closed, closing) = mpsc::channel();
        // Closing waits for the group's coordinator, and nothing bounds that wait.
        let close = move || {
            let deadline = Instant::now() + timeout;
            commit_last(&client, &offsets);
            // A static member that unsubscribes is out of its group, unless it is closed in the same moment.
            if self != Self::Never {
                client.unsubscribe();
                while self.is_in_group(&client) && Instant::now() < deadline {
                    let _ = client.poll(PAUSE);
                }
            }
            drop(client);
            // Nobody waits any more where closing took too long.
            let _ = closed.send(());
        };
        let spawned = thread::Builder::new().name("closing".to_owned()).spawn(close);
        if spawned.is_err() || closing.recv_timeout(timeout).is_err() {
            tracing::warn!(
                "the Kafka client did not close in time; the group finds out by its session timeout"
            );
        }
    }

    /// In the middle of a rebalance librdkafka puts leaving off until that is over, and a client that is closed before
    /// never asks to leave: the group would wait for it, and its partitions stand still, for a whole session.
    fn is_in_group(self, client: &BaseConsumer<Notes>) -> bool {
        client.assignment().is_ok_and(|assigned| assigned.count() > 0)
            || self == Self::ByRequest && is_member(client.client())
    }
}

/// There may be nobody for long now: whoever watches the lag at Kafka, as an autoscaler does, would see one where there
/// is none. The group refuses commits for moments while it shares out its partitions.
fn commit_last(client: &BaseConsumer<Notes>, offsets: &TopicPartitionList) {
    let deadline = Instant::now() + LAST_COMMIT_TIMEOUT;
    while offsets.count() > 0
        && let Err(error) = client.commit(offsets, CommitMode::Sync)
    {
        let passes = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::IllegalGeneration)
        );
        if !passes || Instant::now() >= deadline {
            tracing::debug!(error = %error, "the last offsets are not committed to Kafka");
            return;
        }
        let _ = client.poll(PAUSE);
    }
}
