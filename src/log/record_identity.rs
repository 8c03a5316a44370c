//! Which record it is: what tells a log from one that was cut and has grown again. Pure.

use sha2::{Digest as _, Sha256};

use crate::reading::Timestamp;

/// A record, told from any other that may once stand at its offset.
///
/// A log that was cut goes on with other records at the same offsets, in a later leader's epoch. The epoch alone would do
/// for logs that only Kafka writes; the hash holds also where a log was put back by other means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordIdentity {
    /// Its offset.
    pub offset: i64,
    /// The epoch of the leader that appended it; none where the broker does not say.
    pub leader_epoch: Option<i32>,
    /// Of its key, value and timestamp.
    pub hash: [u8; HASH_BYTES],
}

const HASH_BYTES: usize = 16;
/// Of the encoding.
const VERSION: u8 = 1;
/// Version, the offset that it is stored beside, its own, the epoch, and the hash.
const BYTES: usize = 1 + 8 + 8 + 4 + HASH_BYTES;

impl RecordIdentity {
    /// Of a record with this content.
    pub fn new(
        offset: i64,
        leader_epoch: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Option<Timestamp>,
    ) -> Self {
        let mut hasher = Sha256::new();
        for part in [key, value] {
            // The length keeps a key's end from passing for a value's beginning, and nothing from passing for empty.
            hasher.update(part.map_or(-1, |bytes| bytes.len() as i64).to_le_bytes());
            hasher.update(part.unwrap_or_default());
        }
        hasher.update(timestamp.map_or(i64::MIN, Timestamp::micros).to_le_bytes());
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&hasher.finalize()[..HASH_BYTES]);
        Self { offset, leader_epoch, hash }
    }

    /// Whether what stands at its offset now is this record.
    pub fn is_same_as(&self, found: &Self) -> bool {
        let of_one_epoch = match (self.leader_epoch, found.leader_epoch) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.offset == found.offset && self.hash == found.hash && of_one_epoch
    }

    /// The bytes that are stored beside an offset; they name it, so that they are of no use beside another one, to which
    /// somebody moved it who does not know of them.
    pub fn to_bytes(&self, next_offset: i64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&next_offset.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.leader_epoch.unwrap_or(-1).to_le_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes
    }

    /// Reads what is stored beside an offset; none where that belongs to another offset, or is of another version.
    pub fn from_bytes(bytes: Option<&[u8]>, next_offset: i64) -> Option<Self> {
        let (&version, rest) = bytes?.split_first()?;
        let (beside, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (epoch, hash) = rest.split_first_chunk()?;
        let is_of_offset = version == VERSION && i64::from_le_bytes(*beside) == next_offset;
        is_of_offset.then_some(())?;
        let epoch = i32::from_le_bytes(*epoch);
        let hash = hash.try_into().ok()?;
        let leader_epoch = (epoch >= 0).then_some(epoch);
        Some(Self { offset: i64::from_le_bytes(*offset), leader_epoch, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(offset: i64, epoch: Option<i32>, key: Option<&str>, value: Option<&str>) -> RecordIdentity {
        let time = Some(Timestamp::from_millis(1_700_000_000_000));
        RecordIdentity::new(offset, epoch, key.map(str::as_bytes), value.map(str::as_bytes), time)
    }

    #[test]
    fn any_other_record_is_another_one() {
        let record = of(7, Some(3), Some("1"), Some("23"));
        assert!(record.is_same_as(&of(7, Some(3), Some("1"), Some("23"))));
        assert!(record.is_same_as(&of(7, None, Some("1"), Some("23"))), "the broker does not say");
        for other in [
            of(8, Some(3), Some("1"), Some("23")),
            of(7, Some(4), Some("1"), Some("23")),
            of(7, Some(3), Some("12"), Some("3")),
            of(7, Some(3), None, Some("23")),
            of(7, Some(3), Some(""), Some("23")),
            of(7, Some(3), Some("1"), None),
        ] {
            assert!(!record.is_same_as(&other), "{other:?}");
        }
        let late = RecordIdentity::new(7, Some(3), Some(b"1"), Some(b"23"), None);
        assert!(!record.is_same_as(&late));
    }

    #[test]
    fn what_is_stored_is_read_beside_its_offset_alone() {
        for record in [of(7, Some(3), Some("1"), None), of(i64::MAX, None, None, Some("x"))] {
            let bytes = record.to_bytes(9);
            assert_eq!(bytes.len(), BYTES);
            assert_eq!(RecordIdentity::from_bytes(Some(&bytes), 9), Some(record));
            assert_eq!(RecordIdentity::from_bytes(Some(&bytes), 10), None);
            assert_eq!(RecordIdentity::from_bytes(Some(&bytes[..BYTES - 1]), 9), None);
            assert_eq!(RecordIdentity::from_bytes(Some(&[&bytes[..], &[0]].concat()), 9), None);
        }
        assert_eq!(RecordIdentity::from_bytes(Some(&[]), 9), None);
        assert_eq!(RecordIdentity::from_bytes(None, 9), None);
    }
}
