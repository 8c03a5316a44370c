//! Ids that somebody here is about to take.
//!
//! A sequence that went back with its database gives out ids again that others have; two servers that both take
//! themselves for the primary give out the same ones. Whose claim comes first has the id.

use std::collections::HashMap;

use super::Registry;

/// A larger jump of ids would be to a stray one, rather than over those that were given out since the sequence went back.
const JUMP_AT_MOST: i32 = 1_000_000;

/// Somebody else has one of the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The next id to try is above this one.
    pub up_to: i32,
}

/// A claim of this process.
#[derive(Debug)]
struct Claim {
    number: u64,
    /// Whether it was the first of its id; none before it was read.
    is_first: Option<bool>,
}

/// By id, the claims that are under way.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<i32, Claim>);

impl Claims {
    pub(super) fn note(&mut self, sensor_id: i32, number: u64, is_first: bool) {
        if let Some(claim) = self.0.get_mut(&sensor_id).filter(|claim| claim.number == number) {
            claim.is_first.get_or_insert(is_first);
        }
    }
}

impl Registry {
    /// Begins to claim these ids, unless one of them is known to be taken: before the claims are published.
    pub fn begin_claims(&mut self, claims: &[(i32, u64)]) -> Result<(), Taken> {
        if claims.iter().any(|(id, _)| self.latest(*id).is_some() || self.claims.0.contains_key(id)) {
            return Err(self.taken(claims.iter().map(|(id, _)| *id)));
        }
        self.claims.0.extend(claims.iter().map(|&(id, number)| (id, Claim { number, is_first: None })));
        Ok(())
    }

    /// Ends a claim; whether it was the first of its id. One that was not read is not known to be.
    pub fn end_claim(&mut self, sensor_id: i32) -> bool {
        self.claims.0.remove(&sensor_id).and_then(|claim| claim.is_first).unwrap_or(false)
    }

    /// Where ids are free, after some of these proved not to be.
    pub fn taken(&self, sensor_ids: impl Iterator<Item = i32>) -> Taken {
        let largest = sensor_ids.max().unwrap_or_default();
        Taken { up_to: self.largest_near(largest, JUMP_AT_MOST) }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Description, SensorRecord},
        *,
    };

    fn claim(sensor_id: i32, number: u64) -> SensorRecord {
        let sensor = Description { sensor_type: number.to_string(), description: None, location: None };
        SensorRecord { sensor_id, sensor: Some(sensor), claim: Some(number) }
    }

    #[test]
    fn the_first_claim_has_the_id() {
        let mut registry = Registry::default();
        registry.begin_claims(&[(7, 70), (8, 80)]).unwrap();
        for (offset, record) in [claim(7, 71), claim(7, 70), claim(8, 80), claim(8, 81)].iter().enumerate() {
            registry.note(offset as i64, record);
        }
        assert!(!registry.end_claim(7) && registry.end_claim(8));
        assert_eq!(registry.latest(7).map(|latest| latest.offset), Some(0), "a later claim is nothing");
        registry.note(4, &SensorRecord::state(7, None));
        assert!(!registry.has(7), "a state is what counts from then on");
    }

    #[test]
    fn an_id_that_was_ever_taken_is_taken() {
        let mut registry = Registry::default();
        registry.note(0, &claim(7, 70));
        registry.note(1, &SensorRecord::state(9, None));
        registry.note(2, &SensorRecord::state(2_000_000, claim(0, 0).sensor));
        assert_eq!(registry.begin_claims(&[(7, 1)]), Err(Taken { up_to: 9 }));
        assert_eq!(
            registry.begin_claims(&[(9, 1)]),
            Err(Taken { up_to: 9 }),
            "nor is one of a deleted sensor free"
        );
        assert_eq!(registry.begin_claims(&[(10, 1)]), Ok(()));
        assert_eq!(registry.begin_claims(&[(10, 2)]), Err(Taken { up_to: 10 }), "under way already");
        assert!(!registry.end_claim(10), "its record was not read");
        assert_eq!(registry.begin_claims(&[(10, 3)]), Ok(()));
    }
}
