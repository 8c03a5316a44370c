//! Reconciles what the log holds with what the database says of it. Pure: no I/O, no clock.
//!
//! ```text
//! books, checkpoints, log's range ── plan ──> from where to where, and which counts are held against it
//! records ── chunk ──> readings, as the log has them
//! look-ups in the tables ── fates ──> where each reading is
//! plan, fates, removals ── judge ──> differences, and notes that are none
//! reports of one round or several ── summary ──> what is kept for the overview and the next process
//! work ── pace ──> when there may be more
//! ```
//!
//! What is sound to compare, and what is not, stands in `docs/audit.md`.

mod chunk;
mod fates;
mod judge;
mod pace;
mod plan;
mod progress;
mod remark;
mod report;
mod summary;
mod table;

pub use chunk::{ChunkBuilder, Item, LogChunk};
pub use fates::{ChunkLetters, Example, Fates, Finding, Letters, Whereabouts};
pub use judge::{Evidence, Judged, LetterBooks, judge, judge_overwritten, judge_table};
pub use pace::{Pace, chunk_readings};
pub use plan::{Books, Checkpoint, KnownTimes, Obstacle, Plan, Point, Resume, known_times, plan};
pub use progress::{Kept, Progress};
pub use remark::{Difference, Note};
pub use report::{Audited, PartitionReport, Report, TableReport};
pub use summary::{Outcome, Summary, Sums, WholeTopic};
pub use table::TableBooks;
