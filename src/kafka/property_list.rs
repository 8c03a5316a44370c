//! Every setting that the linked librdkafka has, against what is known of them here.
#![expect(unsafe_code, reason = "rdkafka does not wrap librdkafka's list of its settings")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{CString, c_char, c_int, c_void},
    fs,
};

use rdkafka::{ClientConfig, bindings as native};

use super::client::setting_fault;
use crate::config::{ALIASES, GUARDED, is_guarded, property};

/// Settings that may have any value: none of them loses, repeats or alters a reading. A new version of librdkafka
/// with a setting that is neither here nor in `GUARDED` fails the test below, until somebody decides where it belongs.
const PASSED_ON: &str = "
    api.version.request.timeout.ms auto.commit.interval.ms batch.num.messages batch.size broker.address.family
    broker.address.ttl builtin.features client.dns.lookup client.id client.rack compression.codec
    compression.level connections.max.idle.ms consume.callback.max.messages coordinator.query.interval.ms debug
    enable.metrics.push enable.random.seed enable.sasl.oauthbearer.unsecure.jwt
    enable.ssl.certificate.verification fetch.error.backoff.ms fetch.max.bytes fetch.message.max.bytes
    fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms group.instance.id group.protocol
    group.remote.assignor heartbeat.interval.ms https.ca.location https.ca.pem log.connection.close
    log.thread.name max.poll.interval.ms message.copy.max.bytes message.max.bytes message.timeout.ms
    metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy offset.store.path
    offset.store.sync.interval.ms partitioner produce.offset.report queue.buffering.max.kbytes
    queue.buffering.max.messages queue.buffering.max.ms queued.max.messages.kbytes queued.min.messages
    receive.message.max.bytes reconnect.backoff.jitter.ms reconnect.backoff.max.ms reconnect.backoff.ms
    request.timeout.ms retry.backoff.max.ms retry.backoff.ms sasl.kerberos.keytab sasl.kerberos.kinit.cmd
    sasl.kerberos.min.time.before.relogin sasl.kerberos.principal sasl.kerberos.service.name sasl.mechanisms
    sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud
    sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss
    sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds
    sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file
    sasl.oauthbearer.assertion.jwt.template.file sasl.oauthbearer.assertion.private.key.file
    sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem
    sasl.oauthbearer.client.id sasl.oauthbearer.client.secret sasl.oauthbearer.config
    sasl.oauthbearer.extensions sasl.oauthbearer.grant.type sasl.oauthbearer.metadata.authentication.type
    sasl.oauthbearer.method sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url sasl.password
    sasl.username security.protocol session.timeout.ms socket.blocking.max.ms socket.connection.setup.timeout.ms
    socket.keepalive.enable socket.max.fails socket.nagle.disable socket.receive.buffer.bytes
    socket.send.buffer.bytes socket.timeout.ms ssl.ca.certificate.stores ssl.ca.location ssl.ca.pem
    ssl.certificate.location ssl.certificate.pem ssl.cipher.suites ssl.crl.location ssl.curves.list
    ssl.endpoint.identification.algorithm ssl.engine.id ssl.engine.location ssl.key.location ssl.key.password
    ssl.key.pem ssl.keystore.location ssl.keystore.password ssl.providers ssl.sigalgs.list
    statistics.interval.ms sticky.partitioning.linger.ms topic.metadata.propagation.max.ms
    topic.metadata.refresh.fast.cnt topic.metadata.refresh.fast.interval.ms topic.metadata.refresh.interval.ms
    topic.metadata.refresh.sparse transaction.timeout.ms";

/// The list as librdkafka prints it: one `name | … | description` a line.
fn printed() -> String {
    unsafe extern "C" {
        fn fopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
        fn fclose(file: *mut c_void) -> c_int;
    }
    let path = std::env::temp_dir().join(format!("sensorpipe-librdkafka-{}", std::process::id()));
    let c_path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: both strings end in NUL and live through the call; the file is open from one call to the other.
    unsafe {
        let file = fopen(c_path.as_ptr(), c"w".as_ptr());
        assert!(!file.is_null(), "{}", path.display());
        native::rd_kafka_conf_properties_show(file.cast());
        assert_eq!(fclose(file), 0);
    }
    let list = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    list
}

/// Names that can be set, aliases with what they stand for, and names that only librdkafka's functions set.
#[derive(Default)]
struct Listed {
    settings: BTreeSet<String>,
    aliases: BTreeMap<String, String>,
    functions: BTreeSet<String>,
}

fn listed() -> Listed {
    let mut listed = Listed::default();
    for line in printed().lines() {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, "*" | "C" | "P", .., description] = &columns[..] else { continue };
        if let Some((_, alias)) = description.split_once("Alias for `") {
            listed.aliases.insert((*name).to_owned(), alias.split('`').next().unwrap().to_owned());
        } else if description.contains("see dedicated API") {
            listed.functions.insert((*name).to_owned());
        } else {
            listed.settings.insert((*name).to_owned());
        }
    }
    assert!(listed.settings.len() > 100, "{:?}", listed.settings);
    listed
}

#[test]
fn every_setting_is_classified() {
    // A variable cannot name one with an underscore: it would be a dot.
    let settings: BTreeSet<String> =
        listed().settings.into_iter().filter(|name| !name.contains('_')).collect();
    let passed_on: BTreeSet<&str> = PASSED_ON.split_whitespace().collect();
    for name in &settings {
        assert!(is_guarded(name) != passed_on.contains(name.as_str()), "{name}: guarded, or passed on?");
    }
    for name in passed_on {
        assert!(settings.contains(name), "{name} is no longer a setting");
    }
    let exact = GUARDED.iter().map(|guarded| guarded.property).filter(|name| !name.ends_with('.'));
    for name in exact {
        assert!(settings.contains(name), "{name} is no longer a setting");
    }
}

#[test]
fn every_alias_is_known() {
    let mut aliases = listed().aliases;
    // The name of a client's setting as well, which librdkafka looks for first.
    assert_eq!(aliases.remove("enable.auto.commit").as_deref(), Some("auto.commit.enable"));
    let ours: BTreeMap<String, String> =
        ALIASES.iter().map(|(alias, name)| ((*alias).to_owned(), (*name).to_owned())).collect();
    assert_eq!(ours, aliases);
}

#[test]
fn a_prefix_that_librdkafka_drops_is_dropped_here() {
    for (name, value) in
        [("topic.acks", "1"), ("topic.auto.offset.reset", "earliest"), ("topic.partitioner", "fnv1a")]
    {
        let mut config = ClientConfig::new();
        config.set(name, value);
        let read = config.create_native_config().unwrap().get(property(name)).unwrap();
        assert!(
            read == value || (name, read.as_str()) == ("topic.auto.offset.reset", "smallest"),
            "{name}: {read}"
        );
    }
}

#[test]
fn what_only_functions_set_is_refused() {
    for name in listed().functions {
        let refused = setting_fault(&name, "1").unwrap_or_else(|| panic!("{name} is accepted"));
        assert!(refused.starts_with("cannot be set"), "{name} {refused}");
    }
}
