//! Whoever guesses at API keys.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::StatusCode;
use sensorpipe::access::Token;
use testbed::{TestDatabase, TestTopic, comes_to};

use crate::{
    PATIENCE,
    service::{Api, role, run},
};

#[tokio::test]
async fn guesses_are_cheap_and_bounded_and_keep_nobody_out() {
    const GUESSERS: usize = 1_000;
    const GUESSES: usize = 20;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let create = role(&["keys", "create", "--name", "right", "--scope", "read"]).database(&database);
    let (_, token) = run(create).await;
    let token = token.lines().next().unwrap().to_owned();
    let api = Api::start(&database, &topic, &[]).await;
    let right = || Api::answer(api.client.get(format!("{}/sensors", api.url)).bearer_auth(&token));
    comes_to("with the right key", PATIENCE, Some(StatusCode::OK), async || right().await.0).await;

    let transactions = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let before = database.number(transactions).await;
    let (told, turned_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // More connections than that, and the test itself has no files left.
    let connections = tokio::sync::Semaphore::new(100);
    let started = Instant::now();
    let guessing = join_all((0..GUESSERS).map(|n| {
        let (api, told, turned_away, token, connections) = (&api, &told, &turned_away, &token, &connections);
        async move {
            // Some know a key's id, which is no secret, and guess at the rest.
            let guess = Token::generate().unwrap().expose().to_owned();
            let guess = if n % 2 == 0 { guess } else { format!("{}{}", &token[..16], &guess[16..]) };
            for _ in 0..GUESSES {
                let _connection = connections.acquire().await.unwrap();
                let request = api.client.get(format!("{}/sensors", api.url)).bearer_auth(&guess);
                match Api::answer(request).await.0 {
                    Some(StatusCode::UNAUTHORIZED) => told.fetch_add(1, Ordering::Relaxed),
                    Some(StatusCode::TOO_MANY_REQUESTS) => turned_away.fetch_add(1, Ordering::Relaxed),
                    other => panic!("{other:?}"),
                };
            }
        }
    }));
    let using = async {
        for _ in 0..20 {
            let asked = Instant::now();
            let (status, _) = right().await;
            assert_eq!(status, Some(StatusCode::OK), "whoever has the right key never notices");
            assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(guessing, using);
    let seconds = started.elapsed().as_secs_f64();
    let (told, turned_away) = (told.into_inner(), turned_away.into_inner());
    assert_eq!(told + turned_away, GUESSERS * GUESSES);
    assert!((told as f64) < 150.0 * (seconds + 1.0), "{told} of them were judged in {seconds} s");
    assert!(turned_away > 0);

    // The database is told about transactions a second after them.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let asked = database.number(transactions).await - before;
    assert!(asked < 500, "{asked} transactions for {} guesses", GUESSERS * GUESSES);
    assert!(api.process.peak_memory_mib() < 250, "{} MiB", api.process.peak_memory_mib());
    let (_, metrics) = api.get("/metrics").await;
    let counted = metrics.lines().find_map(|line| line.strip_prefix("sensorpipe_http_unauthorized_total "));
    assert_eq!(counted.and_then(|count| count.parse().ok()), Some(GUESSERS * GUESSES));
    let labels =
        metrics.lines().filter(|line| line.starts_with("sensorpipe_http_key_requests_total{")).count();
    assert!(labels <= 3, "{labels} series: guesses make none");
}
