//! Which database stores what a consumer group reads. Pure.

use std::fmt::{self, Display, Formatter};

use uuid::Uuid;

use super::Committer;

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
}

impl Display for DatabaseId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl Committer {
    /// What a worker commits beside an offset.
    pub fn metadata(self) -> String {
        format!("{COMMITTED}{} {}", self.database, self.beat)
    }

    /// Who has committed this beside an offset; none where it was not a worker.
    pub fn of_metadata(metadata: &str) -> Option<Self> {
        let (database, beat) = metadata.strip_prefix(COMMITTED)?.split_once(' ')?;
        Some(Self { database: DatabaseId::parse(database)?, beat: beat.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_where_it_was_written_and_nowhere_else() {
        let database = DatabaseId::parse("4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90").unwrap();
        let committer = Committer { database, beat: 1_764_547_200_000 };
        assert_eq!(
            committer.metadata(),
            "sensorpipe database 4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90 1764547200000"
        );
        assert_eq!(Committer::of_metadata(&committer.metadata()), Some(committer));
        for other in ["", "sensorpipe database ", "sensorpipe database x 1", &database.to_string()] {
            assert_eq!(Committer::of_metadata(other), None, "{other}");
        }
    }
}
