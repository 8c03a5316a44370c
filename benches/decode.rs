//! Bytes of records to readings.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sensorpipe::reading::{
    Timestamp,
    decode::{decode, time_by_place},
};

#[expect(dead_code, reason = "each benchmark uses a part of it")]
mod records;

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(records::READINGS));
    for per_record in records::PER_RECORD {
        let payloads = records::payloads(per_record);
        let (window, received) = (records::window(), Timestamp::from_micros(0));
        group.bench_function(BenchmarkId::from_parameter(format!("{per_record} per record")), |bencher| {
            bencher.iter(|| {
                for payload in &payloads {
                    decode(payload.as_bytes(), &mut time_by_place(received), &window, &mut |decoded| {
                        black_box(&decoded);
                    });
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
