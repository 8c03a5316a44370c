//! deploy/postgres/roles.sql: each part of sensorpipe runs with its role, and can do no more.

use std::{borrow::Cow, process::Command};

use reqwest::StatusCode;
use sqlx::{Connection, Executor, PgConnection, error::DatabaseError};
use testbed::{Readings, Record, TestDatabase, TestTopic};

use crate::{
    PATIENCE,
    service::{Api, role, run, worker},
};

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Roles belong to the server: the script of two tests at a time would change the same rows of its catalog.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn make_roles(database: &TestDatabase, variables: &[&str]) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--file", "deploy/postgres/roles.sql"])
        .arg(database.url_as("postgres"));
    for variable in variables {
        psql.args(["--set", variable]);
    }
    let output = psql.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("psql is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// A database made as the script's head says.
pub(crate) async fn database_with_roles(variables: &[&str]) -> TestDatabase {
    let database = TestDatabase::create_unowned().await;
    make_roles(&database, variables).await;
    let owner = database.url_as("sensorpipe_owner");
    let topic = TestTopic::name_only(1);
    let migrate = role(&["migrate"]).topic(&topic).env("DATABASE_URL", &owner);
    let (is_migrated, log) = run(migrate).await;
    assert!(is_migrated, "{log}");
    make_roles(&database, variables).await;
    // Sensors are the api's to make.
    as_role(
        &database,
        "sensorpipe_api",
        "INSERT INTO sensors (sensor_type) SELECT 'test' FROM generate_series(1, 4)",
    )
    .await
    .unwrap();
    database
}

/// Runs a statement as a role; the SQLSTATE where it is refused.
async fn as_role(database: &TestDatabase, role: &str, statement: &str) -> Result<(), String> {
    let mut connection = PgConnection::connect(&database.url_as(role)).await.unwrap();
    let outcome = connection.execute(statement).await;
    outcome.map(drop).map_err(|error| {
        error
            .as_database_error()
            .and_then(DatabaseError::code)
            .map_or_else(|| error.to_string(), Cow::into_owned)
    })
}

fn url(database: &TestDatabase, role: &str) -> Vec<(&'static str, String)> {
    vec![("DATABASE_URL", database.url_as(role))]
}

#[tokio::test]
async fn api_and_worker_do_all_of_their_work_as_their_roles() {
    let (database, topic) = tokio::join!(database_with_roles(&[]), TestTopic::create(2));
    let api = Api::start(&database, &topic, &url(&database, "sensorpipe_api")).await;
    let worker = worker(
        role(&["worker", "--consumers", "1"]),
        &database,
        &topic,
        &url(&database, "sensorpipe_writer"),
    );
    api.takes_a_reading().await;
    // Days that are over are kept by the api, and forgotten by a worker that changes them, for the api to keep again.
    assert_eq!(database.number("SELECT count(*) FROM daily_stats").await, 1);
    let (_, answer) = api.post("/sensor_data/1", r#"{"value":1.5,"timestamp":"2024-10-12T15:00:00Z"}"#).await;
    assert!(answer.contains("stored"), "{answer}");
    assert!(api.get("/daily_avg/1").await.1.contains(r#""reading_count":2"#));

    // Several chunks, dead letters and duplicates.
    let readings = Readings { first_sensor: 1, sensors: 5, per_record: 10, step_ms: 86_400_000 };
    for _ in 0..2 {
        topic.produce(readings.records(0..100)).await;
        database.stores_all_of(&topic, PATIENCE).await;
    }
    assert_eq!(database.number("SELECT count(*) FROM dead_letters").await, 400);
    assert_eq!(database.row_count().await, 802);
    let log = worker.stderr();
    assert!(log.contains("fk_check=\"batch\""), "the writer may check once for a batch:\n{log}");
    for part in [&log, &api.process.stderr()] {
        assert!(!part.contains("ERROR") && !part.contains("permission denied"), "{part}");
    }

    let (status, sensor) = api.post("/sensors", r#"{"sensor_type":"test"}"#).await;
    assert_eq!(status, Some(StatusCode::OK), "{sensor}");
    for (path, expected) in [
        ("/sensors/2/latest", 200),
        ("/sensors/2/stats?bucket=1d&start=2024-01-01&end=2024-02-01&measures=count,avg", 200),
        ("/sensors/2/readings", 200),
        ("/sensors", 200),
        ("/receipts/0/0", 200),
        ("/readyz", 200),
    ] {
        let (status, answer) = api.get(path).await;
        assert_eq!(status.map(|status| status.as_u16()), Some(expected), "{path}: {answer}");
    }
    let delete = |path: &str| Api::answer(api.client.delete(format!("{}{path}", api.url)));
    assert_eq!(delete("/sensors/5").await.0, Some(StatusCode::OK), "one without readings");
    let (status, answer) = delete("/sensors/1?readings=delete").await;
    assert_eq!(status, Some(StatusCode::CONFLICT), "{answer}");
    assert!(answer.contains("roles.sql"), "{answer}");

    let admin = url(&database, "sensorpipe_admin").remove(0).1;
    let keys = ["keys", "create", "--name", "one", "--scope", "read"];
    let (made, log) = run(role(&keys).env("DATABASE_URL", &admin)).await;
    assert!(made, "{log}");
    let (rebuilt, log) = run(role(&["stats", "rebuild"]).env("DATABASE_URL", &admin)).await;
    assert!(rebuilt, "{log}");
}

/// Who may only read audits, and nothing is kept of it.
#[tokio::test]
async fn audits_keep_their_result_where_their_role_may() {
    let (database, topic) = tokio::join!(database_with_roles(&[]), TestTopic::create(1));
    let writer = url(&database, "sensorpipe_writer");
    let _worker = worker(role(&["worker", "--consumers", "1"]), &database, &topic, &writer);
    topic.produce([Record::new(r#"{"sensor_id":1,"value":1}"#)]).await;
    database.stores_all_of(&topic, PATIENCE).await;
    let audit = async |as_whom: &str, flags: &[&str]| {
        let audit = role(&[&["audit"], flags].concat()).topic(&topic);
        let (is_clean, said) = run(audit.env("DATABASE_URL", &database.url_as(as_whom))).await;
        assert!(is_clean && said.contains("CLEAN"), "{as_whom}: {said}");
        (said.contains("the result is not kept"), database.number("SELECT count(*) FROM audits").await)
    };
    assert_eq!(audit("sensorpipe_reader", &[]).await, (true, 0));
    assert_eq!(audit("sensorpipe_api", &[]).await, (true, 0));
    assert_eq!(audit("sensorpipe_audit", &[]).await, (false, 1));
    assert_eq!(audit("sensorpipe_writer", &[]).await, (false, 1));
    assert_eq!(audit("sensorpipe_admin", &["--accept"]).await, (false, 1));
    assert_eq!(as_role(&database, "sensorpipe_api", "SELECT FROM audits").await, Ok(()));
}

#[tokio::test]
async fn no_role_can_do_more_than_it_should() {
    let database = database_with_roles(&[]).await;
    let refused = Err(INSUFFICIENT_PRIVILEGE.to_owned());
    let writes_readings = [
        "INSERT INTO sensor_data VALUES (1, 1, now())",
        "COPY sensor_data FROM STDIN",
        "UPDATE sensor_data SET value = 1",
        "DELETE FROM sensor_data",
        "TRUNCATE sensor_data",
        "SELECT drop_chunks('sensor_data', now())",
        "INSERT INTO dead_letters (topic, partition, \"offset\", reason, detail) VALUES ('', 0, 0, '', '')",
        "UPDATE ingest_offsets SET next_offset = 0",
        "DELETE FROM ingest_offsets",
        "SET session_replication_role = replica",
    ];
    for role in ["sensorpipe_api", "sensorpipe_audit", "sensorpipe_reader"] {
        for statement in writes_readings {
            assert_eq!(as_role(&database, role, statement).await, refused, "{role}: {statement}");
        }
    }
    for (role, statement) in [
        ("sensorpipe_reader", "INSERT INTO sensors (sensor_type) VALUES ('x')"),
        ("sensorpipe_reader", "DELETE FROM sensors"),
        ("sensorpipe_reader", "SELECT FROM sensors FOR UPDATE"),
        ("sensorpipe_reader", "SELECT FROM api_keys"),
        ("sensorpipe_reader", "SELECT payload FROM dead_letters"),
        ("sensorpipe_reader", "SELECT key, headers FROM dead_letters"),
        ("sensorpipe_reader", "SELECT detail FROM dead_letters"),
        ("sensorpipe_audit", "SELECT payload FROM dead_letters"),
        ("sensorpipe_writer", "CREATE TEMPORARY TABLE x ()"),
        ("sensorpipe_api", "CREATE TEMPORARY TABLE x ()"),
        // With these a reader would hold up every write: `daily_stats` of all days are locked in shares by batches.
        ("sensorpipe_reader", "SELECT pg_advisory_lock(1684109683, n) FROM generate_series(0, 63) AS n"),
        ("sensorpipe_reader", "SELECT pg_try_advisory_lock(1)"),
        ("sensorpipe_reader", "SELECT pg_advisory_xact_lock_shared(1)"),
        ("sensorpipe_audit", "SELECT pg_advisory_lock(1)"),
        ("sensorpipe_reader", "SELECT lo_from_bytea(0, 'x')"),
        ("sensorpipe_writer", "SELECT lo_create(0)"),
        ("sensorpipe_reader", "DELETE FROM daily_stats"),
        (
            "sensorpipe_api",
            "INSERT INTO api_keys (name, token_id, token_hash, scopes) VALUES ('', '', '', '{}')",
        ),
        ("sensorpipe_api", "UPDATE api_keys SET scopes = '{admin}'"),
        ("sensorpipe_writer", "SELECT FROM api_keys"),
        ("sensorpipe_writer", "DELETE FROM sensors"),
        ("sensorpipe_writer", "UPDATE sensors SET sensor_id = 5"),
        ("sensorpipe_writer", "DELETE FROM sensor_topics"),
        ("sensorpipe_api", "INSERT INTO sensor_changes (sensor_id) VALUES (1)"),
        ("sensorpipe_api", "DELETE FROM sensor_changes"),
        ("sensorpipe_audit", "UPDATE sensor_topics SET next_offset = 0"),
        ("sensorpipe_writer", "UPDATE sensor_data SET value = 1"),
        ("sensorpipe_writer", "DELETE FROM ingest_offsets"),
        ("sensorpipe_writer", "INSERT INTO sensor_deletions (sensor_id) VALUES (1)"),
        ("sensorpipe_writer", "SELECT sensorpipe_delete_sensor(1)"),
        ("sensorpipe_writer", "UPDATE removed_sensors SET sensor_id = 1"),
        ("sensorpipe_writer", "UPDATE dead_letter_usage SET letters = 0"),
        ("sensorpipe_api", "INSERT INTO sensor_deletions (sensor_id) VALUES (1)"),
        ("sensorpipe_api", "DELETE FROM dead_letter_overflow"),
        ("sensorpipe_reader", "SELECT sensorpipe_delete_sensor(1)"),
        ("sensorpipe_writer", "DELETE FROM audits"),
        ("sensorpipe_api", "UPDATE audits SET difference = 0"),
        ("sensorpipe_audit", "DELETE FROM audits"),
        ("sensorpipe_audit", "INSERT INTO sensors (sensor_type) VALUES ('x')"),
        ("sensorpipe_audit", "DELETE FROM audit_checkpoints"),
        ("sensorpipe_audit", "SELECT FROM api_keys"),
        ("sensorpipe_writer", "UPDATE dead_letters SET payload = ''"),
        ("sensorpipe_admin", "DROP TABLE sensor_data"),
    ] {
        assert_eq!(as_role(&database, role, statement).await, refused, "{role}: {statement}");
    }
    // Not even somebody without any grant, who may read them.
    let rights_of_public =
        "SELECT count(*) FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS one
                            WHERE has_table_privilege('public', 'sensorpipe_settings', one)
                               OR NOT has_table_privilege('public', 'sensorpipe_settings', 'SELECT')";
    assert_eq!(database.number(rights_of_public).await, 0);
    let writes_settings = [
        "INSERT INTO sensorpipe_settings (name, value, set_by) VALUES ('retention', '1day', '')",
        "UPDATE sensorpipe_settings SET value = '1day'",
        "DELETE FROM sensorpipe_settings",
        "TRUNCATE sensorpipe_settings",
    ];
    for role in
        ["sensorpipe_reader", "sensorpipe_api", "sensorpipe_audit", "sensorpipe_writer", "sensorpipe_admin"]
    {
        for statement in
            ["CREATE TABLE x ()", "DROP TABLE daily_stats", "ALTER TABLE sensors ADD x int", "CREATE ROLE x"]
                .iter()
                .chain(&writes_settings)
        {
            assert_eq!(as_role(&database, role, statement).await, refused, "{role}: {statement}");
        }
        let reads = "SELECT FROM sensors, sensor_data, daily_stats, ingest_offsets, dead_letters, \
                     sensorpipe_settings, _sqlx_migrations";
        assert_eq!(as_role(&database, role, reads).await, Ok(()), "{role}");
    }
}

#[tokio::test]
async fn what_goes_further_has_to_be_asked_for_and_can_be_taken_back() {
    let database = database_with_roles(&["overwrite=1", "api_deletes_readings=1"]).await;
    let further = [
        ("sensorpipe_writer", "UPDATE sensor_data SET value = 1"),
        ("sensorpipe_api", "DELETE FROM sensor_data"),
    ];
    for (role, statement) in further {
        assert_eq!(as_role(&database, role, statement).await, Ok(()), "{role}");
    }
    let topic = TestTopic::create(1).await;
    let api = Api::start(&database, &topic, &url(&database, "sensorpipe_api")).await;
    let deleted = Api::answer(api.client.delete(format!("{}/sensors/1?readings=delete", api.url))).await;
    assert_eq!(deleted.0, Some(StatusCode::OK), "{}", deleted.1);
    make_roles(&database, &[]).await;
    for (role, statement) in further {
        assert_eq!(
            as_role(&database, role, statement).await,
            Err(INSUFFICIENT_PRIVILEGE.to_owned()),
            "{role}"
        );
    }
}

/// It may be run before a migration, too: what that brings is not there yet.
#[tokio::test]
async fn the_script_leaves_out_what_an_older_schema_lacks() {
    let database = database_with_roles(&[]).await;
    let older =
        "ALTER TABLE dead_letters DROP COLUMN items, DROP COLUMN untimed_items, DROP COLUMN reading_times;
                 DROP TABLE sensor_deletions";
    as_role(&database, "sensorpipe_owner", older).await.unwrap();
    make_roles(&database, &[]).await;
    for (role, statement) in [
        ("sensorpipe_reader", "SELECT id, mirrored_at FROM dead_letters"),
        ("sensorpipe_writer", "UPDATE dead_letters SET mirrored_at = now()"),
    ] {
        assert_eq!(as_role(&database, role, statement).await, Ok(()), "{role}: {statement}");
    }
}

#[tokio::test]
async fn a_large_sensor_is_marked_by_the_api_and_deleted_by_the_writer() {
    let database = database_with_roles(&["api_deletes_readings=1"]).await;
    let many = "INSERT INTO sensor_data SELECT 1, n, timestamptz '2026-01-01' + n * interval '1 hour'
                FROM generate_series(1, 2000) AS n";
    as_role(&database, "sensorpipe_owner", many).await.unwrap();
    let topic = TestTopic::create(1).await;
    let api = Api::start(&database, &topic, &url(&database, "sensorpipe_api")).await;
    let deleted = Api::answer(api.client.delete(format!("{}/sensors/1?readings=delete", api.url))).await;
    assert_eq!(deleted.0, Some(StatusCode::ACCEPTED), "{}", deleted.1);
    let mut variables = url(&database, "sensorpipe_writer");
    variables.push(("SENSORPIPE_TEST_SENSOR_DELETION_INTERVAL", "100ms".to_owned()));
    // And what it does with dead letters beyond the bound.
    variables.push(("DEAD_LETTER_MAX", "0".to_owned()));
    let worker = worker(role(&["worker", "--consumers", "1"]), &database, &topic, &variables);
    topic.produce([Record::new(r#"{"sensor_id":1,"value":1}"#)]).await;
    database.stores_all_of(&topic, PATIENCE).await;
    testbed::comes_to("sensors", PATIENCE, 3, async || database.number("SELECT count(*) FROM sensors").await)
        .await;
    assert_eq!(database.row_count().await, 0);
    assert_eq!(database.number("SELECT readings FROM removed_sensors").await, 2_000);
    assert_eq!(database.number("SELECT letters FROM dead_letter_overflow").await, 1);
    assert!(!worker.stderr().contains("permission denied"), "{}", worker.stderr());
}

#[tokio::test]
async fn readings_that_are_too_old_are_dropped_by_the_owner() {
    let (database, topic) = tokio::join!(database_with_roles(&[]), TestTopic::create(1));
    let old =
        "INSERT INTO sensor_data SELECT 1, 1, now() - n * interval '30 days' FROM generate_series(1, 5) AS n";
    as_role(&database, "sensorpipe_owner", old).await.unwrap();
    database.set("retention", "40days").await;
    let owner = url(&database, "sensorpipe_owner");
    let _worker = worker(role(&["worker", "--consumers", "1"]), &database, &topic, &owner);
    testbed::comes_to("readings left", PATIENCE, 1, async || database.row_count().await).await;
    assert_eq!(database.number("SELECT count(*) FROM daily_stats WHERE is_final").await, 4);
}

/// Whoever adds a table says in the script who may do what with it; saying so only in a comment is saying so.
#[tokio::test]
async fn the_script_speaks_of_every_table() {
    let database = TestDatabase::create().await;
    let script = include_str!("../../deploy/postgres/roles.sql");
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert!(tables.len() >= 6, "{tables:?}");
    for table in tables {
        assert!(
            script.contains(&format!("'{table}'")),
            "deploy/postgres/roles.sql does not say who may do what with {table}"
        );
    }
}

/// Whoever adds a column says whether those may read it who may not read what dead letters hold.
#[tokio::test]
async fn of_dead_letters_the_reader_sees_all_but_what_they_hold() {
    let database = database_with_roles(&[]).await;
    let withheld: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'dead_letters'::regclass AND attnum > 0 AND NOT attisdropped
           AND NOT has_column_privilege('sensorpipe_reader', attrelid, attnum, 'SELECT') ORDER BY attname",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(
        withheld,
        ["detail", "headers", "key", "payload", "reading_time", "reading_times", "untimed_items"]
    );
}
