//! In which form readings are answered, and how they are written in it.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, header::ACCEPT};

use crate::reading::Reading;

/// The form of an answer of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    /// A JSON object on each line, as the topic takes them.
    NdJson,
}

impl Format {
    /// The one that the client likes best. None is a page of JSON: where the client says nothing, and where it names
    /// only what there is not, for it can mostly read that too.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, None);
        for range in texts.flat_map(|text| text.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/csv" | "text/*" => Some(Self::Csv),
                "application/x-ndjson" | "application/ndjson" => Some(Self::NdJson),
                "application/json" | "application/*" | "*/*" => None,
                _ => continue,
            };
            let weight = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0));
            // Of equals, the first one said.
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::NdJson => "application/x-ndjson",
        })
    }

    /// What a file of it is called at the end.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::NdJson => "ndjson",
        }
    }

    /// What comes before the first reading.
    pub(super) fn head(self) -> &'static str {
        match self {
            Self::Csv => "sensor_id,timestamp,value\n",
            Self::NdJson => "",
        }
    }

    /// Readings, a line each.
    pub(super) fn lines(self, readings: &[Reading]) -> String {
        /// Rarely more.
        const LINE_BYTES: usize = 80;
        let mut lines = String::with_capacity(readings.len() * LINE_BYTES);
        for Reading { sensor_id, time, value } in readings {
            let value = serde_json::Number::from_f64(*value);
            let _ = match (self, value) {
                (Self::Csv, Some(value)) => writeln!(lines, "{sensor_id},{time},{value}"),
                // What others stored as NaN or infinity; JSON says null.
                (Self::Csv, None) => writeln!(lines, "{sensor_id},{time},"),
                (Self::NdJson, Some(value)) => {
                    writeln!(lines, r#"{{"sensor_id":{sensor_id},"value":{value},"timestamp":"{time}"}}"#)
                }
                (Self::NdJson, None) => {
                    writeln!(lines, r#"{{"sensor_id":{sensor_id},"value":null,"timestamp":"{time}"}}"#)
                }
            };
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Timestamp;

    fn accepted(accept: &str) -> Option<Format> {
        Format::accepted(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]))
    }

    #[test]
    fn the_client_chooses() {
        assert_eq!(Format::accepted(&HeaderMap::new()), None);
        for (accept, format) in [
            ("*/*", None),
            ("text/csv", Some(Format::Csv)),
            ("Text/CSV; charset=utf-8", Some(Format::Csv)),
            ("application/x-ndjson", Some(Format::NdJson)),
            ("application/x-ndjson;q=0.5, text/csv;q=0.9", Some(Format::Csv)),
            ("application/json, text/csv;q=0.9", None),
            ("text/csv;q=0, */*;q=0.1", None),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None),
            ("application/pdf", None),
        ] {
            assert_eq!(accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn a_reading_is_a_line() {
        let time: Timestamp = "2024-10-12T14:29:00.25Z".parse().unwrap();
        let readings = [
            Reading { sensor_id: 3, time, value: 23.0 },
            Reading { sensor_id: 3, time, value: 1e300 },
            Reading { sensor_id: 3, time, value: f64::NAN },
        ];
        assert_eq!(
            Format::Csv.lines(&readings),
            "3,2024-10-12T14:29:00.250Z,23.0\n3,2024-10-12T14:29:00.250Z,1e+300\n3,2024-10-12T14:29:00.250Z,\n"
        );
        assert_eq!(
            Format::NdJson.lines(&readings[..1]),
            "{\"sensor_id\":3,\"value\":23.0,\"timestamp\":\"2024-10-12T14:29:00.250Z\"}\n"
        );
        for line in Format::NdJson.lines(&readings).lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
