//! What users' triggers, constraints and policies do to rows: one that is refused costs itself alone, whatever is said.

use testbed::{Readings, Tally, TestDatabase, TestTopic, eventually, free_address};

use crate::{PATIENCE, reading, worker};

/// A trigger that refuses readings above 1,000.
fn refusing(code: &str, kind: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.value > 1000 THEN RAISE EXCEPTION 'too hot' USING ERRCODE = '{code}'; END IF;
            RETURN NEW; END $$;
         DROP TRIGGER IF EXISTS refuse ON sensor_data;
         CREATE {kind} EXECUTE FUNCTION refuse();"
    )
}

const BEFORE: &str = "TRIGGER refuse BEFORE INSERT ON sensor_data FOR EACH ROW";
const AT_COMMIT: &str =
    "CONSTRAINT TRIGGER refuse AFTER INSERT ON sensor_data DEFERRABLE INITIALLY DEFERRED FOR EACH ROW";

/// One reading that is refused among a hundred of its partition, and ten in each of the others.
async fn one_costs_itself_alone(codes: &[&str], kind: &str) {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(4).await);
    database.add_sensors(4).await;
    let worker = worker(&database, &topic).start();
    for (code, round) in codes.iter().zip(0_i64..) {
        database.execute(&refusing(code, kind)).await;
        let first = round * 1_000;
        let value = |n| if n == 49 { 2_000.0 } else { 1.0 };
        topic.produce((0..100).map(move |n| reading(1, value(n), first + n))).await;
        topic.produce((2..=4).flat_map(move |id| (0..10).map(move |n| reading(id, 1.0, first + n)))).await;
        database.stores_all_of(&topic, PATIENCE).await;
        let rounds = round + 1;
        let expected = Tally { stored: 129 * rounds, duplicates: 0, dead_lettered: rounds };
        assert_eq!(database.tally().await, expected, "{code}\n{}", worker.stderr());
        assert_eq!(database.row_count().await, 129 * rounds, "{code}");
    }
    let told =
        "SELECT count(*) FROM dead_letters WHERE reason = 'rejected_by_database' AND detail = 'too hot'";
    assert_eq!(database.number(told).await, codes.len() as i64, "the server's words are not kept");
}

#[tokio::test]
async fn a_trigger_that_raises_costs_its_row_whatever_the_code() {
    let codes = [
        "P0001", "42501", "53400", "53100", "55000", "44000", "0A000", "23514", "22012", "40001", "57014",
        "XX000", "25006", "08006",
    ];
    one_costs_itself_alone(&codes, BEFORE).await;
}

#[tokio::test]
async fn what_a_commit_would_refuse_costs_its_row() {
    one_costs_itself_alone(&["P0001", "23514", "55000"], AT_COMMIT).await;
}

#[tokio::test]
async fn a_trigger_may_lack_a_right_for_some_rows() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(2).await;
    let url = database.url_of_role_that_only_writes().await;
    database
        .execute(
            "CREATE TABLE history (sensor_id int);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.sensor_id = 2 THEN INSERT INTO history VALUES (2); END IF; RETURN NEW; END $$;
             CREATE TRIGGER note BEFORE INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION note();",
        )
        .await;
    let _worker = worker(&database, &topic).env("DATABASE_URL", &url).start();
    topic.produce((0..20).map(|n| reading(if n == 7 { 2 } else { 1 }, 1.0, n))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 19, duplicates: 0, dead_lettered: 1 });
    let told = "SELECT count(*) FROM dead_letters WHERE detail LIKE 'permission denied for table history%'";
    assert_eq!(database.number(told).await, 1);
}

#[tokio::test]
async fn a_row_that_a_trigger_drops_is_neither_stored_nor_a_duplicate() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    database
        .execute(
            "CREATE FUNCTION drop_hot() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.value > 1000 THEN RETURN NULL; END IF; RETURN NEW; END $$;
             CREATE TRIGGER drop_hot BEFORE INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION drop_hot();",
        )
        .await;
    let _worker = worker(&database, &topic).start();
    let readings = || (0..100).map(|n| reading(1, if n % 10 == 0 { 2_000.0 } else { 1.0 }, n));
    for again in 0..3 {
        topic.produce(readings()).await;
        database.stores_all_of(&topic, PATIENCE).await;
        let expected = Tally { stored: 90, duplicates: 90 * again, dead_lettered: 10 * (again + 1) };
        assert_eq!(database.tally().await, expected);
    }
    assert_eq!(database.row_count().await, 90);
    let told = "SELECT count(*) FROM dead_letters WHERE detail = 'a trigger dropped it'";
    assert_eq!(database.number(told).await, 30);
}

#[tokio::test]
async fn what_refuses_everything_is_an_outage_that_is_named_and_sets_nothing_aside() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(3).await;
    let address = free_address().to_string();
    let worker = worker(&database, &topic).env("METRICS_ADDR", &address).start();
    let all = "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'no room for it' USING ERRCODE = '53100'; END $$;
               CREATE TRIGGER refuse BEFORE INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION refuse();";
    for (first, sql, told, undo) in [
        (0, all, "no room for it", "DROP TRIGGER refuse ON sensor_data"),
        (
            1_000,
            "ALTER TABLE sensor_data RENAME TO gone",
            "does not exist",
            "ALTER TABLE gone RENAME TO sensor_data",
        ),
    ] {
        database.execute(sql).await;
        topic.produce((0..300).map(move |n| reading(1 + n % 3, 1.0, first + i64::from(n)))).await;
        let is_named = async || {
            let Ok(answer) = reqwest::get(format!("http://{address}/readyz")).await else { return false };
            answer.status() == 503 && answer.text().await.expect("it is text").contains(told)
        };
        eventually(PATIENCE, is_named).await;
        assert_eq!(database.tally().await.dead_lettered, 0, "{}", worker.stderr());
        database.execute(undo).await;
        database.stores_all_of(&topic, PATIENCE).await;
    }
    assert_eq!(database.tally().await, Tally { stored: 600, duplicates: 0, dead_lettered: 0 });
}

#[tokio::test]
async fn rows_that_a_policy_refuses_cost_themselves_alone() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    database
        .execute(
            "ALTER TABLE sensor_data ENABLE ROW LEVEL SECURITY;
             ALTER TABLE sensor_data FORCE ROW LEVEL SECURITY;
             CREATE POLICY cool ON sensor_data USING (true) WITH CHECK (value < 1000);",
        )
        .await;
    let _worker = worker(&database, &topic).start();
    topic.produce((0..200).map(|n| reading(1, if n == 50 { 2_000.0 } else { 1.0 }, n))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 199, duplicates: 0, dead_lettered: 1 });
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_cut() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(10).await;
    database
        .execute(
            "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;
             CREATE TRIGGER doze BEFORE INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION doze();",
        )
        .await;
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 1, step_ms: 1_000 };
    // Ten seconds of dozing, in attempts of two.
    topic.produce(readings.records(0..2_000)).await;
    let worker = worker(&database, &topic).env("SENSORPIPE_TEST_WRITE_TIMEOUT", "2s").start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 2_000, duplicates: 0, dead_lettered: 0 });
    assert!(worker.stderr().contains("too large for one transaction"), "{}", worker.stderr());
}

#[tokio::test]
async fn one_that_gave_way_to_a_refused_one_is_stored_in_its_place() {
    for policy in ["ignore", "overwrite"] {
        let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
        database.add_sensors(1).await;
        database.execute("ALTER TABLE sensor_data ADD CHECK (value <> 7)").await;
        // At each time a refused one, and good ones before it and after it.
        let values = [[7.0, 1.0, 2.0], [1.0, 7.0, 2.0], [1.0, 2.0, 7.0], [7.0, 7.0, 2.0], [7.0, 7.0, 7.0]];
        let at = move |second: usize| values[second].map(|value| reading(1, value, second as i64));
        topic.produce((0..values.len()).flat_map(at)).await;
        database.set("on_duplicate", policy).await;
        let _worker = worker(&database, &topic).start();
        database.stores_all_of(&topic, PATIENCE).await;
        // One that gives way to a good one is its duplicate, whatever it is itself.
        let (duplicates, dead_lettered, sum) = match policy {
            "ignore" => (5, 6, 1 + 1 + 1 + 2),
            _ => (7, 4, 2 + 2 + 2 + 2),
        };
        assert_eq!(database.tally().await, Tally { stored: 4, duplicates, dead_lettered }, "{policy}");
        assert_eq!(database.number("SELECT sum(value)::bigint FROM sensor_data").await, sum, "{policy}");
    }
}

#[tokio::test]
async fn a_further_foreign_key_holds() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(4).await;
    database
        .execute(
            "CREATE TABLE owners (sensor int PRIMARY KEY);
             INSERT INTO owners VALUES (1), (2);
             ALTER TABLE sensor_data ADD FOREIGN KEY (sensor_id) REFERENCES owners;",
        )
        .await;
    let _worker = worker(&database, &topic).start();
    topic.produce((0..400).map(|n| reading(n % 4 + 1, 1.0, i64::from(n)))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 200, duplicates: 0, dead_lettered: 200 });
}

#[tokio::test]
async fn a_table_that_lost_its_key_or_its_types_under_a_worker_is_written_to_no_more() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let address = free_address().to_string();
    let _worker = worker(&database, &topic).env("METRICS_ADDR", &address).start();
    topic.produce((0..10).map(|n| reading(1, 0.5, n))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    for (first, change, told, undo) in [
        (
            100,
            "ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_pkey",
            "has no primary key",
            "ALTER TABLE sensor_data ADD PRIMARY KEY (sensor_id, time)",
        ),
        (
            200,
            "ALTER TABLE sensor_data ALTER value TYPE numeric",
            "the type of sensor_data.value was changed",
            "ALTER TABLE sensor_data ALTER value TYPE float8",
        ),
    ] {
        database.execute(change).await;
        let before = database.row_count().await;
        topic.produce((0..10).map(move |n| reading(1, 0.5, first + n))).await;
        let is_named = async || {
            let Ok(answer) = reqwest::get(format!("http://{address}/readyz")).await else { return false };
            answer.status() == 503 && answer.text().await.expect("it is text").contains(told)
        };
        eventually(PATIENCE, is_named).await;
        assert_eq!(database.row_count().await, before, "{change}");
        database.execute(undo).await;
        database.stores_all_of(&topic, PATIENCE).await;
        assert_eq!(database.row_count().await, before + 10);
    }
}
