//! How much the api takes on at a time.

use std::num::NonZeroU32;

use clap::Args;

/// Bounds on requests that bring bodies; what is past them is turned away at once.
#[derive(Args, Clone, Debug)]
pub struct AdmissionConfig {
    /// Most requests with readings under way at a time: a small one costs some KB, and more only wait for one another
    #[arg(
        long = "test-http-max-in-flight",
        env = "SENSORPIPE_TEST_HTTP_MAX_IN_FLIGHT",
        hide = true,
        default_value_t = 4_096
    )]
    pub http_max_in_flight: usize,

    /// Most bytes of all requests' bodies held at a time, decompressed; 64 MiB where not set, or four of the largest
    /// where that is more; at least one of the largest
    #[arg(long = "test-http-max-held-bytes", env = "SENSORPIPE_TEST_HTTP_MAX_HELD_BYTES", hide = true)]
    pub http_max_held_bytes: Option<usize>,

    /// Most requests with readings in a second; no bound where not set
    #[arg(long, env = "HTTP_MAX_RATE")]
    pub http_max_rate: Option<NonZeroU32>,
}
