//! Inputs of the grammar, held against the reference.

use proptest::{prelude::*, sample::select};

use crate::{grammar, targets};

/// As many as a few seconds allow, unless `PROPTEST_CASES` says how many.
pub(crate) fn cases() -> ProptestConfig {
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 20_000 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn records(payload in grammar::spoilt(grammar::record())) {
        targets::decode::check(&payload);
    }

    #[test]
    fn bodies_of_one_sensor(body in grammar::spoilt(prop_oneof![
        grammar::reading(false).boxed(),
        grammar::batch(false).boxed(),
    ])) {
        targets::sensor_data::check(&body);
    }

    #[test]
    fn bodies_of_many_sensors(
        form in 0_u8..2,
        cuts in any::<u8>(),
        body in grammar::spoilt(grammar::items()),
    ) {
        targets::readings::check(&[&[form, cuts][..], &body].concat());
    }

    #[test]
    fn times(text in grammar::spoilt(grammar::time())) {
        targets::timestamps::check(&text);
    }

    #[test]
    fn numbers(text in grammar::spoilt(grammar::number())) {
        targets::timestamps::check(&text);
    }

    #[test]
    fn any_microsecond(micros in any::<i64>(), fewer in 0_u32..20) {
        targets::timestamps::check(&(micros / 10_i64.pow(fewer.min(18))).to_le_bytes());
    }

    #[test]
    fn query_strings(
        start in grammar::time(),
        length_s in 0_i64..4_000_000,
        bucket in select(sensorpipe::buckets::Bucket::names().collect::<Vec<_>>()),
        zone in select(sensorpipe::buckets::Zone::names().collect::<Vec<_>>()),
        rest in grammar::spoilt(select(vec![
            "&measures=avg,p99.9,median&fill=linear", "&measures=p05", "&limit=10&order=asc", "&limit=0", "",
            "&after=AAYkSHPXUQA", "&after=AAYkSHPXUQB", "&end=9999-12-31", "&bucket=1year", "&timezone=Mars",
        ]).prop_map(str::to_owned)),
    ) {
        let end = start.parse::<sensorpipe::reading::Timestamp>()
            .map_or_else(|_| start.clone(), |start| start.plus_micros(length_s * 1_000_000).to_string());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("start", &start).append_pair("end", &end)
            .append_pair("bucket", bucket).append_pair("timezone", &zone)
            .finish();
        targets::queries::check(&[query.as_bytes(), &rest].concat());
    }

    #[test]
    fn header_values(lines in grammar::spoilt(prop_oneof![
        "(return=minimal, ?)?[Ww]ait ?= ?\"?[0-9]{1,25}\"?(; ?x=y)?(, wait=3)?".boxed(),
        "[0-9a-f]{2}-[0-9a-f]{32}-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}(-[a-z-]{0,9})?".boxed(),
        "[0-9]{1,12}\n[0-9]{1,22}".boxed(),
        "[ -~]{0,140}(\n[ -~]{0,300}){0,3}".boxed(),
    ])) {
        targets::headers::check(&lines);
    }
}
