//! How much of `dead_letters` there is, without counting it: triggers keep `dead_letter_usage`.

use sqlx::PgConnection;

use crate::config::DeadLetterBounds;

/// What the table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Usage {
    /// Rows.
    pub letters: i64,
    /// Bytes of keys, payloads and headers, and an allowance for each row.
    pub bytes: i64,
}

impl Usage {
    /// What is committed, and what this transaction has written itself.
    pub(in crate::store) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as(
            "SELECT coalesce(sum(CASE direction WHEN 'written' THEN letters ELSE -letters END), 0)::bigint AS letters,
                    coalesce(sum(CASE direction WHEN 'written' THEN bytes ELSE -bytes END), 0)::bigint AS bytes
             FROM dead_letter_usage",
        )
        .fetch_one(connection)
        .await
    }

    /// How full the table is, by the bound that is nearer: at 1 no further dead letter is kept.
    pub fn share_of(self, bounds: DeadLetterBounds) -> f64 {
        let share = |used: i64, most: u64| if most == 0 { 1.0 } else { used.max(0) as f64 / most as f64 };
        share(self.letters, bounds.letters).max(share(self.bytes, bounds.bytes))
    }

    /// Whether no further dead letter is kept.
    pub(in crate::store) fn reaches(self, bounds: DeadLetterBounds) -> bool {
        self.letters.max(0).cast_unsigned() >= bounds.letters
            || self.bytes.max(0).cast_unsigned() >= bounds.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_bound_counts() {
        let bounds = DeadLetterBounds { letters: 10, bytes: 1_000 };
        for (letters, bytes, share, is_reached) in [
            (0, 0, 0.0, false),
            (5, 100, 0.5, false),
            (5, 999, 0.999, false),
            (10, 0, 1.0, true),
            (1, 1_500, 1.5, true),
        ] {
            let usage = Usage { letters, bytes };
            assert!((usage.share_of(bounds) - share).abs() < 1e-9, "{usage:?}");
            assert_eq!(usage.reaches(bounds), is_reached, "{usage:?}");
        }
        assert!(Usage::default().reaches(DeadLetterBounds { letters: 0, bytes: 1 }), "none is kept at all");
    }
}
