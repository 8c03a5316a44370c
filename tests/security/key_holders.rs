//! Whoever holds a key and takes all that it gives, or goes on when it is revoked.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use testbed::{Record, TestDatabase, TestTopic, comes_to, eventually};
use tokio::time::timeout;

use crate::{
    PATIENCE,
    service::{Api, role, run, worker},
};

/// The keys are read each second; the rest is for a debug build on a busy machine.
const REVOKED_WITHIN: Duration = Duration::from_secs(3);
/// Far more than what is in buffers on the way to a client that takes nothing.
const MANY_READINGS: i64 = 600_000;

async fn make_key(database: &TestDatabase, name: &str, scope: &str) -> String {
    let create = role(&["keys", "create", "--name", name, "--scope", scope]).database(database);
    let (is_made, said) = run(create).await;
    assert!(is_made, "{said}");
    said.lines().next().expect("a token").to_owned()
}

async fn revoke(database: &TestDatabase, name: &str) {
    let (is_revoked, said) = run(role(&["keys", "revoke", name]).database(database)).await;
    assert!(is_revoked, "{said}");
}

async fn add_readings(database: &TestDatabase, count: i64) {
    sqlx::query(
        "INSERT INTO sensor_data (sensor_id, time, value)
         SELECT 1, timestamptz '2026-01-01T00:00:00Z' + n * interval '1 second', n FROM generate_series(1, $1) AS n",
    )
    .bind(count)
    .execute(&database.pool)
    .await
    .expect("readings can be added");
}

/// The api as the holder of a key uses it.
struct Holder<'a> {
    api: &'a Api,
    token: String,
}

impl<'a> Holder<'a> {
    async fn new(api: &'a Api, database: &TestDatabase, name: &str, scope: &str) -> Self {
        let holder = Self { api, token: make_key(database, name, scope).await };
        // Before the first key is read, everybody is let in.
        comes_to("without a key", PATIENCE, Some(StatusCode::UNAUTHORIZED), async || {
            api.get("/sensors?limit=1").await.0
        })
        .await;
        let path = if scope == "ingest" { "/receipts/0/0" } else { "/sensors?limit=1" };
        eventually(PATIENCE, async || holder.open("*/*", path).await.status() != 401).await;
        holder
    }

    async fn open(&self, accept: &str, path: &str) -> Response {
        let request = self.api.client.get(format!("{}{path}", self.api.url)).bearer_auth(&self.token);
        request.header("accept", accept).send().await.expect("it answers")
    }

    async fn status(&self, path: &str) -> u16 {
        let answer = self.open("*/*", path).await;
        let status = answer.status().as_u16();
        // The connection is free again once all of it is read.
        answer.bytes().await.ok();
        status
    }

    async fn post(&self, path: &str, body: &'static str) -> u16 {
        let request = self.api.client.post(format!("{}{path}", self.api.url)).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").body(body);
        Api::answer(request).await.0.map_or(0, |status| status.as_u16())
    }
}

/// An api whose queries have four connections of the eight to the primary, and one sensor.
async fn with_four_connections() -> (TestDatabase, TestTopic, Api) {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let api = Api::start(&database, &topic, &[("DATABASE_POOL_SIZE", "8".to_owned())]).await;
    (database, topic, api)
}

/// It is told to come again, and why.
async fn is_at_its_share(answer: Response, of: &str) {
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body: Value = answer.json().await.expect("it is JSON");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(of)), "{body}");
}

/// How a body ends, and how long that takes: `complete` or `cut off`.
async fn ending(mut answer: Response) -> (&'static str, Duration) {
    let started = Instant::now();
    loop {
        match timeout(PATIENCE, answer.chunk()).await.expect("it ends") {
            Ok(Some(_)) => {}
            Ok(None) => return ("complete", started.elapsed()),
            Err(_) => return ("cut off", started.elapsed()),
        }
    }
}

/// How often the key `greedy` was refused.
async fn refusals(api: &Api, resource: &str) -> u32 {
    let series = format!(r#"sensorpipe_http_key_refusals_total{{key="greedy",resource="{resource}"}} "#);
    let (_, metrics) = api.get("/metrics").await;
    let counted = metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
    counted.unwrap_or_else(|| panic!("no {series} in {metrics}"))
}

#[tokio::test]
async fn a_revoked_key_ends_though_its_holder_floods_the_lists() {
    const FLOODERS: usize = 60;
    const FLOOD_AFTER: Duration = Duration::from_secs(6);
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(200_000).await;
    let api = Api::start(
        &database,
        &topic,
        // Most sensors are not in memory.
        &[("SENSORPIPE_TEST_KNOWN_SENSORS_MAX", "10".to_owned())],
    )
    .await;
    let stolen = Holder::new(&api, &database, "stolen", "read").await;
    let (gateway, admin) = join(
        Holder::new(&api, &database, "gateway", "ingest"),
        Holder::new(&api, &database, "admin", "admin"),
    )
    .await;
    let nowhere = format!("/sensors?q=b{}", "a".repeat(254));
    let (answers, ends) = (Mutex::new(Vec::new()), Mutex::new(None::<Instant>));
    let flooding = join_all((0..FLOODERS).map(|_| async {
        while ends.lock().expect("it is not poisoned").is_none_or(|ends| Instant::now() < ends) {
            let status = stolen.status(&nowhere).await;
            answers.lock().expect("it is not poisoned").push((Instant::now(), status));
            if status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }));
    let others = async {
        eventually(PATIENCE, async || answers.lock().expect("it is not poisoned").len() > FLOODERS).await;
        for path in ["/sensor_data/1000", "/sensor_data/2000", "/sensor_data/150000"] {
            assert_eq!(gateway.post(path, r#"{"value":1}"#).await, 200, "{path}: a sensor that is looked up");
        }
        assert_eq!(admin.post("/sensors", r#"{"sensor_type":"t"}"#).await, 200);
        assert_eq!(admin.status("/sensors?limit=1").await, 200, "another key has its own share");
        let (_, health) = api.get("/readyz").await;
        let health: Value = serde_json::from_str(&health).expect("it is JSON");
        assert_eq!(health["components"]["postgres"]["state"], "up", "{health}");
        revoke(&database, "stolen").await;
        let revoked = Instant::now();
        *ends.lock().expect("it is not poisoned") = Some(revoked + FLOOD_AFTER);
        revoked
    };
    let (_, revoked) = join(flooding, others).await;
    let answers = answers.into_inner().expect("it is not poisoned");
    let late = |status: u16| {
        let of = answers.iter().filter(|(_, told)| *told == status);
        of.map(|(at, _)| at.saturating_duration_since(revoked)).max()
    };
    println!("after the revocation: last 200 {:?}, last 503 {:?}", late(200), late(503));
    for (at, status) in &answers {
        let after = at.saturating_duration_since(revoked);
        assert!(after < REVOKED_WITHIN || [401, 429].contains(status), "{status} after {after:?}");
    }
    let log = api.process.stderr();
    assert!(!log.contains("postgres is down") && !log.contains("keys cannot be read"), "{log}");
}

#[tokio::test]
async fn one_key_takes_its_share_and_leaves_the_rest() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    add_readings(&database, MANY_READINGS).await;
    let api = Api::start(
        &database,
        &topic,
        &[("SENSORPIPE_TEST_EXPORTS_MAX", "2"), ("SENSORPIPE_TEST_EVENT_STREAMS_MAX", "4")]
            .map(|(name, value)| (name, value.to_owned())),
    )
    .await;
    let (greedy, other) =
        join(Holder::new(&api, &database, "greedy", "read"), Holder::new(&api, &database, "other", "read"))
            .await;
    let mut streams = Vec::new();
    for holder in [&greedy, &other] {
        for path in ["/overview/events", "/sensors/1/readings/events"] {
            let stream = holder.open("text/event-stream", path).await;
            assert_eq!(stream.status(), 200);
            streams.push(stream);
        }
        if streams.len() == 2 {
            is_at_its_share(greedy.open("text/event-stream", "/overview/events").await, "event streams")
                .await;
        }
    }
    let export = greedy.open("text/csv", "/sensors/1/readings").await;
    assert_eq!(export.status(), 200);
    is_at_its_share(greedy.open("text/csv", "/sensors/1/readings").await, "exports").await;
    assert_eq!(other.open("text/csv", "/sensors/1/readings").await.status(), 200);
    // What a client leaves is free again.
    drop((export, streams));
    eventually(PATIENCE, async || greedy.open("text/csv", "/sensors/1/readings").await.status() == 200).await;
    eventually(PATIENCE, async || greedy.open("*/*", "/overview/events").await.status() == 200).await;
    assert!(refusals(&api, "export").await >= 1 && refusals(&api, "event_stream").await >= 1);
}

#[tokio::test]
async fn queries_of_one_key_leave_connections_to_others() {
    let (database, topic, api) = with_four_connections().await;
    let (greedy, other) =
        join(Holder::new(&api, &database, "greedy", "read"), Holder::new(&api, &database, "other", "read"))
            .await;
    topic.produce([Record::new(r#"{"sensor_id":1,"value":1}"#)]).await;
    let worker = worker(role(&["worker", "--consumers", "1"]), &database, &topic, &[]);
    database.stores_all_of(&topic, PATIENCE).await;
    drop(worker);
    for (asked, (path, table)) in
        [("/sensors/1/readings?limit=1", "sensor_data"), ("/receipts/0/0", "dead_letters")].iter().enumerate()
    {
        leave_connections_to_others(&database, &greedy, &other, path, table).await;
        assert_eq!(refusals(&api, "query").await, 8 * (asked as u32 + 1));
    }
}

/// Eight of ten that the greedy one asks for are refused while the table is locked; the other one's is answered.
async fn leave_connections_to_others(
    database: &TestDatabase,
    greedy: &Holder<'_>,
    other: &Holder<'_>,
    path: &str,
    table: &str,
) {
    let locked = database.hold(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
    let greed = join_all((0..10).map(|_| greedy.open("*/*", path)));
    let other_query = async {
        comes_to("queries of one key", PATIENCE, 2, async || database.waiting_for_locks().await).await;
        let unlocking = async {
            comes_to("queries", PATIENCE, 3, async || database.waiting_for_locks().await).await;
            // The others of the greedy one have waited for as long as they may.
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            assert_eq!(database.waiting_for_locks().await, 3);
            drop(locked);
        };
        join(other.open("*/*", path), unlocking).await.0
    };
    let (greed, other_query) = join(greed, other_query).await;
    assert_eq!(other_query.status(), 200);
    let (answered, refused): (Vec<_>, Vec<_>) = greed.into_iter().partition(|answer| answer.status() == 200);
    assert_eq!((answered.len(), refused.len()), (2, 8));
    for answer in refused {
        is_at_its_share(answer, "queries").await;
    }
}

#[tokio::test]
async fn look_ups_of_one_key_go_one_by_one_and_leave_room_to_others() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(100).await;
    let api = Api::start(&database, &topic, &[("SENSORPIPE_TEST_KNOWN_SENSORS_MAX", "1".to_owned())]).await;
    let (greedy, other) = join(
        Holder::new(&api, &database, "greedy", "ingest"),
        Holder::new(&api, &database, "other", "ingest"),
    )
    .await;
    let locked = database.hold("LOCK TABLE sensors IN ACCESS EXCLUSIVE MODE").await;
    let paths: Vec<String> = (10..20).map(|sensor| format!("/sensor_data/{sensor}")).collect();
    let greed = join_all(paths.iter().map(|path| greedy.post(path, r#"{"value":1}"#)));
    let other_look_up = async {
        comes_to("look-ups of one key", PATIENCE, 1, async || database.waiting_for_locks().await).await;
        let unlocking = async {
            comes_to("look-ups", PATIENCE, 2, async || database.waiting_for_locks().await).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(database.waiting_for_locks().await, 2);
            drop(locked);
        };
        join(other.post("/sensor_data/50", r#"{"value":1}"#), unlocking).await.0
    };
    let (greed, other_look_up) = join(greed, other_look_up).await;
    assert_eq!(other_look_up, 200);
    assert!(greed.iter().all(|status| [200, 503].contains(status)), "{greed:?}");
}

#[tokio::test]
async fn a_query_keeps_its_place_though_its_client_has_gone() {
    let (database, _topic, api) = with_four_connections().await;
    let (greedy, other) =
        join(Holder::new(&api, &database, "greedy", "read"), Holder::new(&api, &database, "other", "read"))
            .await;
    let locked = database.hold("LOCK TABLE sensor_data IN ACCESS EXCLUSIVE MODE").await;
    for _ in 0..6 {
        let asked = greedy.open("*/*", "/sensors/1/readings?limit=1");
        assert!(timeout(Duration::from_secs(1), asked).await.is_err(), "it cannot be answered");
    }
    comes_to("queries of one key", PATIENCE, 2, async || database.waiting_for_locks().await).await;
    let unlocking = async {
        comes_to("queries", PATIENCE, 3, async || database.waiting_for_locks().await).await;
        drop(locked);
    };
    let (other_query, ()) = join(other.open("*/*", "/sensors/1/readings?limit=1"), unlocking).await;
    assert_eq!(other_query.status(), 200);
}

#[tokio::test]
async fn streams_and_exports_end_with_their_key() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    add_readings(&database, MANY_READINGS).await;
    // Nobody takes the export before its key is revoked, however long a busy machine takes for that.
    let patient = [("SENSORPIPE_TEST_EXPORT_STALL_TIMEOUT", "10m".to_owned())];
    let api = Api::start(&database, &topic, &patient).await;
    // Without keys everybody is let in, until there is one.
    let url = format!("{}/overview/events", api.url);
    let of_anybody = api.client.get(url).send().await.expect("it answers");
    assert_eq!(of_anybody.status(), 200);
    let (made, (how, after)) = join(make_key(&database, "reader", "read"), ending(of_anybody)).await;
    assert_eq!(how, "complete");
    assert!(after < PATIENCE / 2, "{after:?}");

    let reader = Holder { api: &api, token: made };
    let stays = Holder::new(&api, &database, "stays", "read").await;
    let overview = reader.open("text/event-stream", "/overview/events").await;
    let readings = reader.open("text/event-stream", "/sensors/1/readings/events").await;
    let export = reader.open("text/csv", "/sensors/1/readings").await;
    let mut kept = stays.open("text/event-stream", "/overview/events").await;
    for answer in [&overview, &readings, &export, &kept] {
        assert_eq!(answer.status(), 200);
    }
    revoke(&database, "reader").await;
    // What is on its way is taken meanwhile, or an export would wait for its client.
    let ((overview, readings), export) = join(join(ending(overview), ending(readings)), async {
        // Whoever took this one at once might have it before the revocation is heard of.
        tokio::time::sleep(REVOKED_WITHIN).await;
        ending(export).await
    })
    .await;
    for (how, after) in [overview, readings] {
        assert_eq!(how, "complete");
        assert!(after < REVOKED_WITHIN, "{after:?}");
    }
    assert_eq!(export.0, "cut off", "it must not look whole");
    assert_eq!(reader.status("/sensors").await, 401);
    timeout(PATIENCE, kept.chunk()).await.expect("it goes on").expect("it goes on").expect("it goes on");
    let (_, metrics) = api.get("/metrics").await;
    let outcomes: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("sensorpipe_exports_total{")).collect();
    assert!(outcomes.contains(&r#"sensorpipe_exports_total{outcome="cut_off"} 1"#), "{outcomes:?}");
    assert!(api.process.stderr().contains("its API key was revoked"));
}
