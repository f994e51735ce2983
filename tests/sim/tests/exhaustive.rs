//! Tries every small case of bisection and partial answers against a reference of its own.
//!
//! The reference is section by section what AWS's documents and recorded traces say of one lane;
//! it shares no line with the engine nor with the simulator's model.

use std::cell::RefCell;
use std::rc::Rc;

use penstock_engine::config::MappingConfig;
use penstock_engine::io::{Outcome, Report};
use penstock_sim::options;
use penstock_sim::queue::options as queues;
use penstock_sim::queue::story::QueueStory;
use penstock_sim::story::{Discarded, Story};
use penstock_sim::workers::{Answer, Call, error};

/// What a handler does with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Succeed,
    Raise,
    Unusable,
    FailFrom(usize),
}

/// What one run came to: the calls, as places from and to, and what was given up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Run {
    calls: Vec<(usize, usize)>,
    discards: Vec<(usize, usize, u32, Option<&'static str>)>,
}

/// The rules of one lane, as a stack of units.
fn reference(
    records: usize,
    config: &MappingConfig,
    mut handler: impl FnMut(usize, usize) -> Act,
) -> Run {
    let mut run = Run::default();
    let mut stack = vec![(0, records, 0)];
    while let Some((from, to, attempts)) = stack.pop() {
        run.calls.push((from, to));
        let error = match handler(from, to) {
            Act::Succeed => continue,
            Act::FailFrom(first) if first > 0 => {
                stack.push((from + first, to, 0));
                continue;
            }
            Act::Raise => Some("Unhandled"),
            Act::Unusable | Act::FailFrom(_) => None,
        };
        if config.bisect && to - from > 1 {
            let middle = from + (to - from) / 2;
            stack.push((middle, to, 0));
            stack.push((from, middle, 0));
        } else if config
            .maximum_retry_attempts
            .is_some_and(|retries| attempts + 1 > retries)
        {
            run.discards.push((from, to, attempts + 1, error));
        } else {
            stack.push((from, to, attempts + 1));
        }
    }
    run
}

/// The same, lived by the engine.
fn lived(
    records: usize,
    config: &MappingConfig,
    mut handler: impl FnMut(usize, usize) -> Act + 'static,
) -> Run {
    let story = Story::with(config.clone(), 1, move |call: &Call| {
        let (from, to) = (
            call.records[0].place,
            call.records[call.records.len() - 1].place + 1,
        );
        match handler(from, to) {
            Act::Succeed => Answer::success(),
            Act::Raise => Answer::raise(),
            Act::Unusable => Outcome::Returned(Report::Unusable).into(),
            Act::FailFrom(first) => Answer::failed_from(first),
        }
    });
    let mut story = story.untold();
    story.put((0..records).map(|_| 1)).start().rest();
    let calls = story.calls();
    let ends = |call: &Vec<usize>| (call[0], call[call.len() - 1] + 1);
    let discards = story.documents().into_iter().map(|document| {
        let Discarded {
            first,
            last,
            count,
            function_error,
            condition,
        } = document;
        assert_eq!(condition, "RetryAttemptsExhausted");
        let error = function_error.expect("it was answered or has raised");
        let error = error.map(|error| {
            assert_eq!(error, "Unhandled");
            "Unhandled"
        });
        (first, last + 1, u32::try_from(count).unwrap(), error)
    });
    let mut run = Run {
        calls: calls.iter().map(ends).collect(),
        discards: discards.collect(),
    };
    // Documents of one moment reach the destination in an order that the world draws.
    run.discards.sort_unstable();
    run
}

fn config(retries: u32, bisect: bool, partial: bool) -> MappingConfig {
    MappingConfig {
        maximum_retry_attempts: Some(retries),
        bisect,
        partial_response: partial,
        on_failure: options::destination(),
        ahead_records_max: 100_000,
        batch_size: 10_000,
        ..options::plain()
    }
}

fn every_config() -> impl Iterator<Item = MappingConfig> {
    let retries = 0..=2;
    retries.flat_map(|retries| {
        [(false, false), (false, true), (true, false), (true, true)]
            .map(|(bisect, partial)| config(retries, bisect, partial))
    })
}

/// Fails when a poison record is there: by raising, or by reporting the first one.
fn poisoned(poison: u32, reports: bool) -> impl FnMut(usize, usize) -> Act + Clone + 'static {
    move |from, to| match (from..to).find(|place| poison & (1 << place) != 0) {
        None => Act::Succeed,
        Some(first) if reports => Act::FailFrom(first - from),
        Some(_) => Act::Raise,
    }
}

#[test]
fn every_poison_subset_up_to_six_records_is_isolated_as_the_rules_say() {
    for config in every_config() {
        for records in 1..=6 {
            for poison in 0..1u32 << records {
                let ways = if config.partial_response { 2 } else { 1 };
                for reports in [false, true].into_iter().take(ways) {
                    let expected = reference(records, &config, poisoned(poison, reports));
                    let run = lived(records, &config, poisoned(poison, reports));
                    assert_eq!(
                        run, expected,
                        "{records} records, poison {poison:b}: {config:?}"
                    );
                    if config.bisect {
                        let given_up: u32 = run
                            .discards
                            .iter()
                            .flat_map(|(from, to, ..)| *from..*to)
                            .map(|place| 1 << place)
                            .sum();
                        assert_eq!(given_up, poison, "bisection gives up exactly the poison");
                    }
                }
            }
        }
    }
}

/// Answers the first calls as the digits of `number` say, and the others with success.
fn scripted(number: usize, calls: usize, partial: bool) -> impl FnMut(usize, usize) -> Act {
    let mut left = calls;
    let mut number = number;
    move |from, to| {
        if left == 0 {
            return Act::Succeed;
        }
        left -= 1;
        let records = to - from;
        let choices = if partial { 3 + records } else { 2 };
        let choice = number % choices;
        number /= choices;
        match choice {
            0 => Act::Succeed,
            1 => Act::Raise,
            2 => Act::Unusable,
            from => Act::FailFrom(from - 3),
        }
    }
}

#[test]
fn every_answer_to_every_early_call_has_the_outcome_of_the_rules() {
    for config in every_config() {
        for records in 1..=6usize {
            let depth = if records <= 3 { 4 } else { 3 };
            let choices = if config.partial_response {
                3 + records
            } else {
                2
            };
            for number in 0..choices.pow(depth) {
                let calls = depth as usize;
                let script = || scripted(number, calls, config.partial_response);
                let expected = reference(records, &config, script());
                assert_eq!(
                    lived(records, &config, script()),
                    expected,
                    "{records} records, answers {number}: {config:?}"
                );
            }
        }
    }
}

/// The traces that were recorded natively: record 2 of 4 is poison.
#[test]
fn recorded_traces_come_out_as_recorded() {
    let raise = poisoned(0b10, false);
    let report = poisoned(0b10, true);
    let all = (0, 4);
    let run = lived(4, &config(2, false, false), raise.clone());
    assert_eq!(run.calls, [all, all, all]);
    assert_eq!(run.discards, [(0, 4, 3, Some("Unhandled"))]);

    let run = lived(4, &config(1, true, false), raise);
    assert_eq!(run.calls, [all, (0, 2), (0, 1), (1, 2), (1, 2), (2, 4)]);
    assert_eq!(run.discards, [(1, 2, 2, Some("Unhandled"))]);

    let run = lived(4, &config(1, false, true), report.clone());
    assert_eq!(run.calls, [all, (1, 4), (1, 4)]);
    assert_eq!(run.discards, [(1, 4, 2, None)]);

    let run = lived(4, &config(1, true, true), report);
    assert_eq!(run.calls, [all, (1, 4), (1, 2), (1, 2), (2, 4)]);
    assert_eq!(run.discards, [(1, 2, 2, None)]);

    let run = lived(4, &config(0, false, true), |_, _| Act::Unusable);
    assert_eq!(run.calls, [all]);
    assert_eq!(run.discards, [(0, 4, 1, None)]);

    let run = lived(3, &config(3, false, true), poisoned(0b100, true));
    assert_eq!(run.calls, [(0, 3), (2, 3), (2, 3), (2, 3), (2, 3)]);
    assert_eq!(run.discards, [(2, 3, 4, None)]);
}

/// At most 2⌈log₂ n⌉ + 1 + R calls for one poison record, wherever it stands, and exactly that
/// record given up.
#[test]
fn one_poison_record_costs_what_was_promised() {
    for (records, step) in [(100usize, 1usize), (1_000, 97), (10_000, 1_999)] {
        let retries = 2;
        let log = usize::try_from(records.next_power_of_two().trailing_zeros()).unwrap();
        let most = 2 * log + 1 + retries as usize;
        for poison in (0..records).step_by(step).chain([records - 1]) {
            let calls = Rc::new(RefCell::new(0));
            let counted = Rc::clone(&calls);
            let run = lived(records, &config(retries, true, false), move |from, to| {
                *counted.borrow_mut() += 1;
                if (from..to).contains(&poison) {
                    Act::Raise
                } else {
                    Act::Succeed
                }
            });
            assert_eq!(
                run.discards,
                [(poison, poison + 1, retries + 1, Some("Unhandled"))]
            );
            let calls = *calls.borrow();
            assert!(
                calls <= most,
                "{calls} calls for record {poison} of {records}, {most} allowed"
            );
        }
    }
}

#[test]
fn a_timeout_and_a_crash_split_a_batch_like_an_exception() {
    for outcome in [Outcome::TimedOut, Outcome::Crashed(error("SIGKILL"))] {
        let config = config(0, true, false);
        let mut story = Story::with(config, 1, move |call: &Call| {
            if call.records.iter().any(|seen| seen.place == 1) {
                return Answer::from(outcome.clone());
            }
            Answer::success()
        });
        story.put([1, 1, 1, 1]).start().rest();
        assert_eq!(
            story.calls(),
            [vec![0, 1, 2, 3], vec![0, 1], vec![0], vec![1], vec![2, 3]]
        );
        assert_eq!(
            story.documents()[0].function_error,
            Some(Some("Unhandled".to_owned()))
        );
    }
}

/// What one answer of a queue's handler leaves for the second call: the reported messages, and in
/// strict mode what follows one of them in its group.
#[test]
fn every_report_of_up_to_six_messages_of_up_to_three_groups_leaves_what_the_rules_say() {
    for messages in 1..=6usize {
        for (groups, strict) in [(0, false), (1, false), (2, true), (3, false), (3, true)] {
            for failed in 0..1u32 << messages {
                let listed = |place: usize| failed & (1 << place) != 0;
                let group = |place: usize| place % usize::max(groups, 1);
                let left = (0..messages).filter(|place| {
                    let before = |at: &usize| listed(*at) && group(*at) == group(*place);
                    listed(*place) || (strict && (0..*place).any(|at| before(&at)))
                });
                let left: Vec<usize> = left.collect();
                assert_eq!(
                    second_call(messages, groups, strict, failed),
                    left,
                    "{messages} messages, {groups} groups, strict {strict}, failed {failed:b}"
                );
            }
        }
    }
}

/// The messages of the call that follows one in which these were reported, in order.
fn second_call(messages: usize, groups: usize, strict: bool, failed: u32) -> Vec<usize> {
    let mut config = match groups {
        0 => queues::standard(),
        _ => queues::fifo(),
    };
    config.partial_response = true;
    config.queue = config.queue.map(|mut rules| {
        rules.strict_groups = strict;
        rules
    });
    let mut first = true;
    let handler = move |call: &Call| {
        if !std::mem::take(&mut first) {
            return Answer::success();
        }
        let places = (0..).zip(&call.records);
        let places = places.filter(|(_, seen)| failed & (1 << seen.place) != 0);
        Answer::failed(&places.map(|(at, _)| at).collect::<Vec<u32>>())
    };
    let mut story = QueueStory::with(config, handler).untold();
    match groups {
        0 => story.send(messages),
        _ => story.send_to((0..messages).map(|place| u32::try_from(place % groups).unwrap())),
    };
    story.start().rest();
    let mut second = story.calls()[1..].concat();
    second.sort_unstable();
    second
}
