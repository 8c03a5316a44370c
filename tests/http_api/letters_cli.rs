//! `sensorpipe dead-letters`.

use serde_json::{Value, json};
use testbed::Record;

use crate::{
    letters::{command, reading},
    site::Site,
};

/// Moves the cursor, clears the screen, sets the title, reverses what follows.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;all is well\u{7}\u{9b}31m\u{202e}\r";

fn is_harmless(printed: &str) {
    let harmful = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
    assert!(!printed.contains(harmful), "{printed:?}");
}

#[tokio::test]
async fn letters_are_listed_shown_replayed_and_discarded() {
    let hostile = format!(r#"{{"sensor_id":1,"note":"{HOSTILE}""#);
    let records = vec![
        Record::new(hostile.clone()).key(HOSTILE).header(HOSTILE, HOSTILE),
        Record::new(reading(2, 1)).key("2"),
        Record::new(reading(2, 2)).key("2"),
        Record::new(reading(3, 3)).key("3"),
    ];
    let site = Site::with_records(1, records).await;
    let ids: Vec<String> = site.letter_ids().await.iter().map(i64::to_string).collect();
    let run = async |args: &[&str]| command(&site.database, args).await;
    let json_of = async |args: &[&str]| -> Value {
        let (ok, printed, log) = run(&[args, &["--format", "json"]].concat()).await;
        assert!(ok, "{log}");
        is_harmless(&printed);
        serde_json::from_str(&printed).unwrap()
    };

    let (ok, table, _) = run(&["list"]).await;
    assert!(ok && table.lines().count() == 5, "{table}");
    is_harmless(&table);
    let (_, first_page, _) = run(&["list", "--limit", "3"]).await;
    assert!(first_page.contains(&format!("--before {}", ids[1])), "{first_page}");
    assert_eq!(
        json_of(&["list", "--reason", "unknown_sensor", "--sensor", "2"]).await["letters"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let (ok, shown, _) = run(&["show", &ids[0]]).await;
    assert!(ok && shown.contains(r"\u{1b}[2J") && shown.contains("correct it and send it again"), "{shown}");
    is_harmless(&shown);
    let whole = json_of(&["show", &ids[0]]).await;
    assert_eq!((&whole["payload"]["text"], &whole["key"]["text"]), (&json!(hostile), &json!(HOSTILE)));
    assert_eq!(whole["headers"][0], json!({"key": HOSTILE, "value": HOSTILE}));
    let (ok, _, log) = run(&["show", "999999"]).await;
    assert!(!ok && log.contains("there is no dead letter 999999"), "{log}");

    site.database.add_sensors(1).await;
    let (ok, _, log) = run(&["replay"]).await;
    assert!(!ok && log.contains("--reason unknown_sensor"), "{log}");
    let (ok, tried, _) = run(&["replay", "--all", "--dry-run"]).await;
    assert!(
        ok && tried.contains("2 stored, 0 duplicates, 2 still refused")
            && tried.contains("nothing is changed"),
        "{tried}"
    );
    let (ok, printed, log) = run(&["replay", &ids[1], "999999"]).await;
    assert!(!ok && printed.contains("1 stored") && log.contains("999999"), "{printed}{log}");
    let replayed = json_of(&["replay", "--reason", "unknown_sensor"]).await;
    assert_eq!((&replayed["stored"], &replayed["reasons"]), (&json!(1), &json!({"unknown_sensor": 1})));
    let (ok, all, _) = run(&["replay", "--all"]).await;
    assert!(ok && all.contains("0 stored") && all.contains("1 malformed_json: cannot be stored"), "{all}");
    assert_eq!(site.database.row_count().await, 2);

    let (ok, _, log) = run(&["discard", "--all"]).await;
    assert!(!ok && log.contains("--yes"), "{log}");
    let (ok, printed, _) = run(&["discard", &ids[3]]).await;
    assert!(ok && printed.contains("1 discarded"), "{printed}");
    let (ok, _, log) = run(&["discard", &ids[3]]).await;
    assert!(!ok && log.contains(&ids[3]), "{log}");
    assert_eq!(json_of(&["discard", "--all", "--yes"]).await["discarded"], 1);
    let (ok, printed, _) = run(&["replay", "--all"]).await;
    assert!(ok && printed.contains("nothing to do"), "{printed}");
    assert_eq!((site.removed("replayed").await, site.removed("discarded").await), (2, 2));
}
