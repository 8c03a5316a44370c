//! Why records of a partition cannot be fetched, by what is to be done about it.

/// The kinds of errors, by what is to be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FetchFault {
    /// The log does not have the offset: only an operator can say how to go on.
    OffsetOutOfRange,
    /// A broker is starting, moving, busy or out of reach: passes without anybody's doing.
    Passing,
    /// It needs somebody's doing, and goes on as soon as that is done.
    Lasting(Unreadable),
}

/// Why a partition's records cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unreadable {
    /// The broker does not let this client read the topic.
    NotAuthorized,
    /// The records are compressed in a way that this build cannot read.
    UnsupportedCodec,
    /// What the broker sent is not what was written: a checksum or a length is wrong.
    Corrupt,
    /// Any other error, or one that should have passed and has not.
    FetchFailed,
}

impl Unreadable {
    /// Every one of them.
    pub const ALL: [Self; 4] =
        [Self::NotAuthorized, Self::UnsupportedCodec, Self::Corrupt, Self::FetchFailed];

    /// Its name in logs, labels and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAuthorized => "not_authorized",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::Corrupt => "corrupt_records",
            Self::FetchFailed => "fetch_failed",
        }
    }

    /// What is wrong and what to do, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NotAuthorized => {
                "Kafka does not let this client read the topic: grant READ on the topic and on the group"
            }
            Self::UnsupportedCodec => {
                "records are compressed with a codec that this build cannot read: it reads gzip, snappy, lz4 and zstd"
            }
            Self::Corrupt => {
                "the broker sent records whose checksum or length is wrong: check the broker's disks and the network"
            }
            Self::FetchFailed => "fetching fails: see the broker's log",
        }
    }
}
