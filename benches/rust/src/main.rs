//! Runs one fixed piece of the hot path so many times, to be counted from outside.
//!
//! `penstock-count WORKLOAD TIMES` prints the allocations that the runs made, and the nanoseconds
//! that they took, for people: nothing is held to those. Instructions are what
//! callgrind sees of it: the difference of two runs with different TIMES, so that start-up is in
//! neither. `benches/budgets.toml` says how much of either is allowed.
#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod allocations;

use std::time::Instant;

use penstock_benches::life;
use penstock_benches::work::{Delivering, Encoding, Filtering};
use penstock_engine::config::MappingConfig;

use crate::allocations::COUNTER;

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
        Some(("json", records)) => sink(count(records)?, times, Encoding::write),
        Some(("size", records)) => sink(count(records)?, times, Encoding::measure),
        Some(("filter", records)) => filter(count(records)?, times, life::filtering()),
        Some(("unfiltered", records)) => filter(count(records)?, times, life::config()),
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
    assert!(times <= PAGES, "there are pages for {PAGES} times");
    // Always as many, so that making them is not in the difference of two runs.
    let mut work = Delivering::of(PAGES, records);
    cost(|| (0..times).for_each(|_| work.next()))
}

/// Pages on their way past a mapping's filters.
fn filter(records: usize, times: u32, config: MappingConfig) -> Cost {
    let work = Filtering::of(records, config);
    cost(|| (0..times).for_each(|_| work.run()))
}

fn sink(records: usize, times: u32, each: impl Fn(&Encoding)) -> Cost {
    let work = Encoding::of(records);
    cost(|| (0..times).for_each(|_| each(&work)))
}
