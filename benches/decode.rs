//! Bytes of records to readings: with our decoder, which is made on jiter, and with one made on sonic-rs.
//!
//! Against our own scanner that jiter replaced, in CPU time, the best of twelve runs each: a bare reader made on jiter 0.65
//! (1 per record) and 0.61 (100), our decoder made on it 0.95 and 1.00, for it says where JSON is broken in the scanner's
//! words and goes on behind it; a reader made on sonic-rs 0.96 and 0.71, in the median of three runs.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

mod readers;
#[expect(dead_code, reason = "each benchmark uses a part of it")]
mod records;

/// Its name, itself, and which texts it reads otherwise.
type Reader = (&'static str, readers::Read, fn(&str) -> bool);

const READERS: [Reader; 2] = [
    ("ours", readers::with_ours, |_| false),
    ("sonic-rs", readers::with_sonic::read, readers::with_sonic::loses),
];

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(records::READINGS));
    let window = records::window();
    for per_record in records::PER_RECORD {
        let payloads = records::payloads(per_record);
        for (name, read, loses) in READERS {
            readers::assert_same(name, read, loses, &payloads, &window);
            let id = BenchmarkId::new(name, format!("{per_record} per record"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    for payload in &payloads {
                        read(payload.as_bytes(), &window, &mut |decoded| {
                            black_box(&decoded);
                        });
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
