//! Latencies as percentiles.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Longest latency told apart from longer ones, in microseconds: an hour.
const MAX_MICROS: u64 = 3_600_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Which percentiles are shown, and by what name.
const SHOWN: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A distribution of latencies, bounded in memory, exact to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_MICROS, DIGITS).expect("the bounds are in order"))
    }
}

impl Latencies {
    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_micros() as u64);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share of them does not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1_000.0
    }

    fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1_000.0
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() == 0 {
            return f.write_str("none measured");
        }
        for (name, share) in SHOWN {
            write!(f, "{name} {:.1} ms, ", self.quantile_ms(share))?;
        }
        write!(f, "max {:.1} ms", self.max_ms())
    }
}

impl Serialize for Latencies {
    /// Milliseconds, and how many were measured.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Latencies", SHOWN.len() + 2)?;
        fields.serialize_field("samples", &self.count())?;
        for (name, share) in SHOWN {
            fields.serialize_field(name, &self.quantile_ms(share))?;
        }
        fields.serialize_field("max", &self.max_ms())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_in_milliseconds() {
        let mut latencies = Latencies::default();
        for millis in 1..=1_000 {
            latencies.record(Duration::from_millis(millis));
        }
        assert!((latencies.quantile_ms(0.99) - 990.0).abs() < 1.0);
        let json = serde_json::to_value(&latencies).unwrap();
        assert_eq!(json["samples"], 1_000);
        assert!((json["p50"].as_f64().unwrap() - 500.0).abs() < 1.0);
        assert_eq!(Latencies::default().to_string(), "none measured");
        assert!(latencies.to_string().starts_with("p50 500."), "{latencies}");
    }
}
