//! Large bodies of which all but one item is refused: they cost time in proportion to their bytes, and that one is taken.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::site::Site;

/// With the last item, no more than a body may have.
const LONG_BYTES: usize = (16 << 20) - 100;
const SHORT_BYTES: usize = LONG_BYTES / 4;
/// Four times the bytes take four times as long, and some more on a busy machine.
const TIMES: u32 = 6;
const UNCLEAR: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Another process may have had the core.
const ATTEMPTS: u32 = 3;

#[tokio::test]
async fn refused_items_cost_what_their_bytes_cost() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    // As many items as a body may have; more of them are refused as a whole.
    for item in [
        "           0,",
        "          [],",
        r#"{"sensor_id":77,"value":1},"#,
        r#"{"sensor_id":1,"value":NaN},"#,
    ] {
        let took = async |bytes: usize| {
            let count = bytes / item.len();
            let body = format!("[{}{}]", item.repeat(count), r#"{"sensor_id":1,"value":1}"#);
            let started = Instant::now();
            let answer = site.server.post("/readings", body).await.expect(207).json();
            assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(1), &json!(count)), "{item}");
            started.elapsed()
        };
        let mut attempts = Vec::new();
        let is_linear = loop {
            let (short, long) = (took(SHORT_BYTES).await, took(LONG_BYTES).await);
            attempts.push((short, long));
            let is_linear = long < LONGEST && long < short * TIMES + UNCLEAR;
            if is_linear || attempts.len() as u32 == ATTEMPTS {
                break is_linear;
            }
        };
        println!("{item}: {attempts:?}");
        assert!(is_linear, "{item}: 4 MiB and 16 MiB take {attempts:?}");
    }
}

#[tokio::test]
async fn more_items_than_fit_as_readings_are_too_many() {
    let flags = ["--http-max-body-bytes", "12000"];
    let site = Site::start_with(&flags).await;
    site.database.add_sensors(1).await;
    let body = |items: usize| format!(r#"[{{"sensor_id":1,"value":1}}{}]"#, ",0".repeat(items - 1));
    let answer = site.server.post("/readings", body(1_000)).await.expect(207).json();
    assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(1), &json!(999)));
    let answer = site.server.post("/readings", body(1_001)).await.expect(413).json();
    assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(1), &json!(1_000)));
    let detail = "The body has more than 1000 items. Of the items after the first 1001 none was taken.";
    assert_eq!(answer["detail"], detail);
}
