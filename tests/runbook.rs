//! `docs/operations.md`, run: every block of it that begins with `# tested`, against real servers.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use testbed::{
    Node, Record, Replication, Role, Sensorpipe, TestDatabase, TestTopic, eventually, free_address,
};

/// Longer than a broker lets a fetch wait for records, by librdkafka's default (`fetch.wait.max.ms`).
const LONGEST_FETCH: Duration = Duration::from_millis(700);

const PAGE: &str = include_str!("../docs/operations.md");
const BINARY: &str = env!("CARGO_BIN_EXE_sensorpipe");
const PATIENCE: Duration = Duration::from_secs(60);

/// The tested blocks under each heading that has any.
fn blocks() -> BTreeMap<&'static str, Vec<String>> {
    let mut found = BTreeMap::<&str, Vec<String>>::new();
    let (mut heading, mut block) = ("", None::<String>);
    for line in PAGE.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(text), "```") => {
                if text.starts_with("# tested\n") {
                    found.entry(heading).or_default().push(std::mem::take(text));
                }
                block = None;
            }
            (Some(text), line) => text.extend([line, "\n"]),
            (None, line) if line.starts_with('#') => heading = line.trim_start_matches('#').trim(),
            (None, _) => {}
        }
    }
    found
}

/// An installation, as the page's reader has it.
struct Installation {
    topic: TestTopic,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    blocks: BTreeMap<&'static str, Vec<String>>,
}

impl Installation {
    fn new(topic: TestTopic, database: &TestDatabase) -> Self {
        // The page's programs: this sensorpipe, and Postgres' clients of the server's release.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&topic.name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let link = |from: &Path, name: &str| symlink(from, folder.join(name)).expect("a link can be made");
        link(Path::new(BINARY), "sensorpipe");
        for program in ["psql", "pg_dump", "pg_restore"] {
            link(&Path::new(env!("CARGO_MANIFEST_DIR")).join("dev/client"), program);
        }
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("there is a PATH"));
        let environment = vec![
            ("PATH", path),
            ("DATABASE_URL", database.url.clone()),
            ("KAFKA_BROKERS", topic.brokers.clone()),
            ("KAFKA_TOPIC", topic.name.clone()),
            ("KAFKA_GROUP", topic.name.clone()),
            ("KAFKA_PARTITIONS", topic.partitions.to_string()),
            ("API", free_address().to_string()),
            ("WORKER", free_address().to_string()),
        ];
        Self { topic, folder, environment, blocks: blocks() }
    }

    fn variable(&self, name: &str) -> &str {
        &self.environment.iter().find(|(key, _)| *key == name).expect("it is set").1
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(key, _)| *key != name);
        self.environment.push((name, value.to_owned()));
    }

    /// An api and a worker that answer.
    async fn start_both(&self) -> [Sensorpipe; 2] {
        let addresses = [("api", "HTTP_ADDR", "API"), ("worker", "METRICS_ADDR", "WORKER")];
        let processes = addresses.map(|(role, setting, name)| {
            let role = Role::new(BINARY, &[role]).env(setting, self.variable(name)).env("CONSUMERS", "2");
            self.environment.iter().fold(role, |role, (key, value)| role.env(key, value)).start()
        });
        for (_, _, name) in addresses {
            let url = format!("http://{}/readyz", self.variable(name));
            let is_ready = async || reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success());
            eventually(PATIENCE, is_ready).await;
        }
        processes
    }

    /// Runs the next block under a heading; what it printed.
    fn run(&mut self, heading: &str) -> String {
        let blocks = self.blocks.get_mut(heading).unwrap_or_else(|| panic!("no block under {heading:?}"));
        assert!(!blocks.is_empty(), "no more blocks under {heading:?}");
        let block = blocks.remove(0);
        self.sh(&block)
    }

    fn sh(&self, script: &str) -> String {
        let ran = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .output()
            .expect("bash runs");
        let output = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(
            ran.status.success(),
            "{script}\nfailed with {}:\n{output}\n{}",
            ran.status,
            String::from_utf8_lossy(&ran.stderr)
        );
        output
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn reading(sensor_id: i32, second: i64, partition: i32) -> Record {
    let timestamp = 1_772_323_200 + second;
    Record::new(format!(r#"{{"sensor_id":{sensor_id},"value":{second},"timestamp":{timestamp}}}"#))
        .key(sensor_id.to_string())
        .partition(partition)
}

/// 20 readings of a sensor in each of two partitions.
fn readings(sensor_id: i32, first: i64) -> impl Iterator<Item = Record> + Send + 'static {
    (first..first + 40).map(move |second| reading(sensor_id, second, second as i32 % 2))
}

const CONTENT: &str = "SELECT hashtext(string_agg(sensor_id::text || value::text || time::text, ',' ORDER BY sensor_id, time))::bigint
    FROM sensor_data";

async fn ended(processes: [Sensorpipe; 2]) {
    for mut process in processes {
        process.terminate();
        assert!(process.ended(PATIENCE).await.success(), "{}", process.stderr());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_does_what_it_says() {
    let mut database = TestDatabase::create_empty().await;
    let mut site = Installation::new(TestTopic::name_only(2), &database);
    site.run("Install");
    let running = site.start_both().await;
    site.run("Install");
    site.run("Upgrade");

    // The backup has sensor 1; sensors 2 and 3 are of later.
    database.add_sensors(1).await;
    site.topic.produce(readings(1, 0)).await;
    database.stores_all_of(&site.topic, PATIENCE).await;
    site.run("Back up");
    database.add_sensors(2).await;
    site.topic.produce(readings(1, 40).chain(readings(2, 80)).chain(readings(3, 120))).await;
    database.stores_all_of(&site.topic, PATIENCE).await;
    let (rows, content) = (database.row_count().await, database.number(CONTENT).await);
    assert_eq!(rows, 160);
    // Sensors that were made by SQL are told within a second.
    let untold = "SELECT count(*) FROM sensor_changes";
    eventually(PATIENCE, async || database.number(untold).await == 0).await;
    ended(running).await;

    let restored = TestDatabase::create_empty().await;
    site.set("RESTORED", &restored.superuser_url());
    site.run("Restore");
    site.set("DATABASE_URL", &restored.url);
    database = restored;
    assert_eq!((database.row_count().await, database.next_offsets().await), (40, vec![20, 20]));
    site.run("Restore");
    let running = site.start_both().await;
    database.stores_all_of(&site.topic, PATIENCE).await;
    // The sensors came back from their topic, with their readings; their ids are not given out again.
    assert_eq!((database.row_count().await, database.dead_letters().await.len()), (rows, 0));
    assert_eq!(database.number(CONTENT).await, content, "every reading is as it was");
    let last_id = "SELECT pg_sequence_last_value(pg_get_serial_sequence('sensors', 'sensor_id')::regclass)";
    assert_eq!(database.number(last_id).await, 3);
    // Nobody knows of sensor 4 until it is put back by hand.
    site.topic.produce(readings(4, 200)).await;
    database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!((database.row_count().await, database.dead_letters().await.len()), (rows, 40));
    site.run("Restore");
    site.run("Replay");
    eventually(PATIENCE, async || database.row_count().await == rows + 40).await;
    database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!(database.dead_letters().await.len(), 40);
    let rows = rows + 40;

    // Each gap under the worker that runs.
    running[1].freeze();
    // A fetch that is under way when it freezes is answered with nothing, and no record waits in its socket.
    tokio::time::sleep(LONGEST_FETCH).await;
    site.topic.produce(readings(1, 160)).await;
    let end = site.topic.watermarks().await[0].1;
    site.topic.delete_before(&[(0, end - 5)]).await;
    running[1].thaw();
    eventually(PATIENCE, async || running[1].stderr().contains("records_expired")).await;
    site.run("records_expired");
    database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!(database.row_count().await, rows + 25);

    running[1].freeze();
    site.topic.delete().await;
    eventually(PATIENCE, async || site.topic.try_ensure().await).await;
    site.topic.produce(readings(1, 200)).await;
    running[1].thaw();
    eventually(PATIENCE, async || running[1].stderr().contains("topic_recreated")).await;
    site.run("topic_recreated");
    database.stores_all_of(&site.topic, PATIENCE).await;
    eventually(PATIENCE, async || database.row_count().await == rows + 65).await;

    ended(running).await;
    database.execute("UPDATE ingest_offsets SET next_offset = 1000 WHERE partition = 1").await;
    let running = site.start_both().await;
    eventually(PATIENCE, async || running[1].stderr().contains("offset_past_end")).await;
    site.run("offset_past_end");
    database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!(database.row_count().await, rows + 65);

    site.run("Alerts");
    site.run("SensorpipeStalled");
    site.run("SensorpipeDeadLetters");
    site.sh("sensorpipe keys create --name gateway-7 --scope ingest");
    let listed = site.run("Rotate keys and passwords");
    assert!(listed.contains("gateway-7b"), "{listed}");
    ended(running).await;
    let id = "SELECT hashtext(id::text)::bigint FROM database_identity";
    let before = database.number(id).await;
    site.run("other_database");
    assert_ne!(database.number(id).await, before, "it has an id of its own");

    // Those of a failover have a test, and servers, of their own.
    site.blocks.remove("Failover");
    let left: Vec<_> = site.blocks.iter().filter(|(_, blocks)| !blocks.is_empty()).collect();
    assert!(left.is_empty(), "blocks that are said to be tested and are not: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_goes_as_the_page_says() {
    let servers = Replication::start(env!("CARGO_TARGET_TMPDIR")).await;
    let mut database = TestDatabase::create_at(&servers.url(Node::One)).await;
    let mut site = Installation::new(TestTopic::create(2).await, &database);
    site.set("DATABASE_URL", &servers.url_of_both(Node::One, database.name()));
    let standby = format!("postgres://postgres@{}/{}", servers.address(Node::Two), database.name());
    site.set("STANDBY", &standby);
    let running = site.start_both().await;
    servers.caught_up(Node::Two).await;
    servers.detach(Node::Two).await;
    // What the standby does not have: a sensor, and its readings.
    database.add_sensors(1).await;
    let is_told = "SELECT count(*) FROM sensor_changes";
    eventually(PATIENCE, async || database.number(is_told).await == 0).await;
    site.topic.produce(readings(1, 0)).await;
    database.stores_all_of(&site.topic, PATIENCE).await;

    servers.kill(Node::One).await;
    site.run("Failover");
    database.move_to(&servers.url(Node::Two));
    eventually(PATIENCE, async || {
        database.tally_if_reachable().await.is_some_and(|tally| tally.stored == 40)
    })
    .await;
    let said = site.run("Failover");
    assert!(said.contains("CLEAN"), "{said}");
    assert!(site.blocks["Failover"].is_empty());
    ended(running).await;
}

/// Anchors as GitHub makes them of headings.
fn anchors() -> Vec<String> {
    let headings = PAGE.lines().filter(|line| line.starts_with('#') && !line.starts_with("# tested"));
    let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let anchor = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|c| kept(*c)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_within_the_page_leads_somewhere() {
    let anchors = anchors();
    let links: Vec<&str> = PAGE.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20);
    for link in links {
        assert!(anchors.iter().any(|anchor| anchor == link), "#{link} leads nowhere");
    }
}
