//! A duration in one form, as an operator would write it.

use std::time::Duration;

/// In the largest unit of which it is a whole number: `90days`, `36h`. `humantime` would make months of it.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 || duration.subsec_nanos() > 0 {
        return humantime::format_duration(duration).to_string();
    }
    let units = [(86_400, "day"), (3_600, "h"), (60, "min"), (1, "s")];
    let (unit_seconds, unit) =
        units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "s"));
    let plural = if unit == "day" && seconds > unit_seconds { "s" } else { "" };
    format!("{}{unit}{plural}", seconds / unit_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_what_it_came_from() {
        for text in ["0s", "250ms", "5s", "90s", "2min", "36h", "1day", "90days", "36500days", "1s 500ms"] {
            let duration = humantime::parse_duration(text).unwrap();
            assert_eq!(duration_text(duration), text);
        }
    }
}
