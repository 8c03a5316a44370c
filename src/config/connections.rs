//! How many connections the api keeps, and for how long.

use std::time::Duration;

use clap::Args;

/// Bounds on connections, whoever makes them and whatever they ask.
#[derive(Args, Clone, Debug)]
pub struct ConnectionConfig {
    /// Most connections at a time; the next one waits until another is closed
    #[arg(long, env = "HTTP_MAX_CONNECTIONS", default_value_t = 4_096)]
    pub http_max_connections: usize,

    /// Longest time without a whole request's head, or in which a client takes nothing of its answer; set it above the
    /// idle timeout of the load balancer in front, which otherwise may send a request as the connection is closed
    #[arg(long, env = "HTTP_IDLE_TIMEOUT", default_value = "75s", value_parser = humantime::parse_duration)]
    pub http_idle_timeout: Duration,
}
