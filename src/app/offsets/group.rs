//! What `offsets list` says of the databases that use the consumer group.

use std::time::Duration;

use crate::{
    app::servers::Servers,
    kafka::LogObserver,
    log::{BEAT_INTERVAL, DatabaseId, GroupUse},
};

/// Between two looks, where there is more to see by the second one: a worker commits at least this often.
const PAUSE: Duration = BEAT_INTERVAL.saturating_mul(2);

/// Asks Kafka, and once more where another database has committed; where it does not tell, nothing is known of anybody.
pub(super) async fn ask(servers: &Servers, ours: DatabaseId) -> GroupUse {
    let observer = LogObserver::new(&servers.kafka, &servers.settings);
    let mut used = GroupUse::default();
    for now in [Duration::ZERO, PAUSE] {
        match observer.committers().await {
            Ok(committed) => used.see(now, committed),
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "which databases use the consumer group is not shown: it takes the right to Describe the group"
                );
                break;
            }
        }
        if used.databases().iter().all(|id| *id == ours) {
            break;
        }
        if now.is_zero() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    observer.rest().await;
    used
}

/// For people: which database this is, and each other one.
pub(super) fn print(group: &str, ours: DatabaseId, used: &GroupUse) {
    println!("database {ours}, consumer group {group}");
    for other in used.databases().into_iter().filter(|id| *id != ours) {
        println!("{}", describe(other, used));
    }
}

fn describe(other: DatabaseId, used: &GroupUse) -> String {
    let partitions: Vec<String> = used.committed_by(other).iter().map(i32::to_string).collect();
    let (state, advice) = if used.is_active(other, PAUSE) == Some(true) {
        ("its workers run", "set another KAFKA_GROUP, or point DATABASE_URL at that database")
    } else {
        ("none of its workers runs", "workers of this one take the group over")
    };
    format!(
        "another database, {other}, committed the offsets of partitions {} in this group; {state}: {advice}",
        partitions.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Committer;

    #[test]
    fn another_database_is_described_by_what_it_does_in_the_group() {
        let database = DatabaseId::parse("4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90").unwrap();
        let of = |beat| [(0, Committer { database, beat }), (2, Committer { database, beat })].into();
        let mut used = GroupUse::default();
        used.see(Duration::ZERO, of(1));
        let described = describe(database, &used);
        assert!(described.contains("offsets of partitions 0, 2 in this group; none of its workers"));
        assert!(described.contains("4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90"), "{described}");
        used.see(PAUSE, of(2));
        assert!(describe(database, &used).contains("its workers run: set another KAFKA_GROUP"));
    }
}
