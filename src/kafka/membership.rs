//! Whether a consumer is a member of its group.
#![expect(unsafe_code, reason = "rdkafka has no safe call for a client's member id")]

use rdkafka::{
    bindings as native,
    client::{Client, ClientContext},
};

/// Whether the coordinator has given the client a member id, and the client has not asked to leave since.
///
/// librdkafka forgets the id in the moment when it sends that request. Not so for static members, which never ask,
/// nor with `group.protocol=consumer`, where the id is the client's own.
pub(super) fn is_member<C: ClientContext>(client: &Client<C>) -> bool {
    // SAFETY: the client is alive; the text was allocated for us, and is read before it is freed, once.
    unsafe {
        let id = native::rd_kafka_memberid(client.native_ptr());
        let is_member = !id.is_null() && *id != 0;
        native::rd_kafka_mem_free(client.native_ptr(), id.cast());
        is_member
    }
}
