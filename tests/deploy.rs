//! What is deployed beside the binary names what the binary has.

use std::{collections::BTreeSet, process::Command};

/// Every `sensorpipe_…` word of a text.
fn metric_names(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("sensorpipe_"))
        .collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let there_are = metric_names(include_str!("../src/metrics.rs"));
    let dashboard = include_str!("../deploy/grafana/dashboards/overview.json");
    serde_json::from_str::<serde_json::Value>(dashboard).expect("the dashboard is JSON");
    let asked_for = metric_names(dashboard);
    assert!(asked_for.len() > 10, "{asked_for:?}");
    for name in asked_for {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(there_are.contains(base.unwrap_or(name)), "{name} is not in src/metrics.rs");
    }
}

/// What bash offers after `line`, which ends in the word that is being typed.
fn bash_offers(line: &str) -> BTreeSet<String> {
    let script = format!(
        r#"source <("$0" completions bash); COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _sensorpipe sensorpipe "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#
    );
    let output = Command::new("bash")
        .args(["-euc", &script, env!("CARGO_BIN_EXE_sensorpipe")])
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(bash_offers("sensorpipe wor"), BTreeSet::from(["worker".to_owned()]));
    assert_eq!(bash_offers("sensorpipe worker --cons"), BTreeSet::from(["--consumers".to_owned()]));
    let values = bash_offers("sensorpipe worker --start ''");
    assert_eq!(values, BTreeSet::from(["earliest".to_owned(), "latest".to_owned()]));
}

#[test]
fn other_shells_get_a_script_that_knows_every_command() {
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(env!("CARGO_BIN_EXE_sensorpipe"))
            .args(["completions", shell])
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        for command in ["migrate", "api", "worker", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}
