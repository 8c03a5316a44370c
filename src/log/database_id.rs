//! Which database stores what a consumer group reads, in the words that Kafka passes on. Pure.

use std::fmt::{self, Display, Formatter};

use uuid::Uuid;

/// What stands before the id in a member's `client.id`.
const MEMBER: &str = "-db-";
/// What stands before the id in the metadata of a committed offset.
const COMMITTED: &str = "sensorpipe database ";

/// A database's id: made with its schema, it goes where the data goes, to a standby and into a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(Uuid);

impl DatabaseId {
    /// The id as Postgres writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }

    /// The `client.id` of a member whose client is called so.
    pub fn client_id(self, name: &str) -> String {
        format!("{name}{MEMBER}{self}")
    }

    /// Whose member has this `client.id`; none where it is not a worker's.
    pub fn of_client_id(client_id: &str) -> Option<Self> {
        client_id.rsplit_once(MEMBER).and_then(|(_, id)| Self::parse(id))
    }

    /// What a worker commits beside an offset.
    pub fn commit_metadata(self) -> String {
        format!("{COMMITTED}{self}")
    }

    /// Whose worker has committed this beside an offset; none where it was not a worker.
    pub fn of_commit_metadata(metadata: &str) -> Option<Self> {
        metadata.strip_prefix(COMMITTED).and_then(Self::parse)
    }
}

impl Display for DatabaseId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_where_it_was_written_and_nowhere_else() {
        let id = DatabaseId::parse("4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90").unwrap();
        assert_eq!(id.client_id("sensorpipe"), "sensorpipe-db-4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90");
        assert_eq!(DatabaseId::of_client_id(&id.client_id("north-db-1")), Some(id));
        assert_eq!(DatabaseId::of_commit_metadata(&id.commit_metadata()), Some(id));
        for other in ["", "sensorpipe", "rdkafka-4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90", "x-db-", "x-db-1"] {
            assert_eq!(DatabaseId::of_client_id(other), None, "{other}");
            assert_eq!(DatabaseId::of_commit_metadata(other), None, "{other}");
        }
    }
}
