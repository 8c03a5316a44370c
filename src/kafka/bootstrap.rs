//! A client that has forgotten every broker is told where they are again.
#![expect(unsafe_code, reason = "rdkafka has no safe call for the brokers that a client knows")]

use std::{ffi::CString, ptr};

use rdkafka::{
    bindings as native,
    client::{Client, ClientContext},
};

/// Watches over one client.
///
/// librdkafka (2.10 and later; confluentinc/librdkafka issue 5301) drops each broker that a metadata answer does
/// not list, `bootstrap.servers` included, and asks nobody ever again once it has none. A cluster whose brokers
/// are all fenced gives such an answer: a single broker does right after it was frozen for longer than its
/// session, as on a laptop that slept.
pub(super) struct Bootstrap {
    servers: Option<CString>,
    knew_brokers: bool,
}

impl Bootstrap {
    /// `servers` as in `bootstrap.servers`.
    pub(super) fn new(servers: &str) -> Self {
        // With a NUL in it, the client itself could not have been made.
        Self { servers: CString::new(servers).ok(), knew_brokers: false }
    }

    /// Adds the servers where the client has lost all brokers that it knew; to be called now and then.
    ///
    /// Once for each loss: librdkafka keeps what is added.
    pub(super) fn restore_bootstrap_servers<C: ClientContext>(&mut self, client: &Client<C>) {
        let knows_brokers = knows_brokers(client);
        if let Some(servers) = self.servers.as_ref().filter(|_| self.knew_brokers && !knows_brokers) {
            tracing::warn!(
                "the Kafka client has lost every broker; starting from the bootstrap servers again"
            );
            // SAFETY: the client is alive, and librdkafka copies the text.
            unsafe { native::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
        }
        self.knew_brokers = knows_brokers;
    }
}

fn knows_brokers<C: ClientContext>(client: &Client<C>) -> bool {
    let mut count = 0;
    // SAFETY: the client is alive; the list was allocated for us and is freed once, unread.
    unsafe {
        let ids = native::rd_kafka_brokers_learned_ids(client.native_ptr(), &raw mut count);
        native::rd_kafka_mem_free(ptr::null_mut(), ids.cast());
    }
    count > 0
}
