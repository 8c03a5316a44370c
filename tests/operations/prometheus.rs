//! promtool, and a Prometheus of the test's own.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use testbed::{eventually, free_address};

use crate::{PATIENCE, repository, scrape};

fn program(name: &str) -> PathBuf {
    let folder = std::env::var("PROMETHEUS_PROGRAMS").expect(
        "PROMETHEUS_PROGRAMS is not set: run dev/test, or export PROMETHEUS_PROGRAMS=$(dev/prometheus)",
    );
    Path::new(&folder).join(name)
}

/// Runs promtool, and expects it to find nothing.
fn promtool(args: &[&str], input: &str) {
    let mut child = Command::new(program("promtool"))
        .args(args)
        .current_dir(repository("deploy/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {args:?}:\n{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_finds_nothing_in_what_is_deployed() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
}

/// Expects that promtool finds nothing in an answer of `/metrics`.
pub(crate) fn finds_nothing_in(metrics: &str) {
    promtool(&["check", "metrics"], metrics);
}

/// A Prometheus that scrapes each second; killed with the value.
pub(crate) struct Prometheus {
    address: String,
    child: Child,
    folder: PathBuf,
}

impl Prometheus {
    /// Starts one with the deployed rules and these jobs: name and address.
    pub(crate) async fn start(jobs: &[(&str, &str)]) -> Self {
        let address = free_address().to_string();
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("target/tmp can be written");
        let rules = repository("deploy/prometheus/alerts.yml");
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n",
            rules.display()
        );
        for (job, target) in jobs {
            _ = writeln!(config, "  - {{job_name: {job}, static_configs: [{{targets: ['{target}']}}]}}");
        }
        std::fs::write(folder.join("prometheus.yml"), config).expect("target/tmp can be written");
        let log = std::fs::File::create(folder.join("log")).expect("target/tmp can be written");
        let child = Command::new(program("prometheus"))
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file has many handles"))
            .stderr(log)
            .spawn()
            .expect("prometheus runs");
        let prometheus = Self { address, child, folder };
        eventually(PATIENCE, async || {
            scrape::get(&prometheus.address, "/-/ready").await.is_some_and(|(status, _)| status == 200)
        })
        .await;
        prometheus
    }

    /// The samples that a query answers with now.
    pub(crate) async fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = self.ask(&format!("/api/v1/query?query={encoded}")).await;
        answer["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}")).clone()
    }

    /// The `data` of an answer of its API.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let (_, text) = scrape::get(&self.address, path).await.expect("Prometheus answers");
        let mut answer: Value = serde_json::from_str(&text).expect("Prometheus answers in JSON");
        assert_eq!(answer["status"], "success", "{path}: {text}");
        answer["data"].take()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
