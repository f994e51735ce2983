//! Tells stories of FIFO queues.

use std::time::Duration;

use penstock_engine::config::{MappingConfig, QueueRules};
use penstock_sim::queue::event::{Act, Sent};
use penstock_sim::queue::faults::QueueFaults;
use penstock_sim::queue::options::{fifo, setup};
use penstock_sim::queue::source::QueueSetup;
use penstock_sim::queue::story::QueueStory;
use penstock_sim::workers::{Answer, Call};

fn single() -> MappingConfig {
    MappingConfig {
        batch_size: 1,
        ..fifo()
    }
}

fn reporting(strict: bool) -> MappingConfig {
    let config = fifo();
    let rules = config.queue.map(|rules| QueueRules {
        strict_groups: strict,
        ..rules
    });
    MappingConfig {
        partial_response: true,
        queue: rules,
        ..config
    }
}

/// Reports these places of the first batch, and succeeds afterwards.
fn reports_once(places: &'static [u32]) -> impl FnMut(&Call) -> Answer {
    let mut first = true;
    move |_: &Call| match std::mem::take(&mut first) {
        true => Answer::failed(places),
        false => Answer::success(),
    }
}

#[test]
fn a_group_is_handled_in_order_one_at_a_time() {
    let slow = |_: &Call| Answer::success().after(Duration::from_secs(5));
    let mut story = QueueStory::with(single(), slow);
    story.send_to([1; 5]).start().rest();
    assert_eq!(story.calls(), [[0], [1], [2], [3], [4]]);
    let calls = &story.world.calls;
    for pair in calls.windows(2) {
        assert!(pair[1].at >= pair[0].ended.as_ref().unwrap().0);
    }
}

#[test]
fn groups_run_side_by_side() {
    let slow = |_: &Call| Answer::success().after(Duration::from_secs(1));
    let mut story = QueueStory::with(single(), slow);
    story.send_to([1, 2, 3, 4]).start().pass(500);
    assert_eq!(story.calls().len(), 4);
    story.rest();
}

#[test]
fn a_batch_may_hold_several_groups_in_the_order_of_receipt() {
    let mut story = QueueStory::of(fifo());
    story.send_to([1, 2, 1, 3, 2]).start().rest();
    assert_eq!(story.calls(), [vec![0, 1, 2, 3, 4]]);
}

#[test]
fn a_failing_group_waits_alone_and_keeps_its_order() {
    let mut failures = 2;
    let handler = move |call: &Call| {
        if call.records[0].place == 0 && failures > 0 {
            failures -= 1;
            return Answer::raise();
        }
        Answer::success()
    };
    let mut story = QueueStory::with(single(), handler);
    story.send_to([1, 1, 2, 2, 1, 2]).start().pass(10_000);
    let group_two = |calls: &[Vec<usize>]| -> Vec<usize> {
        let all = calls.concat();
        all.into_iter()
            .filter(|number| [2, 3, 5].contains(number))
            .collect()
    };
    assert_eq!(
        group_two(&story.calls()),
        [2, 3, 5],
        "the other group goes on"
    );
    story.rest();
    let calls = story.calls().concat();
    let of_one: Vec<usize> = calls
        .into_iter()
        .filter(|n| [0, 1, 4].contains(n))
        .collect();
    assert_eq!(of_one, [0, 0, 0, 1, 4]);
}

#[test]
fn a_gap_is_deleted_as_lambda_does_with_one_warning() {
    let mut story = QueueStory::with(reporting(false), reports_once(&[1]));
    story.send_to([1, 1, 1]).start().rest();
    assert_eq!(story.calls(), [vec![0, 1, 2], vec![1]]);
    let gaps = story.world.notices.iter();
    assert_eq!(gaps.filter(|notice| notice.code == "group_gap").count(), 1);
}

#[test]
fn strict_mode_keeps_what_follows_in_the_group_only() {
    let mut story = QueueStory::with(reporting(true), reports_once(&[1]));
    story.send_to([1, 1, 2, 1, 2]).start().rest();
    assert_eq!(story.calls(), [vec![0, 1, 2, 3, 4], vec![1, 3]]);
}

#[test]
fn the_recorded_life_of_four_messages_in_one_group() {
    let queue = QueueSetup {
        max_receive_count: Some(2),
        ..setup(true)
    };
    let mut calls = 0;
    let handler = move |_: &Call| {
        calls += 1;
        match calls {
            1 => Answer::failed(&[1, 2, 3]),
            2 => Answer::failed(&[2]),
            _ => Answer::success(),
        }
    };
    let mut story = QueueStory::on(queue, reporting(false), 4, handler);
    story.send_to([1; 4]).start().rest();
    assert_eq!(story.calls(), [vec![0, 1, 2, 3], vec![1, 2, 3]]);
    assert_eq!(story.dead(), [3]);
}

#[test]
fn an_unusable_report_stalls_every_group_of_the_batch() {
    let mut first = true;
    let handler = move |_: &Call| match std::mem::take(&mut first) {
        true => {
            penstock_engine::io::Outcome::Returned(penstock_engine::io::Report::Unusable).into()
        }
        false => Answer::success(),
    };
    let mut story = QueueStory::with(reporting(false), handler);
    story.send_to([1, 2]).start().pass(29_000);
    assert_eq!(story.calls().len(), 1);
    story.rest();
    assert_eq!(story.calls().concat(), [0, 1, 0, 1]);
}

#[test]
fn a_lost_answer_is_asked_for_again_under_its_name() {
    let mut story = QueueStory::of(fifo());
    let lost = QueueFaults {
        lost: 1_000,
        ..QueueFaults::none()
    };
    story
        .start()
        .pass(100)
        .behave(lost)
        .send_to([1, 1])
        .pass(20);
    story.behave(QueueFaults::none()).pass(25_000);
    let counts = story
        .world
        .queue
        .messages
        .iter()
        .map(|message| message.receives);
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [1, 1],
        "no second receive, no blocked group"
    );
    assert_eq!(story.calls().concat(), [0, 1]);
}

#[test]
fn what_was_sent_before_is_not_sent_twice() {
    let mut story = QueueStory::of(fifo());
    let once = Sent {
        deduplication: Some(1),
        ..Sent::group(1)
    };
    story
        .act(Act::Send(once.clone()))
        .act(Act::Send(once.clone()));
    story
        .start()
        .rest()
        .pass(300_000)
        .act(Act::Send(once))
        .rest();
    assert_eq!(
        story.calls(),
        [[0], [1]],
        "five minutes later it is another message"
    );
}

#[test]
fn poison_in_a_group_leaves_for_the_dead_letter_queue_and_the_group_goes_on() {
    let queue = QueueSetup {
        max_receive_count: Some(3),
        ..setup(true)
    };
    let poison = |call: &Call| match call.records.iter().any(|seen| seen.place == 1) {
        true => Answer::raise(),
        false => Answer::success(),
    };
    let mut story = QueueStory::on(queue, single(), 4, poison);
    story.send_to([1, 1, 1]).start().rest();
    assert_eq!(story.dead(), [1]);
    assert_eq!(story.calls().concat(), [0, 1, 1, 1, 2]);
}

#[test]
fn what_waits_behind_a_failure_is_given_back_and_not_counted_against_its_group() {
    let mut first = true;
    let handler = move |_: &Call| match std::mem::take(&mut first) {
        true => Answer::raise().after(Duration::from_secs(1)),
        false => Answer::success(),
    };
    let mut story = QueueStory::with(single(), handler);
    story.send_to([1, 1, 1]).start().rest();
    assert_eq!(story.calls().concat(), [0, 0, 1, 2]);
}

#[test]
fn six_groups_and_a_maximum_of_ten_run_six_at_once() {
    let config = MappingConfig {
        queue: fifo().queue.map(|rules| QueueRules {
            maximum_concurrency: Some(10),
            ..rules
        }),
        ..single()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_secs(2));
    let mut story = QueueStory::on(setup(true), config, 16, slow);
    story
        .send_to((0..60).map(|number| number % 6))
        .start()
        .pass(5_000);
    assert_eq!(story.snapshot().queue.unwrap().in_flight, 6);
    story.rest();
}

#[test]
fn a_drain_gives_groups_back_in_order() {
    let slow = |_: &Call| Answer::success().after(Duration::from_secs(1));
    let mut story = QueueStory::on(setup(true), single(), 1, slow);
    story
        .send_to([1, 2, 1, 2, 1, 2])
        .start()
        .pass(1_500)
        .drain(10);
    assert_eq!(story.world.clean_drains, 1);
    story.start().rest();
    let calls = story.calls().concat();
    for group in [[0, 2, 4], [1, 3, 5]] {
        let of: Vec<usize> = calls
            .iter()
            .copied()
            .filter(|n| group.contains(n))
            .collect();
        assert_eq!(of, group);
    }
}
