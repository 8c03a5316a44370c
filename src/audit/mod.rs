//! Reconciles what the log holds with what the database says of it. Pure: no I/O, no clock.
//!
//! ```text
//! books, checkpoints, log's range ── plan ──> from where to where, and which counts are held against it
//! records ── chunk ──> readings, as the log has them
//! look-ups in the tables ── outcomes ──> where each reading is
//! plan, outcomes, removals ── judge ──> differences, and notes that are none
//! reports of one round or several ── summary ──> what is kept for the overview and the next process
//! work ── pace ──> when there may be more
//! ```
//!
//! What is sound to compare, and what is not, stands in `docs/audit.md`.

mod chunk;
mod differences;
mod judge;
mod outcomes;
mod pace;
mod plan;
mod progress;
mod report;
mod summary;
mod table;

pub use chunk::{ChunkBuilder, Item, LogChunk};
pub use differences::{Difference, Note};
pub use judge::{DeadLetterBooks, Evidence, Judged, judge, judge_overwritten, judge_table};
pub use outcomes::{ChunkDeadLetters, Example, Finding, Letters, Outcomes, Whereabouts};
pub use pace::{Pace, chunk_readings};
pub use plan::{Books, Checkpoint, KnownTimes, Obstacle, Plan, Point, Resume, known_times, plan};
pub use progress::{Kept, Progress};
pub use report::{Audited, PartitionReport, Report, TableReport};
pub use summary::{Outcome, Summary, Sums, WholeTopic};
pub use table::TableBooks;
