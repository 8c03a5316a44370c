//! A batch: filled with records, sorted for the database, one reading of each key picked.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sensorpipe::{
    batch::{Batch, distinct, sort_for_chunks},
    reading::{OnDuplicate, Window, untimed::GivenTimes},
};

mod records;

const CHUNK_MICROS: i64 = 7 * 86_400_000_000;

fn benchmark(criterion: &mut Criterion) {
    let window = records::window();
    for per_record in records::PER_RECORD {
        let payloads = records::payloads(per_record);
        let mut group = criterion.benchmark_group("batch");
        group.throughput(Throughput::Elements(records::READINGS));
        let name = |step| BenchmarkId::new(step, format!("{per_record} per record"));
        let mut batch = records::batch();
        group.bench_function(name("push"), |bencher| {
            bencher.iter(|| fill(&mut batch, &payloads, &window));
        });
        let sort = |batch: &Batch| {
            let mut rows = batch.rows().to_vec();
            sort_for_chunks(&mut rows, CHUNK_MICROS);
            rows
        };
        group.bench_function(name("sort"), |bencher| {
            bencher.iter(|| black_box(sort(&batch)));
        });
        let sorted = sort(&batch);
        group.bench_function(name("distinct"), |bencher| {
            bencher.iter(|| black_box(distinct(&batch, &sorted, OnDuplicate::Ignore)));
        });
        group.finish();
    }
}

fn fill(batch: &mut Batch, payloads: &[String], window: &Window) {
    batch.clear();
    let mut given = GivenTimes::default();
    for (offset, payload) in (0..).zip(payloads) {
        batch.push(&records::record(payload, offset), offset, window, &mut given);
    }
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
