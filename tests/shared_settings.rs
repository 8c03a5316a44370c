//! What every process must have alike is in the database: all read it, none runs with something else unnoticed.

use std::time::Duration;

use serde_json::Value;
use testbed::{Gate, Record, Role, Sensorpipe, TestDatabase, TestTopic, comes_to, eventually, free_address};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// 2024-01-01, long before `retention` in these tests.
const LONG_AGO: &str = "2024-01-01T00:00:00Z";

fn role(args: &[&str], database: &TestDatabase) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args).database(database)
}

/// Runs a command to its end: whether it succeeded, and what it printed and said.
async fn run(role: Role) -> (bool, String, String) {
    let mut process = role.start();
    let is_success = process.ended(PATIENCE).await.success();
    (is_success, process.stdout(), process.stderr())
}

async fn settings(database: &TestDatabase, args: &[&str]) -> (bool, String, String) {
    run(role(&[&["settings", "--format", "json"], args].concat(), database).env("USER", "alice")).await
}

/// Name, value and who set it of each setting, as `sensorpipe settings` has them.
fn shown(json: &str) -> Vec<(String, String, Option<String>)> {
    let rows: Vec<Value> = serde_json::from_str(json).expect("JSON");
    let text = |row: &Value, column: &str| row[column].as_str().map(str::to_owned);
    rows.iter()
        .map(|row| {
            (text(row, "name").expect("a name"), text(row, "value").expect("a value"), text(row, "set_by"))
        })
        .collect()
}

/// An api with the address that it listens on.
fn api(database: &TestDatabase, topic: &TestTopic) -> (Role, String) {
    let address = free_address().to_string();
    (role(&["api"], database).topic(topic).env("HTTP_ADDR", &address), format!("http://{address}"))
}

async fn status_of_reading(url: &str, timestamp: &str) -> Option<u16> {
    let body = format!(r#"{{"value":1,"timestamp":"{timestamp}"}}"#);
    let client = reqwest::Client::new();
    let request = client.post(format!("{url}/sensor_data/1")).header("content-type", "application/json");
    request.body(body).send().await.ok().map(|answer| answer.status().as_u16())
}

async fn ready_report(url: &str) -> Option<(u16, Value)> {
    let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
    Some((answer.status().as_u16(), answer.json().await.ok()?))
}

async fn is_ready(url: &str) {
    eventually(PATIENCE, async || ready_report(url).await.is_some_and(|(status, _)| status == 200)).await;
}

#[tokio::test]
async fn a_process_that_is_given_another_value_refuses_with_both_and_the_way_out() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let (is_set, _, said) = settings(&database, &["set", "on_duplicate=overwrite"]).await;
    assert!(is_set, "{said}");
    let address = free_address().to_string();
    for args in [
        &["migrate"][..],
        &["api"],
        &["worker"],
        &["all"],
        &["audit"],
        &["audit", "--watch"],
        &["dead-letters", "replay", "--all"],
    ] {
        let role =
            role(args, &database).topic(&topic).env("HTTP_ADDR", &address).env("ON_DUPLICATE", "ignore");
        let (is_success, _, said) = run(role).await;
        assert!(!is_success, "{args:?}");
        for part in [
            "ON_DUPLICATE is ignore for this process, but overwrite in the database (set 20",
            " by alice): unset ON_DUPLICATE, or run `sensorpipe settings set on_duplicate=ignore` and restart every process",
        ] {
            assert!(said.contains(part), "{args:?}: {said}");
        }
    }
    // One that refuses stores nothing.
    let migrate = role(&["migrate"], &database).topic(&topic).env("ON_DUPLICATE", "ignore");
    assert!(!run(migrate.env("RETENTION", "300d")).await.0);
    assert_eq!(database.number("SELECT count(*) FROM sensorpipe_settings").await, 1);
    // Not given, or given the same: nothing is wrong.
    for value in ["", "overwrite"] {
        let (is_success, _, said) =
            run(role(&["audit"], &database).topic(&topic).env("ON_DUPLICATE", value)).await;
        assert!(!said.contains("ON_DUPLICATE"), "{said}");
        assert!(is_success, "{said}");
    }
}

#[tokio::test]
async fn worker_and_api_follow_what_migrate_stored() {
    let (database, topic) = tokio::join!(TestDatabase::create_empty(), TestTopic::create(1));
    let migrate = || role(&["migrate"], &database).topic(&topic);
    let (is_migrated, _, said) =
        run(migrate().env("ON_DUPLICATE", "overwrite").env("RETENTION", "300d")).await;
    assert!(is_migrated, "{said}");
    // Once more, with less: what is stored stays.
    let (is_migrated, _, said) = run(migrate().env("RETENTION", "300days")).await;
    assert!(is_migrated, "{said}");
    let logs = |said: &str| {
        let line = said.lines().find(|line| line.contains(" shared settings: ")).unwrap_or_default();
        line.contains("on_duplicate=overwrite (set 20")
            && line.contains(" by migrate), retention=300days (set 20")
    };
    assert!(logs(&said), "{said}");
    let (_, stored, _) = settings(&database, &[]).await;
    let set: Vec<_> = shown(&stored).into_iter().filter(|(_, _, by)| by.is_some()).collect();
    let by_migrate =
        |name: &str, value: &str| (name.to_owned(), value.to_owned(), Some("migrate".to_owned()));
    assert_eq!(set, [by_migrate("on_duplicate", "overwrite"), by_migrate("retention", "300days")]);

    database.add_sensors(1).await;
    let (api, url) = api(&database, &topic);
    let api = api.start();
    is_ready(&url).await;
    assert!(logs(&api.stderr()), "{}", api.stderr());
    assert_eq!(status_of_reading(&url, LONG_AGO).await, Some(422));
    let now = chrono::Utc::now().to_rfc3339();
    let record = |value: i32, time: &str| {
        Record::new(format!(r#"{{"sensor_id":1,"value":{value},"timestamp":"{time}"}}"#))
    };
    topic.produce([record(1, &now), record(2, &now), record(3, LONG_AGO)]).await;
    let worker = role(&["worker", "--consumers", "1"], &database).topic(&topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert!(logs(&worker.stderr()), "{}", worker.stderr());
    assert_eq!(database.number("SELECT max(value)::bigint FROM sensor_data").await, 2, "the last one stays");
    assert_eq!(database.row_count().await, 1);
    assert_eq!(database.dead_letters().await[0].reason, "time_out_of_window");
}

#[tokio::test]
async fn settings_are_shown_set_and_reset_and_bad_ones_refused() {
    let database = TestDatabase::create().await;
    let (is_set, printed, said) =
        settings(&database, &["set", "retention=2160h", "accept_since=2020-01-01", "--by", "bob"]).await;
    assert!(is_set && said.contains("restart every api and worker"), "{said}");
    let row_of = |name: &str, value: &str, by: Option<&str>| {
        (name.to_owned(), value.to_owned(), by.map(str::to_owned))
    };
    let expected = [
        row_of("on_duplicate", "ignore", None),
        row_of("retention", "90days", Some("bob")),
        row_of("retention_stats", "keep", None),
        row_of("rollups", "on", None),
        row_of("accept_since", "2020-01-01T00:00:00Z", Some("bob")),
        row_of("accept_ahead", "1day", None),
    ];
    assert_eq!(shown(&printed), expected);
    // The same again: it is still bob's.
    let (_, printed, said) = settings(&database, &["set", "retention=90d"]).await;
    assert_eq!(shown(&printed), expected);
    assert!(!said.contains("restart"), "{said}");
    for (args, wanted) in [
        (&["set", "on_duplicate=keep"][..], "on_duplicate cannot be \"keep\": ignore or overwrite is wanted"),
        (&["set", "retention=soon"], "retention cannot be \"soon\": "),
        (
            &["set", "consumers=3"],
            "there is no shared setting \"consumers\"; there are on_duplicate, retention, ",
        ),
        (&["set", "retention"], "NAME=VALUE is wanted"),
        (&["reset", "consumers"], "there is no shared setting \"consumers\""),
        (&["set"], "required"),
        (&["set", "rollups=on", "rollups=off"], "rollups is given twice: give each setting one value"),
    ] {
        let (is_success, printed, said) = settings(&database, args).await;
        assert!(!is_success && printed.is_empty() && said.contains(wanted), "{args:?}: {said}");
    }
    let (is_reset, printed, said) = settings(&database, &["reset", "retention", "accept_since"]).await;
    assert!(is_reset && said.contains("settings reset to their defaults: "), "{said}");
    assert!(shown(&printed).iter().all(|(_, _, by)| by.is_none()), "{printed}");
    let (_, table, _) = run(role(&["settings"], &database)).await;
    let row = table.lines().find(|line| line.starts_with("retention ")).expect("a row").split_whitespace();
    assert_eq!(row.collect::<Vec<_>>(), ["retention", "off", "default", "-"]);
    // Where the environment names nobody, it is the role that connects.
    let (_, printed, said) =
        run(role(&["settings", "--format", "json", "set", "rollups=off"], &database).env("USER", "")).await;
    assert!(said.contains("run `sensorpipe stats rebuild`"), "{said}");
    let role: String =
        sqlx::query_scalar("SELECT session_user::text").fetch_one(&database.pool).await.unwrap();
    assert!(shown(&printed).contains(&row_of("rollups", "off", Some(&role))), "{printed}");
}

#[tokio::test]
async fn a_running_process_reports_a_setting_that_was_changed_and_runs_on() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let address = free_address().to_string();
    let worker =
        role(&["worker", "--consumers", "1"], &database).topic(&topic).env("METRICS_ADDR", &address).start();
    let (api, api_url) = api(&database, &topic);
    let api = api.start();
    let urls = [format!("http://{address}"), api_url];
    for url in &urls {
        is_ready(url).await;
    }
    settings(&database, &["set", "on_duplicate=overwrite"]).await;
    let difference = "on_duplicate is overwrite in the database, this process runs with ignore; restart it";
    for url in &urls {
        let shows = async || {
            let (status, report) = ready_report(url).await.unwrap_or_default();
            status == 200 && report["components"]["settings"].to_string().contains(difference)
        };
        eventually(PATIENCE, shows).await;
        let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains(r#"sensorpipe_component_up{component="settings"} 0"#), "{metrics}");
    }
    let warnings = |process: &Sensorpipe| process.stderr().matches(difference).count();
    assert_eq!((warnings(&worker), warnings(&api)), (1, 1), "each says it once");
    // Another change is said, too.
    settings(&database, &["set", "retention=90days"]).await;
    for process in [&worker, &api] {
        let says = async || process.stderr().contains("settings changed again: on_duplicate is overwrite");
        eventually(PATIENCE, says).await;
        assert!(process.stderr().contains("; retention is 90days in the database"), "{}", process.stderr());
    }
    settings(&database, &["reset", "on_duplicate", "retention"]).await;
    for url in &urls {
        let is_up =
            async || ready_report(url).await.unwrap_or_default().1["components"]["settings"].to_string();
        comes_to("the component", PATIENCE, r#"{"state":"up"}"#.to_owned(), is_up).await;
    }
}

#[tokio::test]
async fn a_schema_from_before_the_table_leaves_an_api_to_its_flags() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    database.execute("ALTER TABLE sensorpipe_settings RENAME TO not_yet").await;
    let (api, url) = api(&database, &topic);
    let mut api = api.env("RETENTION", "300days").start();
    is_ready(&url).await;
    assert_eq!(status_of_reading(&url, LONG_AGO).await, Some(422));
    assert_eq!(status_of_reading(&url, &chrono::Utc::now().to_rfc3339()).await, Some(200));
    assert!(
        ready_report(&url).await.unwrap().1["components"]["settings"].to_string().contains(r#""state":"up""#)
    );
    // Once there is a table, what it has holds.
    database
        .execute(
            "INSERT INTO not_yet (name, value, set_by) VALUES ('retention', '10days', 'a test');
             ALTER TABLE not_yet RENAME TO sensorpipe_settings",
        )
        .await;
    assert!(!api.ended(PATIENCE).await.success());
    let said = api.stderr();
    assert!(said.contains("RETENTION is 300days for this process, but 10days in the database"), "{said}");
}

#[tokio::test]
async fn an_api_that_starts_before_migrate_takes_what_migrate_stores() {
    let (database, topic) = tokio::join!(TestDatabase::create_empty(), TestTopic::create(1));
    let (api, url) = api(&database, &topic);
    let api = api.start();
    eventually(PATIENCE, async || api.stderr().contains("listening on")).await;
    let migrate = role(&["migrate"], &database).topic(&topic).env("RETENTION", "300days");
    let (is_migrated, _, said) = run(migrate).await;
    assert!(is_migrated, "{said}");
    database.add_sensors(1).await;
    is_ready(&url).await;
    comes_to("an old reading", PATIENCE, Some(422), async || status_of_reading(&url, LONG_AGO).await).await;
    assert_eq!(status_of_reading(&url, &chrono::Utc::now().to_rfc3339()).await, Some(200));
}

#[tokio::test]
async fn an_api_that_may_not_read_the_settings_is_not_ready() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.execute("REVOKE SELECT ON sensorpipe_settings FROM PUBLIC, CURRENT_USER").await;
    let (api, url) = api(&database, &topic);
    let _api = api.start();
    let names_it = async || {
        let (status, report) = ready_report(&url).await.unwrap_or_default();
        let component = report["components"]["api_settings"].to_string();
        status == 503 && component.contains("permission denied for table sensorpipe_settings")
    };
    eventually(PATIENCE, names_it).await;
    database.execute("GRANT SELECT ON sensorpipe_settings TO PUBLIC").await;
    is_ready(&url).await;
}

/// A gate to the database's server, and the role behind it.
fn behind(database: &TestDatabase, role: Role) -> (Gate, Role) {
    let (start, rest) = database.url.split_once('@').expect("a user");
    let (server, name) = rest.split_once('/').expect("a database");
    let gate = Gate::to(server);
    let url = format!("{start}@{}/{name}", gate.address);
    (gate, role.env("DATABASE_URL", &url))
}

#[tokio::test]
async fn an_api_that_starts_without_postgres_learns_the_settings_or_ends_once_it_is_back() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    database.set("retention", "300days").await;
    let (given_nothing, url) = api(&database, &topic);
    let (gate, given_nothing) = behind(&database, given_nothing);
    let (given_another, _) = api(&database, &topic);
    let (other_gate, given_another) = behind(&database, given_another.env("RETENTION", "10days"));
    gate.close();
    other_gate.close();
    let (_learning, mut refusing) = (given_nothing.start(), given_another.start());
    comes_to("before Postgres", PATIENCE, Some(503), async || status_of_reading(&url, LONG_AGO).await).await;
    eventually(PATIENCE, async || refusing.stderr().contains("listening on")).await;
    gate.open();
    other_gate.open();
    comes_to("an old reading", PATIENCE, Some(422), async || status_of_reading(&url, LONG_AGO).await).await;
    assert!(!refusing.ended(PATIENCE).await.success());
    let said = refusing.stderr();
    assert!(said.contains("RETENTION is 10days for this process, but 300days in the database"), "{said}");
}
