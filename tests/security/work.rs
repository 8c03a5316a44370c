//! Bodies of a few kilobytes that are very much work: it has a bound, and others are served meanwhile.

use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use tokio::time::sleep;

use crate::{
    abuse::api,
    memory::{gzip, post_packed},
    service::Api,
};

const AT_A_TIME: usize = 20;
const BODY_BYTES: usize = 15 << 20;
/// For a debug build on a machine that does other things; of a release build it is some milliseconds.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// What `work` comes to while probes and another client are answered soon.
async fn served_meanwhile<T>(api: &Api, work: impl Future<Output = T>) -> T {
    let mut slowest = Duration::ZERO;
    let others = async {
        loop {
            for path in ["/healthz", "/readyz", "/sensors/1"] {
                let asked = Instant::now();
                let (status, answer) = api.get(path).await;
                assert_eq!(status.map(|status| status.as_u16()), Some(200), "{path}: {answer}");
                slowest = slowest.max(asked.elapsed());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let done = match select(std::pin::pin!(work), std::pin::pin!(others)).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => never,
    };
    eprintln!("the slowest of the others took {slowest:?}");
    assert!(slowest < PROBE_MAX, "{slowest:?}");
    done
}

#[tokio::test]
async fn bodies_that_are_all_work_keep_nobody_waiting() {
    let (api, _database, topic) = api(&[]).await;
    let items = |item: &str| item.repeat(BODY_BYTES / item.len());
    for (path, body, expected) in [
        // More items than the largest body has readings.
        ("/readings", format!("[{}]", items(",")), 413),
        ("/readings", format!("[{}0]", items("0,")), 413),
        ("/readings", format!("[{}{{}}]", items("{},")), 413),
        ("/readings", items("0\n"), 422),
        ("/sensor_data/1", format!(r#"{{"data":[{}{{}}]}}"#, items("{},")), 422),
        ("/sensor_data/1", format!(r#"{{"value":1,"x":[{}0]}}"#, items("0,")), 200),
    ] {
        let packed = gzip(body.as_bytes());
        assert!(packed.len() < 50_000, "{}", packed.len());
        let answers =
            served_meanwhile(&api, join_all((0..AT_A_TIME).map(|_| post_packed(&api, path, &packed)))).await;
        for (status, answer) in answers {
            let status = status.map(|status| status.as_u16());
            // Together they may be more than fits, and a debug build may not get to their end in time.
            assert!(
                status == Some(expected) || matches!(status, Some(408 | 503)),
                "{path} {}: {status:?} {answer}",
                &body[..20]
            );
        }
    }
    drop(topic);
}
