//! Functions that run with their owner's rights, attacked by each role with what a caller may bring along: temporary
//! tables, a schema, operators and functions of its own.

use sqlx::{Connection, Executor, PgConnection};
use testbed::{TestDatabase, TestTopic};

use crate::{
    roles::database_with_roles,
    service::{role, run},
};

const ROLES: [&str; 5] =
    ["sensorpipe_writer", "sensorpipe_api", "sensorpipe_audit", "sensorpipe_admin", "sensorpipe_reader"];

/// Says who runs it; whatever calls it goes on.
const WHO_RUNS: &str = "PERFORM set_config('attack.ran_as', current_setting('attack.ran_as', true) || ' ' || current_user, false)";

/// What calls each of the functions, where the role may.
const CALLS: [&str; 10] = [
    "INSERT INTO sensor_data VALUES (1, 1.5, '2024-01-01 12:00Z')",
    "DELETE FROM sensor_data WHERE sensor_id = 1",
    "INSERT INTO dead_letters (topic, partition, \"offset\", reason, detail) VALUES ('t', 0, 0, 'wrong_shape', '')",
    "DELETE FROM dead_letters",
    "INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset)
     VALUES ('c', 't', 'i', 0, 0, 10)",
    "UPDATE ingest_offsets SET next_offset = 5",
    "DELETE FROM sensors WHERE sensor_id = 2",
    "SELECT sensorpipe_delete_sensor(3)",
    "INSERT INTO sensors (sensor_type) VALUES ('test')",
    "UPDATE sensors SET description = 'changed'",
];

async fn database_with_every_function() -> TestDatabase {
    let database = database_with_roles(&["api_deletes_readings=1"]).await;
    let topic = TestTopic::name_only(1);
    let owner = database.url_as("sensorpipe_owner");
    let install = role(&["stats", "install-trigger"]).topic(&topic).env("DATABASE_URL", &owner);
    let (is_installed, log) = run(install).await;
    assert!(is_installed, "{log}");
    database
}

#[tokio::test]
async fn they_look_into_temporary_schemas_last() {
    let database = database_with_every_function().await;
    let functions: Vec<(String, Option<Vec<String>>)> = sqlx::query_as(
        "SELECT proname::text, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace
         ORDER BY 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let names: Vec<&str> = functions.iter().map(|(name, _)| name.as_str()).collect();
    for expected in ["sensorpipe_delete_sensor", "sensorpipe_reopen_day", "sensorpipe_count_dead_letters"] {
        assert!(names.contains(&expected), "{names:?}");
    }
    for (name, settings) in &functions {
        let path = "search_path=pg_catalog, public, pg_temp".to_owned();
        assert_eq!(settings.as_deref(), Some(&[path][..]), "{name}");
    }
}

#[tokio::test]
async fn no_role_becomes_the_owner() {
    let database = database_with_every_function().await;
    let mut ran = 0;
    // roles.sql takes temporary tables away; the functions have to do without that.
    database
        .execute_as_superuser(&format!(
            "GRANT TEMPORARY, CREATE ON DATABASE {} TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC",
            database.name()
        ))
        .await;
    set_traps_in_public(&database).await;
    for role in ROLES {
        let mut connection = PgConnection::connect(&database.url_as(role)).await.unwrap();
        set_traps(&mut connection, role).await;
        for call in CALLS {
            ran += usize::from(connection.execute(call).await.is_ok());
        }
        let whom: String = sqlx::query_scalar("SELECT current_setting('attack.ran_as')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(!whom.contains("sensorpipe_owner"), "{role}: {whom}");
    }
    assert!(ran >= 12, "{ran} calls were allowed: what is tried here?");
}

/// A stand-in in the schema of the tables, for an operator that would be found there: of a sensor's deletion where there
/// are so many chunks that its keys are not checked one by one.
async fn set_traps_in_public(database: &TestDatabase) {
    let mut owner = PgConnection::connect(&database.url_as("sensorpipe_owner")).await.unwrap();
    let chunks = "INSERT INTO sensor_data SELECT 1, 1, timestamptz '2019-01-01Z' + n * interval '7 days'
                  FROM generate_series(1, 202) AS n";
    owner.execute(chunks).await.unwrap();
    let mut writer = PgConnection::connect(&database.url_as("sensorpipe_writer")).await.unwrap();
    let traps = format!(
        "CREATE FUNCTION public.unlike(name, name) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN {WHO_RUNS}; RETURN true; END $$;
         CREATE OPERATOR public.!~~ (LEFTARG = name, RIGHTARG = name, FUNCTION = public.unlike);"
    );
    writer.execute(traps.as_str()).await.unwrap();
}

/// Stand-ins for all that the functions use, in the temporary schema and in one of the role's own, which comes first.
async fn set_traps(connection: &mut PgConnection, role: &str) {
    let own = format!("own_{role}");
    connection
        .execute(
            format!(
                "SET attack.ran_as = '';
                 CREATE SCHEMA {own};
                 GRANT USAGE ON SCHEMA {own} TO PUBLIC;
                 CREATE FUNCTION {own}.trap() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN {WHO_RUNS}; IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
                 CREATE FUNCTION {own}.equal(int, int) RETURNS bool LANGUAGE plpgsql AS $$
                     BEGIN {WHO_RUNS}; RETURN true; END $$;
                 CREATE OPERATOR {own}.= (LEFTARG = int, RIGHTARG = int, FUNCTION = {own}.equal);
                 CREATE FUNCTION {own}.format(text, int, int) RETURNS text LANGUAGE plpgsql AS $$
                     BEGIN {WHO_RUNS}; RETURN ''; END $$;
                 CREATE FUNCTION {own}.cardinality(oid[]) RETURNS int LANGUAGE plpgsql AS $$
                     BEGIN {WHO_RUNS}; RETURN 0; END $$;
                 CREATE FUNCTION {own}.pg_advisory_xact_lock_shared(int, int) RETURNS void LANGUAGE plpgsql AS $$
                     BEGIN {WHO_RUNS}; END $$;
                 CREATE FUNCTION {own}.sensorpipe_dead_letter_bytes(bytea, bytea, jsonb) RETURNS bigint
                     LANGUAGE plpgsql AS $$ BEGIN {WHO_RUNS}; RETURN 0; END $$;
                 GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {own} TO PUBLIC;"
            )
            .as_str(),
        )
        .await
        .unwrap();
    // Columns as in the real ones, so that what is meant for these would pass on them.
    for (table, columns) in [
        ("daily_stats", "sensor_id int, day date, is_final bool"),
        ("sensor_deletions", "sensor_id int"),
        (
            "dead_letter_usage",
            "topic text, partition int, direction text, letters bigint, bytes bigint,
                               PRIMARY KEY (topic, partition, direction)",
        ),
        ("dead_letter_overflow", "topic text, topic_id text, partition int, first_offset bigint"),
    ] {
        let row = match table {
            "daily_stats" => "VALUES (1, '2024-01-01', false)",
            "sensor_deletions" => "SELECT generate_series(1, 3)",
            "dead_letter_usage" => "VALUES ('t', 0, 'written', 0, 0), ('t', 0, 'deleted', 0, 0)",
            _ => "VALUES ('t', 'i', 0, 7)",
        };
        for schema in ["pg_temp", own.as_str()] {
            connection
                .execute(
                    format!(
                        "CREATE TABLE {schema}.{table} ({columns});
                         INSERT INTO {schema}.{table} {row};
                         CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON {schema}.{table}
                             FOR EACH ROW EXECUTE FUNCTION {own}.trap();
                         GRANT ALL ON {schema}.{table} TO PUBLIC;"
                    )
                    .as_str(),
                )
                .await
                .unwrap();
        }
    }
    connection.execute(format!("SET search_path = {own}, public").as_str()).await.unwrap();
}
