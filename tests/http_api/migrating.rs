//! What the app that this replaces answered and what is answered now, request by request: `migrating.tsv`.
//!
//! The old app's answers are those of the tutorial's code with `FastAPI` 0.165, pydantic 2.14 and asyncpg, in UTC. Where the
//! two differ, the last column is the line of `docs/migrating.md` that says so.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;

use crate::site::Site;

const TABLE: &str = include_str!("migrating.tsv");
const PAGE: &str = include_str!("../../docs/migrating.md");
const REQUESTS_AT_A_TIME: usize = 20;

/// A line of the table.
struct Case {
    name: &'static str,
    request: &'static str,
    /// `-` where there is none.
    content_type: &'static str,
    body: &'static str,
    old: Outcome,
    new: Outcome,
    difference: &'static str,
}

/// A status and the rows that are stored, in the order of their times.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    status: u16,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    value: f64,
    /// `NOW` for a time of receipt.
    time: String,
}

impl Outcome {
    fn new(status: &str, rows: &str) -> Self {
        let row = |text: &str| {
            let (value, time) = text.split_once('@').unwrap();
            Row { value: value.parse().unwrap(), time: time.to_owned() }
        };
        let rows = rows.split(" ; ").filter(|row| !row.is_empty()).map(row).collect();
        Self { status: status.parse().unwrap(), rows }
    }
}

fn cases() -> Vec<Case> {
    let case = |line: &'static str| {
        let [name, request, content_type, body, old_status, old_rows, status, rows, difference] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"));
        let (old, new) = (Outcome::new(old_status, old_rows), Outcome::new(status, rows));
        Case { name, request, content_type, body, old, new, difference }
    };
    TABLE.lines().skip(1).map(case).collect()
}

/// The bytes of a body: as they stand, or in hexadecimal; `\n` at an object's end is a new line.
fn body(text: &str) -> Vec<u8> {
    if let Some(digits) = text.strip_prefix("hex:") {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        return (0..digits.len()).step_by(2).map(byte).collect();
    }
    let mut text = text.replace("}\\n", "}\n");
    for depth in [100, 5_000] {
        let nested = "[".repeat(depth) + &"]".repeat(depth);
        text = text.replace(&format!("{{nested:{depth}}}"), &nested);
    }
    text.into_bytes()
}

/// A reading as the table has it.
fn row(reading: &Value) -> Row {
    let time = reading["timestamp"].as_str().unwrap();
    let age = Utc::now() - time.parse::<DateTime<Utc>>().unwrap();
    let time = if age.num_minutes() < 60 { "NOW" } else { time };
    Row { value: reading["value"].as_f64().unwrap(), time: time.to_owned() }
}

/// Sends the request for a sensor that no other case has; what came of it.
async fn outcome(site: &Site, case: &Case, sensor_id: usize) -> Outcome {
    let (method, path) = case.request.split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let path = path.replace("{id}", &sensor_id.to_string());
    let answer = site
        .server
        .request(method, &path, |request| {
            let request = request.header("prefer", "wait=15").body(body(case.body));
            match case.content_type {
                "-" => request,
                content_type => request.header("content-type", content_type),
            }
        })
        .await;
    assert!(!answer.text.contains(r#""state":"pending""#), "{}: {}", case.name, answer.text);
    let readings =
        site.server.get(&format!("/sensors/{sensor_id}/readings?order=asc")).await.expect(200).json();
    let rows = readings["data"].as_array().unwrap().iter().map(row).collect();
    Outcome { status: answer.status.as_u16(), rows }
}

#[tokio::test]
async fn every_request_has_the_outcome_that_the_page_tells() {
    let site = Site::start().await;
    let cases = cases();
    site.database.add_sensors(cases.len() as i32 + 1).await;
    let mut worker = site.worker();
    // Sensor 1 is the one that `/sensor_data/%31` names.
    let outcomes = stream::iter(cases.iter().zip(2..))
        .map(async |(case, sensor_id)| (case, outcome(&site, case, sensor_id).await))
        .buffer_unordered(REQUESTS_AT_A_TIME);
    let wrong: Vec<String> = outcomes
        .filter_map(async |(case, outcome)| {
            let Case { name, new, .. } = case;
            (outcome != *new).then(|| format!("{name}: {outcome:?}, and not {new:?}"))
        })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    worker.terminate();
    worker.ended(crate::site::PATIENCE).await;
}

#[test]
fn the_page_has_a_line_for_every_difference_and_no_other() {
    let (cases, lines) = (cases(), page_lines());
    assert!(PAGE.contains(&format!("holds {} requests", cases.len())), "{}", cases.len());
    for Case { name, old, new, difference, .. } in &cases {
        assert_eq!(difference.is_empty(), old == new, "{name}");
        if difference.is_empty() {
            continue;
        }
        let line = lines.iter().find(|[request, ..]| request == difference);
        let [_, before, now] = line.unwrap_or_else(|| panic!("{name}: the page has no line {difference}"));
        assert!(before.contains(&old.status.to_string()), "{name}: {before}");
        assert!(now.contains(&new.status.to_string()), "{name}: {now}");
    }
    for [request, ..] in lines {
        assert!(cases.iter().any(|case| case.difference == request), "{request}: no case shows it");
    }
}

/// What the page's tables say: the request, the answer before, the answer now.
fn page_lines() -> Vec<[&'static str; 3]> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>().try_into().unwrap());
    cells.filter(|[request, ..]: &[&str; 3]| *request != "request").collect()
}
