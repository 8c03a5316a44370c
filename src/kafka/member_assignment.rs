//! The assignment of a group's member, as the classic consumer protocol writes it. Pure.
//!
//! Version (int16); an array of topics, each with its name (string) and an array of partitions (int32); the assignor's
//! own bytes, which nobody here reads. Later versions only append. The leader of the group has written it, whoever that
//! is, and brokers do not look at it.

/// The partitions of a topic, in order; none where the bytes are no assignment.
pub(super) fn partitions_of(assignment: &[u8], topic: &str) -> Option<Vec<i32>> {
    // Who has no partitions may have no bytes.
    if assignment.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = assignment;
    let _version = i16::from_be_bytes(take(&mut rest)?);
    let mut partitions = Vec::new();
    for _ in 0..count(&mut rest)? {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        let is_ours = name == topic.as_bytes();
        for _ in 0..count(&mut rest)? {
            let partition = i32::from_be_bytes(take(&mut rest)?);
            if is_ours {
                partitions.push(partition);
            }
        }
    }
    partitions.sort_unstable();
    Some(partitions)
}

/// Each element takes bytes of its own, so a count that is too large ends with the bytes.
fn count(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(i32::from_be_bytes(take(rest)?)).ok()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(topics: &[(&str, &[i32])]) -> Vec<u8> {
        let mut bytes = 3_i16.to_be_bytes().to_vec();
        bytes.extend((topics.len() as i32).to_be_bytes());
        for (topic, partitions) in topics {
            bytes.extend((topic.len() as i16).to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend((partitions.len() as i32).to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
        }
        bytes
    }

    #[test]
    fn the_topics_own_partitions_are_read_in_order() {
        let bytes = written(&[("other", &[7]), ("ours", &[4, 0, 2]), ("ours2", &[9])]);
        assert_eq!(partitions_of(&bytes, "ours"), Some(vec![0, 2, 4]));
        assert_eq!(partitions_of(&bytes, "none"), Some(vec![]));
        // The assignor's own bytes: null, or some.
        for own in [&(-1_i32).to_be_bytes()[..], &[0, 0, 0, 1, 255]] {
            assert_eq!(partitions_of(&[&bytes, own].concat(), "ours"), Some(vec![0, 2, 4]));
        }
        assert_eq!(partitions_of(&written(&[]), "ours"), Some(vec![]));
        assert_eq!(partitions_of(&[], "ours"), Some(vec![]));
    }

    #[test]
    fn bytes_that_end_early_are_no_assignment() {
        let bytes = written(&[("other", &[7]), ("ours", &[4, 0])]);
        for length in 1..bytes.len() {
            assert_eq!(partitions_of(&bytes[..length], "ours"), None, "{length} bytes");
        }
    }

    #[test]
    fn counts_and_lengths_that_cannot_be_are_no_assignment() {
        for odd in [
            &[0, 0, 255, 255, 255, 255][..],
            &[0, 0, 127, 255, 255, 255],
            &[0, 0, 0, 0, 0, 1, 255, 255],
            &[0, 0, 0, 0, 0, 1, 127, 255, 97],
            &[0, 0, 0, 0, 0, 1, 0, 1, 97, 255, 255, 255, 255],
            &[0, 0, 0, 0, 0, 1, 0, 1, 97, 127, 255, 255, 255, 0, 0, 0, 1],
        ] {
            assert_eq!(partitions_of(odd, "a"), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let found = partitions_of(&bytes, "").unwrap_or_default();
            prop_assert!(found.len() * 4 <= bytes.len());
        }
    }
}
