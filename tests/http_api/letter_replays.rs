//! Dead letters replayed: each is stored once or stays, whoever replays it when and whatever breaks meanwhile.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::{Record, eventually};

use crate::{
    letters::{DAY_S, by_reason, fates, gated, reading, worker},
    site::{PATIENCE, Server, Site},
};

#[tokio::test]
async fn once_the_sensor_is_there_its_readings_are_stored_once() {
    let in_one_record = format!("[{},{},{}]", reading(1, 1), reading(2, 2), reading(2, 3));
    let of_one_sensor =
        format!(r#"{{"sensor_id":2,"data":[{{"value":4,"timestamp":{}}},{{"value":5}}]}}"#, DAY_S + 4);
    let records = vec![
        Record::new(in_one_record),
        Record::new(of_one_sensor).timestamp_ms((DAY_S + 5) * 1_000 + 250),
        Record::new(reading(1, 6)),
    ];
    let site = Site::with_records(1, records).await;
    let ids = site.letter_ids().await;
    assert_eq!((ids.len(), site.database.row_count().await), (4, 2));
    let still = site.replay(by_reason("unknown_sensor")).await;
    assert_eq!(fates(&still), [0, 0, 4]);
    assert_eq!(
        still["letters"][0],
        json!({"id": ids[0], "reason": "unknown_sensor", "detail": "there is no sensor 2"})
    );

    let made = site.server.post("/sensors", r#"{"sensor_type":"late"}"#).await.expect(200).json();
    assert_eq!(made["sensor_id"], 2);
    let tried = site.server.post("/dead-letters/replay?dry_run=true", r#"{"filter":{}}"#).await.expect(200);
    assert_eq!((fates(&tried.json()), site.letter_ids().await.len()), ([4, 0, 0], 4));
    assert_eq!(site.database.row_count().await, 2, "nothing comes of a dry run");

    // A day's statistics are kept once they are asked for, and true after each replay.
    let count = async || {
        let answer = site.server.get("/daily_avg/2").await;
        if answer.status == 404 { 0 } else { answer.json()[0]["reading_count"].as_i64().unwrap() }
    };
    let one = site.server.post(&format!("/dead-letters/{}/replay", ids[0]), "").await.expect(200).json();
    assert_eq!((fates(&one), count().await), ([1, 0, 0], 1));
    assert_eq!(site.database.number("SELECT count(*) FROM daily_stats WHERE sensor_id = 2").await, 1);
    let rest = site.replay(json!({"filter": {}})).await;
    assert_eq!((fates(&rest), count().await), ([3, 0, 0], 4));
    let own_time = "SELECT count(*) FROM sensor_data WHERE sensor_id = 2 AND value = 5
                    AND time = '2024-10-12T00:00:05.250001Z'";
    assert_eq!(
        site.database.number(own_time).await,
        1,
        "the record's own timestamp and its place are the reading's time"
    );

    assert_eq!(fates(&site.replay(json!({"filter": {}})).await), [0, 0, 0]);
    let gone = site.replay(json!({"ids": ids})).await;
    assert_eq!((fates(&gone), &gone["missing"]), ([0, 0, 0], &json!(ids)));
    site.server.post(&format!("/dead-letters/{}/replay", ids[0]), "").await.expect(404);
    assert_eq!((site.database.row_count().await, site.removed("replayed").await), (6, 4));
}

#[tokio::test]
async fn what_was_against_a_reading_is_asked_again_and_nothing_is_made_up() {
    let site = Site::with_records(1, vec![]).await;
    site.database.execute("ALTER TABLE sensor_data ADD CONSTRAINT small CHECK (value < 50)").await;
    site.topic
        .produce([
            Record::new(reading(1, 60)),
            Record::new(reading(1, 1)),
            Record::new("{").key("1"),
            Record::new(r#"{"sensor_id":7,"value":1}"#),
            Record::new(format!("[{},{}]", reading(7, 1), reading(7, 1))),
        ])
        .await;
    // Reading 1 is older than this worker accepts, so it asks the window first.
    site.database.set("accept_since", "2024-10-12T00:00:30Z").await;
    let mut strict = worker(&site.database, &site.topic).start();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    strict.kill();
    site.database.execute("DELETE FROM sensorpipe_settings").await;
    let ids = site.letter_ids().await;
    let summary = site.server.get("/dead-letters/summary").await.expect(200).json();
    let reasons: Vec<_> = summary["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["reason"].as_str().unwrap(), one["letters"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("malformed_json", 1),
            ("time_out_of_window", 3),
            ("unknown_sensor", 1),
            ("rejected_by_database", 1)
        ]
    );

    // The api's window is wider; the others are still refused, the reading without a time for what it lacks.
    site.database.execute("UPDATE dead_letters SET record_time = NULL, reading_time = NULL").await;
    let first = site.replay(json!({"ids": ids})).await;
    assert_eq!(fates(&first), [1, 0, 5], "{first}");
    assert_eq!(
        first["reasons"],
        json!({"malformed_json": 1, "rejected_by_database": 1, "unknown_sensor": 3})
    );
    let second = site.replay(by_reason("rejected_by_database")).await;
    assert_eq!(fates(&second), [0, 0, 1]);
    site.database
        .execute("ALTER TABLE sensor_data DROP CONSTRAINT small; INSERT INTO sensors VALUES (7, 'late')")
        .await;
    // Meanwhile it came another way.
    site.database
        .execute(&format!("INSERT INTO sensor_data VALUES (1, 9, to_timestamp({}))", DAY_S + 60))
        .await;
    let third = site.replay(json!({"filter": {}})).await;
    assert_eq!(fates(&third), [1, 2, 2], "two of the same time are one and a duplicate: {third}");
    let told: Vec<&str> = third["letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| letter["detail"].as_str().unwrap())
        .collect();
    assert!(told.iter().any(|detail| detail.contains("says when it was measured")), "{told:?}");
    assert_eq!(
        site.database.number("SELECT value::bigint FROM sensor_data WHERE value = 9").await,
        9,
        "the first one wins"
    );
    assert_eq!((site.letter_ids().await.len(), site.removed("replayed").await), (2, 4));
}

#[tokio::test]
async fn many_replay_at_once_and_each_is_stored_once() {
    const LETTERS: i64 = 300;
    let records = (0..LETTERS).map(|n| Record::new(reading(1, n))).collect();
    let site = Site::with_records(0, records).await;
    site.database.add_sensors(1).await;
    let ids = site.letter_ids().await;
    let replay = async |body: Value| {
        loop {
            // A deadlock would be a 503, too: there is none.
            let answer = site.server.post("/dead-letters/replay", body.to_string()).await.expect(200).json();
            if answer["next"].is_null() {
                return fates(&answer);
            }
        }
    };
    let backwards: Vec<i64> = ids.iter().rev().copied().collect();
    let bodies = (0..8).map(|n| if n % 2 == 0 { json!({"filter": {}}) } else { json!({"ids": backwards}) });
    let answers = join_all(bodies.map(replay)).await;
    let total: [i64; 3] = std::array::from_fn(|fate| answers.iter().map(|fates| fates[fate]).sum());
    assert_eq!(total, [LETTERS, 0, 0], "{answers:?}");
    assert_eq!((site.database.row_count().await, site.removed("replayed").await), (LETTERS, LETTERS));
}

#[tokio::test]
async fn a_replay_that_breaks_off_has_stored_all_or_nothing() {
    let site = Site::with_records(0, (0..10).map(|n| Record::new(reading(1, n))).collect()).await;
    site.database.add_sensors(1).await;
    // It has locked its dead letters and waits for the sensor when its backend is ended.
    let held = site.database.hold("SELECT FROM sensors WHERE sensor_id = 1 FOR UPDATE").await;
    let ended = async {
        eventually(PATIENCE, async || site.database.waiting_for_locks().await == 1).await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        assert_eq!(site.database.number(end).await, 1);
    };
    let all = json!({"filter": {}}).to_string();
    let (answer, ()) = tokio::join!(site.server.post("/dead-letters/replay", all.clone()), ended);
    answer.expect(503);
    drop(held);
    assert_eq!((site.letter_ids().await.len(), site.database.row_count().await), (10, 0));

    // The answer to COMMIT is lost: all of it is done, and once more finds nothing to do.
    let (gate, database) = gated(&site.database);
    let server = Server::start(&database, &site.topic.config(), &[]).await;
    server.get("/dead-letters").await.expect(200);
    // Not the word alone, which `READ COMMITTED` has, too: a whole simple query.
    gate.cut_after(b"COMMIT\0", 1);
    server.post("/dead-letters/replay", all.clone()).await.expect(503);
    assert_eq!(gate.times_cut(), 1);
    eventually(PATIENCE, async || site.database.row_count().await == 10).await;
    let again = server.post("/dead-letters/replay", all).await.expect(200).json();
    assert_eq!((fates(&again), site.letter_ids().await.len()), ([0, 0, 0], 0));
    assert_eq!((site.database.row_count().await, site.removed("replayed").await), (10, 10));
}
