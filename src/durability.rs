//! Settings of Kafka and Postgres by which what was acknowledged may be lost: what is lost by each, and what to set.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

/// Every setting that is looked at, by Kafka's and Postgres' names.
pub const SETTINGS: [&str; 6] = [
    "replication.factor",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
];

/// A setting that is not safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UnsafeSettingBody)]
pub struct UnsafeSetting {
    /// One of [`SETTINGS`].
    #[schema(example = "min.insync.replicas")]
    pub setting: &'static str,
    /// What it is.
    #[schema(example = "1")]
    pub value: String,
    /// What can be lost by it.
    pub loses: &'static str,
    /// What to set.
    #[schema(example = "set min.insync.replicas=2 on the topic")]
    pub cure: String,
    /// The servers could not be set otherwise, as where Kafka has one broker: nobody needs to be warned.
    #[serde(skip)]
    pub is_expected: bool,
}

impl UnsafeSetting {
    fn new(setting: &'static str, value: impl Display, loses: &'static str, cure: impl Into<String>) -> Self {
        Self { setting, value: value.to_string(), loses, cure: cure.into(), is_expected: false }
    }

    /// Says of which topic it is.
    #[must_use]
    pub fn of_topic(self, topic: &str) -> Self {
        Self { cure: format!("{} (topic {topic})", self.cure), ..self }
    }
}

impl Display for UnsafeSetting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { setting, value, loses, cure, .. } = self;
        write!(f, "{setting} is {value}: {loses}; {cure}")
    }
}

/// How Kafka keeps the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicCopies {
    /// Brokers of the cluster that are there.
    pub brokers: usize,
    /// Copies of the partition that has the fewest.
    pub replication: usize,
    /// `min.insync.replicas`; none where Kafka does not tell.
    pub min_insync_replicas: Option<usize>,
    /// `unclean.leader.election.enable`; none where Kafka does not tell.
    pub unclean_leader_election: Option<bool>,
}

impl TopicCopies {
    /// What is not safe of it.
    pub fn unsafe_settings(&self) -> Vec<UnsafeSetting> {
        let mut found = Vec::new();
        let majority = self.replication / 2 + 1;
        if self.replication == 1 {
            let loses = "readings that were acknowledged are gone with the disk of one broker";
            let cure = "give the topic three replicas (kafka-reassign-partitions), and min.insync.replicas=2";
            let is_expected = self.brokers == 1;
            found.push(UnsafeSetting {
                is_expected,
                ..UnsafeSetting::new("replication.factor", 1, loses, cure)
            });
        } else if let Some(value) = self.min_insync_replicas.filter(|value| *value < majority) {
            let loses = "a reading is acknowledged when fewer than half of the replicas have it, and is gone with these";
            let cure = format!("set min.insync.replicas={majority} on the topic");
            found.push(UnsafeSetting::new("min.insync.replicas", value, loses, cure));
        }
        if self.unclean_leader_election == Some(true) && self.replication > 1 {
            let loses = "a replica that is behind may become leader: what it lacks is cut off the log, also where it was \
                         acknowledged";
            let cure = "set unclean.leader.election.enable=false on the topic";
            found.push(UnsafeSetting::new("unclean.leader.election.enable", true, loses, cure));
        }
        found
    }
}

/// How Postgres keeps what was committed, as a session of ours has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitSettings {
    /// `synchronous_commit`.
    pub synchronous_commit: String,
    /// Whether `synchronous_standby_names` names a standby that commits could wait for.
    pub has_synchronous_standbys: bool,
    /// `fsync`.
    pub fsync: bool,
    /// `full_page_writes`.
    pub full_page_writes: bool,
}

impl CommitSettings {
    /// What is not safe of it.
    pub fn unsafe_settings(&self) -> Vec<UnsafeSetting> {
        let mut found = Vec::new();
        let lost_with = match self.synchronous_commit.as_str() {
            "off" => Some(
                "after a crash the last commits are gone: readings are read from Kafka again, but not sensors, keys and \
                 deletions that were answered with success",
            ),
            // Without a standby to wait for it is the same as `on`.
            "local" if self.has_synchronous_standbys => Some(
                "after a failover the last commits are gone: readings are read from Kafka again, but not sensors, keys and \
                 deletions that were answered with success",
            ),
            _ => None,
        };
        if let Some(loses) = lost_with {
            let cure = "set synchronous_commit=on for the server, the database and the role";
            found.push(UnsafeSetting::new("synchronous_commit", &self.synchronous_commit, loses, cure));
        }
        for (setting, is_on, loses) in [
            ("fsync", self.fsync, "the whole database may be corrupt after a power cut"),
            (
                "full_page_writes",
                self.full_page_writes,
                "pages may be half written after a power cut, and corrupt",
            ),
        ] {
            if !is_on {
                found.push(UnsafeSetting::new(
                    setting,
                    "off",
                    loses,
                    format!("set {setting}=on in postgresql.conf"),
                ));
            }
        }
        found
    }
}

/// What was found last; clones share it.
#[derive(Clone, Debug, Default)]
pub struct FoundSettings(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    kafka: Vec<UnsafeSetting>,
    postgres: Vec<UnsafeSetting>,
}

impl FoundSettings {
    /// Notes what Kafka's settings come to; those that are not known of yet.
    pub fn note_kafka(&self, found: Vec<UnsafeSetting>) -> Vec<UnsafeSetting> {
        news(&mut self.0.lock().kafka, found)
    }

    /// The same of Postgres'.
    pub fn note_postgres(&self, found: Vec<UnsafeSetting>) -> Vec<UnsafeSetting> {
        news(&mut self.0.lock().postgres, found)
    }

    /// All of them.
    pub fn current(&self) -> Vec<UnsafeSetting> {
        let found = self.0.lock();
        found.kafka.iter().chain(&found.postgres).cloned().collect()
    }
}

fn news(known: &mut Vec<UnsafeSetting>, found: Vec<UnsafeSetting>) -> Vec<UnsafeSetting> {
    let before = std::mem::replace(known, found);
    known.iter().filter(|setting| !before.contains(setting)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[UnsafeSetting]) -> Vec<&str> {
        found.iter().map(|found| found.setting).collect()
    }

    #[test]
    fn fewer_copies_than_a_majority_are_not_safe() {
        let found = |brokers, replication, min_insync_replicas, unclean| {
            let min_insync_replicas = Some(min_insync_replicas);
            let unclean_leader_election = Some(unclean);
            TopicCopies { brokers, replication, min_insync_replicas, unclean_leader_election }
                .unsafe_settings()
        };
        assert_eq!(names(&found(3, 3, 2, false)), [""; 0]);
        assert_eq!(names(&found(2, 2, 2, false)), [""; 0]);
        assert_eq!(names(&found(3, 3, 1, false)), ["min.insync.replicas"]);
        assert_eq!(names(&found(2, 2, 1, false)), ["min.insync.replicas"]);
        assert_eq!(names(&found(5, 5, 2, true)), ["min.insync.replicas", "unclean.leader.election.enable"]);
        assert!(found(5, 5, 2, false)[0].to_string().contains("set min.insync.replicas=3"));
        let one_of_three = found(3, 1, 1, true);
        assert_eq!(names(&one_of_three), ["replication.factor"], "nothing else matters then");
        assert!(!one_of_three[0].is_expected && found(1, 1, 1, false)[0].is_expected);
        let unknown = TopicCopies {
            brokers: 3,
            replication: 3,
            min_insync_replicas: None,
            unclean_leader_election: None,
        };
        assert_eq!(unknown.unsafe_settings(), []);
    }

    #[test]
    fn what_postgres_does_not_keep_is_not_safe() {
        let safe = CommitSettings {
            synchronous_commit: "on".to_owned(),
            has_synchronous_standbys: false,
            fsync: true,
            full_page_writes: true,
        };
        assert_eq!(safe.unsafe_settings(), []);
        let commit = |value: &str, has_synchronous_standbys| {
            let synchronous_commit = value.to_owned();
            CommitSettings { synchronous_commit, has_synchronous_standbys, ..safe.clone() }.unsafe_settings()
        };
        assert_eq!(names(&commit("off", false)), ["synchronous_commit"]);
        assert_eq!(names(&commit("local", true)), ["synchronous_commit"]);
        assert_eq!(commit("local", false), [], "the same as `on`");
        assert_eq!(commit("remote_apply", true), []);
        let off = CommitSettings { fsync: false, full_page_writes: false, ..safe };
        assert_eq!(names(&off.unsafe_settings()), ["fsync", "full_page_writes"]);
        let all = names(&off.unsafe_settings()).into_iter().all(|name| SETTINGS.contains(&name));
        assert!(all);
    }

    #[test]
    fn each_setting_is_news_once_and_again_with_another_value() {
        let found = FoundSettings::default();
        let of = |value| vec![UnsafeSetting::new("min.insync.replicas", value, "", "")];
        assert_eq!(found.note_kafka(of(1)), of(1));
        assert_eq!(found.note_kafka(of(1)), []);
        assert_eq!(found.note_postgres(of(1)), of(1));
        assert_eq!(found.note_kafka(of(2)), of(2));
        assert_eq!(found.current(), [of(2), of(1)].concat());
        assert_eq!(found.note_kafka(vec![]), []);
        assert_eq!(found.note_kafka(of(2)), of(2), "it was safe meanwhile");
    }
}
