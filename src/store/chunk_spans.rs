//! Ranges of time that hold a bounded number of chunks.
//!
//! Planning a query over a hypertable locks every chunk that its bounds do not exclude, and each of the chunk's
//! indexes, until the transaction ends. Postgres' defaults give some 8,000 locks to all sessions together, so a query
//! over 5,000 chunks fails with `53200` (out of shared memory). Queries without bounds of their own are therefore asked
//! span by span. Spans have no gaps between them: where the catalogue was read some time ago, an answer is right all
//! the same, and a span holds a few more chunks.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sqlx::PgConnection;

use crate::reading::Timestamp;

/// Most chunks of a span, give or take those that were created since the catalogue was read: about 200 locks.
pub(super) const CHUNKS_MAX: usize = 64;
/// One chunk in so many is remembered.
const CHUNKS_PER_CUT: usize = 16;
const CUTS_MAX: usize = CHUNKS_MAX / CHUNKS_PER_CUT;

/// How long a pool goes by what it read of the catalogue. At 10,000 chunks that is a query of some 10 ms.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// The start of every sixteenth chunk of `sensor_data`. Where time is not the only dimension, each chunk counts.
const CUTS: &str = "SELECT range_start FROM (
        SELECT slice.range_start, row_number() OVER (ORDER BY slice.range_start, slice.id) AS place
        FROM _timescaledb_catalog.hypertable
        JOIN _timescaledb_catalog.dimension ON dimension.hypertable_id = hypertable.id
        JOIN _timescaledb_catalog.dimension_slice AS slice ON slice.dimension_id = dimension.id
        JOIN _timescaledb_catalog.chunk_constraint ON chunk_constraint.dimension_slice_id = slice.id
        WHERE dimension.column_name = 'time'
          AND format('%I.%I', hypertable.schema_name, hypertable.table_name)::regclass = 'sensor_data'::regclass
    ) AS chunk
    WHERE place % $1 = 0
    ORDER BY place";

/// Where the chunks of `sensor_data` are; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkSpans {
    cuts: Arc<[Timestamp]>,
}

impl ChunkSpans {
    /// Reads the catalogue.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let starts: Vec<i64> =
            sqlx::query_scalar(CUTS).bind(CHUNKS_PER_CUT as i64).fetch_all(connection).await?;
        // Slices are in microseconds since 1970.
        Ok(Self { cuts: starts.into_iter().map(Timestamp::from_micros).collect() })
    }

    /// Whether a range holds no more chunks than one statement may touch.
    pub(super) fn fits(&self, range: &Range<Timestamp>) -> bool {
        self.cuts_within(range).len() < CUTS_MAX
    }

    /// The spans of a range, the oldest first, without gap or overlap.
    pub(super) fn split(&self, range: Range<Timestamp>) -> Vec<Range<Timestamp>> {
        if range.is_empty() {
            return vec![];
        }
        let borders = self.cuts_within(&range).chunks_exact(CUTS_MAX).map(|cuts| cuts[CUTS_MAX - 1]);
        let mut spans = Vec::new();
        let mut start = range.start;
        for border in borders {
            spans.push(start..border);
            start = border;
        }
        spans.push(start..range.end);
        spans
    }

    fn cuts_within(&self, range: &Range<Timestamp>) -> &[Timestamp] {
        let first = self.cuts.partition_point(|cut| *cut <= range.start);
        let last = self.cuts.partition_point(|cut| *cut < range.end);
        self.cuts.get(first..last).unwrap_or_default()
    }
}

/// The spans as a pool knows them: read again when they are old.
#[derive(Debug, Default)]
pub(super) struct KnownChunkSpans(Mutex<Option<(Instant, ChunkSpans)>>);

impl KnownChunkSpans {
    /// What is known, or else what the catalogue says now.
    pub(super) async fn get(&self, connection: &mut PgConnection) -> Result<ChunkSpans, sqlx::Error> {
        if let Some((read_at, spans)) = self.0.lock().as_ref()
            && read_at.elapsed() < FRESH_FOR
        {
            return Ok(spans.clone());
        }
        let spans = ChunkSpans::read(connection).await?;
        *self.0.lock() = Some((Instant::now(), spans.clone()));
        Ok(spans)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn spans_of(cuts: impl IntoIterator<Item = i64>) -> ChunkSpans {
        ChunkSpans { cuts: cuts.into_iter().map(at).collect() }
    }

    #[test]
    fn a_table_of_few_chunks_is_one_span() {
        let spans = spans_of([10, 20, 30]);
        assert!(spans.fits(&(at(0)..at(100))));
        assert_eq!(spans.split(at(0)..at(100)), [at(0)..at(100)]);
        assert_eq!(spans.split(at(5)..at(5)), []);
        assert_eq!(ChunkSpans::default().split(at(0)..at(1)), [at(0)..at(1)]);
    }

    #[test]
    fn many_chunks_are_many_spans() {
        let spans = spans_of((1..=10).map(|n| n * 10));
        assert!(!spans.fits(&(at(0)..at(1_000))) && spans.fits(&(at(0)..at(31))));
        assert_eq!(spans.split(at(0)..at(1_000)), [at(0)..at(40), at(40)..at(80), at(80)..at(1_000)]);
        assert_eq!(spans.split(at(10)..at(51)), [at(10)..at(50), at(50)..at(51)]);
    }

    proptest! {
        #[test]
        fn spans_are_the_range(
            mut cuts in proptest::collection::vec(-1_000_i64..1_000, 0..200),
            start in -1_200_i64..1_200,
            length in 0_i64..2_400,
        ) {
            cuts.sort_unstable();
            let spans = spans_of(cuts);
            let range = at(start)..at(start + length);
            let split = spans.split(range.clone());
            prop_assert_eq!(split.is_empty(), length == 0);
            prop_assert!(split.iter().all(|span| spans.fits(span) && !span.is_empty()));
            if let (Some(first), Some(last)) = (split.first(), split.last()) {
                prop_assert_eq!((first.start, last.end), (range.start, range.end));
            }
            prop_assert!(split.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
