//! In which partition a key belongs, by librdkafka's own rule: so that one record can hold readings of several
//! sensors, each of which stays in its partition.
#![expect(unsafe_code, reason = "rdkafka does not wrap librdkafka's partitioners")]

use std::ptr;

use rdkafka::bindings as native;

use crate::config::KafkaSettings;

/// The rule that the producer's client goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partitioner {
    /// CRC32 of the key: librdkafka's default.
    Consistent,
    /// What Java clients do.
    Murmur2,
    /// What Sarama does.
    Fnv1a,
}

impl Partitioner {
    /// As the settings have it; a random one keeps no sensor in its partition, whatever is done here.
    pub(super) fn from_settings(settings: &KafkaSettings) -> Self {
        match settings.0.get("partitioner").map(String::as_str) {
            Some("murmur2" | "murmur2_random") => Self::Murmur2,
            Some("fnv1a" | "fnv1a_random") => Self::Fnv1a,
            _ => Self::Consistent,
        }
    }

    /// The partition of a key that is not empty, among `partitions`, at least one.
    pub(super) fn partition(self, key: &[u8], partitions: i32) -> i32 {
        let rule = match self {
            Self::Consistent => native::rd_kafka_msg_partitioner_consistent,
            Self::Murmur2 => native::rd_kafka_msg_partitioner_murmur2,
            Self::Fnv1a => native::rd_kafka_msg_partitioner_fnv1a,
        };
        // SAFETY: the key is alive for the call. These three rules look at nothing but the key and the count: the
        // topic and the opaque pointers, all null here, are there for rules of an application's own.
        unsafe {
            rule(
                ptr::null(),
                key.as_ptr().cast(),
                key.len(),
                partitions.max(1),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_other_clients_put_them() {
        // CRC32 of "123456789" is 0xCBF43926; murmur2 of "21" is -973932308 in Kafka's own tests.
        assert_eq!(Partitioner::Consistent.partition(b"123456789", 1_000), (0xCBF4_3926_u32 % 1_000) as i32);
        assert_eq!(Partitioner::Murmur2.partition(b"21", 1_000), (-973_932_308 - i32::MIN) % 1_000);
        assert!((0..7).contains(&Partitioner::Fnv1a.partition(b"42", 7)));
    }

    #[test]
    fn the_setting_decides() {
        let with = |name: &str| {
            Partitioner::from_settings(&KafkaSettings([("partitioner".to_owned(), name.to_owned())].into()))
        };
        assert_eq!(Partitioner::from_settings(&KafkaSettings::default()), Partitioner::Consistent);
        assert_eq!(with("murmur2_random"), Partitioner::Murmur2);
        assert_eq!(with("fnv1a"), Partitioner::Fnv1a);
        assert_eq!(with("consistent_random"), Partitioner::Consistent);
    }
}
