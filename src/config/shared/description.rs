use super::{IngestConfig, Setting, StoredValue};

/// Which settings are not the defaults, with who set each of them and when, for the log.
pub fn description(config: &IngestConfig, stored: &[StoredValue]) -> String {
    let differing = Setting::ALL.into_iter().filter(|setting| setting.of(config) != setting.default_value());
    let described: Vec<String> = differing
        .map(|setting| {
            let stored = StoredValue::of(stored, setting);
            let origin = stored.map_or_else(|| "given to this process".to_owned(), StoredValue::origin);
            format!("{setting}={} ({origin})", setting.of(config))
        })
        .collect();
    if described.is_empty() { "all are the defaults".to_owned() } else { described.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_default_is_described_with_its_origin() {
        let config = IngestConfig { retention: "90days".parse().unwrap(), ..IngestConfig::default() };
        let both = [StoredValue::by_alice("retention", "90days"), StoredValue::by_alice("rollups", "on")];
        assert_eq!(description(&config, &both), "retention=90days (set 1970-01-01T00:00:00Z by alice)");
        assert_eq!(description(&config, &[]), "retention=90days (given to this process)");
        assert_eq!(description(&IngestConfig::default(), &both), "all are the defaults");
    }
}
