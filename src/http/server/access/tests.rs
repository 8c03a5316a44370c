use super::*;
use crate::access::{Scope, Token};
use crate::config::given_words;
use crate::http::server::resource::Resource;

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

/// A key as it is once it was read, and what a request that shows it is let in as.
fn let_in(ring: &KeyRing, name: &str) -> (StoredKey, Client) {
    let (token, key) = stored(name, Scope::Read, None);
    ring.learn(StoredKeys { were_made: true, keys: vec![key.clone()] });
    (key, ring.admit(&showing(&token), READ).unwrap())
}

#[test]
fn what_a_key_let_in_ends_when_it_is_revoked_or_changed() {
    let ring = KeyRing::default();
    let (key, revoked) = let_in(&ring, "one");
    ring.learn(StoredKeys { were_made: true, keys: vec![key] });
    assert!(!revoked.ended().is_cancelled(), "it is the same");
    let (mut key, changed) = let_in(&ring, "other");
    assert!(revoked.ended().is_cancelled() && !changed.ended().is_cancelled());
    key.scopes = Scopes::one(Scope::Ingest);
    ring.learn(StoredKeys { were_made: true, keys: vec![key] });
    assert!(changed.ended().is_cancelled());
}

#[test]
fn the_first_key_ends_what_was_let_in_without_one() {
    let ring = KeyRing::default();
    ring.learn(StoredKeys::default());
    let anybody = ring.admit(&HeaderMap::new(), READ).unwrap();
    ring.learn(StoredKeys::default());
    assert!(!anybody.ended().is_cancelled());
    let_in(&ring, "first");
    assert!(anybody.ended().is_cancelled());
}

#[tokio::test]
async fn a_key_holds_its_share_and_no_more() {
    let flags = ["--test-exports-max", "1", "--test-event-streams-max", "4"];
    let ring = KeyRing::new(&given_words::arguments(&flags).unwrap(), 6);
    let (_, client) = let_in(&ring, "greedy");
    for (resource, share) in [(Resource::Export, 1), (Resource::EventStream, 2)] {
        let held: Vec<_> = (0..share).map(|_| client.hold(resource).unwrap()).collect();
        let refused = client.hold(resource).unwrap_err();
        assert!(matches!(refused, ApiError::ShareHeld { share: told, .. } if told == share), "{refused:?}");
        drop(held);
        assert!(client.hold(resource).is_ok());
    }
    let (_first, second) = (client.hold_query().await.unwrap(), client.hold_query().await.unwrap());
    let refused = client.hold_query().await.unwrap_err();
    assert!(matches!(refused, ApiError::ShareHeld { resource: Resource::Query, share: 2 }), "{refused:?}");
    let (waiting, ()) = tokio::join!(client.hold_query(), async { drop(second) });
    assert!(waiting.is_ok(), "it waits for one to end");
    let refused = r#"sensorpipe_http_key_refusals_total{key="greedy",resource="query"} 1"#;
    assert!(ring.series().contains(refused), "{}", ring.series());
    let anybody = Client::Anybody(CancellationToken::new());
    let held: Vec<_> = (0..100).map(|_| anybody.hold(Resource::Export).unwrap()).collect();
    assert_eq!(held.len(), 100);
}
