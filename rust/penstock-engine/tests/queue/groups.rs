//! Tells lives of FIFO queues: order in groups, gaps, names of receives.

use penstock_engine::fault::FaultKind;
use penstock_engine::io::Input;

use crate::REPORTS;
use crate::bench::{Life, SECOND, Sent, ids_of, listed, raised};

const SMALL: &str = r#""Penstock":{"PayloadBytesMax":1024}"#;
/// Two groups, five messages; two fit an event of 1 KiB.
const MIXED: [Sent; 5] = [
    ("a1", "a"),
    ("b1", "b"),
    ("a2", "a"),
    ("b2", "b"),
    ("c1", "c"),
];

#[test]
fn a_batch_may_hold_several_groups_in_the_order_of_receipt() {
    let mut life = Life::on("q.fifo", 30, "");
    life.bring(&MIXED);
    let invocation = life.start();
    assert_eq!(ids_of(&invocation.batch), ["a1", "b1", "a2", "b2", "c1"]);
    assert_eq!(life.queue().blocked_groups, 3);
    life.succeed(&invocation);
    let _ = life.delete_all();
    assert_eq!(life.queue().blocked_groups, 0);
}

#[test]
fn a_group_has_one_batch_at_a_time_and_others_pass_it() {
    let mut life = Life::on("q.fifo", 30, SMALL);
    life.bring(&MIXED);
    let first = life.start();
    assert_eq!(ids_of(&first.batch), ["a1", "b1"]);
    let other = life.start();
    assert_eq!(ids_of(&other.batch), ["c1"], "a and b are busy");
    assert!(life.offer().is_none());
    life.succeed(&first);
    assert!(life.offer().is_none(), "busy until they are deleted");
    let _ = life.delete_all();
    assert_eq!(ids_of(&life.start().batch), ["a2", "b2"]);
}

#[test]
fn what_waits_of_a_failed_group_is_given_back_and_the_rest_goes_on() {
    let options = format!("{REPORTS},{SMALL}");
    let mut life = Life::on("q.fifo", 30, &options);
    life.bring(&MIXED);
    let first = life.start();
    life.complete(&first, listed(&[0]));
    assert_eq!(life.extend_all(), [(vec!["a2".to_owned()], 0)]);
    assert_eq!(life.delete_all(), ["b1"]);
    let mut seen: Vec<Vec<String>> = Vec::new();
    while let Some(invocation) = life.offer() {
        seen.push(ids_of(&invocation.batch));
    }
    seen.sort();
    assert_eq!(seen, [["b2"], ["c1"]]);
    let counters = life.engine.counters();
    assert_eq!((counters.returned, counters.in_flight), (2, 2));
    assert_eq!(
        life.queue().blocked_groups,
        3,
        "a waits for its message to come back"
    );
}

#[test]
fn a_delete_that_came_too_late_fails_its_group() {
    let mut life = Life::on("q.fifo", 30, SMALL);
    life.bring(&MIXED[..3]);
    let first = life.start();
    life.succeed(&first);
    life.refuse_delete(FaultKind::Expired);
    assert_eq!(life.extend_all(), [(vec!["a2".to_owned()], 0)]);
    assert!(life.offer().is_none());
}

#[test]
fn a_gap_is_deleted_as_lambda_does_with_one_warning_and_kept_in_strict_mode() {
    let mut life = Life::on("q.fifo", 30, REPORTS);
    for _ in 0..2 {
        life.bring(&MIXED);
        let invocation = life.start();
        life.complete(&invocation, listed(&[0]));
        assert_eq!(life.delete_all(), ["b1", "a2", "b2", "c1"]);
    }
    let warnings = life.notices.iter().filter(|code| **code == "group_gap");
    assert_eq!(warnings.count(), 1);
    let strict = format!(r#"{REPORTS},"Penstock":{{"StrictGroups":true}}"#);
    let mut life = Life::on("q.fifo", 30, &strict);
    life.bring(&MIXED);
    let invocation = life.start();
    life.complete(&invocation, listed(&[0]));
    assert_eq!(life.delete_all(), ["b1", "b2", "c1"]);
    assert_eq!(life.engine.counters().returned, 2);
}

#[test]
fn a_receive_whose_answer_was_lost_is_asked_again_under_its_name() {
    let mut life = Life::on("q.fifo", 30, "");
    let names: Vec<_> = life
        .receives
        .iter()
        .map(|receive| receive.attempt.unwrap())
        .collect();
    assert_eq!(names.len(), 5);
    life.refuse_receive(FaultKind::Transient);
    for _ in 0..4 {
        life.bring(&[]);
    }
    life.pass(5 * SECOND);
    let again: Vec<_> = life
        .receives
        .iter()
        .map(|receive| receive.attempt.unwrap())
        .collect();
    assert!(again.contains(&names[0]));
    assert!(again[1..].iter().all(|name| !names.contains(name)));
}

#[test]
fn a_name_is_not_used_after_five_minutes() {
    let mut life = Life::on("q.fifo", 30, "");
    let name = life.receives[0].attempt;
    for _ in 0..40 {
        while !life.receives.is_empty() {
            life.refuse_receive(FaultKind::Transient);
        }
        life.pass(20 * SECOND);
    }
    assert!(life.receives.iter().all(|receive| receive.attempt != name));
}

#[test]
fn a_group_that_fails_holds_nobody_else_up() {
    let mut life = Life::on("q.fifo", 30, r#""BatchSize":1"#);
    life.bring(&MIXED[..1]);
    let poison = life.start();
    life.complete(&poison, raised());
    life.bring(&MIXED[1..2]);
    let other = life.start();
    assert_eq!(ids_of(&other.batch), ["b1"]);
    life.succeed(&other);
    assert_eq!(life.delete_all(), ["b1"]);
    life.pass(31 * SECOND);
    assert_eq!(life.queue().blocked_groups, 0);
}

#[test]
fn what_waits_behind_a_failure_is_given_back_only_after_the_receives_of_a_paused_mapping() {
    let mut life = Life::on("q.fifo", 30, r#""BatchSize":1"#);
    life.bring(&MIXED[..1]);
    let first = life.start();
    life.bring(&[("a2", "a")]);
    life.input(Input::Paused);
    assert!(!life.receives.is_empty(), "they are to end, and have not");
    life.complete(&first, raised());
    assert_eq!(life.extend_all(), [], "a receive could take it again");
    assert_eq!(life.queue().buffered, 1, "it is still held");
    while !life.receives.is_empty() {
        life.bring(&[]);
    }
    assert_eq!(life.extend_all(), [(vec!["a2".to_owned()], 0)]);
}

#[test]
fn a_group_that_waits_behind_a_failure_is_given_back_when_a_paused_mapping_goes_on() {
    let mut life = Life::on("q.fifo", 30, r#""BatchSize":1"#);
    life.bring(&MIXED[..1]);
    let first = life.start();
    life.bring(&[("a2", "a")]);
    life.input(Input::Paused);
    life.complete(&first, raised());
    life.input(Input::Resumed);
    assert_eq!(life.extend_all(), [(vec!["a2".to_owned()], 0)]);
    assert!(life.offer().is_none(), "it does not overtake what failed");
}

#[test]
fn an_early_end_is_not_asked_for_again_during_the_receives_of_a_paused_mapping() {
    let mut life = Life::on("q.fifo", 30, r#""BatchSize":1"#);
    life.bring(&MIXED[..1]);
    let first = life.start();
    life.bring(&[("a2", "a")]);
    life.complete(&first, raised());
    let (op, ..) = life.extensions.remove(0);
    life.fail(op, FaultKind::Transient);
    life.input(Input::Paused);
    life.pass(5 * SECOND);
    assert_eq!(life.extend_all(), [], "a receive could take it again");
    while !life.receives.is_empty() {
        life.bring(&[]);
    }
    assert_eq!(life.extend_all(), [(vec!["a2".to_owned()], 0)]);
}
