//! A worker of the version before runs on the newer schema: migrations only add.
//!
//! `dev/upgrade-check` proves it with that version's own worker; this is what can be said without building it.

use crate::repository;

/// What an older binary may not live with, and what to do instead.
const FORBIDDEN: [(&str, &str); 8] = [
    ("DROP TABLE", "leave it, and drop it in a later release"),
    ("DROP COLUMN", "leave it, and drop it in a later release"),
    ("DROP CONSTRAINT", "say why no older binary relies on it"),
    ("RENAME", "add the new name, and drop the old one in a later release"),
    ("SET NOT NULL", "an older binary does not fill it"),
    ("ALTER TYPE", "add another type"),
    ("DROP FUNCTION", "leave it, and drop it in a later release"),
    ("DROP TRIGGER", "leave it, and drop it in a later release"),
];

/// A file's statements without comments, in capitals, one space between words.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    code.join("\n").split(';').map(words).filter(|statement| !statement.is_empty()).collect()
}

/// What is wrong with a statement, if anything is.
fn offence(statement: &str) -> Option<String> {
    let forbidden = FORBIDDEN.iter().find(|(words, _)| statement.contains(words));
    if let Some((words, instead)) = forbidden {
        return Some(format!("{words}: {instead}"));
    }
    // A trigger may well name what it is for.
    if statement.starts_with("TRUNCATE") {
        return Some("migrations keep what is there".to_owned());
    }
    if statement.starts_with("ALTER TABLE") && statement.contains(" TYPE ") {
        return Some("a column's type stays: add another column".to_owned());
    }
    let added = statement.split("ADD COLUMN").skip(1);
    added
        .filter_map(|column| column.split(", ADD ").next())
        .find(|column| {
            column.contains("NOT NULL") && !column.contains("DEFAULT") && !column.contains("GENERATED")
        })
        .map(|column| format!("ADD COLUMN{column}: an older binary does not fill it, so it needs a default"))
}

#[test]
fn migrations_only_add() {
    let mut files = 0;
    for entry in std::fs::read_dir(repository("migrations")).expect("there are migrations") {
        let path = entry.expect("they can be listed").path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files += 1;
            let sql = std::fs::read_to_string(&path).expect("it is text");
            for statement in statements(&sql) {
                assert_eq!(offence(&statement), None, "{}: {statement}", path.display());
            }
        }
    }
    assert!(files >= 6, "{files}");
}

#[test]
fn what_an_older_binary_cannot_live_with_is_found() {
    for sql in [
        "ALTER TABLE dead_letters\n  DROP COLUMN item;",
        "ALTER TABLE sensors RENAME location TO place;",
        "ALTER TABLE sensors ALTER location TYPE text;",
        "ALTER TABLE sensors ADD COLUMN a int, ADD COLUMN site text NOT NULL;",
        "ALTER TABLE sensors ALTER COLUMN location SET NOT NULL;",
    ] {
        assert!(statements(sql).iter().any(|statement| offence(statement).is_some()), "{sql}");
    }
    for sql in [
        "-- DROP TABLE sensors;\nCREATE TABLE sites (id int NOT NULL);",
        "ALTER TABLE sensors ADD COLUMN site text NOT NULL DEFAULT '';",
        "ALTER TABLE sensors ADD COLUMN site text;",
    ] {
        assert!(statements(sql).iter().all(|statement| offence(statement).is_none()), "{sql}");
    }
}
