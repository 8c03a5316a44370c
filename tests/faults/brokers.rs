//! A cluster of three brokers of which some go away: the api acknowledges and the worker stores with those that are there.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use serde_json::Value;
use testbed::{Role, Sensorpipe, TestCluster, TestDatabase, TestTopic, eventually, free_address};

use crate::{PATIENCE, worker};

/// How long the clients have to find brokers that answer again.
const BACK_WITHIN: Duration = Duration::from_secs(15);
/// Longer than the clients go without asking which brokers there are, so that they have heard of those alone that are
/// left: nothing that can be seen from outside says so.
const METADATA_AGE_MAX: Duration = Duration::from_secs(12);
/// For how long nobody answers while the processes' own work is counted.
const OUTAGE: Duration = Duration::from_secs(6);

/// The processes, and what was sent to them.
struct Site {
    database: TestDatabase,
    topic: TestTopic,
    url: String,
    acknowledged: i64,
}

impl Site {
    /// With this topic; where it is not there, `migrate` makes it with three replicas.
    async fn create(topic: TestTopic) -> Self {
        let database = TestDatabase::create().await;
        database.add_sensors(1).await;
        let site = Self { database, topic, url: format!("http://{}", free_address()), acknowledged: 0 };
        let mut migrate = site.role(&["migrate"]).env("KAFKA_REPLICATION", "3").start();
        assert!(migrate.ended(PATIENCE).await.success(), "{}", migrate.stderr());
        site
    }

    fn role(&self, args: &[&str]) -> Role {
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args).database(&self.database).topic(&self.topic)
    }

    fn api(&self) -> Sensorpipe {
        self.role(&["api"]).env("HTTP_ADDR", self.url.trim_start_matches("http://")).start()
    }

    /// Sends a reading; whether it was acknowledged.
    async fn post(&mut self) -> bool {
        let second = self.acknowledged;
        let body = format!(r#"{{"value":1,"timestamp":{}}}"#, 1_700_000_000 + second);
        let request = reqwest::Client::new().post(format!("{}/sensor_data/1", self.url));
        let request = request.header("content-type", "application/json").body(body);
        let is_acknowledged = request.send().await.is_ok_and(|answer| answer.status() == 200);
        self.acknowledged += i64::from(is_acknowledged);
        is_acknowledged
    }

    /// Waits until a reading is acknowledged and all that were are stored.
    async fn goes_on(&mut self, what: &str, patience: Duration) {
        let started = Instant::now();
        eventually(patience, async || self.post().await).await;
        let acknowledged = started.elapsed();
        eventually(patience, async || self.database.row_count().await >= self.acknowledged).await;
        println!("{what}: acknowledged after {acknowledged:?}, stored after {:?}", started.elapsed());
    }
}

fn topic_name(cluster: &TestCluster, partitions: i32) -> TestTopic {
    let mut topic = TestTopic::name_only(partitions);
    topic.brokers.clone_from(&cluster.brokers);
    topic
}

/// The processor time that the processes use meanwhile, as a share of a core.
async fn load(processes: &[&Sensorpipe], duration: Duration) -> Vec<f64> {
    let before: Vec<Duration> = processes.iter().map(|process| process.cpu_time()).collect();
    tokio::time::sleep(duration).await;
    let used =
        processes.iter().zip(before).map(|(process, before)| process.cpu_time().saturating_sub(before));
    used.map(|used| used.as_secs_f64() / duration.as_secs_f64()).collect()
}

#[tokio::test]
async fn brokers_that_were_away_when_the_last_one_left_are_found_again() {
    let cluster = TestCluster::start(env!("CARGO_TARGET_TMPDIR")).await;
    let mut site = Site::create(topic_name(&cluster, 6)).await;
    let api = site.api();
    let worker = worker(&site.database, &site.topic).start();
    site.goes_on("with three brokers", PATIENCE).await;

    cluster.down(&[2, 3]).await;
    tokio::time::sleep(METADATA_AGE_MAX).await;
    cluster.down(&[1]).await;
    let used = load(&[&api, &worker], OUTAGE).await;
    println!("without a broker api and worker used {used:.3?} of a core");

    cluster.up(&[2, 3]).await;
    site.goes_on("with brokers 2 and 3", BACK_WITHIN).await;
    let said = "the client is trying all of KAFKA_BROKERS";
    for process in [&api, &worker] {
        assert_eq!(process.stderr().matches(said).count(), 1, "{}", process.stderr());
    }
    assert!(used.iter().all(|&used| used < 0.05), "without a broker they used {used:?} of a core");
    assert_eq!(site.database.row_count().await, site.acknowledged);
}

/// Whether the api says that it is ready, and how.
async fn readiness(site: &Site) -> (u16, String) {
    let answer = reqwest::get(format!("{}/readyz", site.url)).await.expect("the api answers");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

#[tokio::test]
async fn an_api_whose_log_was_cut_goes_on_with_another_producer() {
    let cluster = TestCluster::start(env!("CARGO_TARGET_TMPDIR")).await;
    let topic = topic_name(&cluster, 1);
    // Two replicas, of which one alone may lead and take records, however far it is behind.
    let spec = NewTopic::new(&topic.name, 1, TopicReplication::Variable(&[&[1, 2]]))
        .set("min.insync.replicas", "1")
        .set("unclean.leader.election.enable", "true");
    let created = topic.admin().create_topics([&spec], &AdminOptions::new()).await.expect("Kafka answers");
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    let mut site = Site::create(topic).await;
    let mut api = site.api();
    eventually(PATIENCE, async || site.post().await).await;

    cluster.kill(&[2]).await;
    for _ in 0..10 {
        eventually(PATIENCE, async || site.post().await).await;
    }
    let before = site.topic.watermarks().await;
    cluster.kill(&[1]).await;
    cluster.up(&[2]).await;
    let started = Instant::now();
    // The client may find the new leader and fail before the topic is asked, so the log may have grown again.
    eventually(PATIENCE, async || site.post().await).await;
    println!("acknowledged {:?} after the cut, the log of {before:?}", started.elapsed());
    let after = site.topic.watermarks().await;
    assert!(after < before, "nothing was cut: {before:?}, then {after:?}");
    assert!(api.stderr().contains("the producer was recreated"), "{}", api.stderr());
    for _ in 0..10 {
        assert!(site.post().await, "{}", api.stderr());
    }
    let (status, said) = readiness(&site).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(api.exit_status(), None);
}

/// How often the coordinator goes away.
const COORDINATORS_LOST: usize = 2;
/// For how long it does not answer before, so that it is asked for the group meanwhile: longer than the controller takes to
/// give its partitions away, whose ends are asked for first.
const FROZEN_FOR: Duration = Duration::from_secs(8);
/// How many partitions `dev/cluster` gives the topic of the groups' offsets.
const OFFSETS_PARTITIONS: i32 = 4;

/// The broker that leads the part of the offsets' topic that a group is kept in, as brokers find it.
fn coordinator_of(topic: &TestTopic) -> Option<u8> {
    let hash = topic.name.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let partition = (hash & i32::MAX) % OFFSETS_PARTITIONS;
    let admin = topic.admin();
    let metadata = admin.inner().fetch_metadata(Some("__consumer_offsets"), Duration::from_secs(2)).ok()?;
    let found = metadata.topics().first()?.partitions().iter().find(|found| found.id() == partition)?;
    u8::try_from(found.leader()).ok()
}

/// The members that the overview shows, once they have all partitions; none where it has not come to that.
async fn members(site: &Site) -> Option<BTreeSet<String>> {
    let answer = reqwest::get(format!("{}/overview", site.url)).await.ok()?;
    let told: Value = answer.json().await.ok()?;
    let workers = told["workers"].as_array()?;
    let partitions = |worker: &Value| worker["partitions"].as_array().map_or(0, Vec::len);
    let owned: usize = workers.iter().map(partitions).sum();
    let id = |worker: &Value| worker["member_id"].as_str().map(str::to_owned);
    (owned == site.topic.partitions as usize).then(|| workers.iter().filter_map(id).collect())
}

/// librdkafka may end a process that asks the admin API for a group whose coordinator goes away meanwhile
/// (confluentinc/librdkafka#4605). That takes luck: a question of that kind has survived this test, too.
#[tokio::test]
async fn an_overview_that_is_watched_outlives_coordinators_and_shows_the_group_again() {
    let cluster = TestCluster::start(env!("CARGO_TARGET_TMPDIR")).await;
    let mut site = Site::create(topic_name(&cluster, 3)).await;
    let mut api = site.api();
    let mut working = worker(&site.database, &site.topic).start();
    site.goes_on("with three brokers", PATIENCE).await;
    let url = format!("{}/overview", site.url);
    let watching = tokio::spawn(async move {
        loop {
            let _ = reqwest::get(&url).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut before = BTreeSet::new();
    eventually(PATIENCE, async || {
        before = members(&site).await.unwrap_or_default();
        before.len() == 2
    })
    .await;
    for _ in 0..COORDINATORS_LOST {
        let mut lost = None;
        eventually(PATIENCE, async || {
            lost = coordinator_of(&site.topic);
            lost.is_some()
        })
        .await;
        let lost = lost.expect("it was found");
        let started = Instant::now();
        cluster.freeze(&[lost]).await;
        tokio::time::sleep(FROZEN_FOR).await;
        cluster.kill(&[lost]).await;
        // Other members, so that those that were told before are not taken for these.
        working.kill();
        working = worker(&site.database, &site.topic).start();
        eventually(PATIENCE, async || {
            let now = members(&site).await.unwrap_or_default();
            let is_new = now.len() == 2 && now.is_disjoint(&before);
            if is_new {
                before = now;
            }
            is_new
        })
        .await;
        println!("without coordinator {lost} the overview has the new members after {:?}", started.elapsed());
        assert_eq!(api.exit_status(), None, "{}", api.stderr());
        cluster.up(&[lost]).await;
    }
    site.goes_on("with three brokers again", PATIENCE).await;
    watching.abort();
    assert_eq!(api.exit_status(), None, "{}", api.stderr());
}
