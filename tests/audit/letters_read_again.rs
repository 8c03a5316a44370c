//! A record with dead letters that is read again: its refused readings have one dead letter each, or one together.

use std::time::Duration;

use testbed::{Record, comes_to};

use crate::site::{PATIENCE, Site};

const START_S: i64 = 1_704_067_200;

const SET_ASIDE: &str = "SELECT coalesce(sum(readings), 0)::bigint FROM dead_letters";
const LETTERS: &str = "SELECT count(*) FROM dead_letters";
const DEADLOCKS: &str = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";

/// So many readings of each of these sensors, a second apart.
fn record(sensors: &[(i32, i64)], start_s: i64) -> Record {
    let item = |sensor_id: i32, n: i64| {
        format!(r#"{{"sensor_id":{sensor_id},"value":{n},"timestamp":{}}}"#, start_s + n)
    };
    let items = sensors.iter().flat_map(|&(sensor_id, count)| (0..count).map(move |n| item(sensor_id, n)));
    Record::new(format!("[{}]", items.collect::<Vec<_>>().join(",")))
}

impl Site {
    async fn with_record(sensors: i32, readings: &[(i32, i64)]) -> Self {
        let site = Self::new(1, sensors).await;
        site.topic.produce([record(readings, START_S)]).await;
        site.store_all().await;
        site
    }

    async fn move_back(&self) {
        let mut replay = self.role(&["replay", "--from", "0", "--partition", "0", "--yes"]).start();
        assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    }

    async fn read_again(&self) {
        self.move_back().await;
        self.store_all().await;
    }

    /// Dead letters, and the readings that they stand for.
    async fn letters(&self) -> (i64, i64) {
        (self.database.number(LETTERS).await, self.database.number(SET_ASIDE).await)
    }

    async fn wait_for_locks(&self, backends: i64) {
        comes_to("backends that wait", PATIENCE, backends, async || self.database.waiting_for_locks().await)
            .await;
    }
}

#[tokio::test]
async fn one_letter_of_many_stays_one_when_fewer_are_refused() {
    let site = Site::with_record(0, &[(1, 1_000), (2, 500)]).await;
    assert_eq!(site.letters().await, (1, 1_500));
    site.database.add_sensors(1).await;
    site.read_again().await;
    assert_eq!(site.letters().await, (1, 500));
    assert_eq!(site.database.row_count().await, 1_000);
    site.is_clean(&[]).await;
    site.read_again().await;
    assert_eq!(site.letters().await, (1, 500), "once more");
}

#[tokio::test]
async fn a_letter_of_many_that_was_partly_replayed_stays_one() {
    let site = Site::with_record(0, &[(1, 1_000), (2, 500)]).await;
    site.database.add_sensors(1).await;
    site.role(&["dead-letters", "replay", "--all"]).start().ended(PATIENCE).await;
    assert_eq!(site.letters().await, (1, 500));
    site.read_again().await;
    assert_eq!(site.letters().await, (1, 500));
    site.is_clean(&[]).await;
}

#[tokio::test]
async fn single_letters_give_way_to_one_of_many_when_more_are_refused() {
    let site = Site::with_record(1, &[(1, 600), (2, 600)]).await;
    assert_eq!(site.letters().await, (600, 600));
    site.database.execute("DELETE FROM sensor_data; DELETE FROM sensors").await;
    site.read_again().await;
    assert_eq!(site.letters().await, (1, 1_200));
    site.read_again().await;
    assert_eq!(site.letters().await, (1, 1_200), "once more");
    site.differs(&[], &["rows_missing"]).await;
}

#[tokio::test]
async fn a_role_that_only_writes_keeps_both_and_says_so() {
    let site = Site::with_record(0, &[(1, 1_000), (2, 500)]).await;
    site.database.add_sensors(1).await;
    site.move_back().await;
    let url = site.database.url_of_role_that_only_writes().await;
    let mut worker = site.worker().env("DATABASE_URL", &url).start();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    worker.terminate();
    assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    assert_eq!(site.letters().await, (501, 2_000));
    assert!(worker.stderr().contains("may not look for dead letters"), "{}", worker.stderr());
}

/// The worker has written the readings when the replay begins.
#[tokio::test]
async fn a_replay_waits_for_the_worker_that_reads_its_record_again() {
    let site = Site::with_record(0, &[(1, 1_200), (2, 1_200)]).await;
    site.database.add_sensors(1).await;
    site.move_back().await;
    let held = site.database.hold("LOCK TABLE dead_letter_usage IN ACCESS EXCLUSIVE MODE").await;
    let worker = site.worker().start();
    site.wait_for_locks(1).await;
    let mut replay = site.role(&["dead-letters", "replay", "--all"]).start();
    site.wait_for_locks(2).await;
    drop(held);
    replay.ended(PATIENCE).await;
    site.stop_when_stored(worker).await;
    site.has_one_letter_without_deadlock().await;
}

/// The replay has written the readings when the worker begins.
#[tokio::test]
async fn a_worker_waits_for_the_replay_of_a_letter_of_its_record() {
    let site = Site::with_record(0, &[(1, 1_200), (2, 1_200)]).await;
    site.database.add_sensors(1).await;
    site.move_back().await;
    let held = site.database.hold("LOCK TABLE dead_letter_removals IN ACCESS EXCLUSIVE MODE").await;
    let mut replay = site.role(&["dead-letters", "replay", "--all"]).start();
    site.wait_for_locks(1).await;
    let worker = site.worker().start();
    // The replay gives up waiting after five seconds; that the worker has come to its dead letter by then is not certain.
    let _ = tokio::time::timeout(Duration::from_secs(4), site.wait_for_locks(2)).await;
    drop(held);
    replay.ended(PATIENCE).await;
    site.stop_when_stored(worker).await;
    site.has_one_letter_without_deadlock().await;
}

impl Site {
    async fn has_one_letter_without_deadlock(&self) {
        assert_eq!(self.letters().await, (1, 1_200));
        assert_eq!(self.database.row_count().await, 1_200);
        self.is_clean(&[]).await;
        assert_eq!(self.database.number(DEADLOCKS).await, 0);
    }
}

#[tokio::test]
async fn replays_of_letters_of_many_in_opposite_partitions_do_not_deadlock() {
    let site = Site::new(2, 1).await;
    site.database.execute("ALTER TABLE sensor_data ADD CHECK (value < 600)").await;
    // Each has times of its own, so that no replay waits for a reading of the other one.
    for (partition, start_s) in
        [(0, START_S), (1, START_S + 2_000), (0, START_S + 4_000), (1, START_S + 6_000)]
    {
        site.topic.produce([record(&[(2, 1_200)], start_s).partition(partition)]).await;
        site.store_all().await;
    }
    // Half of each dead letter passes now.
    site.database
        .execute(
            "INSERT INTO sensors VALUES (2, 'late');
             CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END';
             CREATE TRIGGER linger BEFORE UPDATE OF items ON dead_letters FOR EACH ROW EXECUTE FUNCTION linger()",
        )
        .await;
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM dead_letters ORDER BY id")
        .fetch_all(&site.database.pool)
        .await
        .unwrap();
    let replay = |first: usize, second: usize| {
        let (first, second) = (ids[first].to_string(), ids[second].to_string());
        site.role(&["dead-letters", "replay", &first, &second]).start()
    };
    let (mut one, mut other) = (replay(0, 3), replay(1, 2));
    one.ended(PATIENCE).await;
    other.ended(PATIENCE).await;
    let readings = "SELECT sum(readings)::bigint FROM dead_letters";
    assert_eq!((site.database.number(LETTERS).await, site.database.number(readings).await), (4, 4 * 600));
    let replayed =
        "SELECT count(*) FROM dead_letter_removals WHERE outcome = 'replayed' AND letters = 2 * 600";
    assert_eq!(site.database.number(replayed).await, 2);
    assert_eq!(site.database.number(DEADLOCKS).await, 0);
}
