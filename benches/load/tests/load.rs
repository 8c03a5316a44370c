//! The load generator through real Kafka, real workers and a real database.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use testbed::{Role, Sensorpipe, TestDatabase, TestTopic, free_address};

const TIMEOUT: Duration = Duration::from_secs(60);
const FROM: &str = "2026-03-05T12:00:00Z";

const LOAD: &str = env!("CARGO_BIN_EXE_sensorpipe-load");

/// The service's binary beside the load generator's. Cargo builds it with the whole workspace, and not where one test
/// or one package is chosen: then it may be missing, or older than its sources, and a test of it would say nothing.
static SENSORPIPE: LazyLock<String> = LazyLock::new(|| {
    const BUILD: &str = "build it first: cargo test --workspace --locked --no-run";
    let binary = Path::new(LOAD).with_file_name("sensorpipe");
    let name = binary.to_str().expect("a path in UTF-8");
    let built = modified(&binary).unwrap_or_else(|| panic!("{name} is missing; {BUILD}"));
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the service's sources are there") {
            let source = entry.expect("a file or a folder").path();
            let is_older = source.is_file() && modified(&source).is_some_and(|changed| changed > built);
            assert!(!is_older, "{name} is older than {}; {BUILD}", source.display());
            folders.extend(source.is_dir().then_some(source));
        }
    }
    name.to_owned()
});

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn start(role: &[&str], database: &TestDatabase, topic: &TestTopic) -> Sensorpipe {
    Role::new(&SENSORPIPE, role).database(database).topic(topic).start()
}

fn start_load(flags: &[&str], database: &TestDatabase, topic: &TestTopic) -> Sensorpipe {
    Role::new(LOAD, flags).database(database).topic(topic).start()
}

/// Runs it with `--verify --json` to its end; whether it is content, and what it printed.
async fn load(flags: &[&str], database: &TestDatabase, topic: &TestTopic) -> (bool, Value) {
    let mut load = start_load(&[&["--verify", "--json"], flags].concat(), database, topic);
    let is_content = load.ended(TIMEOUT).await.success();
    let answer = serde_json::from_str(&load.stdout());
    (is_content, answer.unwrap_or_else(|_| panic!("{}", load.stderr())))
}

#[tokio::test]
async fn records_are_verified_and_the_same_again_are_all_duplicates() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(3).await);
    database.execute("INSERT INTO sensors (sensor_type) VALUES ('somebody''s own')").await;
    let _worker = start(&["worker", "--consumers", "2"], &database, &topic);

    let flags = ["--count", "3000", "--sensors", "7", "--from", FROM, "--seed", "3"];
    for (stored, duplicates) in [(3_000, 0), (0, 3_000)] {
        let (is_content, answer) = load(&flags, &database, &topic).await;
        assert!(is_content, "{answer}");
        assert_eq!(answer["records"], 3_000);
        assert_eq!(answer["ack_ms"]["samples"], 3_000);
        let verified = &answer["verified"];
        assert_eq!(verified["visible_ms"]["samples"], 3_000);
        assert_eq!((&verified["stored"], &verified["duplicates"]), (&stored.into(), &duplicates.into()));
        assert_eq!(verified["found"], 3_000);
    }
    // Other readings of the same sensors in between do no harm; in larger records, neither.
    let others = ["--count", "3000", "--sensors", "9", "--from", FROM, "--readings-per-record", "50"];
    let (is_content, answer) = load(&others, &database, &topic).await;
    assert!(is_content, "{answer}");
    assert_eq!((&answer["records"], &answer["verified"]["stored"]), (&60.into(), &3_000.into()));

    assert_eq!(database.row_count().await, 6_000);
    assert_eq!(database.number("SELECT count(*) FROM sensors WHERE sensor_type = 'load'").await, 9);
    assert_eq!(database.number("SELECT count(*) FROM sensor_data WHERE sensor_id = 1").await, 0);
}

#[tokio::test]
async fn requests_are_verified() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(3).await);
    let address = free_address().to_string();
    let _all = start(&["all", "--http-addr", &address], &database, &topic);
    let connects = || async { tokio::net::TcpStream::connect(&address).await.is_ok() };
    testbed::eventually(TIMEOUT, async || connects().await).await;

    let url = format!("http://{address}");
    let http = ["--target", "http", "--url", &url, "--sensors", "5"];
    let (is_content, answer) = load(&[&http[..], &["--count", "500"]].concat(), &database, &topic).await;
    assert!(is_content, "{answer}");
    assert_eq!(answer["verified"]["stored"], 500);

    let paced = ["--rate", "1000", "--duration", "1s", "--readings-per-record", "10", "--seed", "2"];
    let (is_content, answer) = load(&[&http[..], &paced].concat(), &database, &topic).await;
    assert!(is_content, "{answer}");
    assert_eq!((&answer["records"], &answer["verified"]["stored"]), (&100.into(), &1_000.into()));
    assert!(answer["seconds"].as_f64().unwrap() > 0.9, "{answer}");
    assert_eq!(database.row_count().await, 1_500);
}

#[tokio::test]
async fn what_is_turned_away_is_told_apart_and_nothing_accepted_is_lost() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(3).await);
    let address = free_address().to_string();
    let _all = start(&["all", "--http-addr", &address, "--http-max-rate", "100"], &database, &topic);
    let connects = || async { tokio::net::TcpStream::connect(&address).await.is_ok() };
    testbed::eventually(TIMEOUT, async || connects().await).await;

    let url = format!("http://{address}");
    let flags = ["--target", "http", "--url", &url, "--sensors", "5", "--rate", "300", "--duration", "2s"];
    let (is_content, answer) = load(&flags, &database, &topic).await;
    assert!(is_content, "{answer}");
    let (accepted, refused) =
        (answer["ack_ms"]["samples"].as_i64().unwrap(), answer["refused"].as_i64().unwrap());
    assert_eq!((accepted + refused, &answer["records"]), (600, &600.into()));
    assert!((150..=300).contains(&accepted), "{accepted} accepted in 2 s at 100 a second");
    assert_eq!(answer["refused_ms"]["samples"], refused);
    assert_eq!(answer["verified"]["stored"], accepted);
    assert_eq!(database.row_count().await, accepted);
}

#[tokio::test]
async fn a_key_is_shown_where_one_is_demanded() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    let mut keys = start(&["keys", "create", "--name", "load", "--scope", "ingest"], &database, &topic);
    assert!(keys.ended(TIMEOUT).await.success(), "{}", keys.stderr());
    let address = free_address().to_string();
    let _all = start(&["all", "--http-addr", &address], &database, &topic);
    testbed::eventually(TIMEOUT, async || tokio::net::TcpStream::connect(&address).await.is_ok()).await;

    let url = format!("http://{address}");
    let flags = ["--target", "http", "--url", &url, "--sensors", "2", "--count", "20"];
    let (is_content, answer) = load(&flags, &database, &topic).await;
    assert!(!is_content && answer.to_string().contains("401"), "{answer}");
    let token = keys.stdout();
    let with_key = [&flags[..], &["--api-key", token.trim()]].concat();
    let (is_content, answer) = load(&with_key, &database, &topic).await;
    assert!(is_content, "{answer}");
    assert_eq!(answer["verified"]["stored"], 20);
}

#[tokio::test]
async fn a_reading_that_is_gone_or_changed_is_told() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    let _worker = start(&["worker", "--consumers", "1"], &database, &topic);
    database.forgets("NEW.time = '2026-03-05T12:00:05Z'").await;
    database
        .execute(
            "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN NEW.value := NEW.value + 0.01; RETURN NEW; END';
             CREATE TRIGGER change BEFORE INSERT ON sensor_data FOR EACH ROW
             WHEN (NEW.time = '2026-03-06T12:00:05Z') EXECUTE FUNCTION change();",
        )
        .await;
    let problem = async |from: &str| {
        // With a step of a millisecond the seed moves no times.
        let flags = ["--count", "20000", "--sensors", "2", "--step", "1ms", "--from", from];
        let (is_content, answer) = load(&flags, &database, &topic).await;
        let problems = answer["verified"]["problems"].clone();
        assert_eq!(is_content, problems.as_array().unwrap().is_empty());
        problems
    };
    assert_eq!(problem("2026-03-05T12:00:00Z").await, serde_json::json!(["2 readings are missing"]));
    let changed = serde_json::json!(["the values are not those that were sent"]);
    assert_eq!(problem("2026-03-06T12:00:00Z").await, changed);
    assert_eq!(problem("2026-03-07T12:00:00Z").await, serde_json::json!([]));
}

#[tokio::test]
async fn a_signal_ends_it_early_with_a_result() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    let _worker = start(&["worker", "--consumers", "1"], &database, &topic);
    let flags = ["--verify", "--json", "--rate", "500", "--duration", "1h", "--sensors", "3"];
    let mut load = start_load(&flags, &database, &topic);
    testbed::eventually(TIMEOUT, async || database.row_count().await > 100).await;
    load.terminate();
    assert!(load.ended(TIMEOUT).await.success(), "{}", load.stderr());
    let answer: Value = serde_json::from_str(&load.stdout()).unwrap();
    assert_eq!(answer["verified"]["stored"], database.row_count().await);
}

#[tokio::test]
async fn without_a_worker_it_says_so() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    let mut load = start_load(&["--verify", "--verify-timeout", "1s"], &database, &topic);
    assert!(!load.ended(TIMEOUT).await.success());
    assert!(load.stderr().contains("is `sensorpipe worker` running"), "{}", load.stderr());
    assert_eq!(topic.watermarks().await, [(0, 0)], "nothing was sent");
}

#[test]
fn settings_are_refused_without_the_secrets_in_them() {
    for (variable, value, named) in [
        ("API_KEY", "hush hush", "--api-key"),
        ("DATABASE_URL", "mysql://me:hush@db/app", "--database-url"),
        ("KAFKA_CONFIG_sasl_pasword", "hush", "KAFKA_CONFIG_sasl_pasword"),
        ("KAFKA_CONFIG_auto_offset_reset", "latest", "KAFKA_CONFIG_auto_offset_reset must be error: "),
        ("LOG_LEVEL", "sensorpipe=hush", "LOG_LEVEL"),
    ] {
        let refused = Command::new(LOAD).env_clear().env(variable, value).output().expect("it starts");
        let said = String::from_utf8(refused.stderr).expect("UTF-8");
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(refused.stdout.is_empty() && said.contains(named), "{said}");
        assert!(variable == "LOG_LEVEL" || !said.contains("hush"), "{said}");
    }
    let refused =
        Command::new(LOAD).args(["--api-key", "hush hush"]).env_clear().output().expect("it starts");
    let said = String::from_utf8(refused.stderr).expect("UTF-8");
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--api-key") && !said.contains("hush"), "{said}");
    let secrets = [("DATABASE_URL", "postgres://me:hush@db/app"), ("API_KEY", "hush")];
    let help = Command::new(LOAD).arg("--help").env_clear().envs(secrets).output().expect("it starts");
    assert!(help.status.success() && !String::from_utf8_lossy(&help.stdout).contains("hush"));
}
