//! Runs every case of `tests/conformance` against the engine, in virtual time.
//!
//! Rules: each case is run and each difference is said; `PENSTOCK_CONFORMANCE` names a folder that
//! the counts by feature are written to, for the table of `make conformance`.

mod case;
mod judge;
mod perform;
mod queue;
mod stage;
mod stream;
mod windows;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::Path;

use penstock_engine::config::document;
use penstock_engine::mutants::{self, Mutant};
use serde_json::{Value, json};

use case::{Case, Step};
use stage::Stage;

#[test]
fn the_engine_does_what_every_case_says() {
    let only = std::env::var("PENSTOCK_CASE").ok();
    let wanted = |case: &&Case| {
        only.as_ref()
            .is_none_or(|only| case.name.contains(only.as_str()))
    };
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut failures = Vec::new();
    for (feature, cases) in case::read_all() {
        let ours = cases
            .iter()
            .filter(|case| case.runners.iter().any(|runner| runner == "engine"));
        for case in ours.filter(wanted) {
            let [all, passed] = counts.entry(feature.clone()).or_default();
            let wrong = run(case);
            *all += 1;
            *passed += usize::from(wrong.is_empty());
            if !wrong.is_empty() {
                failures.push(format!(
                    "{feature}: {}\n    {}",
                    case.name,
                    wrong.join("\n    ")
                ));
            }
        }
    }
    if let Ok(folder) = std::env::var("PENSTOCK_CONFORMANCE") {
        std::fs::write(
            Path::new(&folder).join("engine.json"),
            json!(counts).to_string(),
        )
        .unwrap();
    }
    assert!(!counts.is_empty(), "there are no cases");
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} cases fail:\n\n{}",
        failures.join("\n\n")
    );
}

#[test]
fn names_are_given_once() {
    let mut names: Vec<String> = case::read_all()
        .into_values()
        .flatten()
        .map(|case| case.name)
        .collect();
    names.sort();
    let twice: Vec<&[String]> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// Bugs that cases with nothing in the way of time can see; `tests/mutants.rs` has all of them.
const SEEN: [Mutant; 30] = [
    Mutant::CheckpointAtHighestFinished,
    Mutant::CheckpointAtRead,
    Mutant::SplitCharged,
    Mutant::RightHalfFirst,
    Mutant::TailDropped,
    Mutant::ChildBeforeParent,
    Mutant::CheckpointBeforeDelivery,
    Mutant::AdvanceThoughWriteFailed,
    Mutant::RetryDeadlineForgotten,
    Mutant::LaneHashChanged,
    Mutant::TwoInvocationsForKey,
    Mutant::SegmentLost,
    Mutant::ResponseIndexShifted,
    Mutant::AgeIgnored,
    Mutant::RetriesUnbounded,
    Mutant::ExpiredEndsShard,
    Mutant::FenceNotRaised,
    Mutant::AttemptsForgotten,
    Mutant::ThrottleCharged,
    Mutant::EndBeforeSettled,
    Mutant::DrainWithoutSave,
    Mutant::DeleteBeforeSuccess,
    Mutant::VisibilityForgotten,
    Mutant::FailedGivenBackAtOnce,
    Mutant::GapDeletedInStrict,
    Mutant::PartialInverted,
    Mutant::FilteredKept,
    Mutant::ConcurrencyIgnored,
    Mutant::NeverGivenBack,
    Mutant::GroupOvertaken,
];
/// Bugs of tumbling windows, which cases with windows see.
const SEEN_IN_WINDOWS: [Mutant; 5] = [
    Mutant::StateAheadOfCheckpoint,
    Mutant::StateOfFailedKept,
    Mutant::PartialStateKept,
    Mutant::ShardEndForgetsWindow,
    Mutant::WindowClosedTwice,
];

#[test]
fn the_cases_see_planted_bugs() {
    let cases: Vec<Case> = case::read_all().into_values().flatten().collect();
    let sees = |case: &Case| {
        case.runners.iter().any(|runner| runner == "engine")
            && catch_unwind(|| run(case)).map_or(true, |wrong| !wrong.is_empty())
    };
    let windowed = |case: &&Case| case.config.contains_key("TumblingWindowInSeconds");
    let (windows, others): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(windowed);
    let planted = [(&SEEN[..], others), (&SEEN_IN_WINDOWS[..], windows)];
    let mut unseen: Vec<Mutant> = Vec::new();
    for (mutants, cases) in planted {
        unseen.extend(mutants.iter().filter(|mutant| {
            let _planted = mutants::plant(**mutant);
            !cases.iter().any(|case| sees(case))
        }));
    }
    assert_eq!(unseen, []);
}

fn run(case: &Case) -> Vec<String> {
    if let Some(refusal) = &case.refused {
        return refused(case, refusal);
    }
    let mut wrong = Vec::new();
    match Stage::new(case) {
        Err(mishap) => wrong.push(mishap),
        Ok(mut stage) => {
            for (at, step) in case.steps.iter().enumerate() {
                if let Err(mishap) = stage.step(step) {
                    wrong.push(format!("step {at}: {mishap}"));
                    break;
                }
                if let Step::Expect(expect) = step {
                    let found = stage.judge(expect).into_iter();
                    wrong.extend(found.map(|each| format!("step {at}: {each}")));
                }
            }
            let expect = case.expect.as_ref().expect("a case expects something");
            wrong.extend(stage.judge(expect));
        }
    }
    wrong
}

fn refused(case: &Case, refusal: &case::Refusal) -> Vec<String> {
    let mut whole: Value = stage::base(case);
    stage::merge(&mut whole, &case.config);
    match document::normalize(whole.to_string().as_bytes()) {
        Ok(_) => vec!["the document is accepted".to_owned()],
        Err(error) if error.path == refusal.path && error.message == refusal.message => Vec::new(),
        Err(error) => vec![format!(
            "it is refused at {}: {}",
            error.path, error.message
        )],
    }
}
