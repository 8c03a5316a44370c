//! Secrets are planted and everything goes wrong; then all that was said is searched for them.

use reqwest::StatusCode;
use testbed::{Record, TestDatabase, TestTopic, comes_to, eventually};

use crate::{
    PATIENCE,
    service::{Api, Tls, role, run, with, worker},
    tls::{PasswordRole, superuser},
};

/// Names and values of environment variables.
type Settings<'a> = Vec<(&'a str, String)>;

/// Neither as it is, nor as a list of bytes, nor in hexadecimal.
#[track_caller]
fn has_no_secret(text: &str, secrets: &[&str]) {
    for secret in secrets {
        let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        let hexadecimal = secret.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        for form in [(*secret).to_owned(), bytes.join(", "), hexadecimal] {
            let at = text.find(&form);
            let near = at.map(|at| &text[text[..at].rfind('\n').unwrap_or(0)..at]);
            assert!(at.is_none(), "a secret stands in what was said, after: {near:?}");
        }
    }
}

#[tokio::test]
async fn no_secret_is_ever_said() {
    let tls = Tls::from_env();
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let login = PasswordRole::create(&database).await;
    let options = format!("sslmode=verify-full&sslrootcert={}&pasword=hushparameter", tls.file("ca.pem"));
    let mut variables = tls.kafka();
    variables.extend([
        ("DATABASE_URL", login.url(&database, "127.0.0.1", &options)),
        ("READ_DATABASE_URL", login.url(&database, "127.0.0.1", &options)),
        ("LOG_LEVEL", "trace".to_owned()),
        ("KAFKA_CONFIG_debug", "all".to_owned()),
    ]);
    let (made, token) =
        run(with(role(&["keys", "create", "--name", "one", "--scope", "admin"]), &[variables[6].clone()]))
            .await;
    assert!(made, "{token}");
    let token = token.lines().next().unwrap().to_owned();
    let kafka_password = tls.kafka_password();
    let secrets = [login.password.as_str(), kafka_password.as_str(), &token[16..], "hushparameter"];

    let mut api = Api::launch(role(&["api"]), &database, &topic, &variables);
    let mut worker = worker(role(&["worker", "--consumers", "1"]), &database, &topic, &variables);
    let ask = |path: &str| Api::answer(api.client.get(format!("{}{path}", api.url)).bearer_auth(&token));
    comes_to("with the key", PATIENCE, Some(StatusCode::OK), async || ask("/sensors").await.0).await;
    let send = || {
        let request = api.client.post(format!("{}/sensor_data/1", api.url)).bearer_auth(&token);
        Api::answer(request.header("prefer", "wait=3").body(r#"{"value":1}"#))
    };
    eventually(PATIENCE, async || send().await.1.contains("stored")).await;

    // Postgres throws everybody out and lets nobody in again.
    let name = &login.name;
    superuser(&database, &format!("ALTER ROLE {name} PASSWORD 'another'")).await;
    let throw_out =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'");
    superuser(&database, &throw_out).await;
    let is_refused = async || ask("/readyz").await.1.contains("password authentication failed");
    eventually(PATIENCE, is_refused).await;
    let mut answers = vec![ask("/sensors").await.1, ask("/daily_avg/1").await.1];
    // A connection that was just being made may have been let in, and take a reading yet. The api takes none once it
    // cannot look up the sensor.
    let is_stuck = async || {
        topic.produce([Record::new(r#"{"sensor_id":1,"value":1}"#)]).await;
        answers.push(send().await.1);
        worker.stderr().contains("trying on")
    };
    eventually(PATIENCE, is_stuck).await;
    superuser(&database, &format!("ALTER ROLE {name} PASSWORD '{}'", login.password)).await;
    eventually(PATIENCE, async || send().await.1.contains("stored")).await;
    for path in ["/metrics", "/readyz", "/healthz", "/openapi.json", "/nowhere", "/sensors?q=x"] {
        answers.push(ask(path).await.1);
    }
    answers.push(api.get("/sensors").await.1);
    for process in [&mut api.process, &mut worker] {
        process.terminate();
        process.ended(PATIENCE).await;
        let (stdout, stderr) = (process.stdout(), process.stderr());
        assert!(stderr.contains("TRACE") && stderr.contains("librdkafka"), "it was told to say everything");
        answers.extend([stdout, stderr]);
    }
    for answer in answers {
        has_no_secret(&answer, &secrets);
    }
    login.drop(&database).await;
}

#[tokio::test]
async fn no_secret_is_said_by_a_command_that_cannot_start() {
    let database = TestDatabase::create().await;
    let of = |name: &'static str, value: &str| (name, value.to_owned());
    let good = of("DATABASE_URL", &database.url);
    let cases: [(&[&str], Settings<'_>); 11] = [
        (&["worker"], vec![of("DATABASE_URL", "mysql://me:hush@db/app")]),
        (&["api"], vec![of("DATABASE_URL", "postgres://me:hu?hush@db/app")]),
        (&["worker"], vec![of("DATABASE_URL", "postgres://me:hush@[::/app")]),
        (&["api"], vec![of("DATABASE_URL", "postgres://me:hush@db:hush/app")]),
        (&["api"], vec![good.clone(), of("READ_DATABASE_URL", "hush")]),
        (&["keys", "list", "--database-url", "hush"], vec![]),
        (&["keys", "list"], vec![of("DATABASE_URL", "postgres://me:hush@127.0.0.1:1/app")]),
        (&["api"], vec![good.clone(), of("KAFKA_CONFIG_sasl_pasword", "hush")]),
        (&["worker"], vec![good.clone(), of("KAFKA_CONFIG_sasl_pasword", "hush")]),
        (&["migrate"], vec![good.clone(), of("KAFKA_CONFIG_ssl_key_pasword", "hush")]),
        (
            &["api"],
            vec![
                good.clone(),
                of("KAFKA_CONFIG_security_protocol", "SSL"),
                of("KAFKA_CONFIG_ssl_key_pem", "-----BEGIN hush"),
            ],
        ),
    ];
    let tried = cases.into_iter().map(|(args, variables)| async move {
        let (went_well, said) = run(with(role(args).env("LOG_LEVEL", "trace"), &variables)).await;
        assert!(!went_well && !said.is_empty(), "{args:?} {variables:?}: {said}");
        has_no_secret(&said, &["hush"]);
    });
    futures_util::future::join_all(tried).await;
    for command in ["api", "worker", "migrate", "all", "seed"] {
        let variables = [
            of("DATABASE_URL", "postgres://me:hush@db/app"),
            of("READ_DATABASE_URL", "postgres://me:hush@db/app"),
        ];
        let (went_well, said) = run(with(role(&[command, "--help"]), &variables)).await;
        assert!(went_well, "{said}");
        has_no_secret(&said, &["hush"]);
    }
}
