//! A topic of the same name in another cluster is another log.

use testbed::eventually;

use crate::{PATIENCE, Site, spread};

#[tokio::test]
async fn another_clusters_topic_is_named_and_read_from_its_beginning() {
    let site = Site::new(2).await;
    site.topic.produce(spread(0..40)).await;
    // What a worker of this database stored of a cluster that it was connected to before.
    let elsewhere = format!(
        "INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset, stored)
         SELECT 'another-cluster', '{}', 'another-topic', partition, 0, 500, 500
         FROM generate_series(0, 1) AS partition",
        site.topic.name
    );
    site.database.execute(&elsewhere).await;
    let worker = site.worker();
    eventually(PATIENCE, async || site.database.row_count().await == 40).await;
    let log = worker.stderr();
    let named = |line: &&str| line.contains("gap=\"other_cluster\"") && line.contains("another-cluster");
    assert!(log.lines().any(|line| named(&line)), "{log}");
    assert!(site.get("/metrics").await.contains("sensorpipe_gaps_total{gap=\"other_cluster\"}"));
    site.is_clear().await;

    let mut verdicts = site.verdicts().await;
    verdicts.sort_unstable();
    assert_eq!(verdicts, ["ok", "ok", "other_cluster", "other_cluster"]);
    // Commands are about the cluster that they are connected to.
    site.done("replay --from earliest --yes").await;
    eventually(PATIENCE, async || site.database.tally().await.duplicates == 40).await;
    assert_eq!(
        site.database
            .number(
                "SELECT sum(next_offset)::bigint FROM ingest_offsets WHERE cluster_id = 'another-cluster'"
            )
            .await,
        1_000
    );
}
