//! Which requests with readings are let in: the excess is turned away before any work is done for it, so that
//! those inside are as quick as ever.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::errors::ApiError;
use crate::config::AdmissionConfig;

/// The part of a second whose requests may come all at once where there is a bound on the rate.
const BURSTS_PER_SECOND: u32 = 10;
/// Bytes that are held at a time at least, however small bodies are: what unpacks them counts as well.
const HELD_BYTES_MIN: usize = 64 << 20;
/// Bodies of the largest size that are held at a time: with fewer one slow client would keep the others waiting.
const HELD_BODIES: usize = 4;

/// Counts what is inside; clones share it.
#[derive(Clone, Debug)]
pub(in crate::http) struct Admission(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    requests: Room,
    bytes: Room,
    rate: Option<DefaultDirectRateLimiter>,
}

/// So much of something, and how much of it is taken.
#[derive(Debug)]
struct Room {
    max: usize,
    taken: AtomicUsize,
}

impl Room {
    fn new(max: usize) -> Self {
        Self { max, taken: AtomicUsize::new(0) }
    }

    fn take(&self, amount: usize) -> bool {
        let before = self.taken.fetch_add(amount, Ordering::Relaxed);
        let fits = before.saturating_add(amount) <= self.max;
        if !fits {
            self.give_back(amount);
        }
        fits
    }

    fn give_back(&self, amount: usize) {
        self.taken.fetch_sub(amount, Ordering::Relaxed);
    }
}

/// A request with readings that was let in, until the value is dropped.
pub(in crate::http) struct Admitted {
    gate: Arc<Gate>,
    /// Of its body and what is made of it.
    pub(in crate::http) held: HeldBytes,
}

/// What a request holds of its client's bytes, until the value is dropped.
pub(in crate::http) struct HeldBytes {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Admission {
    /// A few bodies of `body` bytes are held at a time; a request that holds `largest` bytes fits, whatever
    /// is configured.
    pub(in crate::http) fn new(config: &AdmissionConfig, body: usize, largest: usize) -> Self {
        let rate = config.http_max_rate.map(|rate| {
            let burst = (rate.get() / BURSTS_PER_SECOND).try_into().unwrap_or(std::num::NonZeroU32::MIN);
            RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))
        });
        let several = body.saturating_mul(HELD_BODIES).max(HELD_BYTES_MIN);
        let held = config.http_max_held_bytes.unwrap_or(several);
        Self(Arc::new(Gate {
            requests: Room::new(config.http_max_in_flight.max(1)),
            bytes: Room::new(held.max(largest)),
            rate,
        }))
    }

    /// Lets a request in, or says that there is no room.
    pub(in crate::http) fn admit(&self) -> Result<Admitted, ApiError> {
        if !self.0.requests.take(1) {
            return Err(ApiError::Overloaded("Too many requests are under way. Nothing was stored."));
        }
        let admitted = Admitted { gate: Arc::clone(&self.0), held: self.hold_nothing() };
        if self.0.rate.as_ref().is_some_and(|rate| rate.check().is_err()) {
            return Err(ApiError::Overloaded("Too many requests in a second. Nothing was stored."));
        }
        Ok(admitted)
    }

    /// For a request without readings, which counts by its bytes alone.
    pub(in crate::http) fn hold_nothing(&self) -> HeldBytes {
        HeldBytes { gate: Arc::clone(&self.0), bytes: 0 }
    }
}

impl HeldBytes {
    /// Sets how many bytes the request holds from now on.
    pub(in crate::http) fn hold(&mut self, bytes: usize) -> Result<(), ApiError> {
        match bytes.checked_sub(self.bytes) {
            Some(more) if !self.gate.bytes.take(more) => {
                return Err(ApiError::Overloaded(
                    "The memory for requests under way is used up. Send this one again.",
                ));
            }
            Some(_) => {}
            None => self.gate.bytes.give_back(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.gate.bytes.give_back(self.bytes);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.gate.requests.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(in_flight: usize, bytes: usize, rate: Option<u32>) -> Admission {
        let config = AdmissionConfig {
            http_max_in_flight: in_flight,
            http_max_held_bytes: Some(bytes),
            http_max_rate: rate.and_then(|rate| rate.try_into().ok()),
        };
        Admission::new(&config, 10, 10)
    }

    #[test]
    fn requests_leave_their_room_to_others() {
        let admission = admission(2, 100, None);
        let first = admission.admit().ok();
        let second = admission.admit().ok();
        assert!(first.is_some() && second.is_some() && admission.admit().is_err());
        drop(first);
        assert!(admission.admit().is_ok() && admission.admit().is_ok(), "one after the other");
    }

    #[test]
    fn bytes_are_counted_up_and_down() {
        let admission = admission(9, 100, None);
        let (mut first, mut other) = (admission.admit().ok().unwrap(), admission.hold_nothing());
        let one = &mut first.held;
        assert!(one.hold(60).is_ok() && other.hold(40).is_ok());
        assert!(other.hold(41).is_err() && one.hold(61).is_err());
        assert!(one.hold(10).is_ok() && other.hold(90).is_ok());
        drop(other);
        assert!(one.hold(100).is_ok());
        drop(first);
        assert_eq!(admission.0.bytes.taken.load(Ordering::Relaxed), 0);
        assert_eq!(admission.0.requests.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_body_of_the_largest_size_always_fits() {
        assert!(admission(1, 0, None).hold_nothing().hold(10).is_ok());
    }

    #[test]
    fn the_rate_has_a_bound() {
        let admission = admission(1_000, 0, Some(50));
        let admitted = (0..100).filter(|_| admission.admit().is_ok()).count();
        assert!((5..=10).contains(&admitted), "{admitted} at once of 50 in a second");
        assert_eq!(admission.0.requests.taken.load(Ordering::Relaxed), 0);
    }
}
