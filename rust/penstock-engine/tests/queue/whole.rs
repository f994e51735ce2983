//! Tells how mappings on queues pause, drain and stop.

use penstock_engine::fault::FaultKind;
use penstock_engine::io::Input;
use penstock_engine::snapshot::MappingState;

use crate::TEN;
use crate::bench::{Life, SECOND, page};

#[test]
fn a_pause_gives_back_what_waits_once_no_receive_is_under_way() {
    let mut life = Life::on("q", 30, r#""BatchSize":2"#);
    life.bring(&TEN[..2]);
    let running = life.start();
    life.bring(&TEN[2..4]);
    life.input(Input::Paused);
    let open: Vec<_> = life.receives.iter().map(|receive| receive.op).collect();
    assert_eq!(life.abandoned, open);
    assert!(
        !open.is_empty() && life.extensions.is_empty(),
        "receives are under way"
    );
    for (place, op) in open.iter().enumerate() {
        assert!(life.extensions.is_empty());
        match place {
            0 => life.bring_to(*op, page(&TEN[4..5], false)),
            _ => life.fail(*op, FaultKind::Transient),
        }
    }
    life.receives.clear();
    let mut given: Vec<String> = Vec::new();
    for (ids, by) in life.extend_all() {
        assert_eq!(by, 0);
        given.extend(ids);
    }
    assert_eq!(given, ["m2", "m3", "m4"]);
    assert!(life.offer().is_none());
    life.succeed(&running);
    assert_eq!(life.delete_all(), ["m0", "m1"]);
    let snapshot = life.engine.snapshot(life.now);
    assert_eq!(snapshot.state, MappingState::Paused);
    assert_eq!(snapshot.counters.returned, 3);
    assert!(life.receives.is_empty());
    life.input(Input::Resumed);
    assert_eq!(life.receives.len(), 5);
}

#[test]
fn a_drain_finishes_what_runs_and_gives_back_the_rest() {
    let mut life = Life::on("q", 30, r#""BatchSize":2"#);
    life.bring(&TEN[..2]);
    let running = life.start();
    life.bring(&TEN[2..4]);
    life.input(Input::Drain {
        by: life.now.mono + 60 * SECOND,
    });
    for receive in std::mem::take(&mut life.receives) {
        assert!(life.extensions.is_empty());
        life.bring_to(receive.op, None);
    }
    assert_eq!(life.extensions.len(), 1);
    life.succeed(&running);
    assert_eq!(life.delete_all(), ["m0", "m1"]);
    assert!(!life.stopped, "the messages are not yet given back");
    assert_eq!(life.extend_all().len(), 1);
    assert!(life.stopped);
    let counters = life.engine.counters();
    assert!(counters.conserved());
    assert_eq!(
        (counters.succeeded, counters.returned, counters.abandoned),
        (2, 2, 0)
    );
}

#[test]
fn a_drain_stops_when_its_time_is_up() {
    let mut life = Life::on("q", 30, "");
    life.bring(&TEN);
    let _running = life.start();
    life.input(Input::Drain {
        by: life.now.mono + 5 * SECOND,
    });
    life.pass(4 * SECOND);
    assert!(!life.stopped);
    life.pass(SECOND);
    assert!(life.stopped && life.notices.contains(&"drain_timeout"));
    assert_eq!(life.engine.counters().abandoned, 10);
}

#[test]
fn a_stop_is_at_once_and_late_answers_mean_nothing() {
    let mut life = Life::on("q", 30, "");
    life.bring(&TEN[..1]);
    let running = life.start();
    let open = life.receives[0].op;
    life.input(Input::Stop);
    assert!(life.stopped);
    life.bring_to(open, page(&TEN[1..2], false));
    life.succeed(&running);
    assert!(life.deletes.is_empty());
    let counters = life.engine.counters();
    assert!(counters.conserved());
    assert_eq!((counters.polled, counters.abandoned), (1, 1));
}

#[test]
fn giving_back_is_asked_again_when_it_fails() {
    let mut life = Life::on("q", 30, "");
    life.bring(&TEN[..1]);
    life.input(Input::Paused);
    for receive in std::mem::take(&mut life.receives) {
        life.fail(receive.op, FaultKind::Transient);
    }
    let (op, ..) = life.extensions.remove(0);
    life.fail(op, FaultKind::Transient);
    life.pass(SECOND);
    assert_eq!(life.extend_all(), [(vec!["m0".to_owned()], 0)]);
}
