use super::{IngestConfig, Setting, StoredValue};

/// Which settings are not the defaults, with who set each of them and when, for the log.
pub fn description(config: &IngestConfig, stored: &[StoredValue]) -> String {
    let differing = Setting::ALL.into_iter().filter(|setting| setting.of(config) != setting.default_value());
    let described: Vec<String> = differing
        .map(|setting| {
            let stored = stored.iter().find(|stored| stored.name == setting.name());
            let origin = stored.map_or_else(|| "given to this process".to_owned(), StoredValue::origin);
            format!("{setting}={} ({origin})", setting.of(config))
        })
        .collect();
    if described.is_empty() { "all are the defaults".to_owned() } else { described.join(", ") }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn what_is_not_the_default_is_described_with_its_origin() {
        let config = IngestConfig { retention: "90days".parse().unwrap(), ..IngestConfig::default() };
        let stored = |name: &str, value: &str| StoredValue {
            name: name.to_owned(),
            value: value.to_owned(),
            set_at: DateTime::UNIX_EPOCH,
            set_by: "alice".to_owned(),
        };
        let both = [stored("retention", "90days"), stored("rollups", "on")];
        assert_eq!(description(&config, &both), "retention=90days (set 1970-01-01T00:00:00Z by alice)");
        assert_eq!(description(&config, &[]), "retention=90days (given to this process)");
        assert_eq!(description(&IngestConfig::default(), &both), "all are the defaults");
    }
}
