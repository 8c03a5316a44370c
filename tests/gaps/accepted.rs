//! Gaps: named wherever people look, and accepted by a command that names them.

use std::time::Duration;

use testbed::{Tally, comes_to, eventually, free_address};

use crate::{PATIENCE, Site, spread};

/// Longer than a broker lets a fetch wait for records, by librdkafka's default (`fetch.wait.max.ms`).
const LONGEST_FETCH: Duration = Duration::from_millis(700);

#[tokio::test]
async fn records_that_retention_took_under_a_worker_are_given_up_by_name() {
    let site = Site::new(2).await;
    site.topic.produce(spread(0..40)).await;
    let worker = site.worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!(site.verdicts().await, ["ok", "ok"]);
    site.is_clear().await;

    worker.freeze();
    // A fetch that is under way when it freezes is answered with nothing, and no record waits in its socket.
    tokio::time::sleep(LONGEST_FETCH).await;
    site.topic.produce(spread(40..120)).await;
    site.topic.delete_before(&[(0, 50)]).await;
    worker.thaw();
    site.is_named(&worker, "records_expired", 0).await;
    // The other one goes on, and nothing of this one is skipped meanwhile.
    comes_to("stored", PATIENCE, vec![20, 60], async || site.database.next_offsets().await).await;
    let rows = site.listed().await;
    assert_eq!((&rows[0]["verdict"], &rows[1]["verdict"]), (&"records_expired".into(), &"ok".into()));
    assert_eq!(
        (&rows[0]["log_start"], &rows[0]["next_offset"], &rows[0]["lag"]),
        (&50.into(), &20.into(), &().into())
    );

    let refused = site.refused("offsets accept-gap --partition 1").await;
    assert!(refused.contains("partition 1 has no such gap (ok)"), "{refused}");
    site.refused("offsets accept-gap --partition 0,1").await;
    site.refused("offsets accept-truncation --partition 0").await;
    site.refused("offsets accept-topic").await;
    let refused = site.refused("replay --from earliest --yes").await;
    assert!(refused.contains("accept-gap"), "{refused}");
    let shown = site.done("offsets accept-gap --partition 0 --dry-run").await;
    assert!(shown.contains("partition 0: 20 -> 50, 30 offsets given up"), "{shown}");
    assert_eq!((site.database.next_offsets().await, site.moves().await), (vec![20, 60], vec![]));

    site.done("offsets accept-gap --partition 0 --note seen").await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    site.is_clear().await;
    assert_eq!(site.moves().await, [("gap".to_owned(), 0, 20, 50)]);
    assert_eq!(site.database.tally().await, Tally { stored: 90, duplicates: 0, dead_lettered: 0 });
    assert_eq!(site.database.row_count().await, 90);
    assert_eq!(site.verdicts().await, ["ok", "ok"]);

    // A receipt does not say stored of what was given up.
    let address = free_address();
    let _api = site.role("api").env("HTTP_ADDR", &address.to_string()).start();
    let status = async |offset: i64| {
        let answer = reqwest::get(format!("http://{address}/receipts/0/{offset}")).await.ok()?;
        Some(answer.status().as_u16())
    };
    comes_to("the last one stored before", PATIENCE, Some(200), async || status(19).await).await;
    assert_eq!([status(20).await, status(49).await, status(50).await], [Some(404), Some(404), Some(200)]);
}

#[tokio::test]
async fn a_topic_made_anew_under_a_worker_is_accepted_whole() {
    let site = Site::new(2).await;
    site.topic.produce(spread(0..40)).await;
    let worker = site.worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let old = site.topic.id().await;

    worker.freeze();
    site.topic.delete().await;
    // Until it is quite gone, the new one is refused.
    eventually(PATIENCE, async || site.topic.try_ensure().await).await;
    site.topic.produce(spread(40..200)).await;
    worker.thaw();
    site.is_named(&worker, "topic_recreated", 0).await;
    site.is_named(&worker, "topic_recreated", 1).await;
    assert_eq!(site.verdicts().await, ["topic_recreated", "topic_recreated"]);

    site.refused("offsets accept-gap --partition 0").await;
    let shown = site.done("offsets accept-topic").await;
    assert!(shown.contains(&format!("-> 0, at the start of the new topic, {old} before")), "{shown}");
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    site.is_clear().await;
    // Every reading of both topics, whatever the worker had read before it noticed.
    assert_eq!((site.database.row_count().await, site.database.tally().await.stored), (200, 200));
    assert_eq!(
        site.database
            .number(
                "SELECT count(*) FROM offset_moves WHERE kind = 'recreated' AND topic_id <> from_topic_id"
            )
            .await,
        2
    );
    let refused = site.refused("offsets accept-topic").await;
    assert!(refused.contains("the topic is the one"), "{refused}");
}

#[tokio::test]
async fn a_log_that_was_cut_is_read_again_from_its_start() {
    let site = Site::new(2).await;
    site.topic.produce(spread(0..40)).await;
    // As if the log had been longer when a worker stored it.
    let mut first = site.worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    first.terminate();
    assert!(first.ended(PATIENCE).await.success(), "{}", first.stderr());
    site.database.execute("UPDATE ingest_offsets SET next_offset = 1000 WHERE partition = 1").await;

    let worker = site.worker();
    site.is_named(&worker, "offset_past_end", 1).await;
    site.topic.produce(spread(40..60)).await;
    comes_to("stored", PATIENCE, vec![30, 1_000], async || site.database.next_offsets().await).await;
    site.done("offsets accept-truncation --partition 1").await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    site.is_clear().await;
    assert_eq!(site.moves().await, [("start".to_owned(), 1, 1_000, 0)]);
    // What was there is there once.
    assert_eq!(site.database.tally().await, Tally { stored: 60, duplicates: 20, dead_lettered: 0 });
    assert_eq!(site.database.row_count().await, 60);
}
