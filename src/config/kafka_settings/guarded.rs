//! Settings that the guarantee rests on: which values they may have, and why.
//!
//! A value that the operator may set is never another one than ours, so for these settings ours wins.

use self::Accepted::{NoneBut, NotFrom, Nothing, Within};

/// A setting that is refused unless its value is one that sensorpipe works with.
pub(crate) struct Guarded {
    /// librdkafka's own name of it, or the beginning of several names, which ends in a dot.
    pub(crate) property: &'static str,
    accepted: Accepted,
    /// What comes of other values.
    why: &'static str,
}

enum Accepted {
    /// Any of these spellings, case aside; the first one is passed on.
    NoneBut(&'static [&'static str]),
    /// A whole number from the first to the second.
    Within(i64, i64),
    /// Anything that does not begin so.
    NotFrom(&'static [&'static str]),
    Nothing,
}

/// What becomes of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The setting may have any value.
    Unguarded,
    /// The value, as it is passed on.
    Accepted(String),
    /// What to say after the variable's name.
    Refused(String),
}

const FALSE: &[&str] = &["false", "f", "0"];
const TRUE: &[&str] = &["true", "t", "1"];

const fn guarded(property: &'static str, accepted: Accepted, why: &'static str) -> Guarded {
    Guarded { property, accepted, why }
}

/// Every one of them. What librdkafka has besides is listed, and compared with librdkafka, by a test in `src/kafka`.
pub(crate) const GUARDED: &[Guarded] = &[
    // The database has the offsets.
    guarded(
        "auto.offset.reset",
        NoneBut(&["error"]),
        "any other value skips records silently where the log no longer has the stored offset; START decides where a \
         new topic is read from",
    ),
    guarded(
        "enable.auto.commit",
        NoneBut(FALSE),
        "offsets are committed only after Postgres has the readings",
    ),
    guarded(
        "auto.commit.enable",
        NoneBut(FALSE),
        "offsets are committed only after Postgres has the readings",
    ),
    guarded(
        "enable.auto.offset.store",
        NoneBut(FALSE),
        "offsets are kept only after Postgres has the readings",
    ),
    guarded(
        "offset.store.method",
        NoneBut(&["broker"]),
        "the group's offsets belong in Kafka, where `replay` and lag monitors read them",
    ),
    // What is read is what was written.
    guarded(
        "isolation.level",
        NoneBut(&["read_committed"]),
        "otherwise records of aborted transactions are stored as readings",
    ),
    guarded("check.crcs", NoneBut(TRUE), "otherwise damaged records are not noticed"),
    guarded(
        "enable.partition.eof",
        NoneBut(TRUE),
        "sensorpipe needs these events to know how far a partition was read",
    ),
    guarded("api.version.request", NoneBut(TRUE), OLD_PROTOCOL),
    guarded("api.version.fallback.ms", NoneBut(&["0"]), OLD_PROTOCOL),
    guarded("broker.version.fallback", NotFrom(&["0.6", "0.7", "0.8", "0.9"]), OLD_PROTOCOL),
    // An acknowledged reading is in the log, once.
    guarded(
        "request.required.acks",
        NoneBut(&["all", "-1"]),
        "otherwise readings that were acknowledged can be lost with one broker",
    ),
    guarded(
        "enable.idempotence",
        NoneBut(TRUE),
        "otherwise a retry can write a record twice, or before an earlier one",
    ),
    guarded("max.in.flight.requests.per.connection", Within(1, 5), IDEMPOTENCE),
    guarded("message.send.max.retries", Within(1, i32::MAX as i64), IDEMPOTENCE),
    guarded("queue.buffering.backpressure.threshold", NoneBut(&["1"]), IDEMPOTENCE),
    guarded("queuing.strategy", NoneBut(&["fifo"]), IDEMPOTENCE),
    guarded("transactional.id", Nothing, "sensorpipe's producers are idempotent, not transactional"),
    guarded(
        "enable.gapless.guarantee",
        NoneBut(FALSE),
        "with it one record that times out ends the producer, and the process with it",
    ),
    guarded(
        "delivery.report.only.error",
        NoneBut(FALSE),
        "readings are acknowledged when Kafka reports that they are delivered",
    ),
    // One topic, one group, one cluster, each with a variable of its own.
    guarded("metadata.broker.list", Nothing, "set KAFKA_BROKERS instead"),
    guarded("group.id", Nothing, "set KAFKA_GROUP instead"),
    guarded("allow.auto.create.topics", NoneBut(FALSE), "`migrate` creates the topic with its partitions"),
    guarded("topic.blacklist", Nothing, "a topic that is hidden from the client looks like a deleted one"),
    guarded("test.mock.", Nothing, "readings would go to a mock cluster in the process's own memory"),
    guarded(
        "partition.assignment.strategy",
        NoneBut(&["cooperative-sticky"]),
        "sensorpipe hands partitions over one by one, which other strategies do not",
    ),
    guarded("group.protocol.type", NoneBut(&["consumer"]), "workers are members of a consumer group"),
    // The process is sensorpipe's.
    guarded(
        "plugin.library.paths",
        Nothing,
        "a plugin can change settings and records behind sensorpipe's back",
    ),
    guarded("internal.", Nothing, "it is for librdkafka's own use"),
    guarded("log.queue", NoneBut(TRUE), "sensorpipe takes librdkafka's log lines from this queue"),
];

const OLD_PROTOCOL: &str =
    "otherwise librdkafka may use a protocol without transactions, where records of aborted ones are read";
const IDEMPOTENCE: &str = "librdkafka's idempotent producer needs it";

fn of(property: &str) -> Option<&'static Guarded> {
    GUARDED.iter().find(|guarded| match guarded.property {
        family if family.ends_with('.') => property.starts_with(family),
        name => property == name,
    })
}

/// Whether sensorpipe's own value of a setting, where it sets one, wins over the operator's.
pub fn is_guarded(property: &str) -> bool {
    of(property).is_some()
}

/// Whether a setting may have a value; `property` is librdkafka's own name of it.
pub(super) fn check(property: &str, value: &str) -> Verdict {
    let Some(Guarded { accepted, why, .. }) = of(property) else { return Verdict::Unguarded };
    let trimmed = value.trim();
    let (accepts, needed) = match accepted {
        NoneBut(words) => {
            if words.iter().any(|word| trimmed.eq_ignore_ascii_case(word)) {
                return Verdict::Accepted(words[0].to_owned());
            }
            (false, format!("must be {}", words[0]))
        }
        Within(low, high) => {
            let is_within = trimmed.parse().is_ok_and(|number: i64| (*low..=*high).contains(&number));
            (is_within, format!("must be a number from {low} to {high}"))
        }
        NotFrom(beginnings) => {
            let is_refused = beginnings.iter().any(|beginning| trimmed.starts_with(beginning));
            (!is_refused, "must be 0.10.0 or later".to_owned())
        }
        Nothing => (false, "cannot be set".to_owned()),
    };
    if accepts { Verdict::Accepted(trimmed.to_owned()) } else { Verdict::Refused(format!("{needed}: {why}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(property: &str, value: &str) -> String {
        match check(property, value) {
            Verdict::Refused(why) => why,
            verdict => panic!("{property}={value}: {verdict:?}"),
        }
    }

    #[test]
    fn the_value_that_is_needed_is_accepted_however_librdkafka_spells_it() {
        for (property, value, passed_on) in [
            ("auto.offset.reset", "error", "error"),
            ("auto.offset.reset", " ERROR ", "error"),
            ("isolation.level", "Read_Committed", "read_committed"),
            ("enable.auto.commit", "F", "false"),
            ("enable.idempotence", "1", "true"),
            ("check.crcs", "True", "true"),
            ("request.required.acks", "-1", "all"),
            ("partition.assignment.strategy", "Cooperative-Sticky", "cooperative-sticky"),
            ("max.in.flight.requests.per.connection", " 1", "1"),
            ("message.send.max.retries", "3", "3"),
            ("broker.version.fallback", "2.8.0", "2.8.0"),
        ] {
            assert_eq!(check(property, value), Verdict::Accepted(passed_on.to_owned()), "{property}={value}");
        }
        assert_eq!(check("sasl.password", "hush"), Verdict::Unguarded);
        assert_eq!(check("test.mocking", "1"), Verdict::Unguarded);
    }

    #[test]
    fn every_other_value_is_refused() {
        for (property, value) in [
            ("auto.offset.reset", "latest"),
            ("auto.offset.reset", "earliest"),
            ("auto.offset.reset", ""),
            ("isolation.level", "read_uncommitted"),
            ("enable.auto.commit", "true"),
            ("auto.commit.enable", "t"),
            ("enable.auto.offset.store", "1"),
            ("enable.partition.eof", "false"),
            ("check.crcs", "false"),
            ("check.crcs", "yes"),
            ("request.required.acks", "1"),
            ("request.required.acks", "0"),
            ("request.required.acks", "-1x"),
            ("enable.idempotence", "false"),
            ("max.in.flight.requests.per.connection", "6"),
            ("message.send.max.retries", "0"),
            ("broker.version.fallback", "0.9.0.1"),
            ("test.mock.num.brokers", "3"),
            ("internal.termination.signal", "9"),
        ] {
            assert!(
                refused(property, value).starts_with("must be ")
                    || refused(property, value).starts_with("cannot be set: ")
            );
        }
        for Guarded { property, accepted, .. } in GUARDED {
            // What no list of words, numbers or versions has.
            if !matches!(accepted, NotFrom(_)) {
                let why = refused(property, "hush");
                assert!(!why.contains("hush") && why.contains(": ") && !why.contains('\n'), "{why}");
            }
        }
    }
}
