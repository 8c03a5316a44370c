//! What can be measured of a bucket, and the SQL for it.

/// The earliest reading's value, and the latest one's, of one sensor.
const FIRST: &str = "first(value, time)";
const LAST: &str = "last(value, time)";
/// The same of many sensors together: of readings at the same time, that of the smaller sensor id.
///
/// These aggregates order by one scalar: by bytes of the time, moved to where all times are positive, and of the id, with
/// the bits flipped that make a smaller id come first, or last.
const FIRST_OF_MANY: &str = "first(value, timestamptz_send(time + interval '60000000 hours')
    || int4send(sensor_id # (-2147483648)::int4))";
const LAST_OF_MANY: &str = "last(value, timestamptz_send(time + interval '60000000 hours')
    || int4send(sensor_id # 2147483647))";

/// The columns over many sensors together.
pub(super) fn of_many(columns: &str) -> String {
    columns.replace(FIRST, FIRST_OF_MANY).replace(LAST, LAST_OF_MANY)
}

/// One number about the readings of a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// How many readings.
    Count,
    /// Arithmetic mean.
    Avg,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Sum of the values.
    Sum,
    /// Sample standard deviation; one reading has none.
    Stddev,
    /// The earliest reading's value.
    First,
    /// The latest reading's value.
    Last,
    /// Third quartile less the first.
    Iqr,
    /// Between two readings, linearly interpolated: `percentile_cont`.
    Quantile(Quantile),
}

/// A share of the readings, in thousandths of a per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile(u32);

impl Quantile {
    /// Half of them.
    pub const MEDIAN: Self = Self(50_000);
    /// A quarter of them.
    pub const LOWER_QUARTILE: Self = Self(25_000);
    /// All but a quarter.
    pub const UPPER_QUARTILE: Self = Self(75_000);
    const WHOLE: u32 = 100_000;

    /// From per cent, `0` to `100` with at most three decimals, written in one way only.
    pub fn from_percent(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = is_number(whole)
            && is_number(decimals)
            && (1..=3).contains(&whole.len())
            && decimals.len() <= 3
            && (whole.len() == 1 || !whole.starts_with('0'))
            && !text.ends_with('.')
            && (decimals.is_empty() || !decimals.ends_with('0'));
        if !is_plain {
            return None;
        }
        let share: u32 = format!("{whole}{decimals:0<3}").parse().ok()?;
        (share <= Self::WHOLE).then_some(Self(share))
    }

    /// From 0 to 1: the double that is written so in SQL.
    pub(super) fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl Measure {
    /// The measure of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "sum" => Self::Sum,
            "stddev" => Self::Stddev,
            "first" => Self::First,
            "last" => Self::Last,
            "median" => Self::Quantile(Quantile::MEDIAN),
            "iqr" => Self::Iqr,
            _ => Self::Quantile(Quantile::from_percent(name.strip_prefix('p')?)?),
        })
    }

    /// The aggregate for it, unless [`Columns`] has it anyway or works it out of quantiles.
    pub(super) fn aggregate(self) -> Option<&'static str> {
        Some(match self {
            Self::Avg => "avg(value)",
            Self::Min => "min(value)",
            Self::Max => "max(value)",
            Self::Sum => "sum(value)",
            Self::Stddev => "stddev_samp(value)",
            Self::First => FIRST,
            Self::Last => LAST,
            Self::Count | Self::Iqr | Self::Quantile(_) => return None,
        })
    }

    /// Whether its aggregate adds up values, and so may overflow.
    pub(super) fn adds_up(self) -> bool {
        matches!(self, Self::Avg | Self::Sum | Self::Stddev)
    }
}

/// From here on values are huge. Below it nothing that adds up overflows, not even the squares of 2^30 readings' sums.
pub(super) const HUGE: f64 = 3e144;

/// What a query selects for a list of measures: `reading_count`, `aggregates`, `quantiles`.
#[derive(Debug)]
pub(super) struct Columns {
    measures: Vec<Measure>,
    quantiles: Vec<Quantile>,
}

impl Columns {
    pub(super) fn new(measures: &[Measure]) -> Self {
        let mut quantiles = Vec::new();
        let mut need = |quantile| {
            if !quantiles.contains(&quantile) {
                quantiles.push(quantile);
            }
        };
        for measure in measures {
            match measure {
                Measure::Quantile(quantile) => need(*quantile),
                Measure::Iqr => {
                    need(Quantile::LOWER_QUARTILE);
                    need(Quantile::UPPER_QUARTILE);
                }
                _ => {}
            }
        }
        Self { measures: measures.to_vec(), quantiles }
    }

    /// The quantiles that the measures need, in the order in which [`Self::values`] takes them.
    pub(super) fn quantiles(&self) -> &[Quantile] {
        &self.quantiles
    }

    /// Made of words of ours alone, never of a client's text.
    pub(super) fn sql(&self) -> String {
        let aggregates = self.aggregates(|measure| measure.aggregate().map(ToOwned::to_owned));
        let quantiles = self.percentiles("value");
        format!("count(*) AS reading_count, {aggregates} AS aggregates, {quantiles} AS quantiles")
    }

    /// The same for any values, without an error: what adds up leaves out huge values, `has_huge` says whether there are
    /// any, and `halved_quantiles` are those of halves, whose distance is always a double. Values below 1, whose halves
    /// may be none, are 0 there: nothing beside them is that far away.
    pub(super) fn sql_of_any(&self) -> String {
        let aggregates = self.aggregates(|measure| {
            let aggregate = measure.aggregate()?;
            let not_huge = format!("{aggregate} FILTER (WHERE abs(value) < {HUGE:e})");
            Some(if measure.adds_up() { not_huge } else { aggregate.to_owned() })
        });
        let quantiles = self.percentiles("value");
        let halved = self.percentiles("CASE WHEN abs(value) >= 1 THEN value / 2 ELSE 0 END");
        format!(
            "count(*) AS reading_count, {aggregates} AS aggregates, {quantiles} AS quantiles,
             {halved} AS halved_quantiles, bool_or(NOT abs(value) < {HUGE:e}) AS has_huge"
        )
    }

    fn aggregates(&self, sql: impl Fn(Measure) -> Option<String>) -> String {
        let aggregates: Vec<String> = self.measures.iter().copied().filter_map(sql).collect();
        format!("ARRAY[{}]::float8[]", aggregates.join(","))
    }

    fn percentiles(&self, of: &str) -> String {
        if self.quantiles.is_empty() {
            // Without it nothing has to be sorted.
            return "'{}'::float8[]".to_owned();
        }
        let fractions: Vec<String> = self.quantiles.iter().map(|one| one.fraction().to_string()).collect();
        format!("percentile_cont(ARRAY[{}]::float8[]) WITHIN GROUP (ORDER BY {of})", fractions.join(","))
    }

    /// The measures' values out of a row, in the order in which they were asked for. JSON has neither infinity nor
    /// NaN: what is no number of its own is none.
    pub(super) fn values(
        &self,
        count: i64,
        aggregates: &[Option<f64>],
        quantiles: &[Option<f64>],
    ) -> Vec<Option<f64>> {
        let mut aggregates = aggregates.iter();
        let quantile = |wanted: Quantile| {
            let place = self.quantiles.iter().position(|&quantile| quantile == wanted)?;
            quantiles.get(place).copied().flatten()
        };
        let value = |measure: &Measure| match measure {
            Measure::Count => Some(count as f64),
            Measure::Iqr => Some(quantile(Quantile::UPPER_QUARTILE)? - quantile(Quantile::LOWER_QUARTILE)?),
            Measure::Quantile(wanted) => quantile(*wanted),
            Measure::Avg
            | Measure::Min
            | Measure::Max
            | Measure::Sum
            | Measure::Stddev
            | Measure::First
            | Measure::Last => aggregates.next().copied().flatten(),
        };
        self.measures.iter().map(value).map(|value| value.filter(|value| value.is_finite())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_written_in_one_way() {
        for (text, fraction) in [
            ("0", 0.0),
            ("5", 0.05),
            ("95", 0.95),
            ("99.9", 0.999),
            ("99.999", 0.99999),
            ("0.5", 0.005),
            ("100", 1.0),
        ] {
            let quantile = Quantile::from_percent(text).unwrap();
            assert!(
                quantile.fraction().to_bits() == f64::to_bits(fraction),
                "{text}: {}",
                quantile.fraction()
            );
        }
        for text in ["", ".", ".5", "5.", "05", "5.0", "100.1", "101", "1000", "-1", "1e1", "99.9999", "٣"] {
            assert_eq!(Quantile::from_percent(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_computed() {
        let columns = Columns::new(&[Measure::Count, Measure::Min]);
        assert_eq!(
            columns.sql(),
            "count(*) AS reading_count, ARRAY[min(value)]::float8[] AS aggregates, '{}'::float8[] AS quantiles"
        );
        assert_eq!(columns.values(3, &[Some(1.5)], &[]), [Some(3.0), Some(1.5)]);
    }

    #[test]
    fn a_quantile_is_asked_for_once() {
        let names = ["iqr", "median", "p75", "first"];
        let columns = Columns::new(&names.map(|name| Measure::named(name).unwrap()));
        assert!(columns.sql().contains("percentile_cont(ARRAY[0.25,0.75,0.5]::float8[])"));
        let values = columns.values(9, &[Some(7.0)], &[Some(1.0), Some(4.0), Some(2.0)]);
        assert_eq!(values, [Some(3.0), Some(2.0), Some(4.0), Some(7.0)]);
    }

    #[test]
    fn what_json_cannot_say_is_none() {
        let columns = Columns::new(&[Measure::Max, Measure::Iqr, Measure::Stddev]);
        let values = columns.values(1, &[Some(f64::NAN), None], &[Some(f64::MIN), Some(f64::MAX)]);
        assert_eq!(values, [None, None, None]);
        assert_eq!(Measure::named("p101"), None);
        assert_eq!(Measure::named("mode"), None);
    }
}
