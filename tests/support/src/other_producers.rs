//! Producers that others have written, each with its own implementation of the codecs.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::TestTopic;

/// A Kafka client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherProducer {
    /// Kafka's own, in Java.
    Java,
    /// kafka-python, which is not built on librdkafka.
    Python,
    /// kcat, on the system's librdkafka.
    Kcat,
}

/// A record that is to be compressed.
#[derive(Clone, Debug)]
pub struct PlainRecord {
    /// `gzip`, `snappy`, `lz4` or `zstd`.
    pub codec: &'static str,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl OtherProducer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Java, Self::Python, Self::Kcat];

    /// Has records compressed and sent, those of a codec together; returns when Kafka has them.
    pub async fn send(self, topic: &TestTopic, records: Vec<PlainRecord>) {
        let (brokers, name) = (topic.brokers.clone(), topic.name.clone());
        let sending = tokio::task::spawn_blocking(move || match self {
            Self::Java => send_by("java", &brokers, &name, &records),
            Self::Python => send_by("python", &brokers, &name, &records),
            Self::Kcat => send_by_kcat(&brokers, &name, &records),
        });
        sending.await.expect("the records are sent");
    }
}

fn send_by(client: &str, brokers: &str, topic: &str, records: &[PlainRecord]) {
    let mut producers = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/producers"));
    let lines = records.iter().map(|record| format!("{}\t{}\t{}\n", record.codec, record.key, record.value));
    run(producers.args([client, brokers, topic]), &lines.collect::<String>());
}

/// kcat has one codec; it waits for a moment so that records come together, for one that is short is not compressed.
fn send_by_kcat(brokers: &str, topic: &str, records: &[PlainRecord]) {
    for records in records.chunk_by(|one, next| one.codec == next.codec) {
        let mut kcat = Command::new("kcat");
        kcat.args(["-P", "-q", "-b", brokers, "-t", topic, "-K", "\t", "-z", records[0].codec]);
        kcat.args(["-X", "acks=all", "-X", "linger.ms=1000"]);
        let lines = records.iter().map(|record| format!("{}\t{}\n", record.key, record.value));
        run(&mut kcat, &lines.collect::<String>());
    }
}

fn run(command: &mut Command, lines: &str) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut producer = command.spawn().expect("it is installed");
    // Where it has ended already, its output says why.
    let written = producer.stdin.take().expect("piped").write_all(lines.as_bytes());
    let output = producer.wait_with_output().expect("it can be waited for");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    written.expect("it reads all of its input");
}
