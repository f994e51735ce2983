//! Lives thousands of lives: random configurations, random faults.
//!
//! `PENSTOCK_SEED=n cargo sim` lives one of a mapping again and tells it, `PENSTOCK_FLEET=n` one of
//! a fleet; `PENSTOCK_LIVES=n` lives more.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_engine::{queue, stream};
use penstock_sim::fleet::swarm as fleets;
use penstock_sim::oracles::Violation;
use penstock_sim::swarm::{self, Failure};

/// Lives of an ordinary run.
const LIVES: u64 = 2_000;
/// Every so-manieth seed is lived twice.
const TWICE: u64 = 100;
/// Transitions that need a stream that is deleted and created anew, a message larger than any
/// event, a handler that runs for half a day: stories tell of them.
const TOLD_ELSEWHERE: [&str; 3] = ["shard:priming", "message:oversize", "visibility:ended"];
/// Seeds that once failed, each with what they found.
const SEEDS: &str = include_str!("../seeds.txt");

#[test]
fn no_life_breaks_an_invariant() {
    if let Some(seed) = number(swarm::AGAIN) {
        return one_life(swarm::tell(seed), seed);
    }
    let lives = number("PENSTOCK_LIVES").unwrap_or(LIVES);
    let kept = SEEDS
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let seeds: Vec<u64> = kept.chain(0..lives).collect();
    let (failures, reached) = live_all(&seeds, lived);
    none_failed(&failures, seeds.len());
    if lives >= LIVES {
        let all = stream::TRANSITIONS.iter().chain(queue::TRANSITIONS);
        let missed = all.filter(|tag| !reached.contains(*tag) && !TOLD_ELSEWHERE.contains(tag));
        let missed: Vec<_> = missed.collect();
        assert!(
            missed.is_empty(),
            "no seed reached these transitions: {missed:?}"
        );
    }
}

#[test]
fn no_life_of_a_fleet_breaks_an_invariant() {
    if let Some(seed) = number(fleets::AGAIN) {
        return one_life(fleets::tell(seed), seed);
    }
    let seeds: Vec<u64> = (0..number("PENSTOCK_LIVES").unwrap_or(LIVES)).collect();
    let (failures, reached) = live_all(&seeds, lived_in_fleet);
    none_failed(&failures, seeds.len());
    assert_eq!(reached, ["moved", "repeated"].into());
}

/// Says which seeds failed, and of the first how.
fn none_failed(failures: &[Failure], lives: usize) {
    let Some(first) = failures.first() else {
        return;
    };
    let others = failures.iter().skip(1);
    let others = others.map(|failure| format!("{} ({})", failure.seed, failure.violation.oracle));
    let others: Vec<String> = others.collect();
    panic!(
        "{first}\nof {lives} lives these fail too: {}",
        others.join(", ")
    );
}

/// Lives all seeds on two threads; returns what failed, by seed, and what was reached.
fn live_all(
    seeds: &[u64],
    lived: impl Fn(u64) -> Result<BTreeSet<&'static str>, Box<Failure>> + Sync,
) -> (Vec<Failure>, BTreeSet<&'static str>) {
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let reached = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let place = usize::try_from(at).expect("few seeds");
                    let Some(&seed) = seeds.get(place) else {
                        return;
                    };
                    match lived(seed) {
                        Ok(transitions) => reached.lock().unwrap().extend(transitions),
                        Err(failure) => failures.lock().unwrap().push(*failure),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort_by_key(|failure| failure.seed);
    (failures, reached.into_inner().unwrap())
}

fn lived(seed: u64) -> Result<BTreeSet<&'static str>, Box<Failure>> {
    let twice = seed.is_multiple_of(TWICE);
    let report = swarm::live(seed, twice)?;
    if twice {
        let again = swarm::live(seed, true)?;
        if again.fingerprint != report.fingerprint {
            return Err(Box::new(swarm::not_the_same(seed, swarm::AGAIN)));
        }
    }
    Ok(report.transitions)
}

/// What it reaches: leases that go from one process to another, and records that run again.
fn lived_in_fleet(seed: u64) -> Result<BTreeSet<&'static str>, Box<Failure>> {
    let twice = seed.is_multiple_of(TWICE);
    let report = fleets::live(seed, twice)?;
    if twice && fleets::live(seed, true)?.fingerprint != report.fingerprint {
        return Err(Box::new(swarm::not_the_same(seed, fleets::AGAIN)));
    }
    let moved = (report.moves > 0).then_some("moved");
    let repeated = (report.repeats > 0).then_some("repeated");
    Ok(moved.into_iter().chain(repeated).collect())
}

#[expect(
    clippy::print_stdout,
    reason = "asked for by PENSTOCK_SEED or PENSTOCK_FLEET: the story of one life"
)]
fn one_life((lines, outcome): (Vec<String>, Result<(), Violation>), seed: u64) {
    for line in &lines {
        println!("{line}");
    }
    if let Err(violation) = outcome {
        panic!(
            "seed {seed}: {} ({}): {}",
            violation.oracle, violation.invariant, violation.message
        );
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
    )
}
