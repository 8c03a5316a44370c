//! What an error means to whoever waits for the answer, and what an operator can do about it.

use super::StoreError;

/// Why the database did not do what a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer, or takes no connections: it is away, starting or stopping.
    NoAnswer,
    /// All connections of this process were busy.
    Busy,
    /// It takes no writes.
    ReadOnly,
    /// The statement took longer than it may.
    TooLong,
    /// The transaction gave way to another one; the same again may succeed at once.
    GaveWay,
    /// A limit of the server is reached.
    Limit {
        /// What raises it.
        cure: &'static str,
    },
    /// It answers, and cannot do this now.
    Failing,
    /// It said no to what it always should say yes to, such as a missing table or privilege.
    Unexpected,
}

impl StoreError {
    /// What it means to a request.
    pub fn trouble(&self) -> Trouble {
        if let Some(sqlstate) = self.sqlstate() {
            return trouble_of(&sqlstate, &self.server_message());
        }
        match &self.source {
            sqlx::Error::PoolTimedOut => Trouble::Busy,
            // A column of another type than the schema gives it.
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. } => Trouble::Unexpected,
            _ => Trouble::NoAnswer,
        }
    }

    /// The server's words, and what raises a limit that is reached.
    pub fn for_operator(&self) -> String {
        match self.trouble() {
            Trouble::Limit { cure } => format!("{}: {cure}", self.server_message()),
            _ => self.server_message(),
        }
    }
}

/// Codes as in Postgres' appendix A.
fn trouble_of(sqlstate: &str, message: &str) -> Trouble {
    match sqlstate {
        // read_only_sql_transaction
        "25006" => Trouble::ReadOnly,
        // query_canceled: statement_timeout
        "57014" => Trouble::TooLong,
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => Trouble::GaveWay,
        "53100" => Trouble::Limit { cure: "free disk space for Postgres, or add some" },
        // out_of_memory, which is also what a full lock table is
        "53200" if message.contains("shared memory") => {
            Trouble::Limit { cure: "raise max_locks_per_transaction of Postgres and restart it" }
        }
        "53200" => Trouble::Limit { cure: "give Postgres more memory, or lower its work_mem" },
        // sequence_generator_limit_exceeded
        "2200H" => {
            Trouble::Limit { cure: "give the sequence that Postgres names numbers that are free (setval)" }
        }
        "53300" => Trouble::Limit { cure: "raise max_connections of Postgres, or lower DATABASE_POOL_SIZE" },
        _ => match &sqlstate[..2] {
            // No connection; shutdown, crash, start-up.
            "08" | "57" => Trouble::NoAnswer,
            "53" => Trouble::Limit { cure: "raise the limit that Postgres names" },
            // invalid transaction state, system error
            "25" | "58" => Trouble::Failing,
            _ => Trouble::Unexpected,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cure(sqlstate: &str, message: &str) -> &'static str {
        match trouble_of(sqlstate, message) {
            Trouble::Limit { cure } => cure,
            other => panic!("{sqlstate} is {other:?}"),
        }
    }

    #[test]
    fn a_server_that_answers_is_told_from_one_that_does_not() {
        for (sqlstate, trouble) in [
            ("57P01", Trouble::NoAnswer),
            ("57P03", Trouble::NoAnswer),
            ("08006", Trouble::NoAnswer),
            ("25006", Trouble::ReadOnly),
            ("57014", Trouble::TooLong),
            ("40P01", Trouble::GaveWay),
            ("40001", Trouble::GaveWay),
            ("55P03", Trouble::GaveWay),
            ("58030", Trouble::Failing),
            ("25P03", Trouble::Failing),
            ("42501", Trouble::Unexpected),
            ("42P01", Trouble::Unexpected),
            ("23505", Trouble::Unexpected),
        ] {
            assert_eq!(trouble_of(sqlstate, ""), trouble, "{sqlstate}");
        }
    }

    #[test]
    fn a_limit_comes_with_what_raises_it() {
        assert!(cure("53200", "out of shared memory").contains("max_locks_per_transaction"));
        assert!(cure("53200", "out of memory").contains("work_mem"));
        assert!(cure("53100", "could not extend file").contains("disk space"));
        assert!(cure("53300", "sorry, too many clients already").contains("max_connections"));
        assert!(cure("2200H", "reached maximum value of sequence").contains("setval"));
        assert!(cure("53400", "temporary file size exceeds temp_file_limit").contains("Postgres names"));
    }

    #[test]
    fn what_never_reached_the_server_is_told_by_its_kind() {
        assert_eq!(StoreError::busy("testing").trouble(), Trouble::Busy);
        let of = |source| StoreError::new("testing")(source).trouble();
        assert_eq!(of(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())), Trouble::NoAnswer);
        assert_eq!(of(sqlx::Error::ColumnNotFound("value".to_owned())), Trouble::Unexpected);
    }
}
