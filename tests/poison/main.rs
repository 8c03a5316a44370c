//! No input breaks in: what holds for any bytes (`fuzz/src`), tried with the fuzzer's corpus and with inputs that a
//! grammar makes and mutations spoil. `PROPTEST_CASES` sets how many.

mod batches;
mod corpus;
mod grammar;
mod linear;
mod made_up;

#[path = "../../fuzz/src/lib.rs"]
pub mod targets;
