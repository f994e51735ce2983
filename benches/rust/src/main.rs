//! Runs one fixed piece of the hot path so many times, to be counted from outside.
//!
//! `penstock-count WORKLOAD TIMES` prints the allocations that the runs made, and the nanoseconds
//! that they took, for people: nothing is held to those. Instructions are what
//! callgrind sees of it: the difference of two runs with different TIMES, so that start-up is in
//! neither. `benches/budgets.toml` says how much of either is allowed.
#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod allocations;
mod life;
mod pages;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use penstock_engine::config::MappingConfig;
use penstock_engine::event::json::{CountingSink, JsonSink};
use penstock_engine::event::{self, EventContext};
use penstock_engine::filter;
use penstock_engine::ids::ShardId;
use penstock_engine::record::{Batch, RecordRef};

use crate::allocations::COUNTER;
use crate::life::Life;

/// Pages that a life is fed with at most.
const PAGES: u32 = 8;

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workload, times] = arguments.as_slice() else {
        return Err("usage: penstock-count WORKLOAD TIMES".to_owned());
    };
    let times: u32 = times.parse().map_err(|_| format!("{times} is no number"))?;
    let made = match workload.split_once('/') {
        Some(("engine", records)) => engine(count(records)?, times),
        Some(("json", records)) => sink(count(records)?, times, write),
        Some(("size", records)) => sink(count(records)?, times, measure),
        Some(("filter", records)) => filter(count(records)?, times, &life::filtering()),
        Some(("unfiltered", records)) => filter(count(records)?, times, &life::config()),
        _ => return Err(format!("there is no workload {workload}")),
    };
    let Cost {
        allocations,
        nanoseconds,
    } = made;
    println!("{{\"allocations\": {allocations}, \"nanoseconds\": {nanoseconds}}}");
    Ok(())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| format!("{text} is no number of records"))
}

/// What runs took.
struct Cost {
    allocations: u64,
    nanoseconds: u128,
}

fn cost(runs: impl FnOnce()) -> Cost {
    let (before, start) = (COUNTER.made(), Instant::now());
    runs();
    Cost {
        nanoseconds: start.elapsed().as_nanos(),
        allocations: COUNTER.made() - before,
    }
}

/// Batches from their fetch to their checkpoint.
fn engine(records: usize, times: u32) -> Cost {
    let mut life = Life::begin();
    // Always as many, so that making them is not in the difference of two runs.
    let pages: Vec<_> = (0..PAGES).map(|nth| pages::page(nth, records)).collect();
    assert!(times <= PAGES, "there are pages for {PAGES} times");
    cost(|| {
        for page in pages.iter().take(times as usize).cloned() {
            assert_eq!(life.deliver(page), records, "a batch holds the whole page");
        }
    })
}

/// Pages on their way past a mapping's filters.
fn filter(records: usize, times: u32, config: &MappingConfig) -> Cost {
    let shard = ShardId::new("shardId-000000000000");
    let context = EventContext {
        shard: &shard,
        config,
    };
    let page = pages::orders(records);
    cost(|| {
        for _ in 0..times {
            let passed = black_box(filter::mark(black_box(page.clone()), &context));
            assert!(Arc::ptr_eq(&passed, &page), "every record passes");
        }
    })
}

fn sink(records: usize, times: u32, each: impl Fn(&EventContext<'_>, &Batch)) -> Cost {
    let config = life::config();
    let shard = ShardId::new("shardId-000000000000");
    let context = EventContext {
        shard: &shard,
        config: &config,
    };
    let page = pages::page(0, records);
    let records = 0..page.facts().len() as u32;
    let batch = Batch {
        pages: vec![page],
        records: records.map(|index| RecordRef { page: 0, index }).collect(),
    };
    cost(|| {
        for _ in 0..times {
            each(&context, &batch);
        }
    })
}

fn write(context: &EventContext<'_>, batch: &Batch) {
    let mut sink = JsonSink::with_capacity(1 << 24);
    let Ok(()) = event::walk(context, batch, &mut sink);
    black_box(sink.into_bytes());
}

fn measure(context: &EventContext<'_>, batch: &Batch) {
    let mut sink = CountingSink::default();
    let Ok(()) = event::walk(context, batch, &mut sink);
    black_box(sink.bytes());
}
