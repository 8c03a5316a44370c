//! Who may do what: the keys as the api has them in memory, and what each route needs.

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
use axum::http::{HeaderMap, HeaderName, Method, header::AUTHORIZATION};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use metrics::{Counter, counter};
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use crate::{
    access::{Scope, Scopes, TokenHash, TokenId},
    metrics::{HTTP_KEY_REQUESTS, HTTP_UNAUTHORIZED},
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

/// What a request needs, by its route; none where it is open to all.
///
/// A route that is not named here is not open: whoever adds one decides nothing by forgetting.
pub(super) fn needed(method: &Method, route: &str) -> Option<Scopes> {
    let is_reading = matches!(*method, Method::GET | Method::HEAD);
    match route {
        "/"
        | "/pages/{version}/{*file}"
        | "/docs"
        | "/docs/"
        | "/docs/{file}"
        | "/redoc"
        | "/redoc/"
        | "/redoc/redoc.standalone.js"
        | "/redoc/page.css"
        | "/openapi.json"
        | "/healthz"
        | "/readyz"
        | "/metrics" => None,
        "/sensor_data/{sensor_id}" | "/readings" if *method == Method::POST => {
            Some(Scopes::one(Scope::Ingest))
        }
        // Whoever sent readings may ask what became of them.
        "/receipts/{partition}/{offset}" => Some(Scopes::one(Scope::Ingest) | Scopes::one(Scope::Read)),
        // They hold whatever somebody sent.
        _ if route == "/dead-letters" || route.starts_with("/dead-letters/") => {
            Some(Scopes::one(Scope::Admin))
        }
        "/log-level" => Some(Scopes::one(Scope::Admin)),
        _ if is_reading => Some(Scopes::one(Scope::Read)),
        _ => Some(Scopes::one(Scope::Admin)),
    }
}

/// The keys; clones share them.
///
/// A request reads them without a lock, whoever replaces them meanwhile.
#[derive(Clone)]
pub struct KeyRing(Arc<Shared>);

struct Shared {
    keys: ArcSwap<Keys>,
    is_reading: AtomicBool,
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
    Demanded(HashMap<TokenId, Arc<Key>>),
}

struct Key {
    stored: StoredKey,
    limiter: Option<DefaultDirectRateLimiter>,
    allowed: Counter,
    limited: Counter,
    forbidden: Counter,
}

impl Key {
    fn new(stored: StoredKey) -> Self {
        let count = |outcome: &'static str| counter!(HTTP_KEY_REQUESTS, "key" => stored.name.clone(), "outcome" => outcome);
        let limiter = |rate: NonZeroU32| RateLimiter::direct(Quota::per_second(rate));
        Self {
            limiter: stored.requests_per_second.map(limiter),
            allowed: count("allowed"),
            limited: count("limited"),
            forbidden: count("forbidden"),
            stored,
        }
    }
}

impl Default for KeyRing {
    fn default() -> Self {
        Self(Arc::new(Shared {
            keys: ArcSwap::from_pointee(Keys::Unread),
            is_reading: AtomicBool::new(true),
            clock: DefaultClock::default(),
            unauthorized: counter!(HTTP_UNAUTHORIZED),
            unauthorized_limiter: RateLimiter::direct(Quota::per_second(UNAUTHORIZED_PER_SECOND)),
        }))
    }
}

impl KeyRing {
    /// Lets a request that needs `needed` pass, or says why not.
    pub(super) fn admit(&self, headers: &HeaderMap, needed: Scopes) -> Result<(), ApiError> {
        let keys = self.0.keys.load();
        let keys = match &**keys {
            Keys::NeverMade => return Ok(()),
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
            key.limited.increment(1);
            let wait = until.wait_time_from(self.0.clock.now());
            return Err(ApiError::TooManyRequests { of_key: true, retry_after_s: wait.as_secs() + 1 });
        }
        if !key.stored.scopes.allow(needed) {
            key.forbidden.increment(1);
            return Err(ApiError::Forbidden { needed });
        }
        key.allowed.increment(1);
        Ok(())
    }

    /// Whether there was ever a key; none where they could not be read yet.
    pub fn are_demanded(&self) -> Option<bool> {
        match **self.0.keys.load() {
            Keys::Unread => None,
            Keys::NeverMade => Some(false),
            Keys::Demanded(_) => Some(true),
        }
    }

    /// Takes over what was read. Keys that stay keep their place in the second.
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
            (stored.token_id, same.map_or_else(|| Arc::new(Key::new(stored)), Arc::clone))
        };
        let keys: HashMap<TokenId, Arc<Key>> = read.keys.into_iter().map(key_of).collect();
        tracing::info!(keys = keys.len(), "{} API keys hold; no request passes without one", keys.len());
        self.0.keys.store(Arc::new(Keys::Demanded(keys)));
    }

    /// Reads the keys once.
    pub async fn read(&self, pool: &Pool) -> Result<(), StoreError> {
        let read = keys::read(pool).await;
        // Said once when it begins and once when it ends.
        let was_reading = self.0.is_reading.swap(read.is_ok(), Ordering::Relaxed);
        match read {
            Ok(read) => {
                if !was_reading {
                    tracing::info!("the API keys can be read again");
                }
                self.learn(read);
                Ok(())
            }
            Err(error) => {
                if was_reading {
                    tracing::warn!(
                        "the API keys cannot be read, what was read last holds: {}",
                        error.server_message()
                    );
                }
                Err(error)
            }
        }
    }

    /// Reads the keys again and again until `stop`, and calls `each_time` after each time that it could.
    pub async fn follow(self, pool: Pool, stop: CancellationToken, each_time: impl Fn(&Self) + Send) {
        loop {
            // What went wrong is logged, and the last keys hold.
            if self.read(&pool).await.is_ok() {
                each_time(&self);
            }
            tokio::select! {
                () = tokio::time::sleep(READ_INTERVAL) => {}
                () = stop.cancelled() => return,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Token;

    fn stored(name: &str, scope: Scope, rate: Option<u32>) -> (Token, StoredKey) {
        let token = Token::generate().unwrap();
        let (token_id, token_hash) = token.parts();
        let key = StoredKey {
            name: name.to_owned(),
            token_id,
            token_hash,
            scopes: Scopes::one(scope),
            requests_per_second: rate.and_then(NonZeroU32::new),
        };
        (token, key)
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn showing(token: &Token) -> HeaderMap {
        headers(AUTHORIZATION, &format!("Bearer {}", token.expose()))
    }

    const READ: Scopes = Scopes::one(Scope::Read);

    #[test]
    fn a_route_that_nobody_named_is_not_open() {
        assert_eq!(needed(&Method::GET, "/new"), Some(READ));
        assert_eq!(needed(&Method::PUT, "/new"), Some(Scopes::one(Scope::Admin)));
        assert_eq!(needed(&Method::GET, "/docs/{file}/more"), Some(READ));
        assert_eq!(needed(&Method::POST, "/sensor_data/{sensor_id}"), Some(Scopes::one(Scope::Ingest)));
        assert_eq!(needed(&Method::POST, "/sensors"), Some(Scopes::one(Scope::Admin)));
        assert_eq!(needed(&Method::GET, "/log-level"), Some(Scopes::one(Scope::Admin)));
        assert_eq!(needed(&Method::GET, "/metrics"), None);
        for route in ["/dead-letters", "/dead-letters/{id}", "/dead-letters/summary"] {
            assert_eq!(needed(&Method::GET, route), Some(Scopes::one(Scope::Admin)), "{route}");
        }
    }

    #[test]
    fn nobody_is_let_in_before_the_keys_are_read() {
        let ring = KeyRing::default();
        assert!(matches!(ring.admit(&HeaderMap::new(), READ), Err(ApiError::Unavailable(_))));
        ring.learn(StoredKeys::default());
        assert!(ring.admit(&HeaderMap::new(), READ).is_ok());
        assert_eq!(ring.are_demanded(), Some(false));
    }

    #[test]
    fn once_there_was_a_key_there_is_no_way_back() {
        let (ring, (token, key)) = (KeyRing::default(), stored("one", Scope::Read, None));
        ring.learn(StoredKeys { were_made: true, keys: vec![key] });
        assert!(ring.admit(&showing(&token), READ).is_ok());
        for gone in [StoredKeys { were_made: true, keys: vec![] }, StoredKeys::default()] {
            ring.learn(gone);
            for headers in [showing(&token), HeaderMap::new()] {
                assert!(matches!(ring.admit(&headers, READ), Err(ApiError::Unauthorized { .. })));
            }
        }
    }

    #[test]
    fn a_key_is_taken_from_either_header() {
        let (ring, (token, key)) = (KeyRing::default(), stored("one", Scope::Read, None));
        ring.learn(StoredKeys { were_made: true, keys: vec![key] });
        let token = token.expose();
        let mut beside_a_proxy = headers(AUTHORIZATION, "Basic eDp5");
        beside_a_proxy.insert(X_API_KEY, token.parse().unwrap());
        for headers in
            [headers(AUTHORIZATION, &format!("bearer  {token}")), headers(X_API_KEY, token), beside_a_proxy]
        {
            assert!(ring.admit(&headers, READ).is_ok(), "{headers:?}");
        }
        let other_secret = format!("{}{}", &token[..16], Token::generate().unwrap().expose().split_at(16).1);
        for headers in [
            headers(AUTHORIZATION, token),
            headers(AUTHORIZATION, &format!("Basic {token}")),
            headers(X_API_KEY, &other_secret),
            headers(X_API_KEY, ""),
        ] {
            assert!(matches!(ring.admit(&headers, READ), Err(ApiError::Unauthorized { .. })), "{headers:?}");
        }
    }

    #[test]
    fn a_rate_outlives_a_reading_of_the_keys() {
        let (ring, (token, key)) = (KeyRing::default(), stored("slow", Scope::Read, Some(1)));
        let (_, other) = stored("other", Scope::Read, None);
        ring.learn(StoredKeys { were_made: true, keys: vec![key.clone()] });
        assert!(ring.admit(&showing(&token), READ).is_ok());
        ring.learn(StoredKeys { were_made: true, keys: vec![key, other] });
        let refused = ring.admit(&showing(&token), READ);
        assert!(
            matches!(refused, Err(ApiError::TooManyRequests { of_key: true, retry_after_s: 1 })),
            "{refused:?}"
        );
    }
}
