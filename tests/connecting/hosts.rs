//! Which host of a list is connected to, and what is said where none will do.

use std::{net::TcpListener, time::Duration};

use sensorpipe::{
    config::DatabaseConfig,
    store::{ConnectError, connect_within, wait_until_fit},
};
use testbed::{Node, Replication, config, free_address};

/// How long one attempt may last, whatever the hosts do.
const ONE_ATTEMPT: Duration = Duration::ZERO;

fn database(url: &str) -> DatabaseConfig {
    config(&["--database-url", url])
}

/// The port of the server that a URL leads to.
async fn port(url: &str) -> String {
    let mut connection = connect_within(ONE_ATTEMPT, &database(url), "test")
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}: {:?}", std::error::Error::source(&error)));
    let port: i32 =
        sqlx::query_scalar("SELECT inet_server_port()").fetch_one(&mut connection).await.expect("it answers");
    port.to_string()
}

/// Everything that the error of connecting says.
async fn refusal(url: &str) -> String {
    let error = connect_within(ONE_ATTEMPT, &database(url), "test").await.expect_err("no host will do");
    match &error {
        ConnectError::Unreachable { source, .. } | ConnectError::Refused(source) => {
            format!("{error}: {}", source.cause())
        }
        ConnectError::Unfit(unfit) => unfit.to_string(),
    }
}

#[tokio::test]
async fn hosts_are_tried_in_order_until_one_will_do() {
    let servers = Replication::start(env!("CARGO_TARGET_TMPDIR")).await;
    let (one, two) = (servers.address(Node::One), servers.address(Node::Two));
    let (port_one, port_two) = (one.replace("127.0.0.1:", ""), two.replace("127.0.0.1:", ""));
    let dead = free_address();
    // It takes connections, for the kernel does, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent_address = silent.local_addr().expect("it is bound");
    let url = |hosts: &str, more: &str| format!("postgres://sensorpipe@{hosts}/sensorpipe{more}");

    for (hosts, more, expected) in [
        (format!("{two},{one}"), "", &port_one),
        (format!("{two},{one}"), "?target_session_attrs=read-write", &port_one),
        (format!("{two},{one}"), "?target_session_attrs=primary", &port_one),
        (format!("{two},{one}"), "?target_session_attrs=any", &port_two),
        (format!("{dead},{two},{one}"), "", &port_one),
        (format!("{silent_address},{two},{one}"), "", &port_one),
        (one.clone(), "?target_session_attrs=read-write", &port_one),
    ] {
        assert_eq!(port(&url(&hosts, more)).await, *expected, "{hosts}{more}");
    }
    let parameters = format!("/sensorpipe?host=127.0.0.1,127.0.0.1&port={port_two},{port_one}");
    assert_eq!(port(&format!("postgres://sensorpipe@{parameters}")).await, port_one);

    let refused = refusal(&url(&format!("{dead},{silent_address},{two}"), "")).await;
    for expected in [
        format!("{dead}: "),
        "Connection refused".to_owned(),
        format!("{silent_address}: no answer within"),
        format!("{two}: a standby (in recovery)"),
    ] {
        assert!(refused.contains(&expected), "{expected} is not in {refused}");
    }
    let refused = refusal(&format!("postgres://sensorpipe@{one},{two}/nowhere")).await;
    assert!(refused.contains("\"nowhere\" does not exist (3D000)"), "{refused}");
    let refused = refusal(&url(&two, "?target_session_attrs=read-write")).await;
    assert!(refused.contains("a standby (in recovery)"), "{refused}");

    // What was found is kept; what it became is seen.
    let both = url(&format!("{two},{one}"), "?application_name=kept");
    assert_eq!(port(&both).await, port_one);
    servers.down(Node::One).await;
    let refused = refusal(&both).await;
    assert!(refused.contains("a standby") && refused.contains("Connection refused"), "{refused}");
    servers.promote(Node::Two).await;
    servers.rejoin(Node::One).await;
    wait_until_fit(&database(&both), Duration::from_secs(5)).await.expect("the new primary is found");
    assert_eq!(port(&both).await, port_two);
    servers.down(Node::Two).await;
    servers.promote(Node::One).await;
    wait_until_fit(&database(&both), Duration::from_secs(5)).await.expect("the old primary is found again");
    assert_eq!(port(&both).await, port_one);
}
