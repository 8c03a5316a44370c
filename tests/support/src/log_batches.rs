//! The batches of a topic's log as the broker has them. Clients hide their codecs, so this sends a Fetch request of
//! its own: version 11, <https://kafka.apache.org/protocol#The_Messages_Fetch>.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::TestTopic;

const FETCH: i16 = 1;
const VERSION: i16 = 11;
const MAX_BYTES: i32 = 16 << 20;
/// Error, session id, number of topics; then the topic's name.
const BEFORE_TOPIC: usize = 4 + 4 + 2 + 4 + 4;
/// Number of partitions, partition.
const BEFORE_ERROR: usize = 4 + 4;
/// High watermark, last stable offset, start of the log.
const OFFSETS: usize = 8 + 8 + 8;
/// Base offset and length, which the length does not count.
const BEFORE_LENGTH_COUNTS: usize = 8 + 4;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const CODEC_BITS: u8 = 0b111;
/// In the order of their numbers.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// A batch of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBatch {
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub codec: &'static str,
    /// How many records it has.
    pub records: i32,
}

impl TestTopic {
    /// The batches of all partitions, up to 16 MiB of each.
    pub async fn batches(&self) -> Vec<LogBatch> {
        let mut batches = Vec::new();
        for partition in 0..self.partitions {
            batches.extend(batches_of(&self.fetch(partition).await));
        }
        batches
    }

    /// The bytes of a partition's log from its beginning.
    async fn fetch(&self, partition: i32) -> Vec<u8> {
        let mut broker = TcpStream::connect(&self.brokers).await.expect("Kafka answers");
        let request = self.fetch_request(partition);
        let length = i32::try_from(request.len()).expect("it is short");
        broker.write_all(&[&length.to_be_bytes()[..], &request].concat()).await.expect("Kafka reads");
        let length = usize::try_from(broker.read_i32().await.expect("Kafka answers")).expect("a length");
        let mut answer = vec![0; length];
        broker.read_exact(&mut answer).await.expect("Kafka answers");
        records_of(&answer).to_vec()
    }

    fn fetch_request(&self, partition: i32) -> Vec<u8> {
        let mut request = Vec::new();
        // Correlation id, no client id, no replica, longest wait, least and most bytes, committed records only.
        request.extend([FETCH.to_be_bytes(), VERSION.to_be_bytes()].concat());
        request.extend(0_i32.to_be_bytes());
        request.extend((-1_i16).to_be_bytes());
        request.extend([-1, 0, 0, MAX_BYTES].map(i32::to_be_bytes).concat());
        request.push(1);
        // No session; one topic with one partition.
        request.extend([0, -1, 1].map(i32::to_be_bytes).concat());
        request.extend(i16::try_from(self.name.len()).expect("it is short").to_be_bytes());
        request.extend(self.name.as_bytes());
        // One partition, of any leader epoch, from the first offset on.
        request.extend([1, partition, -1].map(i32::to_be_bytes).concat());
        request.extend([0_i64, -1].map(i64::to_be_bytes).concat());
        request.extend(MAX_BYTES.to_be_bytes());
        // Nothing forgotten, no rack.
        request.extend(0_i32.to_be_bytes());
        request.extend(0_i16.to_be_bytes());
        request
    }
}

/// The records of the answer's one partition.
fn records_of(answer: &[u8]) -> &[u8] {
    let error = number::<2>(answer, 8);
    assert_eq!(error, 0, "Kafka answers with error {error}");
    let name = number::<2>(answer, BEFORE_TOPIC);
    let mut position = BEFORE_TOPIC + 2 + usize::try_from(name).expect("a length") + BEFORE_ERROR;
    let error = number::<2>(answer, position);
    assert_eq!(error, 0, "Kafka answers with error {error} for the partition");
    position += 2 + OFFSETS;
    // Aborted transactions are two numbers each; the preferred replica comes after them.
    let aborted = number::<4>(answer, position).max(0);
    position += 4 + usize::try_from(aborted).expect("a length") * 16 + 4;
    let length = usize::try_from(number::<4>(answer, position).max(0)).expect("a length");
    &answer[position + 4..position + 4 + length]
}

fn batches_of(mut log: &[u8]) -> Vec<LogBatch> {
    let mut batches = Vec::new();
    while log.len() > LAST_OFFSET_DELTA + 4 {
        let length = usize::try_from(number::<4>(log, 8)).expect("a length") + BEFORE_LENGTH_COUNTS;
        let codec = CODECS[usize::from(log[ATTRIBUTES + 1] & CODEC_BITS)];
        let last = i32::try_from(number::<4>(log, LAST_OFFSET_DELTA)).expect("of four bytes");
        batches.push(LogBatch { codec, records: last + 1 });
        log = log.get(length..).expect("16 MiB hold the whole log");
    }
    batches
}

/// The signed number of so many bytes that stands there.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> i64 {
    let unsigned = bytes[at..at + BYTES].iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    let unused = 64 - 8 * BYTES;
    unsigned << unused >> unused
}
