//! Tells small lives of mappings on queues, each request answered by hand.

mod bench;
mod groups;
mod random;
mod visibility;
mod whole;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{Input, Outcome, Report};
use penstock_engine::snapshot::{MappingState, Reason};

use bench::{Life, SECOND, Sent, config, ids_of, listed, raised};

const TEN: [Sent; 10] = [
    ("m0", ""),
    ("m1", ""),
    ("m2", ""),
    ("m3", ""),
    ("m4", ""),
    ("m5", ""),
    ("m6", ""),
    ("m7", ""),
    ("m8", ""),
    ("m9", ""),
];
const REPORTS: &str = r#""FunctionResponseTypes":["ReportBatchItemFailures"]"#;

#[test]
fn what_succeeds_is_deleted_and_not_before() {
    let mut life = Life::on("q", 30, "");
    assert_eq!(life.receives.len(), 5, "Lambda's five at first");
    assert!(life.receives.iter().all(|receive| receive.limit == 10));
    assert!(
        life.receives
            .iter()
            .all(|receive| receive.attempt.is_none())
    );
    life.bring(&TEN[..3]);
    assert!(life.deletes.is_empty());
    let invocation = life.start();
    assert_eq!(ids_of(&invocation.batch), ["m0", "m1", "m2"]);
    assert_eq!(invocation.shard.as_str(), "q");
    assert_eq!(invocation.attempt, 1);
    assert!(life.deletes.is_empty() && life.offer().is_none());
    life.succeed(&invocation);
    let counters = life.engine.counters();
    assert_eq!((counters.acknowledging, counters.succeeded), (3, 0));
    assert_eq!(life.delete_all(), ["m0", "m1", "m2"]);
    let counters = life.engine.counters();
    assert_eq!((counters.acknowledging, counters.succeeded), (0, 3));
    assert!(counters.conserved());
}

#[test]
fn what_fails_is_left_to_come_back_and_nothing_is_made_visible() {
    for outcome in [
        raised(),
        Outcome::TimedOut,
        Outcome::Returned(Report::Unusable),
    ] {
        let mut life = Life::on("q", 30, "");
        life.bring(&TEN[..2]);
        let invocation = life.start();
        life.complete(&invocation, outcome);
        assert!(life.deletes.is_empty() && life.extensions.is_empty());
        let counters = life.engine.counters();
        assert_eq!(
            (counters.returned, counters.in_flight, counters.failed),
            (2, 0, 2)
        );
        life.pass(60 * SECOND);
        assert!(
            life.extensions.is_empty(),
            "what is left is not hidden longer"
        );
    }
}

#[test]
fn of_a_partial_answer_exactly_the_others_are_deleted() {
    let mut life = Life::on("q", 30, REPORTS);
    life.bring(&TEN[..5]);
    let invocation = life.start();
    life.complete(&invocation, listed(&[1, 3]));
    assert_eq!(life.delete_all(), ["m0", "m2", "m4"]);
    let counters = life.engine.counters();
    assert_eq!((counters.succeeded, counters.returned), (3, 2));
    assert_eq!(life.engine.snapshot(life.now).last_processing_result, "OK");
}

#[test]
fn a_batch_of_a_window_is_filled_by_many_receives_until_it_is_full_or_its_window_has_passed() {
    let window = r#""BatchSize":15,"MaximumBatchingWindowInSeconds":3"#;
    let mut life = Life::on("q", 300, window);
    life.bring(&TEN[..4]);
    assert!(life.offer().is_none(), "the window is open");
    life.pass(2 * SECOND);
    assert!(life.offer().is_none());
    assert!(matches!(
        life.queue().stall.unwrap().reason,
        Reason::WaitingForWindow
    ));
    life.pass(SECOND);
    assert!(life.engine.has_due_batch());
    life.bring(&TEN[4..6]);
    let invocation = life.start();
    assert_eq!(
        invocation.batch.len(),
        6,
        "what came until a worker was free is in it"
    );
    life.bring(&TEN);
    life.bring(&TEN);
    let second = life.start();
    assert_eq!(second.batch.len(), 15, "full before its window has passed");
    assert!(life.offer().is_none());
    life.pass(3 * SECOND);
    assert_eq!(life.start().batch.len(), 5);
}

#[test]
fn a_batch_stays_within_the_bytes_of_an_event() {
    let bytes = r#""Penstock":{"PayloadBytesMax":1024}"#;
    let mut life = Life::on("q", 30, bytes);
    life.bring(&TEN[..5]);
    let mut sizes = Vec::new();
    while let Some(invocation) = life.offer() {
        let context = penstock_engine::event::EventContext {
            shard: &invocation.shard,
            config: life.engine.config(),
        };
        let mut sink = penstock_engine::event::json::CountingSink::default();
        let Ok(()) = penstock_engine::event::walk(&context, &invocation.batch, &mut sink);
        assert!(sink.bytes() <= 1_024, "{}", sink.bytes());
        sizes.push(invocation.batch.len());
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn filtered_messages_are_deleted_without_an_invocation_and_people_are_told_once() {
    let mut life = Life::on("q", 30, "");
    life.bring_filtered(&TEN[..2]);
    life.bring_filtered(&TEN[2..3]);
    assert!(life.offer().is_none());
    assert_eq!(life.delete_all(), ["m0", "m1", "m2"]);
    assert_eq!(life.engine.counters().filtered, 3);
    let told = life
        .notices
        .iter()
        .filter(|code| **code == "filtered_deleted");
    assert_eq!(told.count(), 1);
}

#[test]
fn nothing_is_received_without_room() {
    let mut life = Life::on("q", 30, r#""ScalingConfig":{"MaximumConcurrency":2}"#);
    assert_eq!(life.receives.len(), 2);
    life.bring(&TEN);
    life.bring(&TEN);
    assert!(life.receives.is_empty(), "both batches wait for workers");
    let (first, second) = (life.start(), life.start());
    assert!(life.receives.is_empty(), "both batches run");
    life.succeed(&first);
    assert_eq!(life.receives.len(), 1);
    life.succeed(&second);
    assert_eq!(life.receives.len(), 2);
}

#[test]
fn concurrency_climbs_to_its_maximum_while_receives_come_back_full() {
    let mut life = Life::on("q", 300, r#""ScalingConfig":{"MaximumConcurrency":40}"#);
    let mut running = Vec::new();
    let mut most = 0;
    for _ in 0..12 {
        while !life.receives.is_empty() {
            life.bring(&TEN);
            running.push(life.start());
        }
        most = most.max(running.len());
        assert!(running.len() <= 40);
        for invocation in running.drain(..) {
            life.succeed(&invocation);
        }
        let _ = life.delete_all();
        life.pass(SECOND);
    }
    assert_eq!(most, 40);
}

#[test]
fn an_empty_queue_is_asked_by_two_receives() {
    let mut life = Life::on("q", 30, "");
    for _ in 0..30 {
        life.pass(20 * SECOND);
        let _ = life.extend_all();
        for _ in 0..life.receives.len() {
            life.bring(&[]);
        }
        life.pass(SECOND);
    }
    assert_eq!(life.receives.len(), 2);
    assert!(life.engine.snapshot(life.now).idle);
    life.bring(&TEN[..1]);
    let _ = life.start();
    assert_eq!(life.receives.len(), 4, "five, one of them with its handler");
}

#[test]
fn a_queue_that_answers_empty_at_once_is_not_asked_without_end() {
    let mut life = Life::on("q", 30, "");
    let mut receives = 0;
    let start = life.now.mono;
    while life.now.mono.since(start) < 60 * SECOND {
        while !life.receives.is_empty() {
            receives += 1;
            life.bring(&[]);
        }
        life.pass(SECOND / 10);
    }
    assert!(receives < 200, "{receives} receives in a minute");
}

#[test]
fn failures_slow_the_mapping_down_unless_it_reports_item_failures() {
    let rounds = |options: &str| {
        let mut life = Life::on("q", 30, options);
        for _ in 0..8 {
            life.pass(2 * SECOND);
            while !life.receives.is_empty() {
                life.bring(&TEN[..1]);
            }
            while let Some(invocation) = life.offer() {
                life.complete(&invocation, raised());
            }
        }
        life.pass(2 * SECOND);
        life.queue().concurrency
    };
    assert_eq!(rounds(""), 2);
    assert!(rounds(REPORTS) >= 5);
}

#[test]
fn successes_give_the_concurrency_back() {
    let mut life = Life::on("q", 30, "");
    for success in [false, true] {
        for _ in 0..8 {
            life.pass(2 * SECOND);
            while !life.receives.is_empty() {
                life.bring(&TEN[..1]);
            }
            while let Some(invocation) = life.offer() {
                match success {
                    true => life.succeed(&invocation),
                    false => life.complete(&invocation, raised()),
                }
            }
            let _ = life.delete_all();
        }
    }
    assert_eq!(life.queue().concurrency, 5);
}

#[test]
fn a_refusal_before_the_handler_started_is_tried_again_with_the_same_messages() {
    let mut life = Life::on("q", 30, "");
    life.bring(&TEN[..2]);
    let first = life.start();
    let fault = Fault::new(FaultKind::Throttled { after: None }, "busy");
    life.complete(&first, Outcome::Rejected(fault));
    assert!(life.offer().is_none());
    assert!(matches!(
        life.queue().stall.unwrap().reason,
        Reason::BackingOff { .. }
    ));
    life.pass(SECOND);
    let second = life.start();
    assert_eq!(second.request_id, first.request_id);
    assert_eq!(
        (second.attempt, ids_of(&second.batch)),
        (1, ids_of(&first.batch))
    );
    assert_ne!(second.id, first.id);
    life.succeed(&second);
    assert_eq!(life.delete_all(), ["m0", "m1"]);
}

#[test]
fn a_queue_that_is_gone_is_tried_after_one_second_doubling_to_sixty() {
    let mut life = Life::born("q", "");
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let op = life.described.remove(0);
        life.fail(op, FaultKind::NotFound);
        assert_eq!(life.engine.snapshot(life.now).state, MappingState::Failing);
        life.pass(wait * SECOND - SECOND / 100);
        assert!(life.described.is_empty(), "{wait}");
        life.pass(SECOND / 100);
        assert_eq!(life.described.len(), 1, "{wait}");
    }
    life.describe(30);
    assert_eq!(life.engine.snapshot(life.now).state, MappingState::Running);
    assert_eq!(life.notices[..2], ["queue_fault", "queue_recovered"]);
    life.refuse_receive(FaultKind::NotFound);
    for _ in 0..4 {
        life.refuse_receive(FaultKind::NotFound);
    }
    life.pass(SECOND);
    assert_eq!(life.receives.len(), 1, "one receive at a time probes");
    life.bring(&[]);
    life.pass(SECOND);
    assert_eq!(life.engine.snapshot(life.now).state, MappingState::Running);
    assert!(life.receives.len() > 1);
}

#[test]
fn over_limit_is_throttling_and_no_fault() {
    let mut life = Life::on("q", 30, "");
    for _ in 0..5 {
        life.refuse_receive(FaultKind::Throttled { after: None });
    }
    assert_eq!(life.engine.snapshot(life.now).state, MappingState::Running);
    assert!(matches!(
        life.queue().stall.unwrap().reason,
        Reason::Throttled { .. }
    ));
    assert!(life.receives.is_empty());
    life.pass(2 * SECOND);
    assert_eq!(life.receives.len(), 1);
}

#[test]
fn deletes_that_are_refused_for_the_moment_are_asked_again_and_only_those() {
    let mut life = Life::on("q", 30, "");
    life.bring(&TEN[..2]);
    let invocation = life.start();
    life.succeed(&invocation);
    life.refuse_delete(FaultKind::Transient);
    assert!(life.deletes.is_empty());
    life.pass(SECOND);
    assert_eq!(life.delete_all(), ["m0", "m1"]);
    assert_eq!(life.engine.counters().succeeded, 2);
    life.bring(&TEN[2..4]);
    let invocation = life.start();
    life.succeed(&invocation);
    life.refuse_delete(FaultKind::Expired);
    let counters = life.engine.counters();
    assert_eq!((counters.succeeded, counters.returned), (2, 2));
    assert!(life.notices.contains(&"receipt_expired"));
    life.bring(&TEN[4..5]);
    let invocation = life.start();
    life.succeed(&invocation);
    life.refuse_delete(FaultKind::NotFound);
    assert_eq!(life.engine.counters().succeeded, 3, "gone already");
}

#[test]
fn messages_that_wait_for_their_deletion_go_together() {
    let mut life = Life::on(
        "q",
        30,
        r#""BatchSize":1,"ScalingConfig":{"MaximumConcurrency":1000}"#,
    );
    let mut handled = 0;
    for _ in 0..20 {
        while !life.receives.is_empty() {
            life.bring(&TEN[..1]);
            let invocation = life.start();
            life.succeed(&invocation);
            handled += 1;
            if handled == 60 {
                assert_eq!(life.deletes.len(), 8, "so many requests are under way");
                let (op, _) = life.deletes.remove(0);
                life.input(Input::Acknowledged {
                    op,
                    refused: Vec::new(),
                });
                assert_eq!(life.deletes.last().unwrap().1.len(), 52);
                return;
            }
        }
        life.pass(SECOND);
    }
    panic!("only {handled} were handled");
}

#[test]
fn a_message_larger_than_an_event_is_left_to_the_queues_redrive_policy() {
    const LONG: &str = concat!(
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    );
    let bytes = r#""Penstock":{"PayloadBytesMax":1024}"#;
    let mut life = Life::on("q", 30, bytes);
    let name: &'static str = Box::leak(LONG.repeat(6).into_boxed_str());
    life.bring(&[(name, ""), TEN[1]]);
    let invocation = life.start();
    assert_eq!(ids_of(&invocation.batch), ["m1"]);
    assert_eq!(life.engine.counters().returned, 1);
    assert!(life.notices.contains(&"message_too_large"));
}

#[test]
fn new_options_count_for_what_is_handed_out_from_then_on() {
    let mut life = Life::on("q", 30, REPORTS);
    life.bring(&TEN[..3]);
    let invocation = life.start();
    let other = config("q", r#""ScalingConfig":{"MaximumConcurrency":2}"#);
    life.input(Input::Reconfigured(Box::new(other)));
    life.complete(&invocation, listed(&[0]));
    assert_eq!(
        life.delete_all(),
        ["m1", "m2"],
        "it began when reports counted"
    );
    assert_eq!(life.queue().concurrency_max, 2);
}
