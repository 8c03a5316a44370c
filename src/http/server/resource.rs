//! What requests hold for a while, and of which a key has a share.

/// What a request holds for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Resource {
    /// A connection to the database, or a place in the queue for one.
    Query,
    /// One of those that a process has at a time.
    Export,
    /// One of those that are open at a time.
    EventStream,
}

impl Resource {
    /// All there are.
    pub(in crate::http) const ALL: [Self; 3] = [Self::Query, Self::Export, Self::EventStream];

    /// As the metric has it.
    pub(in crate::http) const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Export => "export",
            Self::EventStream => "event_stream",
        }
    }

    /// For people, several of them.
    pub(in crate::http) const fn plural(self) -> &'static str {
        match self {
            Self::Query => "queries",
            Self::Export => "exports",
            Self::EventStream => "event streams",
        }
    }
}
