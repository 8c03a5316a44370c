//! Times as Postgres has them on the wire.

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use sqlx::{
    Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef},
};

use crate::reading::Timestamp;

/// Microseconds since 2000-01-01, which is what a `timestamptz` is on the wire. Unlike chrono's it holds any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PostgresTime(pub(super) i64);

impl PostgresTime {
    /// The `infinity` of Postgres.
    pub(super) const INFINITY: Self = Self(i64::MAX);
}

impl Type<Postgres> for PostgresTime {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl PgHasArrayType for PostgresTime {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("_timestamptz")
    }
}

impl Encode<'_, Postgres> for PostgresTime {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for PostgresTime {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}

/// A day as Postgres reads it in a statement, which has no year 0, and no signs for the years before 1 and after 9999.
pub(super) fn date_literal(day: NaiveDate) -> String {
    let (year, era) = if day.year() > 0 { (day.year(), "") } else { (1 - day.year(), " BC") };
    format!("{year:04}-{:02}-{:02}{era}", day.month(), day.day())
}

/// A record's timestamp is whatever its producer said. One that no column holds is no reading's time either, so that it
/// is not missed.
pub(super) fn storable(time: Timestamp) -> Option<DateTime<Utc>> {
    time.to_datetime().filter(|time| (1..=9_999).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_written_as_postgres_writes_them() {
        for (year, literal) in [
            (2026, "2026-11-01"),
            (12_000, "12000-11-01"),
            (9, "0009-11-01"),
            (0, "0001-11-01 BC"),
            (-43, "0044-11-01 BC"),
        ] {
            assert_eq!(date_literal(NaiveDate::from_ymd_opt(year, 11, 1).unwrap()), literal);
        }
    }

    #[test]
    fn a_time_that_no_column_holds_is_none() {
        for (micros, is_kept) in [
            (0, true),
            (1_728_743_460_000_000, true),
            (-62_135_596_800_000_001, false),
            (253_402_300_800_000_000, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(storable(Timestamp::from_micros(micros)).is_some(), is_kept, "{micros}");
        }
    }
}
