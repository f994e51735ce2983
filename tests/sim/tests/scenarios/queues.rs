//! Tells stories of standard queues.

use std::time::Duration;

use penstock_engine::config::{MappingConfig, QueueRules};
use penstock_sim::model::Mode;
use penstock_sim::queue::event::{Act, Sent};
use penstock_sim::queue::faults::QueueFaults;
use penstock_sim::queue::options::{setup, standard};
use penstock_sim::queue::source::QueueSetup;
use penstock_sim::queue::story::QueueStory;
use penstock_sim::workers::{Answer, Call};

fn with_maximum(most: u32) -> MappingConfig {
    let config = standard();
    let rules = config.queue.map(|rules| QueueRules {
        maximum_concurrency: Some(most),
        ..rules
    });
    MappingConfig {
        queue: rules,
        ..config
    }
}

fn slow(millis: u64) -> impl FnMut(&Call) -> Answer {
    move |_: &Call| Answer::success().after(Duration::from_millis(millis))
}

/// Fails whole batches with one of these messages.
fn poison(places: &'static [usize]) -> impl FnMut(&Call) -> Answer {
    move |call: &Call| match call.records.iter().any(|seen| places.contains(&seen.place)) {
        true => Answer::raise(),
        false => Answer::success(),
    }
}

#[test]
fn what_is_there_is_handled_once_and_deleted() {
    let mut story = QueueStory::of(standard());
    story.send(25).start().rest();
    let mut handled: Vec<usize> = story.calls().concat();
    handled.sort_unstable();
    assert_eq!(handled, (0..25).collect::<Vec<_>>());
    assert!(story.calls().iter().all(|call| call.len() <= 10));
}

#[test]
fn a_message_that_comes_later_is_handled_at_once() {
    let mut story = QueueStory::of(standard());
    story.start().pass(65_000).send(1).pass(5);
    assert_eq!(story.calls(), [vec![0]], "a long poll waits for it");
}

#[test]
fn a_failed_batch_comes_back_after_the_visibility_timeout_and_not_before() {
    let mut failures = 1;
    let handler = move |_: &Call| match failures {
        0 => Answer::success(),
        _ => {
            failures -= 1;
            Answer::raise()
        }
    };
    let mut story = QueueStory::with(standard(), handler);
    story.send(1).start().rest();
    let calls = &story.world.calls;
    let apart = calls[1].at - calls[0].at;
    assert!(
        apart >= Duration::from_secs(30) && apart < Duration::from_secs(31),
        "{apart:?}"
    );
    assert_eq!(calls[1].receives, [2], "it was received a second time");
}

#[test]
fn poison_goes_to_the_dead_letter_queue_after_as_many_receives_as_the_queue_says() {
    let queue = QueueSetup {
        max_receive_count: Some(3),
        ..setup(false)
    };
    let config = MappingConfig {
        batch_size: 1,
        ..standard()
    };
    let mut story = QueueStory::on(queue, config, 4, poison(&[4]));
    story.send(10).start().rest();
    assert_eq!(story.dead(), [4]);
    assert_eq!(story.calls_with(4), 3);
    assert_eq!(story.calls().concat().len(), 12, "the others came once");
}

#[test]
fn without_reports_good_messages_share_the_fate_of_their_batch() {
    let queue = QueueSetup {
        max_receive_count: Some(2),
        ..setup(false)
    };
    let mut story = QueueStory::on(queue, with_maximum(2), 1, |_: &Call| Answer::raise());
    story.send(2).start().rest();
    assert_eq!(story.dead(), [0, 1]);
}

#[test]
fn with_reports_only_what_is_listed_comes_back() {
    let config = MappingConfig {
        partial_response: true,
        ..standard()
    };
    let mut first = true;
    let handler = move |_: &Call| match std::mem::take(&mut first) {
        true => Answer::failed(&[1]),
        false => Answer::success(),
    };
    let mut story = QueueStory::with(config, handler);
    story.send(4).start().rest();
    let failed = story.calls()[0][1];
    assert_eq!(story.calls()[1..], [vec![failed]]);
}

#[test]
fn a_handler_that_runs_beyond_the_visibility_keeps_its_messages() {
    let mut story = QueueStory::with(standard(), slow(75_000));
    story.send(3).start().rest();
    assert_eq!(story.calls().concat().len(), 3, "none came a second time");
    assert!(
        story
            .world
            .calls
            .iter()
            .all(|call| call.receives.iter().all(|count| *count == 1))
    );
}

#[test]
fn a_failure_after_many_extensions_comes_back_within_the_queue_s_own_time() {
    let mut failures = 1;
    let handler = move |_: &Call| match failures {
        0 => Answer::success(),
        _ => {
            failures -= 1;
            Answer::raise().after(Duration::from_secs(100))
        }
    };
    let mut story = QueueStory::with(standard(), handler);
    story.send(1).start().rest();
    let calls = &story.world.calls;
    let (ended, _) = calls[0].ended.as_ref().unwrap();
    let away = calls[1].at - *ended;
    assert!(
        away > Duration::ZERO && away <= Duration::from_secs(31),
        "{away:?}"
    );
}

#[test]
fn busy_workers_keep_what_waits_hidden() {
    let mut story = QueueStory::on(setup(false), with_maximum(2), 1, slow(50_000));
    story.send(30).start().rest();
    let counts = story.world.calls.iter().flat_map(|call| &call.receives);
    assert!(
        counts.into_iter().all(|count| *count == 1),
        "no receive without a handler"
    );
}

#[test]
fn a_deep_queue_is_worked_by_as_many_handlers_as_are_allowed_and_no_more() {
    let mut story = QueueStory::on(setup(false), with_maximum(8), 32, slow(1_000));
    story.send(600).start().pass(4_300);
    let queue = story.snapshot().queue.unwrap();
    assert_eq!((queue.in_flight, queue.concurrency_max), (8, 8));
    story.rest();
}

#[test]
fn a_batch_above_ten_is_gathered_from_several_receives() {
    let config = MappingConfig {
        batch_size: 100,
        batch_window: Duration::from_secs(2),
        ..standard()
    };
    let mut story = QueueStory::of(config);
    story.send(100).start().rest();
    assert_eq!(story.calls().len(), 1);
    assert_eq!(story.world.calls[0].messages.len(), 100);
}

#[test]
fn a_window_waits_for_more_and_not_for_longer() {
    let config = MappingConfig {
        batch_window: Duration::from_secs(5),
        ..standard()
    };
    let mut story = QueueStory::of(config);
    story
        .start()
        .pass(100)
        .send(1)
        .pass(3_000)
        .send(2)
        .pass(1_900);
    assert!(story.calls().is_empty());
    story.pass(200);
    assert_eq!(story.calls().len(), 1, "five seconds after the first");
    assert_eq!(story.world.calls[0].messages.len(), 3);
}

#[test]
fn filtered_messages_are_deleted_without_a_call_and_people_are_told_once() {
    let mut story = QueueStory::of(standard());
    for number in 0..6 {
        story.act(Act::Send(Sent {
            filtered: number % 2 == 0,
            ..Sent::plain()
        }));
    }
    story.start().rest();
    assert_eq!(story.calls().concat().len(), 3);
    let told = story.world.notices.iter();
    let told = told.filter(|notice| notice.code == "filtered_deleted");
    assert_eq!(told.count(), 1);
}

#[test]
fn an_empty_queue_is_asked_by_long_polls_only() {
    let mut story = QueueStory::of(standard());
    story.send(40).start().rest().pass(300_000);
    let before = story.world.receives;
    story.pass(600_000);
    let asked = story.world.receives - before;
    assert!(
        (29..=70).contains(&asked),
        "{asked} receives in ten minutes"
    );
}

#[test]
fn too_much_in_flight_is_waited_out_without_a_fault() {
    let queue = QueueSetup {
        in_flight_max: 4,
        ..setup(false)
    };
    let mut story = QueueStory::on(queue, standard(), 4, slow(3_000));
    story.send(12).start().rest();
    assert_eq!(story.calls().concat().len(), 12);
}

#[test]
fn a_refused_start_is_tried_again_without_another_receive() {
    let mut refusals = 3;
    let handler = move |_: &Call| match refusals {
        0 => Answer::success(),
        _ => {
            refusals -= 1;
            let kind = penstock_engine::fault::FaultKind::Throttled { after: None };
            let fault = penstock_engine::fault::Fault::new(kind, "too many");
            penstock_engine::io::Outcome::Rejected(fault).into()
        }
    };
    let mut story = QueueStory::with(standard(), handler);
    story.send(1).start().rest();
    assert_eq!(story.calls().len(), 4);
    assert_eq!(story.world.queue.messages[0].receives, 1);
}

#[test]
fn a_delete_that_fails_for_a_moment_is_tried_again() {
    let mut story = QueueStory::of(standard());
    let faults = QueueFaults {
        refused: 1_000,
        ..QueueFaults::none()
    };
    story.behave(faults).send(5).start().pass(2_000);
    story.behave(QueueFaults::none()).rest();
    assert_eq!(story.calls().concat().len(), 5, "none was handled twice");
}

#[test]
fn a_delete_that_fails_for_too_long_means_that_the_message_comes_again() {
    let mut story = QueueStory::of(standard());
    let faults = QueueFaults {
        refused: 1_000,
        ..QueueFaults::none()
    };
    story.behave(faults).send(1).start().pass(120_000);
    story.behave(QueueFaults::none()).rest();
    assert!(story.calls().len() > 1);
    let told = |code: &str| story.world.notices.iter().any(|notice| notice.code == code);
    assert!(told("receipt_expired"));
}

#[test]
fn a_drain_gives_back_what_waits_and_finishes_what_runs() {
    let mut story = QueueStory::on(setup(false), with_maximum(5), 1, slow(2_000));
    story.send(50).start().pass(500).drain(20);
    assert_eq!(story.world.clean_drains, 1);
    let now = story.world.now;
    let hidden = story.world.queue.waiting();
    let hidden = hidden.filter(|(_, message)| message.hidden(now));
    assert_eq!(hidden.count(), 0, "nothing is left hidden");
    story.start().rest();
    let ran = story.calls().concat();
    assert_eq!(ran.len(), 50, "what was handled does not come again");
}

#[test]
fn a_drain_ends_at_its_time_though_a_handler_does_not() {
    let mut story = QueueStory::with(standard(), slow(600_000));
    story
        .send(1)
        .start()
        .pass(100)
        .act(Act::Drain(Duration::from_secs(5)));
    story.pass(5_000);
    assert!(!story.world.alive());
    assert_eq!(
        story.world.clean_drains, 0,
        "it is told apart from a clean end"
    );
}

#[test]
fn a_stop_does_not_wait_for_the_receives_of_a_drain() {
    let mut story = QueueStory::of(standard());
    story.start().pass(1_000).behave(QueueFaults {
        latency_ms: (2_000, 2_000),
        ..QueueFaults::none()
    });
    story.send(1).pass(100);
    story.act(Act::Drain(Duration::from_secs(60))).pass(100);
    assert!(
        story.world.alive(),
        "the drain waits for a receive's answer"
    );
    story.act(Act::Stop);
    assert!(!story.world.alive());
    assert_eq!(story.world.clean_drains, 0);
}

#[test]
fn a_pause_starts_nothing_and_loses_nothing() {
    let config = MappingConfig {
        batch_size: 1,
        ..with_maximum(2)
    };
    let mut story = QueueStory::on(setup(false), config, 1, slow(1_000));
    story
        .send(6)
        .start()
        .pass(1_500)
        .act(Act::Pause)
        .pass(60_000);
    assert_eq!(story.world.model.mode, Mode::Paused);
    assert_eq!(story.calls().len(), 2, "the running one finished");
    story.act(Act::Resume).rest();
    assert_eq!(story.calls().concat().len(), 6);
}

#[test]
fn a_crash_costs_a_receive_and_no_message() {
    let mut story = QueueStory::with(standard(), slow(5_000));
    story
        .send(8)
        .start()
        .pass(1_000)
        .act(Act::Crash)
        .start()
        .rest();
    let mut handled = story.calls().concat();
    handled.sort_unstable();
    handled.dedup();
    assert_eq!(handled.len(), 8);
    assert!(
        story
            .world
            .queue
            .messages
            .iter()
            .all(|message| message.receives <= 2)
    );
}

#[test]
fn a_queue_that_is_gone_is_tried_again_until_it_is_back() {
    let mut story = QueueStory::of(standard());
    story
        .start()
        .pass(1_000)
        .act(Act::DeleteQueue)
        .pass(200_000);
    let snapshot = story.snapshot();
    assert!(
        snapshot.queue.unwrap().stall.is_some(),
        "it says why nothing moves"
    );
    let asked = story.world.receives;
    story.pass(600_000);
    assert!(story.world.receives - asked <= 12, "a minute apart");
    story.act(Act::CreateQueue).send(3).rest();
    assert_eq!(story.calls().concat().len(), 3);
}

#[test]
fn the_number_of_handlers_can_change_while_they_run() {
    let mut story = QueueStory::on(setup(false), with_maximum(10), 16, slow(1_000));
    story.send(600).start().pass(3_300);
    assert_eq!(story.snapshot().queue.unwrap().in_flight, 10);
    story
        .act(Act::Reconfigure(Box::new(with_maximum(2))))
        .pass(3_000);
    assert_eq!(story.snapshot().queue.unwrap().in_flight, 2);
    story.rest();
}

#[test]
fn a_window_longer_than_the_visibility_asks_for_a_longer_one() {
    let config = MappingConfig {
        batch_window: Duration::from_secs(60),
        batch_size: 100,
        ..standard()
    };
    let mut story = QueueStory::of(config);
    story.send(5).start().rest();
    assert!(
        story
            .world
            .queue
            .messages
            .iter()
            .all(|message| message.receives == 1)
    );
    assert_eq!(story.world.calls[0].at.0 / 1_000_000_000, 60);
}

#[test]
fn a_message_larger_than_any_event_is_left_to_the_redrive_policy() {
    let queue = QueueSetup {
        max_receive_count: Some(2),
        ..setup(false)
    };
    let config = MappingConfig {
        payload_bytes_max: 4_096,
        ..standard()
    };
    let mut story = QueueStory::on(queue, config, 4, |_: &Call| Answer::success());
    story.act(Act::Send(Sent {
        weight: Some(5_000),
        ..Sent::plain()
    }));
    story.send(2).start().rest();
    assert_eq!(story.dead(), [0]);
    assert_eq!(story.calls().concat().len(), 2);
    let mut notices = story.world.notices.iter();
    assert!(notices.any(|notice| notice.code == "message_too_large"));
}

#[test]
fn after_twelve_hours_a_message_can_no_longer_be_kept_hidden() {
    let mut story = QueueStory::with(standard(), slow(13 * 3_600_000));
    story.send(1).start().pass(11 * 3_600_000);
    assert_eq!(story.world.queue.messages[0].receives, 1);
    story.world.model.copy_mut(0).excused = true;
    story.pass(90 * 60_000);
    let mut notices = story.world.notices.iter();
    assert!(notices.any(|notice| notice.code == "visibility_ended"));
}
