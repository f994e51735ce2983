//! Tells how long messages are hidden: longer while they are held, early only when never begun.

use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{Input, Refused};
use penstock_engine::time::Mono;

use crate::TEN;
use crate::bench::{Life, SECOND, ids_of, raised};

const SLOW: &str = r#""Penstock":{"FunctionTimeoutMs":120000}"#;

#[test]
fn a_running_handlers_messages_stay_hidden_and_the_last_time_is_short() {
    let mut life = Life::on("q", 30, SLOW);
    life.bring(&TEN[..2]);
    let invocation = life.start();
    let mut hidden_until = life.now.mono + 30 * SECOND;
    while life.now.mono < Mono(0) + 300 * SECOND {
        life.pass(SECOND);
        for (ids, by) in life.extend_all() {
            assert_eq!(ids, ["m0", "m1"]);
            assert!((1..=30).contains(&by), "at most the queue's own: {by}");
            hidden_until = life.now.mono + Duration::from_secs(by);
        }
        assert!(
            hidden_until > life.now.mono,
            "visible at {:?}",
            life.now.mono
        );
    }
    assert!(life.queue().stall.is_some());
    life.complete(&invocation, raised());
    assert!(
        life.extensions.is_empty(),
        "nothing is made visible at once"
    );
    assert!(
        hidden_until.since(life.now.mono) <= 10 * SECOND,
        "the last time was short"
    );
}

#[test]
fn what_waits_for_a_worker_stays_hidden_too() {
    let mut life = Life::on("q", 30, "");
    life.bring(&TEN[..1]);
    life.pass(25 * SECOND);
    assert_eq!(life.extend_all(), [(vec!["m0".to_owned()], 30)]);
    life.pass(20 * SECOND);
    assert_eq!(life.extend_all().len(), 1);
    assert_eq!(ids_of(&life.start().batch), ["m0"]);
}

#[test]
fn an_extension_that_fails_is_asked_again_while_there_is_time() {
    let mut life = Life::on("q", 30, SLOW);
    life.bring(&TEN[..1]);
    let _invocation = life.start();
    life.pass(20 * SECOND);
    let (op, ..) = life.extensions.remove(0);
    life.fail(op, FaultKind::Transient);
    life.pass(SECOND);
    assert_eq!(life.extensions.len(), 1);
}

#[test]
fn a_batch_that_waited_beyond_its_visibility_is_not_handed_out() {
    let mut life = Life::on("q", 30, "");
    life.bring(&TEN[..1]);
    while life.now.mono < Mono(0) + 40 * SECOND {
        life.pass(SECOND);
        for (op, ..) in std::mem::take(&mut life.extensions) {
            life.fail(op, FaultKind::Transient);
        }
    }
    assert!(life.offer().is_none());
    assert_eq!(life.engine.counters().returned, 1);
}

#[test]
fn a_receipt_that_is_worth_nothing_is_not_used_again_to_hide() {
    let mut life = Life::on("q", 30, SLOW);
    life.bring(&TEN[..2]);
    let invocation = life.start();
    life.pass(20 * SECOND);
    let (op, ..) = life.extensions.remove(0);
    let refused = vec![Refused {
        index: 0,
        fault: Fault::new(FaultKind::Expired, "gone"),
    }];
    life.input(Input::Extended { op, refused });
    life.pass(25 * SECOND);
    assert_eq!(life.extend_all()[0].0, ["m1"]);
    life.succeed(&invocation);
    assert_eq!(life.delete_all(), ["m0", "m1"], "deleting may still work");
}

#[test]
fn a_window_that_needs_it_gets_a_longer_visibility_and_a_failure_still_comes_back_soon() {
    let window = r#""BatchSize":100,"MaximumBatchingWindowInSeconds":60"#;
    let mut life = Life::on("q", 90, window);
    let asked = life.receives[0].visibility;
    assert_eq!(asked, Some(Duration::from_secs(60 + 60 + 30)));
    life.bring(&TEN[..1]);
    life.pass(60 * SECOND);
    let invocation = life.start();
    life.complete(&invocation, raised());
    assert!(
        life.extensions.is_empty(),
        "90 s are left, as the queue's own"
    );
    life.bring(&TEN[1..2]);
    for _ in 0..99 {
        if life.engine.has_due_batch() {
            break;
        }
        life.bring(&TEN);
    }
    let invocation = life.start();
    life.complete(&invocation, raised());
    let (ids, by) = life.extend_all().remove(0);
    assert!(
        by == 90 && !ids.is_empty(),
        "not after more than the queue's own timeout"
    );
    let plenty = Life::on("q", 121, window);
    assert_eq!(plenty.receives[0].visibility, None);
}

#[test]
fn a_queue_that_hides_hardly_anything_is_asked_for_ten_seconds() {
    let life = Life::on("q", 0, "");
    assert_eq!(life.receives[0].visibility, Some(10 * SECOND));
    let life = Life::on("q", 30, "");
    assert_eq!(life.receives[0].visibility, None);
}

#[test]
fn a_visibility_below_the_functions_timeout_is_told() {
    assert!(Life::on("q", 30, "").notices.contains(&"visibility_short"));
    assert!(Life::on("q", 60, "").notices.is_empty());
    let sentence = penstock_engine::queue::visibility_refusal(30 * SECOND, 900 * SECOND);
    assert_eq!(
        sentence.as_deref(),
        Some("Queue visibility timeout: 30 seconds is less than Function timeout: 900 seconds")
    );
}

#[test]
fn messages_are_hidden_for_twelve_hours_at_most() {
    let mut life = Life::on("q", 3_600, r#""Penstock":{"FunctionTimeoutMs":86400000}"#);
    life.bring(&TEN[..1]);
    let _invocation = life.start();
    let mut hidden_until = Mono(0);
    for _ in 0..(13 * 60) {
        life.pass(60 * SECOND);
        for (_, by) in life.extend_all() {
            hidden_until = life.now.mono + Duration::from_secs(by);
        }
    }
    let twelve = Mono(0) + 43_200 * SECOND;
    assert!(hidden_until <= twelve + 60 * SECOND && hidden_until > Mono(0) + 42_000 * SECOND);
    assert!(life.notices.contains(&"visibility_ended"));
}
