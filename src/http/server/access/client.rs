//! Who asks: a key, or anybody while there are no keys. What all clients share, one key holds a part of at a time.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::key_series::Series;
use crate::{
    config::QueryConfig,
    http::server::{errors::ApiError, resource::Resource},
    store::{self, keys::StoredKey},
};

/// Longest wait for a place among its key's queries: as long as a query waits for a connection of its pool.
const QUERY_WAIT: Duration = Duration::from_secs(2);

/// The most of each resource that one key holds at a time, in the order of [`Resource::ALL`].
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyShares([usize; 3]);

impl KeyShares {
    /// `KEY_SHARE_PERCENT` of what all have together, rounded up: of queries half of `DATABASE_POOL_SIZE`, as many as
    /// the pool of the primary leaves to them.
    pub(super) fn new(config: &QueryConfig, database_pool_size: u32) -> Self {
        let percent = usize::from(config.key_share_percent);
        let share = |of: usize| of.saturating_mul(percent).div_ceil(100).clamp(1, Semaphore::MAX_PERMITS);
        let queries = database_pool_size / 2;
        Self([queries as usize, config.exports_max, config.event_streams_max].map(share))
    }

    const fn of(self, resource: Resource) -> usize {
        self.0[resource as usize]
    }
}

impl Default for KeyShares {
    fn default() -> Self {
        Self([Semaphore::MAX_PERMITS; 3])
    }
}

/// A key that holds, and what its requests hold.
pub(in crate::http) struct Key {
    pub(super) stored: StoredKey,
    pub(super) limiter: Option<DefaultDirectRateLimiter>,
    pub(super) series: Arc<Series>,
    /// Cancelled once it is revoked, or changed.
    pub(super) ended: CancellationToken,
    shares: KeyShares,
    free: [Arc<Semaphore>; 3],
    /// Look-ups of sensors that nobody has heard of: one of a key's goes at a time, so that another key waits for one.
    look_ups: Semaphore,
}

impl Key {
    pub(super) fn new(series: Arc<Series>, shares: KeyShares, stored: StoredKey) -> Self {
        let limiter = |rate: NonZeroU32| RateLimiter::direct(Quota::per_second(rate));
        Self {
            limiter: stored.requests_per_second.map(limiter),
            series,
            ended: CancellationToken::new(),
            shares,
            free: shares.0.map(|share| Arc::new(Semaphore::new(share))),
            look_ups: Semaphore::new(1),
            stored,
        }
    }
}

/// What a request was let in as; clones are the same client.
#[derive(Clone)]
pub(in crate::http) enum Client {
    /// There are no keys. Without a bound of its own: whoever reaches such an api is on the same machine or was let in by
    /// `ALLOW_ANONYMOUS`, and behind a proxy all have one address.
    Anybody(CancellationToken),
    /// Has shown a key.
    Key(Arc<Key>),
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody(_) => formatter.write_str("Anybody"),
            Self::Key(key) => formatter.debug_tuple("Key").field(&key.stored.name).finish(),
        }
    }
}

/// A place that is given back with the value.
#[derive(Debug)]
pub(in crate::http) struct Held {
    _place: Option<OwnedSemaphorePermit>,
}

impl Client {
    /// Cancelled once nobody is let in as this client any more.
    pub(in crate::http) fn ended(&self) -> &CancellationToken {
        match self {
            Self::Anybody(ended) => ended,
            Self::Key(key) => &key.ended,
        }
    }

    /// Whose turn it is to look up a sensor, among the requests of one key.
    pub(in crate::http) fn look_ups(&self) -> Option<&Semaphore> {
        match self {
            Self::Anybody(_) => None,
            Self::Key(key) => Some(&key.look_ups),
        }
    }

    /// Takes one of the client's share, or says that it has none left.
    pub(in crate::http) fn hold(&self, resource: Resource) -> Result<Held, ApiError> {
        let Self::Key(key) = self else { return Ok(Held { _place: None }) };
        match Arc::clone(&key.free[resource as usize]).try_acquire_owned() {
            Ok(place) => Ok(Held { _place: Some(place) }),
            Err(_) => Err(key.is_at_its_share(resource)),
        }
    }

    /// Does `work` as one of the client's queries. A query goes on where its client has gone, and keeps its place.
    pub(in crate::http) async fn querying<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let held = self.hold_query().await?;
        store::holding(Arc::new(held), work).await
    }

    /// Takes a query of the client's share; waits a little for one to end, as it would for a connection.
    pub(super) async fn hold_query(&self) -> Result<Held, ApiError> {
        let Self::Key(key) = self else { return Ok(Held { _place: None }) };
        let free = Arc::clone(&key.free[Resource::Query as usize]);
        match timeout(QUERY_WAIT, free.acquire_owned()).await {
            Ok(Ok(place)) => Ok(Held { _place: Some(place) }),
            Ok(Err(_)) | Err(_) => Err(key.is_at_its_share(Resource::Query)),
        }
    }
}

impl Key {
    fn is_at_its_share(&self, resource: Resource) -> ApiError {
        self.series.refused(resource);
        ApiError::ShareHeld { resource, share: self.shares.of(resource) }
    }
}
