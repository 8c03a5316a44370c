//! Encrypted connections, and whom they trust.

use futures_util::future::join_all;
use sqlx::{Connection, Executor, PgConnection};
use testbed::{TestDatabase, TestTopic, comes_to};

use crate::{
    PATIENCE,
    service::{Api, Tls, role, run, says, with, worker},
};

/// A role of the test's own that has a password and gets in over TLS alone.
pub(crate) struct PasswordRole {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl PasswordRole {
    /// It may do what the database's owner may.
    pub(crate) async fn create(database: &TestDatabase) -> Self {
        let database_name: String =
            sqlx::query_scalar("SELECT current_database()").fetch_one(&database.pool).await.unwrap();
        let own = database_name.rsplit("_db_").next().unwrap().to_owned();
        let role = Self { name: format!("tls_password_{own}"), password: format!("hushdb{own}") };
        let PasswordRole { name, password } = &role;
        superuser(database, &format!("CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE sensorpipe"))
            .await;
        role
    }

    pub(crate) fn url(&self, database: &TestDatabase, host: &str, options: &str) -> String {
        let url = database.url_as(&format!("{}:{}", self.name, self.password));
        format!("{}?{options}", url.replace("127.0.0.1", host))
    }

    pub(crate) fn drop(&self, database: &TestDatabase) -> impl Future<Output = ()> {
        let statement = format!("DROP ROLE {}", self.name);
        async move { superuser(database, &statement).await }
    }
}

pub(crate) async fn superuser(database: &TestDatabase, statement: &str) {
    let mut connection = PgConnection::connect(&database.url_as("postgres")).await.unwrap();
    connection.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

#[tokio::test]
async fn a_reading_goes_all_the_way_over_tls() {
    let tls = Tls::from_env();
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(1).await;
    let login = PasswordRole::create(&database).await;
    let verified = format!("sslmode=verify-full&sslrootcert={}", tls.file("ca.pem"));
    let mut variables = tls.kafka();
    variables.push(("DATABASE_URL", login.url(&database, "127.0.0.1", &verified)));
    let api = Api::start(&database, &topic, &variables).await;
    let worker = worker(role(&["worker", "--consumers", "1"]), &database, &topic, &variables);
    api.takes_a_reading().await;
    let connections = format!(
        "SELECT count(*) FILTER (WHERE ssl AND version >= 'TLSv1.2'), count(*) FILTER (WHERE NOT ssl)
         FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = '{}'",
        login.name
    );
    // What others' connections are is for superusers to see.
    let mut watcher = PgConnection::connect(&database.url_as("postgres")).await.unwrap();
    let (encrypted, in_clear): (i64, i64) =
        sqlx::query_as(&connections).fetch_one(&mut watcher).await.unwrap();
    assert!(encrypted >= 3 && in_clear == 0, "{encrypted} are encrypted, {in_clear} are not");
    let (tls_only, log) = run(with(role(&["migrate"]).database(&database).topic(&topic), &variables)).await;
    assert!(tls_only, "migrate speaks TLS with both: {log}");
    drop((api, worker));
    login.drop(&database).await;
}

#[tokio::test]
async fn a_client_certificate_takes_the_place_of_a_password() {
    const ROLE: &str = "tls_certificate_holder";
    let tls = Tls::from_env();
    let database = TestDatabase::create().await;
    // The certificate names the role, so tests share it.
    superuser(
        &database,
        &format!(
            "DO $$ BEGIN CREATE ROLE {ROLE} LOGIN IN ROLE sensorpipe;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ),
    )
    .await;
    let verified =
        format!("{}?sslmode=verify-full&sslrootcert={}", database.url_as(ROLE), tls.file("ca.pem"));
    let keys = |url: String| role(&["keys", "list"]).env("DATABASE_URL", &url);
    let with_one = format!("{verified}&sslcert={}&sslkey={}", tls.file("client.pem"), tls.file("client.key"));
    let (is_in, log) = run(keys(with_one)).await;
    assert!(is_in, "{log}");
    let (is_in, log) = run(keys(verified)).await;
    assert!(!is_in && log.contains("valid client certificate"), "{log}");
}

#[tokio::test]
async fn postgres_is_refused_and_refuses_with_a_word_why() {
    let tls = Tls::from_env();
    let database = TestDatabase::create().await;
    let login = PasswordRole::create(&database).await;
    let (ca, stranger) = (tls.file("ca.pem"), tls.file("stranger-ca.pem"));
    let full = format!("sslmode=verify-full&sslrootcert={ca}");
    let wrong_password = login.url(&database, "127.0.0.1", &full).replace(&login.password, "hushhush");
    let cases = [
        (
            login.url(&database, "127.0.0.1", &format!("sslmode=verify-full&sslrootcert={stranger}")),
            ["UnknownIssuer", "sslrootcert"],
        ),
        (login.url(&database, "127.0.0.1", "sslmode=verify-full"), ["UnknownIssuer", "sslrootcert"]),
        (login.url(&database, "localhost", &full), ["not valid for name", "localhost"]),
        (wrong_password, ["password authentication failed", login.name.as_str()]),
        (login.url(&database, "127.0.0.1", "sslmode=disable"), ["pg_hba.conf rejects", "no encryption"]),
        (
            login.url(&database, "127.0.0.1", "sslmode=verify-full&sslrootcert=/nowhere/ca.pem"),
            ["sslrootcert=/nowhere/ca.pem", "No such file"],
        ),
        (
            login.url(&database, "127.0.0.1", &format!("sslmode=verify-ful&sslrootcert={ca}")),
            ["verify-ful", "ssl_mode"],
        ),
    ];
    let tried = cases.into_iter().map(|(url, words)| async move {
        let started = std::time::Instant::now();
        let (is_in, log) = run(role(&["keys", "list"]).env("DATABASE_URL", &url)).await;
        assert!(!is_in, "{words:?}");
        assert!(words.iter().all(|word| log.contains(word)), "nothing of {words:?} in\n{log}");
        assert!(!log.contains("hush"), "{log}");
        assert!(started.elapsed().as_secs() < 8, "it is said at once, not after waiting for Postgres");
    });
    join_all(tried).await;
    let keys = |options: &str, host: &str| {
        role(&["keys", "list"]).env("DATABASE_URL", &login.url(&database, host, options))
    };
    // The one authority that is trusted may stand in place of the system's instead.
    let (is_in, log) = run(keys("sslmode=verify-full", "127.0.0.1").env("SSL_CERT_FILE", &ca)).await;
    assert!(is_in, "{log}");
    // Whoever asks for no check gets none, as the documents say.
    let (is_in, log) = run(keys("sslmode=require", "localhost")).await;
    assert!(is_in, "{log}");
    login.drop(&database).await;
}

#[tokio::test]
async fn kafka_is_refused_and_refuses_with_a_word_why() {
    let tls = Tls::from_env();
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let port = tls.kafka_brokers.rsplit(':').next().unwrap();
    let cases = [
        (
            "KAFKA_CONFIG_ssl_ca_location",
            tls.file("stranger-ca.pem"),
            ["Kafka cannot be used", "certificate verify failed"],
        ),
        ("KAFKA_BROKERS", format!("localhost:{port}"), ["Kafka cannot be used", "certificate verify failed"]),
        (
            "KAFKA_CONFIG_sasl_password",
            "hushhush".to_owned(),
            ["SASL authentication error", "invalid credentials"],
        ),
    ];
    let (database, topic, tls) = (&database, &topic, &tls);
    let tried = cases.into_iter().flat_map(|(name, value, words)| {
        ["api", "worker"].map(|which| {
            let value = value.clone();
            async move {
                let mut variables = tls.kafka();
                variables.push((name, value));
                variables.push(("KAFKA_CONFIG_broker_address_family", "v4".to_owned()));
                let api = Api::launch(role(&[which]), database, topic, &variables);
                says(&api.process, &words).await;
                if which == "api" {
                    // It may have said so before it listens.
                    let readyz = async || api.get("/readyz").await.0.map(|status| status.as_u16());
                    comes_to("readiness", PATIENCE, Some(503), readyz).await;
                }
                let log = api.process.stderr();
                assert!(!log.contains("hush") && !log.contains(&tls.kafka_password()), "{log}");
            }
        })
    });
    join_all(tried).await;
}
