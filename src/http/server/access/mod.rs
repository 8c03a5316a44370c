//! Who may do what: the keys as the api has them in memory. What each route needs is said beside it, in [`super::routes`].
//!
//! ```text
//! store::keys ── read each second ──> KeyRing ── admit ──> client: what a request is let in as, and what it may hold
//!                                        └── series: what became of each key's requests, for /metrics
//! ```

mod client;
mod key_series;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use metrics::{Counter, counter};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(in crate::http) use self::client::{Client, Held};
use self::{
    client::{Key, KeyShares},
    key_series::KeySeries,
};
use super::errors::ApiError;
use crate::{
    access::{Scopes, TokenHash, TokenId},
    config::QueryConfig,
    metrics::HTTP_UNAUTHORIZED,
    store::{
        Pool, StoreError,
        keys::{self, StoredKey, StoredKeys},
    },
};

/// How often the keys are read.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// Requests without a key that holds, in a second, that are told so; the others hear nothing but to wait. Whoever shows
/// one that holds never notices.
const UNAUTHORIZED_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).expect("it is not 0");
/// The header that carries a key where `Authorization` is somebody else's.
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The keys; clones share them.
///
/// A request reads them without a lock, whoever replaces them meanwhile.
#[derive(Clone)]
pub struct KeyRing(Arc<Shared>);

struct Shared {
    keys: ArcSwap<Keys>,
    shares: KeyShares,
    series: KeySeries,
    /// Cancelled once keys are demanded: what was let in without one ends.
    anybody: CancellationToken,
    can_read: AtomicBool,
    clock: DefaultClock,
    unauthorized: Counter,
    unauthorized_limiter: DefaultDirectRateLimiter,
}

enum Keys {
    /// They have not been read yet, so nobody is let in.
    Unread,
    /// There was never any, so everybody is.
    NeverMade,
    /// Who is let in; it may be nobody.
    Demanded(Arc<HashMap<TokenId, Arc<Key>>>),
}

impl Default for KeyRing {
    /// Keys without a bound on what one holds at a time.
    fn default() -> Self {
        Self::with(KeyShares::default())
    }
}

impl KeyRing {
    /// A ring whose keys hold at a time what `config` allows them.
    pub fn new(config: &QueryConfig, database_pool_size: u32) -> Self {
        Self::with(KeyShares::new(config, database_pool_size))
    }

    fn with(shares: KeyShares) -> Self {
        Self(Arc::new(Shared {
            keys: ArcSwap::from_pointee(Keys::Unread),
            shares,
            series: KeySeries::default(),
            anybody: CancellationToken::new(),
            can_read: AtomicBool::new(true),
            clock: DefaultClock::default(),
            unauthorized: counter!(HTTP_UNAUTHORIZED),
            unauthorized_limiter: RateLimiter::direct(Quota::per_second(UNAUTHORIZED_PER_SECOND)),
        }))
    }

    /// Lets a request that needs `needed` pass, or says why not.
    pub(in crate::http) fn admit(&self, headers: &HeaderMap, needed: Scopes) -> Result<Client, ApiError> {
        let keys = self.0.keys.load();
        let keys = match &**keys {
            Keys::NeverMade => return Ok(Client::Anybody(self.0.anybody.clone())),
            Keys::Unread => return Err(ApiError::Unavailable("The API keys have not been read yet.".into())),
            Keys::Demanded(keys) => keys,
        };
        let shown = shown(headers);
        let key = shown.and_then(|token| {
            let key = keys.get(&TokenId::of(token)?)?;
            (key.stored.token_hash == TokenHash::of(token)).then_some(key)
        });
        let Some(key) = key else {
            self.0.unauthorized.increment(1);
            return Err(match self.0.unauthorized_limiter.check() {
                Ok(()) => ApiError::Unauthorized { has_key: shown.is_some() },
                Err(_) => ApiError::TooManyRequests { of_key: false, retry_after_s: 1 },
            });
        };
        if let Some(Err(until)) = key.limiter.as_ref().map(RateLimiter::check) {
            key.series.limited();
            let wait = until.wait_time_from(self.0.clock.now());
            return Err(ApiError::TooManyRequests { of_key: true, retry_after_s: wait.as_secs() + 1 });
        }
        if !key.stored.scopes.allow(needed) {
            key.series.forbidden();
            return Err(ApiError::Forbidden { needed });
        }
        key.series.allowed();
        Ok(Client::Key(Arc::clone(key)))
    }

    /// The series of keys in Prometheus' text format.
    pub fn series(&self) -> String {
        self.0.series.render(Instant::now())
    }

    /// Whether there was ever a key; none where they could not be read yet.
    pub fn are_demanded(&self) -> Option<bool> {
        match **self.0.keys.load() {
            Keys::Unread => None,
            Keys::NeverMade => Some(false),
            Keys::Demanded(_) => Some(true),
        }
    }

    /// Takes over what was read. Keys that stay keep their place in the second; what was let in with one that does not,
    /// or that is another one now, ends.
    ///
    /// Once keys are demanded they always are, whatever becomes of the table.
    pub fn learn(&self, read: StoredKeys) {
        let before = self.0.keys.load();
        let known = match &**before {
            Keys::Demanded(known) => Some(known),
            Keys::Unread | Keys::NeverMade => None,
        };
        if !read.were_made && known.is_none() {
            self.0.keys.store(Arc::new(Keys::NeverMade));
            return;
        }
        let is_unchanged = known.is_some_and(|known| {
            known.len() == read.keys.len()
                && read
                    .keys
                    .iter()
                    .all(|key| known.get(&key.token_id).is_some_and(|known| known.stored == *key))
        });
        if is_unchanged {
            return;
        }
        let key_of = |stored: StoredKey| {
            let same = known.and_then(|known| known.get(&stored.token_id)).filter(|key| key.stored == stored);
            let key = || Arc::new(Key::new(self.0.series.of(&stored.name), self.0.shares, stored.clone()));
            (stored.token_id, same.map_or_else(key, Arc::clone))
        };
        let keys: HashMap<TokenId, Arc<Key>> = read.keys.into_iter().map(key_of).collect();
        tracing::info!(keys = keys.len(), "{} API keys are valid; every request needs one", keys.len());
        let keys = Arc::new(keys);
        self.0.keys.store(Arc::new(Keys::Demanded(Arc::clone(&keys))));
        // Nobody is let in as these any more.
        self.0.anybody.cancel();
        for (token_id, key) in known.into_iter().flat_map(|known| &**known) {
            if !keys.get(token_id).is_some_and(|same| Arc::ptr_eq(same, key)) {
                key.ended.cancel();
            }
        }
        self.0.series.keep(keys.values().map(|key| key.stored.name.as_str()), Instant::now());
    }

    /// Reads the keys once.
    pub async fn read(&self, pool: &Pool) -> Result<(), StoreError> {
        let read = keys::read(pool).await;
        // Said once when it begins and once when it ends.
        let could_read = self.0.can_read.swap(read.is_ok(), Ordering::Relaxed);
        match read {
            Ok(read) => {
                if !could_read {
                    tracing::info!("the API keys can be read again");
                }
                self.learn(read);
                Ok(())
            }
            Err(error) => {
                if could_read {
                    tracing::warn!(
                        "the API keys cannot be read; those read last, if any, are still used: {}",
                        error.server_message()
                    );
                }
                Err(error)
            }
        }
    }

    /// Reads the keys again and again until `stop`, and calls `each_time` after each time that it could.
    ///
    /// `pool` is for nothing else: behind queries of a key's holder its revocation would wait for as long as they take.
    pub async fn follow(self, pool: Pool, stop: CancellationToken, each_time: impl Fn(&Self) + Send) {
        loop {
            // What went wrong is logged, and the last keys hold.
            if self.read(&pool).await.is_ok() {
                each_time(&self);
            }
            tokio::select! {
                () = tokio::time::sleep(READ_INTERVAL) => {}
                () = stop.cancelled() => return pool.close().await,
            }
        }
    }
}

/// What a client shows as its token: a bearer's, or else `X-API-Key`, since a proxy may use `Authorization` itself.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()))
        .or_else(|| headers.get(X_API_KEY).map(axum::http::HeaderValue::as_bytes))
}

fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = credentials.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}
