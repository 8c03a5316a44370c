//! A client that gets no answer is told again where the brokers are.
#![expect(unsafe_code, reason = "rdkafka has no safe call that adds brokers")]

use std::{
    ffi::CString,
    time::{Duration, Instant},
};

use rdkafka::{
    bindings as native,
    client::{Client, ClientContext},
};

use crate::reminder::Reminder;

/// How long nobody has to answer before the client is told.
const SILENCE: Duration = Duration::from_secs(3);
/// Between one time and the next while the silence goes on, at first and at most: librdkafka keeps each list that it is
/// told, and reads all of them again whenever it has lost its last connection.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Watches over one client.
///
/// librdkafka (2.10 and later; confluentinc/librdkafka issue 5301) drops each broker that a metadata answer does
/// not list, `bootstrap.servers` included. Where the ones that are left go away before the others are back, it tries
/// those alone, or none at all: its own way back (`metadata.recovery.strategy`) is not taken while a broker that it
/// has dropped is still on its way out. A broker that it knows is added twice without harm.
pub(super) struct Bootstrap {
    servers: Option<CString>,
    silence: Silence,
}

impl Bootstrap {
    /// `servers` as in `bootstrap.servers`.
    pub(super) fn new(servers: &str) -> Self {
        // With a NUL in it, the client itself could not have been made.
        Self { servers: CString::new(servers).ok(), silence: Silence::default() }
    }

    /// Takes note of whether Kafka answers this client, and tells it all bootstrap servers again where nobody has for
    /// a while; to be called about once a second.
    pub(super) fn note<C: ClientContext>(&mut self, client: &Client<C>, is_answered: bool) {
        /// An outage is mostly one of all clients of the process.
        static SAID: Reminder = Reminder::new();
        let is_due = self.silence.note(is_answered, Instant::now());
        if let Some(servers) = self.servers.as_ref().filter(|_| is_due) {
            if self.silence.times_told == 1 && SAID.is_due() {
                tracing::warn!(
                    "no Kafka broker answers; the client is trying all of KAFKA_BROKERS until one does"
                );
            }
            // SAFETY: the client is alive, and librdkafka copies the text.
            unsafe { native::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
        }
    }

    /// Whether nobody has answered for a while.
    pub(super) fn is_silent(&self) -> bool {
        self.silence.times_told > 0
    }
}

/// For how long nobody has answered.
#[derive(Default)]
struct Silence {
    /// When the client is told next; none while somebody answers.
    due: Option<Instant>,
    times_told: u32,
}

impl Silence {
    /// Whether the client is to be told now.
    fn note(&mut self, is_answered: bool, now: Instant) -> bool {
        if is_answered {
            *self = Self::default();
            return false;
        }
        if now < *self.due.get_or_insert(now + SILENCE) {
            return false;
        }
        self.due = Some(now + PAUSE_MIN.saturating_mul(1 << self.times_told.min(16)).min(PAUSE_MAX));
        self.times_told += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which the client is told while nobody answers from second 0 on.
    fn told(silence: &mut Silence, start: Instant, seconds: u64) -> Vec<u64> {
        (0..seconds).filter(|&second| silence.note(false, start + Duration::from_secs(second))).collect()
    }

    #[test]
    fn the_longer_the_silence_the_longer_the_pause() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert_eq!(told(&mut silence, start, 1_000), [3, 8, 18, 38, 78, 158, 318, 618, 918]);
    }

    #[test]
    fn an_answer_ends_the_silence() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert_eq!(told(&mut silence, start, 3), [] as [u64; 0]);
        assert!(!silence.note(true, start + Duration::from_secs(3)));
        assert_eq!(told(&mut silence, start + Duration::from_secs(4), 9), [3, 8]);
    }
}
