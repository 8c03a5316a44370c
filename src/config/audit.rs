//! What an audit looks at, how it tells, and what it may use up.

use std::time::Duration;

use clap::{Args, value_parser};

/// Share of a core for an audit that nobody waits for.
const WATCH_CPU_SHARE: f64 = 0.1;

/// The audit.
#[derive(Args, Clone, Debug)]
pub struct AuditConfig {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = AuditFormat::Table)]
    pub format: AuditFormat,

    /// Most readings that are named one by one
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub examples: usize,

    /// Partitions that are read at a time, each with a Kafka client and a database connection
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u16).range(1..=64))]
    pub concurrency: u16,

    /// Leave out how many rows `sensor_data` has, which takes a scan of the table
    #[arg(long)]
    pub no_table_count: bool,

    /// Have later audits begin where this one ends: what it finds is known from now on
    #[arg(long, conflicts_with = "watch")]
    pub accept: bool,

    /// Go on: audit what is stored since, again and again; metrics and health on `METRICS_ADDR`
    #[arg(long)]
    pub watch: bool,

    /// How often and how fast
    #[command(flatten)]
    pub pace: AuditPaceConfig,
}

impl AuditConfig {
    /// That of the task which audits beside an api and a worker: it prints nothing and does not scan the table.
    pub fn beside(pace: AuditPaceConfig) -> Self {
        Self {
            format: AuditFormat::Table,
            examples: 0,
            concurrency: 1,
            no_table_count: true,
            accept: false,
            watch: true,
            pace,
        }
    }

    /// The share of a core that the audit may use. Somebody waits for one that ends, so nothing bounds it unless asked for.
    pub fn cpu_share(&self) -> Option<f64> {
        self.pace.audit_cpu_share.or(self.watch.then_some(WATCH_CPU_SHARE))
    }
}

/// How often an audit that goes on looks, and how fast it reads.
#[derive(Args, Clone, Copy, Debug)]
pub struct AuditPaceConfig {
    /// From the end of one round of the audit to the start of the next; an idle round costs a few queries
    #[arg(long = "test-audit-interval", env = "SENSORPIPE_TEST_AUDIT_INTERVAL", hide = true, default_value = "1min", value_parser = humantime::parse_duration)]
    pub audit_interval: Duration,

    /// Share of one core that an audit may use, the database's look-ups included: 0.1 for one that goes on, no limit
    /// for one that ends
    #[arg(long, env = "AUDIT_CPU_SHARE", value_name = "SHARE", value_parser = cpu_share)]
    pub audit_cpu_share: Option<f64>,
}

/// The audit of `all`.
#[derive(Args, Clone, Copy, Debug)]
pub struct BackgroundAuditConfig {
    /// Audit what is stored, again and again, as `audit --watch` does
    #[arg(long, env = "AUDIT", value_enum, default_value_t = BackgroundAudit::On)]
    pub audit: BackgroundAudit,

    /// How often and how fast
    #[command(flatten)]
    pub pace: AuditPaceConfig,
}

/// Whether a process audits beside its other work.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundAudit {
    /// It does.
    On,
    /// It does not; another process should.
    Off,
}

/// The form of an audit's result.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFormat {
    /// For people.
    Table,
    /// For machines: one JSON object in a line.
    Json,
}

fn cpu_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a number such as 0.1 is wanted".to_owned())?;
    if (0.001..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0.001 to 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given_words;

    fn share(flags: &[&str]) -> Result<Option<f64>, clap::Error> {
        given_words::arguments(flags).map(|audit: AuditConfig| audit.cpu_share())
    }

    #[test]
    fn an_audit_that_goes_on_has_a_budget_and_one_that_ends_has_none() {
        assert_eq!(share(&[]).unwrap(), None);
        assert_eq!(share(&["--watch"]).unwrap(), Some(WATCH_CPU_SHARE));
        assert_eq!(share(&["--watch", "--audit-cpu-share", "1"]).unwrap(), Some(1.0));
        assert_eq!(share(&["--audit-cpu-share", "0.25"]).unwrap(), Some(0.25));
        for wrong in ["0", "1.5", "-1", "NaN", "10%"] {
            assert!(share(&[&format!("--audit-cpu-share={wrong}")]).is_err(), "{wrong}");
        }
    }
}
