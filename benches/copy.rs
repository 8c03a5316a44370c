//! Rows to the bytes of a COPY.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sensorpipe::{reading::untimed::GivenTimes, store::encode_rows};

mod records;

/// Rows that go in one message.
const ROWS_PER_MESSAGE: usize = 4_096;

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("copy");
    group.throughput(Throughput::Elements(records::READINGS));
    for per_record in records::PER_RECORD {
        let window = records::window();
        let mut batch = records::batch();
        let mut given = GivenTimes::default();
        for (offset, payload) in (0..).zip(&records::payloads(per_record)) {
            batch.push(&records::record(payload, offset), offset, &window, &mut given);
        }
        let mut message = Vec::new();
        group.bench_function(BenchmarkId::from_parameter(format!("{per_record} per record")), |bencher| {
            bencher.iter(|| {
                for rows in batch.rows().chunks(ROWS_PER_MESSAGE) {
                    message.clear();
                    encode_rows(rows, &mut message);
                    black_box(message.as_slice());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
