//! What the environment may say, retried the binary itself.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStringExt,
    path::Path,
    process::{Command, Output},
};

/// Every command that creates Kafka clients.
const COMMANDS: [&[&str]; 8] = [
    &["migrate"],
    &["api"],
    &["worker"],
    &["all"],
    &["seed"],
    &["audit"],
    &["offsets", "list"],
    &["replay", "--from", "earliest", "--yes"],
];
/// What clap ends with for a flag that it cannot use.
const INVALID: Option<i32> = Some(2);

/// A server that is not there: what is refused is refused before anything is connected to.
fn run<N: AsRef<OsStr>, V: AsRef<OsStr>>(args: &[&str], variables: &[(N, V)]) -> Output {
    command(args, variables).output().expect("the binary starts")
}

fn command<N: AsRef<OsStr>, V: AsRef<OsStr>>(args: &[&str], variables: &[(N, V)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sensorpipe"));
    command
        .args(args)
        .current_dir(std::env::temp_dir())
        .env_clear()
        .envs([("DATABASE_URL", "postgres://me@127.0.0.1:1/app"), ("KAFKA_BROKERS", "127.0.0.1:1")])
        .envs(variables.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    command
}

#[track_caller]
fn refused<N: AsRef<OsStr>, V: AsRef<OsStr>>(args: &[&str], variables: &[(N, V)]) -> String {
    let output = run(args, variables);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), INVALID, "{args:?}: {stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

fn not_utf8() -> OsString {
    OsString::from_vec(b"hush\xff".to_vec())
}

#[test]
fn a_setting_that_breaks_the_guarantee_is_refused_by_every_command() {
    for command in COMMANDS {
        let stderr = refused(command, &[("KAFKA_CONFIG_auto_offset_reset", "latest")]);
        assert!(stderr.starts_with("Error: KAFKA_CONFIG_auto_offset_reset must be error: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
    }
}

#[test]
fn each_of_them_is_named_as_it_was_written() {
    for (variable, value) in [
        ("KAFKA_CONFIG_auto_offset_reset", "earliest"),
        ("KAFKA_CONFIG_TOPIC_AUTO_OFFSET_RESET", "latest"),
        ("KAFKA_CONFIG_isolation_level", "read_uncommitted"),
        ("KAFKA_CONFIG_enable_auto_commit", "true"),
        ("KAFKA_CONFIG_auto_commit_enable", "true"),
        ("KAFKA_CONFIG_enable_auto_offset_store", "1"),
        ("KAFKA_CONFIG_enable_partition_eof", "false"),
        ("KAFKA_CONFIG_check_crcs", "false"),
        ("KAFKA_CONFIG_group_id", "mine"),
        ("KAFKA_CONFIG_bootstrap_servers", "127.0.0.1:1"),
        ("KAFKA_CONFIG_metadata_broker_list", "127.0.0.1:1"),
        ("KAFKA_CONFIG_partition_assignment_strategy", "range"),
        ("KAFKA_CONFIG_allow_auto_create_topics", "true"),
        ("KAFKA_CONFIG_acks", "1"),
        ("KAFKA_CONFIG_topic_request_required_acks", "0"),
        ("KAFKA_CONFIG_enable_idempotence", "false"),
        ("KAFKA_CONFIG_max_in_flight", "6"),
        ("KAFKA_CONFIG_retries", "0"),
        ("KAFKA_CONFIG_transactional_id", "mine"),
        ("KAFKA_CONFIG_enable_gapless_guarantee", "true"),
        ("KAFKA_CONFIG_delivery_report_only_error", "true"),
        ("KAFKA_CONFIG_test_mock_num_brokers", "3"),
        ("KAFKA_CONFIG_internal_termination_signal", "9"),
        ("KAFKA_CONFIG_plugin_library_paths", "/tmp/plugin"),
        ("KAFKA_CONFIG_topic_blacklist", ".*"),
        ("KAFKA_CONFIG_offset_store_method", "file"),
        ("KAFKA_CONFIG_api_version_fallback_ms", "1000"),
        ("KAFKA_CONFIG_broker_version_fallback", "0.9.0"),
        ("KAFKA_CONFIG_sasl_Pasword", "hush"),
        ("KAFKA_CONFIG_security_protocol", "hush"),
        ("KAFKA_CONFIG_PORT", "hush"),
        ("KAFKA_CONFIG_", "hush"),
    ] {
        let stderr = refused(&["api"], &[(variable, value)]);
        assert!(stderr.starts_with(&format!("Error: {variable} ")), "{variable}: {stderr}");
        assert!(!stderr.contains("hush") && stderr.lines().count() == 1, "{variable}: {stderr}");
    }
}

#[test]
fn two_names_of_one_setting_with_two_values_are_both_named() {
    let variables = [("KAFKA_CONFIG_compression_codec", "gzip"), ("KAFKA_CONFIG_compression_type", "lz4")];
    let stderr = refused(&["worker"], &variables);
    let words = "Error: KAFKA_CONFIG_compression_codec and KAFKA_CONFIG_compression_type both set ";
    assert!(stderr.starts_with(words), "{stderr}");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let stderr = refused(&["worker"], &[("KAFKA_CONFIG_acks", "1"), ("KAFKA_CONFIG_group_id", "mine")]);
    let begins: Vec<&str> = stderr.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(begins, ["KAFKA_CONFIG_acks", "KAFKA_CONFIG_group_id"]);
}

#[test]
fn a_command_without_a_kafka_client_does_not_look_at_its_settings() {
    let variables =
        [("KAFKA_CONFIG_auto_offset_reset".into(), OsString::from("latest")), ("X".into(), not_utf8())];
    let variables: &[(OsString, OsString)] = &variables;
    assert!(run(&["openapi"], variables).status.success());
    assert!(run(&["worker", "--help"], variables).status.success());
}

#[test]
fn a_variable_of_ours_that_is_not_utf8_is_named() {
    for command in COMMANDS {
        for variable in ["DATABASE_URL", "LOG_FORMAT", "KAFKA_CONFIG_sasl_password"] {
            let stderr = refused(command, &[(variable, not_utf8())]);
            assert!(stderr.contains(&format!("{variable} is not valid UTF-8")), "{stderr}");
            assert!(!stderr.contains("hush") && !stderr.contains("panicked"), "{stderr}");
            assert_eq!(stderr.lines().filter(|line| !line.is_empty()).count(), 1, "{stderr}");
        }
    }
}

/// What ends a command once it has read its settings, before it connects to anything.
const NO_COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere");

#[test]
fn a_switch_that_is_not_utf8_is_named() {
    let stderr = refused(&["api"], &[("ALLOW_ANONYMOUS", not_utf8()), ("HTTP_ADDR", not_utf8())]);
    assert!(stderr.contains("ALLOW_ANONYMOUS, HTTP_ADDR are not valid UTF-8"), "{stderr}");
}

#[test]
fn variables_of_others_are_ignored_whatever_they_hold() {
    for name in [OsString::from("X"), not_utf8()] {
        let output =
            command(&["api"], &[(name, not_utf8())]).envs([NO_COLLECTOR]).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with("Error: OTEL_EXPORTER_OTLP_ENDPOINT: "), "{stderr}");
    }
}

#[test]
fn an_env_file_that_cannot_be_used_is_refused_without_its_values() {
    let folder = std::env::temp_dir().join(format!("sensorpipe-settings-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    for (content, named) in [
        (&b"KAFKA_CONFIG_acks=1"[..], "KAFKA_CONFIG_acks must be all"),
        (b"KAFKA_TOPIC=hush\0", ".env: KAFKA_TOPIC contains a NUL byte"),
        (
            b"DATABASE_URL=hush\nX=1",
            ".env: DATABASE_URL is set in the environment, too, where it is not valid UTF-8",
        ),
        (b"KAFKA_TOPIC=hush hush", ".env: a line cannot be read"),
        (b"KAFKA_TOPIC=hush\xff", ".env: "),
    ] {
        fs::write(folder.join(".env"), content).expect("a file");
        let variables =
            if content.starts_with(b"DATABASE") { vec![("DATABASE_URL", not_utf8())] } else { vec![] };
        let output =
            command(&["audit"], &variables).current_dir(&folder).output().expect("the binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), INVALID, "{stderr}");
        assert!(stderr.starts_with(&format!("Error: {named}")), "{stderr}");
        assert!(!stderr.contains("hush") && stderr.lines().count() == 1, "{stderr}");
    }
    fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn the_env_file_of_a_folder_above_is_nobodys() {
    let folder = std::env::temp_dir().join(format!("sensorpipe-env-file-{}", std::process::id()));
    let below = folder.join("below");
    fs::create_dir_all(&below).expect("a folder");
    fs::write(folder.join(".env"), "KAFKA_CONFIG_acks=1").expect("a file");
    let run_in = |place: &Path| {
        let mut command = command::<&str, &str>(&["api"], &[]);
        let output = command.envs([NO_COLLECTOR]).current_dir(place).output().expect("the binary starts");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run_in(&folder).starts_with("Error: KAFKA_CONFIG_acks must be all"));
    assert!(run_in(&below).starts_with("Error: OTEL_EXPORTER_OTLP_ENDPOINT: "), "{}", run_in(&below));
    // Somebody's Python environment.
    fs::create_dir(below.join(".env")).expect("a folder");
    assert!(run_in(&below).starts_with("Error: OTEL_EXPORTER_OTLP_ENDPOINT: "), "{}", run_in(&below));
    fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn a_switch_has_several_words_and_none_is_off() {
    for (args, variable) in [(&["api"][..], "ALLOW_ANONYMOUS"), (&["migrate"], "DROP_TIME_INDEX")] {
        for value in ["true", "false", "TRUE", "1", "0", "yes", "no", "on", "off", ""] {
            // Whatever comes after the command line has been read.
            let output = run(args, &[(variable, value), ("KAFKA_CONFIG_acks", "1")]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(stderr.starts_with("Error: KAFKA_CONFIG_acks"), "{variable}={value}: {stderr}");
        }
        for value in ["2", "maybe", " "] {
            let stderr = refused(args, &[(variable, value)]);
            assert!(stderr.contains("a switch is true or false"), "{variable}={value}: {stderr}");
        }
    }
}

/// Compose files and charts set variables that nobody gave a value.
#[test]
fn an_empty_variable_counts_as_not_set() {
    let output = run::<&str, &str>(&["api", "--help"], &[]);
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let name = |line| str::split_once(line, "[env: ")?.1.split_once('=').map(|(name, _)| name);
    let names: Vec<&str> = help.lines().filter_map(name).collect();
    assert!(names.contains(&"HTTP_ALLOWED_HOSTS") && names.contains(&"HTTP_MAX_BODY_BYTES"), "{help}");
    let variables: Vec<(&str, &str)> = names.into_iter().map(|name| (name, "")).collect();
    let variables = [&variables[..], &[("KAFKA_CONFIG_acks", "1")]].concat();
    let said = refused(&["api"], &variables);
    assert!(said.starts_with("Error: KAFKA_CONFIG_acks") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_log_filter_that_cannot_be_used_is_no_difference_that_an_audit_found() {
    let stderr = refused(&["audit"], &[("LOG_LEVEL", "sensorpipe=loud=very")]);
    assert!(stderr.starts_with("Error: LOG_LEVEL: ") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn service_links_are_ignored_with_one_warning() {
    let links = [
        ("KAFKA_CONFIG_PORT", "tcp://10.0.0.11:9092"),
        ("KAFKA_CONFIG_PORT_9092_TCP_ADDR", "10.0.0.11"),
        ("KAFKA_CONFIG_SERVICE_HOST", "10.0.0.11"),
        ("KAFKA_CONFIG_SERVICE_PORT", "9092"),
    ];
    let output = command(&["api"], &links).envs([NO_COLLECTOR]).output().expect("it starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let [warning, collector] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(collector.starts_with("Error: OTEL_EXPORTER_OTLP_ENDPOINT: "), "{said}");
    let named: Vec<&str> = links.iter().map(|(link, _)| *link).collect();
    assert!(warning.contains(&format!("ignored: {}, which Kubernetes sets", named.join(", "))), "{warning}");
}

/// The roles that take settings.
const ROLES: [&str; 5] = ["migrate", "api", "worker", "all", "audit"];

/// The variables that `--help` of these roles shows.
fn documented_by_help() -> BTreeSet<String> {
    let of_role = |role| {
        let help = String::from_utf8(run::<&str, &str>(&[role, "--help"], &[]).stdout).expect("UTF-8");
        let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    ROLES.into_iter().flat_map(of_role).collect()
}

/// The variables that the first column of README's table has.
fn documented_by_readme() -> BTreeSet<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("it is there");
    let (_, section) = readme.split_once("\n## Configuration\n").expect("README has the section");
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let first_cells = rows.map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

#[test]
fn at_most_forty_settings_are_documented_and_readme_has_those_of_help() {
    let mut settings = documented_by_help();
    // Any of librdkafka's: clap knows no such flag.
    settings.insert("KAFKA_CONFIG_<setting>".to_owned());
    assert_eq!(settings, documented_by_readme());
    assert!(settings.len() <= 40, "{} settings: {settings:?}", settings.len());
}

#[test]
fn what_is_for_tests_is_in_no_help_and_in_a_warning() {
    for role in ROLES {
        let wrong = [("SENSORPIPE_TEST_LINGER_MS", "7"), ("KAFKA_CONFIG_acks", "1")];
        let said = String::from_utf8(run(&[role], &wrong).stderr).expect("UTF-8");
        assert!(
            said.contains("WARN") && said.contains("for tests only: SENSORPIPE_TEST_LINGER_MS; "),
            "{said}"
        );
        let help = String::from_utf8(run::<&str, &str>(&[role, "--help"], &[]).stdout).expect("UTF-8");
        assert!(!help.to_lowercase().contains("sensorpipe_test") && !help.contains("--test-"), "{help}");
    }
}

#[test]
fn settings_that_are_gone_are_named_in_one_warning_of_every_role() {
    let retired = [("LINGER_MS", "50"), ("READ_POOL_SIZE", "20"), ("STUCK_AFTER", "")];
    for role in ROLES {
        // What comes after the warning ends the process.
        let wrong = [&retired[..], &[("KAFKA_CONFIG_acks", "1")]].concat();
        let output = run(&[role], &wrong);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        let named =
            "ignored: LINGER_MS (now: 5 ms), READ_POOL_SIZE (now: DATABASE_POOL_SIZE); these variables";
        let warnings: Vec<&str> = said.lines().filter(|line| line.contains("WARN")).collect();
        let [warning] = warnings[..] else { panic!("{role}: {said}") };
        assert!(warning.contains(named), "{role}: {said}");
    }
    let output = run(&["openapi"], &retired);
    assert!(output.status.success() && output.stderr.is_empty());
}
