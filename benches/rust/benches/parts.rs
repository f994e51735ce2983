//! Times the parts of the hot path that are pure computing, by criterion: `make bench-parts`.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use penstock_benches::life;
use penstock_benches::work::{Delivering, Encoding, Filtering};

const RECORDS: usize = 10_000;

/// Batches from their fetch to their checkpoint, of several sizes.
fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    for records in [1, 100, RECORDS] {
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.iter_batched_ref(
                || Delivering::of(1, records),
                Delivering::next,
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// Events as text, and their bytes counted.
fn events(criterion: &mut Criterion) {
    let encoding = Encoding::of(RECORDS);
    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("text", |bencher| bencher.iter(|| encoding.write()));
    group.bench_function("bytes", |bencher| bencher.iter(|| encoding.measure()));
    group.finish();
}

/// Filters over documents of one kibibyte.
fn filters(criterion: &mut Criterion) {
    let two_fields = Filtering::of(RECORDS, life::filtering());
    let none = Filtering::of(RECORDS, life::config());
    let mut group = criterion.benchmark_group("filter");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("two fields", |bencher| bencher.iter(|| two_fields.run()));
    group.bench_function("none", |bencher| bencher.iter(|| none.run()));
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default().sample_size(20);
    targets = engine, events, filters
}
criterion_main!(parts);
