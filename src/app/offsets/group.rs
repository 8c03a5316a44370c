//! What `offsets list` says of the databases that use the consumer group.

use crate::{
    app::servers::Servers,
    kafka::LogObserver,
    log::{DatabaseId, GroupUse},
};

/// Asks Kafka; where it does not tell, nothing is known of anybody.
pub(super) async fn ask(servers: &Servers) -> GroupUse {
    let observer = LogObserver::new(&servers.kafka, &servers.settings);
    let used = observer.group_use().await.unwrap_or_else(|error| {
        tracing::warn!(
            error = %error,
            "which databases use the consumer group is not shown: it takes the right to Describe the group"
        );
        GroupUse::default()
    });
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
    let committed = match partitions.len() {
        0 => "has partitions of the topic".to_owned(),
        _ => format!("committed the offsets of partitions {}", partitions.join(", ")),
    };
    let (state, advice) = if used.has_members(other) {
        ("its workers are members", "set another KAFKA_GROUP, or point DATABASE_URL at that database")
    } else {
        ("none of its workers is a member", "workers of this one take the group over")
    };
    format!("another database, {other}, {committed} in this group; {state}: {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_is_described_by_what_it_does_in_the_group() {
        let other = DatabaseId::parse("4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90").unwrap();
        let mut used = GroupUse { members: vec![(other, true)], committed: [].into() };
        assert!(
            describe(other, &used).contains("has partitions of the topic in this group; its workers are")
        );
        used = GroupUse { members: vec![], committed: [(0, other), (2, other)].into() };
        let described = describe(other, &used);
        assert!(described.contains("offsets of partitions 0, 2 in this group; none of its workers"));
        assert!(described.contains("4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90"), "{described}");
    }
}
