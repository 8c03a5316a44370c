//! A primary that dies without a word, and the standby that takes its place: api and worker follow, under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use testbed::{
    Gate, Node, Readings, Replication, Role, Sensorpipe, Tally, TestDatabase, TestTopic, eventually,
};
use tokio::task::JoinHandle;

use crate::{PATIENCE, api::Api};

const READINGS: Readings = Readings { first_sensor: 1, sensors: 20, per_record: 10, step_ms: 100 };
/// How long api and worker may take once a standby takes writes.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(5);

/// Records that keep coming.
struct Load {
    sent: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Load {
    fn start(topic: &TestTopic) -> Self {
        const AT_ONCE: i64 = 5;
        let (sent, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped, sink) = (Arc::clone(&sent), Arc::clone(&stop), topic.sink());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let first = counted.load(Ordering::Relaxed);
                sink.produce(READINGS.records(first..first + AT_ONCE)).await;
                counted.fetch_add(AT_ONCE, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { sent, stop, task }
    }

    /// Readings in the topic, once the last is delivered.
    async fn stop(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every record was delivered");
        self.sent.load(Ordering::Relaxed) * READINGS.per_record
    }
}

/// Waits until the api makes a sensor and lists sensors again.
async fn is_served(api: &mut Api) {
    eventually(PATIENCE, async || {
        assert_eq!(api.process.exit_status(), None, "the api ended:\n{}", api.process.stderr());
        let made = api.ask("POST", "/sensors", r#"{"sensor_type":"made"}"#).await;
        let listed = api.ask("GET", "/sensors?limit=1", "").await;
        [made, listed].iter().all(|answer| matches!(answer, Some((200, _))))
    })
    .await;
}

/// Waits until something is stored that was not when this was called.
async fn stores_more(database: &TestDatabase, worker: &mut Sensorpipe) {
    let before = stored(database).await;
    eventually(PATIENCE, async || {
        assert_eq!(worker.exit_status(), None, "the worker ended:\n{}", worker.stderr());
        stored(database).await > before
    })
    .await;
}

async fn stored(database: &TestDatabase) -> i64 {
    database.tally_if_reachable().await.map_or(0, |tally| tally.stored)
}

/// Both serve within the time after a standby has been promoted.
async fn follow(what: &str, database: &TestDatabase, api: &mut Api, worker: &mut Sensorpipe) {
    let promoted = Instant::now();
    let (api_took, worker_took) = tokio::join!(
        async {
            is_served(api).await;
            promoted.elapsed()
        },
        async {
            stores_more(database, worker).await;
            promoted.elapsed()
        }
    );
    println!("{what}: the api follows after {api_took:?}, the worker after {worker_took:?}");
    assert!(api_took < FOLLOWS_WITHIN, "the api:\n{}", api.process.stderr());
    assert!(worker_took < FOLLOWS_WITHIN, "the worker:\n{}", worker.stderr());
}

#[tokio::test]
async fn api_and_worker_follow_the_primary_under_load() {
    let servers = Replication::start(env!("CARGO_TARGET_TMPDIR")).await;
    let mut database = TestDatabase::create_at(&servers.url(Node::One)).await;
    database.add_sensors(READINGS.sensors).await;
    let topic = TestTopic::create(3).await;
    // The standby stands first.
    let url = servers.url_of_both(Node::Two, database.name());
    let mut api = Api::start(&url, &topic);
    let mut worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "2"])
        .topic(&topic)
        .env("DATABASE_URL", &url)
        .start();
    let load = Load::start(&topic);
    is_served(&mut api).await;
    stores_more(&database, &mut worker).await;
    servers.caught_up(Node::Two).await;

    // It ends no connection, as after a loss of power: nobody hears that it is gone.
    servers.freeze(Node::One).await;
    servers.promote(Node::Two).await;
    database.move_to(&servers.url(Node::Two));
    follow("a primary that fell silent", &database, &mut api, &mut worker).await;

    // The old primary comes back as a standby, and is promoted in its turn.
    servers.kill(Node::One).await;
    servers.rejoin(Node::One).await;
    stores_more(&database, &mut worker).await;
    servers.caught_up(Node::One).await;
    servers.kill(Node::Two).await;
    servers.promote(Node::One).await;
    database.move_to(&servers.url(Node::One));
    follow("a primary that was killed", &database, &mut api, &mut worker).await;

    // A switch that was planned: what was the primary is up again, as a standby, before anybody has asked.
    servers.rejoin(Node::Two).await;
    servers.caught_up(Node::Two).await;
    servers.down(Node::One).await;
    servers.promote(Node::Two).await;
    servers.rejoin(Node::One).await;
    database.move_to(&servers.url(Node::Two));
    follow("a planned switch", &database, &mut api, &mut worker).await;

    let sent = load.stop().await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: sent, duplicates: 0, dead_lettered: 0 });
    assert_eq!(database.row_count().await, sent);
    assert_eq!(database.dead_letters().await, []);
}

#[tokio::test]
async fn an_address_that_moves_is_followed_though_no_connection_ends() {
    let servers = Replication::start(env!("CARGO_TARGET_TMPDIR")).await;
    let mut database = TestDatabase::create_at(&servers.url(Node::One)).await;
    database.add_sensors(READINGS.sensors).await;
    let topic = TestTopic::create(3).await;
    let address = Gate::to(&servers.address(Node::One));
    let url = format!("postgres://sensorpipe@{}/{}", address.address, database.name());
    let mut worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "2"])
        .topic(&topic)
        .env("DATABASE_URL", &url)
        .start();
    let load = Load::start(&topic);
    stores_more(&database, &mut worker).await;
    servers.caught_up(Node::Two).await;

    servers.freeze(Node::One).await;
    servers.promote(Node::Two).await;
    address.lead_to(&servers.address(Node::Two));
    database.move_to(&servers.url(Node::Two));
    let moved = Instant::now();
    stores_more(&database, &mut worker).await;
    println!("the worker follows after {:?}", moved.elapsed());
    assert!(moved.elapsed() < FOLLOWS_WITHIN, "{}", worker.stderr());

    let sent = load.stop().await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: sent, duplicates: 0, dead_lettered: 0 });
    assert_eq!(database.row_count().await, sent);
}
