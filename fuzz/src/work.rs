//! A bound on work: it grows with the bytes that came in, and not with their square.
//!
//! What the fuzzer makes up is too short to show it, so an input is made long by repetition. That takes a hundred times
//! as long as the input itself, so it is done for one input in 256: which ones, their bytes decide.

use std::time::{Duration, Instant};

/// So long that the square of it takes seconds, whatever is done with a byte.
const LONG_BYTES: usize = 256 << 10;
/// What a quarter of a megabyte may take. Without optimisation and with the least items it takes a quarter of this.
const LONGEST: Duration = Duration::from_secs(3);
/// Another process may have had the core.
const ATTEMPTS: u32 = 3;
const ONE_IN: u64 = 256;

/// Panics where `run` takes longer than in proportion to its input, for this one made long.
pub fn is_bounded(input: &[u8], run: impl Fn(&[u8])) {
    if input.is_empty() || !hash(input).is_multiple_of(ONE_IN) {
        return;
    }
    let (head, tail) = input.split_at(input.len() / 2);
    for (first, again, last) in [(&[][..], input, &[][..]), (head, tail, &[]), (&[], head, tail)] {
        if !again.is_empty() {
            let middle = again.repeat(LONG_BYTES / again.len() + 1);
            is_quick(&[first, &middle, last].concat(), &run);
        }
    }
}

fn is_quick(long: &[u8], run: impl Fn(&[u8])) {
    let mut shortest = Duration::MAX;
    for _ in 0..ATTEMPTS {
        let started = Instant::now();
        run(long);
        shortest = shortest.min(started.elapsed());
        if shortest < LONGEST {
            return;
        }
    }
    let begin = String::from_utf8_lossy(&long[..100]);
    panic!("{} bytes took {shortest:?}, beginning with {begin}", long.len());
}

/// FNV-1a.
fn hash(input: &[u8]) -> u64 {
    input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
