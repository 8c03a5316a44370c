//! The queries of the dashboards; those over Postgres are asked of one.

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testbed::TestDatabase;

use crate::{repository, text_of};

/// A query of a panel.
pub(crate) struct Query {
    /// Dashboard and title.
    pub(crate) panel: String,
    /// `PromQL` or SQL, with Grafana's variables in it.
    pub(crate) text: String,
}

/// Every query of every dashboard in one of the two languages: `expr` or `rawSql`.
pub(crate) fn queries(language: &str) -> Vec<Query> {
    let folder = repository("deploy/grafana/dashboards");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("there are dashboards") {
        let name = entry.expect("they can be listed").file_name().into_string().expect("a plain name");
        let dashboard: Value =
            serde_json::from_str(&text_of(&format!("deploy/grafana/dashboards/{name}"))).expect("it is JSON");
        let panels = dashboard["panels"].as_array().expect("it has panels");
        for target in panels.iter().flat_map(|panel| {
            panel["targets"].as_array().into_iter().flatten().map(move |target| (panel, target))
        }) {
            let (panel, target) = target;
            if let Some(text) = target[language].as_str() {
                all.push(Query { panel: format!("{name}: {}", panel["title"]), text: text.to_owned() });
            }
        }
        let variables = dashboard["templating"]["list"].as_array().into_iter().flatten();
        if language == "rawSql" {
            all.extend(variables.filter_map(|variable| {
                let text = variable["query"].as_str()?.to_owned();
                Some(Query { panel: format!("{name}: the variable {}", variable["name"]), text })
            }));
        }
    }
    all
}

/// What Grafana puts in the place of its macros.
fn for_postgres(text: &str) -> String {
    const FILTER: &str = "$__timeFilter(";
    let mut text = text.replace("$__interval_ms", "60000").replace("$sensor", "'1','2'");
    while let Some(start) = text.find(FILTER) {
        let end = start + text[start..].find(')').expect("the macro ends");
        let column = text[start + FILTER.len()..end].to_owned();
        text.replace_range(start..=end, &format!("{column} BETWEEN now() - interval '2 days' AND now()"));
    }
    assert!(!text.contains('$'), "a variable is left: {text}");
    text
}

/// Gives the role of docker-compose.yml's Grafana its rights, as the service `roles` does.
async fn grant_what_grafana_has(database: &TestDatabase) {
    database
        .execute_as_superuser(
            "DO $$ BEGIN CREATE ROLE grafana LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT pg_monitor TO grafana",
        )
        .await;
    let scripts = ["deploy/postgres/roles.sql", "deploy/docker/grafana.sql"].map(repository);
    let psql = std::process::Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set=owner=sensorpipe"])
        .args(scripts.iter().map(|script| format!("--file={}", script.display())))
        .arg(database.superuser_url())
        .output()
        .expect("psql is there");
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
}

#[tokio::test]
async fn every_panel_over_postgres_can_be_asked_and_nothing_else() {
    let database = TestDatabase::create().await;
    database.add_sensors(2).await;
    database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT sensor_id, 20, now() - minute * interval '1 minute'
             FROM sensors, generate_series(1, 60) AS minute;
             INSERT INTO daily_stats (sensor_id, day, reading_count, avg_value, min_value, max_value,
                                      lower_quartile, median_value, upper_quartile)
             VALUES (1, (now() - interval '1 day')::date, 1, 1, 1, 1, 1, 1, 1);
             INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset)
             VALUES ('c', 't', 'i', 0, 0, 0);
             INSERT INTO dead_letters (topic, partition, \"offset\", reason, detail)
             VALUES ('t', 0, 0, 'wrong_shape', 'test')",
        )
        .await;
    let queries = queries("rawSql");
    assert!(queries.len() > 10, "{}", queries.len());
    grant_what_grafana_has(&database).await;
    let mut grafana = PgConnection::connect(&database.url_as("grafana")).await.expect("it may log in");
    for Query { panel, text } in queries {
        let sql = for_postgres(&text);
        println!("{panel}: {sql}");
        let rows: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM ({sql}) AS panel"))
            .fetch_one(&mut grafana)
            .await
            .unwrap_or_else(|error| panic!("{panel}: {error}"));
        assert!(rows > 0 || panel.contains("Who waits for whom"), "{panel} shows nothing");
    }
    for secret in ["token_hash FROM api_keys", "payload FROM dead_letters", "detail FROM dead_letters"] {
        let refused = sqlx::query(&format!("SELECT {secret}")).fetch_all(&mut grafana).await;
        let error = refused.expect_err("whoever sees a dashboard may ask it");
        assert!(error.to_string().contains("permission denied"), "{secret}: {error}");
    }
}
