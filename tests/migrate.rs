//! `migrate` against real servers: what it makes, adopts and refuses.

use std::time::Duration;

use sensorpipe::{
    config::{KafkaSettings, SchemaConfig},
    kafka::{self, Topic, TopicError},
    store::{self, Migrated, SchemaError},
};
use testbed::{Role, TestDatabase, TestTopic, config};

/// The tables as the guide has its readers make them.
const GUIDE_TABLES: &str = "
    CREATE TABLE sensors (
        sensor_id SERIAL PRIMARY KEY,
        sensor_type VARCHAR(50) NOT NULL,
        description VARCHAR(255),
        location VARCHAR(255)
    );
    CREATE TABLE sensor_data (
        sensor_id INT REFERENCES sensors(sensor_id),
        value FLOAT NOT NULL,
        time TIMESTAMPTZ NOT NULL DEFAULT now(),
        PRIMARY KEY (sensor_id, time)
    );";

const GUIDE_DATA: &str = "
    INSERT INTO sensors (sensor_type, description, location) VALUES ('temperature', 'by hand', 'Cellar');
    INSERT INTO sensor_data (sensor_id, value, time)
        SELECT 1, n, timestamptz '2024-10-12 14:29Z' + n * interval '1 hour' FROM generate_series(1, 1000) AS n;";

const CREATE_HYPERTABLE: &str = "SELECT create_hypertable('sensor_data', 'time');";

const READINGS: &str = "SELECT count(*) FROM sensor_data WHERE sensor_id = 1";
const HYPERTABLES: &str =
    "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = 'sensor_data'";
const TIME_INDEXES: &str = "SELECT count(*) FROM pg_indexes WHERE indexname = 'sensor_data_time_idx'";
const FOREIGN_KEYS: &str = "SELECT count(*) FROM pg_constraint
    WHERE conrelid = 'sensor_data'::regclass AND confrelid = 'sensors'::regclass AND convalidated";

async fn migrate(database: &TestDatabase) -> Result<Migrated, SchemaError> {
    store::migrate(&database.config(), &config(&[])).await
}

/// A database with tables made by hand.
async fn hand_made(statements: &[&str]) -> TestDatabase {
    let database = TestDatabase::create_empty().await;
    database.execute("SET client_min_messages = error; CREATE EXTENSION timescaledb").await;
    for statement in statements {
        database.execute(statement).await;
    }
    database
}

#[tokio::test]
async fn a_fresh_database_and_once_more() {
    let database = TestDatabase::create_empty().await;
    let chunks_of_a_day: SchemaConfig = config(&["--chunk-interval", "1day"]);
    let first = store::migrate(&database.config(), &chunks_of_a_day).await.unwrap();
    assert_eq!(first.applied[0], "0001 sensors and readings");
    assert!(!first.adopted && !first.is_newer);

    let second = migrate(&database).await.unwrap();
    assert_eq!(
        second,
        Migrated { applied: vec![], adopted: false, is_newer: false, dropped_indexes: vec![] }
    );

    assert_eq!(database.number(HYPERTABLES).await, 1);
    assert_eq!(database.number(FOREIGN_KEYS).await, 1);
    assert_eq!(database.number(TIME_INDEXES).await, 0);
    let days =
        "SELECT (extract(epoch FROM time_interval) / 86400)::bigint FROM timescaledb_information.dimensions";
    assert_eq!(database.number(days).await, 1);
    for table in ["ingest_offsets", "dead_letters"] {
        assert_eq!(database.number(&format!("SELECT count(*) FROM {table}")).await, 0);
    }
    store::wait_for_schema(&database.config(), Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn eight_at_once_do_it_once() {
    let database = TestDatabase::create_empty().await;
    let (database_config, schema) = (database.config(), config::<SchemaConfig>(&[]));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (database_config, schema) = (database_config.clone(), schema.clone());
            tokio::spawn(async move { store::migrate(&database_config, &schema).await })
        })
        .collect();
    let mut did_it = 0;
    for task in tasks {
        did_it += i32::from(!task.await.unwrap().unwrap().applied.is_empty());
    }
    assert_eq!(did_it, 1);
}

#[tokio::test]
async fn the_schema_of_a_newer_binary_is_fine() {
    let database = TestDatabase::create().await;
    database
        .execute("INSERT INTO _sqlx_migrations VALUES (999999, 'from the future', now(), true, 'x', 0)")
        .await;
    assert_eq!(
        migrate(&database).await.unwrap(),
        Migrated { applied: vec![], adopted: false, is_newer: true, dropped_indexes: vec![] }
    );
    store::wait_for_schema(&database.config(), Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn whoever_needs_the_schema_waits_for_it() {
    let database = TestDatabase::create_empty().await;
    let too_early = store::wait_for_schema(&database.config(), Duration::ZERO).await;
    assert!(matches!(too_early, Err(SchemaError::NotMigrated { .. })), "{too_early:?}");

    let database_config = database.config();
    let waiting =
        tokio::spawn(async move { store::wait_for_schema(&database_config, Duration::from_secs(30)).await });
    migrate(&database).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_guides_tables_are_adopted() {
    let database = hand_made(&[GUIDE_TABLES, CREATE_HYPERTABLE, GUIDE_DATA]).await;
    assert!(migrate(&database).await.unwrap().adopted);
    assert_eq!(database.number(READINGS).await, 1_000);
    assert_eq!(database.number(TIME_INDEXES).await, 1, "an index that was there stays");
    assert_eq!(database.number("SELECT nextval('sensors_sensor_id_seq')").await, 2);
}

#[tokio::test]
async fn adopted_sensors_get_triggers_and_readings_none() {
    let own = "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER own BEFORE INSERT ON sensors FOR EACH ROW EXECUTE FUNCTION own()";
    let database = hand_made(&[GUIDE_TABLES, CREATE_HYPERTABLE, GUIDE_DATA, own]).await;
    assert!(migrate(&database).await.unwrap().adopted);
    let triggers = |table: &str| {
        format!(
            "SELECT count(*) FROM pg_trigger
             WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal AND tgname <> 'ts_insert_blocker'"
        )
    };
    assert_eq!(database.number(&triggers("sensors")).await, 11);
    // One there would cost each row its own check of the foreign key.
    assert_eq!(database.number(&triggers("sensor_data")).await, 0);
    database
        .execute(
            "INSERT INTO sensors (sensor_type) VALUES ('a'), ('b'); DELETE FROM sensors WHERE sensor_id > 1",
        )
        .await;
    database.execute("UPDATE sensors SET location = 'Attic'; TRUNCATE sensors CASCADE").await;
}

#[tokio::test]
async fn the_index_on_time_goes_only_when_asked() {
    let database = hand_made(&[GUIDE_TABLES, CREATE_HYPERTABLE, GUIDE_DATA]).await;
    migrate(&database).await.unwrap();
    assert_eq!(database.number(TIME_INDEXES).await, 1);
    let asked: SchemaConfig = config(&["--drop-time-index"]);
    let migrated = store::migrate(&database.config(), &asked).await.unwrap();
    assert_eq!(migrated.dropped_indexes, ["sensor_data_time_idx"]);
    assert_eq!(database.number(TIME_INDEXES).await, 0);
    assert_eq!(database.number(READINGS).await, 1_000);
}

#[tokio::test]
async fn a_plain_table_becomes_a_hypertable_with_its_rows() {
    let database = hand_made(&[GUIDE_TABLES, GUIDE_DATA]).await;
    assert!(migrate(&database).await.unwrap().adopted);
    assert_eq!(database.number(HYPERTABLES).await, 1);
    assert_eq!(database.number(READINGS).await, 1_000);
    assert_eq!(database.number("SELECT count(*) FROM ONLY sensor_data").await, 0, "all rows are in chunks");
}

#[tokio::test]
async fn forms_that_mean_the_same_are_adopted() {
    let database = hand_made(&["
        CREATE TABLE sensor_data (
            time timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
            sensor_id int4,
            value double precision NOT NULL CHECK (value < 1e9),
            CONSTRAINT one_per_moment PRIMARY KEY (sensor_id, time)
        );
        CREATE INDEX by_value ON sensor_data (value);
        CREATE TABLE sensors (
            location varchar(255),
            description varchar(255),
            sensor_type varchar(50) NOT NULL,
            sensor_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY
        );"])
    .await;
    assert!(migrate(&database).await.unwrap().adopted);
    assert_eq!(database.number(FOREIGN_KEYS).await, 1, "the key that was missing is added");
    assert_eq!(database.number("SELECT count(*) FROM pg_indexes WHERE indexname = 'by_value'").await, 1);
}

#[tokio::test]
async fn sensors_alone_are_adopted() {
    let (sensors, _) = GUIDE_TABLES.split_at(GUIDE_TABLES.find("CREATE TABLE sensor_data").unwrap());
    let database = hand_made(&[sensors, "INSERT INTO sensors (sensor_type) VALUES ('temperature')"]).await;
    assert!(migrate(&database).await.unwrap().adopted);
    assert_eq!(database.number("SELECT count(*) FROM sensors").await, 1);
    assert_eq!(database.number(HYPERTABLES).await, 1);
}

/// Tables that are not the contract's, and what the refusal names.
const FOREIGN_TABLES: [(&str, &[&str]); 10] = [
    (
        "ALTER TABLE sensor_data ALTER value TYPE numeric",
        &["column sensor_data.value is \"numeric NOT NULL\""],
    ),
    (
        "ALTER TABLE sensors ADD owner text; ALTER TABLE sensors DROP location",
        &["column sensors.owner is \"text\", not a column of ours", "column sensors.location is missing"],
    ),
    ("ALTER TABLE sensors ALTER sensor_type DROP NOT NULL", &["sensors.sensor_type"]),
    ("ALTER TABLE sensors ALTER sensor_id DROP DEFAULT", &["numbered by the database"]),
    (
        "ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_pkey, ADD PRIMARY KEY (time, sensor_id)",
        &[
            "sensor_data has PRIMARY KEY (\"time\", sensor_id)",
            "sensor_data lacks PRIMARY KEY (sensor_id, \"time\")",
        ],
    ),
    ("ALTER TABLE sensors ADD UNIQUE (description)", &["sensors has UNIQUE (description)"]),
    ("CREATE UNIQUE INDEX one_value ON sensor_data (value, time)", &["one_value"]),
    (
        "ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_sensor_id_fkey,
            ADD FOREIGN KEY (sensor_id) REFERENCES sensors ON DELETE CASCADE",
        &["ON DELETE CASCADE, which is no key of ours"],
    ),
    ("ALTER TABLE sensor_data SET UNLOGGED", &["sensor_data is not an ordinary, logged table"]),
    (
        "ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_sensor_id_fkey;
            INSERT INTO sensor_data (sensor_id, value) VALUES (77, 1), (78, 1)",
        &["readings of 2 sensors that are not in sensors, such as 77"],
    ),
];

#[tokio::test]
async fn other_tables_of_these_names_are_refused() {
    for (difference, named) in FOREIGN_TABLES {
        let database = hand_made(&[GUIDE_TABLES, GUIDE_DATA, difference]).await;
        let refused = migrate(&database).await;
        let Err(SchemaError::ForeignTables(message)) = refused else {
            panic!("{difference}: {refused:?}");
        };
        for name in named {
            assert!(message.contains(name), "{difference}: {message}");
        }
        assert_eq!(database.number(HYPERTABLES).await, 0, "{difference}");
        assert_eq!(database.number("SELECT count(*) FROM _sqlx_migrations").await, 0, "{difference}");
    }
}

#[tokio::test]
async fn a_hypertable_on_another_column_is_refused() {
    let database =
        hand_made(&["CREATE TABLE sensor_data (sensor_id int, value float NOT NULL, time timestamptz,
            PRIMARY KEY (sensor_id, time));
        SELECT create_hypertable('sensor_data', 'sensor_id', chunk_time_interval => 1000)"])
        .await;
    let refused = migrate(&database).await;
    let Err(SchemaError::ForeignTables(message)) = refused else { panic!("{refused:?}") };
    assert_eq!(message, "sensor_data is a hypertable on sensor_id, not on \"time\"");
}

#[tokio::test]
async fn a_topic_is_made_once_and_never_altered() {
    let topic = TestTopic::name_only(3);
    let settings = KafkaSettings::default();
    let missing = kafka::find_topic(&topic.config(), &settings).await;
    assert!(matches!(missing, Err(TopicError::Missing(_))), "{missing:?}");

    let wanted = config(&["--kafka-partitions", "3", "--kafka-retention", "2days"]);
    let made = kafka::ensure_topic(&topic.config(), &settings, &wanted).await.unwrap();
    assert!(made.is_new);
    assert_eq!(made.partitions, 3);
    assert_eq!(made.identity.topic_id.len(), 22, "16 bytes in base64");

    let other_wish = config(&["--kafka-partitions", "5"]);
    let found = kafka::ensure_topic(&topic.config(), &settings, &other_wish).await.unwrap();
    assert_eq!(found, Topic { is_new: false, ..made.clone() });

    topic.delete().await;
    let again = kafka::ensure_topic(&topic.config(), &settings, &wanted).await.unwrap();
    assert!(again.is_new);
    assert_eq!(again.identity.cluster_id, made.identity.cluster_id);
    assert_ne!(again.identity.topic_id, made.identity.topic_id);
}

#[tokio::test]
async fn four_who_make_the_topic_at_once_agree() {
    let topic = TestTopic::name_only(2);
    let (kafka_config, settings) = (topic.config(), KafkaSettings::default());
    let wanted = config(&["--kafka-partitions", "2"]);
    let made = tokio::join!(
        kafka::ensure_topic(&kafka_config, &settings, &wanted),
        kafka::ensure_topic(&kafka_config, &settings, &wanted),
        kafka::ensure_topic(&kafka_config, &settings, &wanted),
        kafka::ensure_topic(&kafka_config, &settings, &wanted),
    );
    let made = [made.0.unwrap(), made.1.unwrap(), made.2.unwrap(), made.3.unwrap()];
    assert!(made.iter().all(|topic| topic.identity == made[0].identity && topic.partitions == 2));
    assert_eq!(made.iter().filter(|topic| topic.is_new).count(), 1);
}

#[tokio::test]
async fn a_compacted_topic_is_refused() {
    use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
    let topic = TestTopic::name_only(1);
    let compacted =
        NewTopic::new(&topic.name, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact,delete");
    topic.admin().create_topics([&compacted], &AdminOptions::new()).await.unwrap();
    let refused = kafka::ensure_topic(&topic.config(), &KafkaSettings::default(), &config(&[])).await;
    assert!(matches!(refused, Err(TopicError::Compacted(_))), "{refused:?}");
}

#[tokio::test]
async fn the_command_does_both_and_says_so() {
    let (database, topic) = (TestDatabase::create_empty().await, TestTopic::name_only(2));
    for (schema, made) in [("schema: up to date", "topic: created"), ("already up to date", "already there")]
    {
        let mut migrate = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["migrate"])
            .database(&database)
            .topic(&topic)
            .start();
        assert!(migrate.ended(Duration::from_secs(30)).await.success(), "{}", migrate.stderr());
        assert!(migrate.stderr().contains(schema) && migrate.stderr().contains(made), "{}", migrate.stderr());
    }
}
