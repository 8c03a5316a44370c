//! The api itself, as a client meets it.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testbed::{Role, Sensorpipe, TestTopic, eventually, free_address};

use crate::table::{BUSY, OLD, SILENT, Table};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of each table, taken in turns.
const REQUESTS: usize = 200;

/// A process over a table.
struct Api {
    process: Sensorpipe,
    url: String,
    client: reqwest::Client,
    _topic: TestTopic,
}

impl Api {
    async fn start(table: &Table) -> Self {
        let (topic, address) = (TestTopic::create(1).await, free_address());
        let process = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["api"])
            .database(&table.database)
            .topic(&topic)
            .env("HTTP_ADDR", &address.to_string())
            .start();
        let api =
            Self { process, url: format!("http://{address}"), client: reqwest::Client::new(), _topic: topic };
        eventually(PATIENCE, async || {
            api.client
                .get(format!("{}/readyz", api.url))
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        api
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// How long a request takes that is answered with 200.
    async fn time(&self, path: &str) -> Duration {
        let started = Instant::now();
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{text}");
        started.elapsed()
    }
}

pub(crate) async fn answers(table: &Table) {
    let api = Api::start(table).await;
    let since = table.start.date_naive();
    for (status, path) in [
        (200, format!("/daily_avg/{BUSY}")),
        (200, format!("/daily_avg/{OLD}")),
        (404, format!("/daily_avg/{SILENT}")),
        (200, format!("/sensors/{BUSY}/latest")),
        (200, format!("/sensors/{OLD}/latest")),
        (404, format!("/sensors/{SILENT}/latest")),
        (200, "/sensors/latest".to_owned()),
        (200, format!("/sensors/{BUSY}/stats?bucket=1d&start={since}&measures=count,median")),
        (200, format!("/sensors/{BUSY}/stats?bucket=1year&start={since}&measures=avg,p95,stddev")),
        (200, format!("/sensors/stats?bucket=1month&start={since}&group=all")),
        (200, format!("/sensors/{BUSY}/chart")),
        (200, format!("/sensors/{OLD}/chart")),
        (200, format!("/sensors/{SILENT}/chart?start={since}")),
        (200, format!("/sensors/{BUSY}/readings?limit=10000&order=asc")),
        (200, format!("/sensors/{OLD}/readings")),
        (200, "/sensors".to_owned()),
        (200, "/overview".to_owned()),
    ] {
        let started = Instant::now();
        let (answered, text) = api.get(&path).await;
        assert_eq!(answered, status, "{path}: {text}");
        eprintln!("  {path}: {:.3} s", started.elapsed().as_secs_f64());
    }
    let export = api.client.get(format!("{}/sensors/{BUSY}/readings", api.url)).header("accept", "text/csv");
    let lines = export.send().await.unwrap().text().await.unwrap().lines().count();
    assert!(lines > 1_000, "{lines} lines");
    let log = api.process.stderr();
    assert!(!log.contains("shared memory"), "{log}");
}

/// The newest seven days, kept as they are after the first request: the same readings in both tables.
pub(crate) async fn daily_avg_is_as_quick(many: &Table, few: &Table) {
    let (many, few) = (Api::start(many).await, Api::start(few).await);
    let path = format!("/daily_avg/{BUSY}");
    assert_eq!(many.get(&path).await, few.get(&path).await);
    let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
    for _ in 0..REQUESTS {
        of_many.push(many.time(&path).await);
        of_few.push(few.time(&path).await);
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    let (of_many, of_few) = (median(&mut of_many), median(&mut of_few));
    let ratio = of_many / of_few;
    eprintln!("  /daily_avg: {:.2} ms over many, {:.2} ms over few: {ratio:.2}", of_many * 1e3, of_few * 1e3);
    assert!(ratio <= 1.2, "{of_many} s over many chunks, {of_few} s over few");
}

/// Somebody else has all locks: the client learns that it is no outage, the log what to raise.
pub(crate) async fn a_full_lock_table_is_told(table: &Table) {
    let api = Api::start(table).await;
    let path = format!("/sensors/{BUSY}/stats?bucket=1d&start={}", table.today - chrono::Days::new(20));
    assert_eq!(api.get(&path).await.0, 200);
    let mut hoarder = PgConnection::connect(&table.database.url).await.unwrap();
    let hoard = "SELECT pg_advisory_lock(n) FROM generate_series(1, 100000) AS n";
    let full = sqlx::query(hoard).execute(&mut hoarder).await.unwrap_err();
    assert!(full.to_string().contains("shared memory"), "{full}");
    let (status, text) = api.get(&path).await;
    assert_eq!(status, 503);
    let detail: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(detail["detail"], "The database has reached a limit that its operator has to raise.");
    assert_eq!(api.get("/readyz").await.0, 200, "the limit of a query is no outage");
    assert_eq!(api.get(&path).await.0, 503);
    let log = api.process.stderr();
    let told: Vec<_> = log.lines().filter(|line| line.contains("max_locks_per_transaction")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("WARN") && told[0].contains("53200"), "{}", told[0]);
    hoarder.close().await.unwrap();
    eventually(PATIENCE, async || api.get(&path).await.0 == 200).await;
}
