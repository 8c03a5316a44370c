//! What SECURITY.md says is defended, tried against real servers: TLS and whom it trusts, the roles' rights, a process
//! that may do nothing, secrets that stay secret, and clients that mean harm.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod abuse;
mod confined;
mod credentials;
mod cross_site;
mod forged_messages;
mod key_holders;
mod memory;
mod owner_functions;
mod roles;
mod secrets;
mod service;
mod smuggling;
mod static_files;
mod tls;
mod work;

use std::time::Duration;

/// Bound on anything that takes a second or two on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(30);
