//! Tells stories of how batches are put together.

use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_sim::event::{Act, Put};
use penstock_sim::model::How;
use penstock_sim::options::{destination, plain};
use penstock_sim::story::Story;
use penstock_sim::workers::{Answer, Call};

#[test]
fn full_batches_do_not_wait_and_the_last_one_waits_for_its_window() {
    let config = MappingConfig {
        batch_size: 2,
        batch_window: Duration::from_secs(5),
        ..plain()
    };
    let mut story = Story::of(config);
    story.put([1; 5]).start().rest();
    assert_eq!(story.calls(), [vec![0, 1], vec![2, 3], vec![4]]);
    let waited = story.world.calls[2].at - story.world.calls[1].at;
    assert_eq!(
        waited,
        Duration::from_secs(5),
        "from the completion before it"
    );
}

#[test]
fn a_window_opens_when_the_previous_invocation_ends() {
    let config = MappingConfig {
        batch_window: Duration::from_secs(5),
        ..plain()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_secs(2));
    let mut story = Story::with(config, 1, slow);
    story.put([1]).start().pass(6_000).put([1]).rest();
    let [first, second] = &story.world.calls[..] else {
        panic!("{:?}", story.calls())
    };
    assert_eq!(
        second.at - first.at,
        Duration::from_secs(7),
        "2 s of work and 5 s of window"
    );
}

#[test]
fn an_event_is_cut_at_its_size_and_the_rest_does_not_wait() {
    let config = MappingConfig {
        batch_window: Duration::from_secs(60),
        payload_bytes_max: 4_096,
        ..plain()
    };
    let mut story = Story::of(config);
    for _ in 0..5 {
        story.put_one(Put {
            weight: 900,
            ..Put::key(1)
        });
    }
    story.start().pass(1_000);
    assert_eq!(story.calls(), [vec![0, 1, 2], vec![3, 4]]);
}

#[test]
fn a_record_larger_than_any_event_is_given_up_without_a_call() {
    let config = MappingConfig {
        payload_bytes_max: 4_096,
        maximum_retry_attempts: Some(2),
        on_failure: destination(),
        ..plain()
    };
    let mut story = Story::of(config);
    story
        .put([1])
        .put_one(Put {
            weight: 9_000,
            ..Put::key(1)
        })
        .put([1])
        .start()
        .rest();
    assert_eq!(story.calls(), [vec![0], vec![2]]);
    let document = &story.documents()[0];
    assert_eq!((document.first, document.last, document.count), (1, 1, 3));
    assert_eq!(document.condition, "RetryAttemptsExhausted");
    assert_eq!(document.function_error, None, "no function has answered");
}

#[test]
fn a_shard_that_ends_flushes_what_it_has() {
    let config = MappingConfig {
        batch_window: Duration::from_secs(300),
        ..plain()
    };
    let mut story = Story::of(config);
    story.put([1, 1]).start().pass(1_000);
    assert!(story.calls().is_empty());
    story.act(Act::Split(0, Duration::ZERO)).pass(5_000);
    assert_eq!(story.calls(), [vec![0, 1]]);
}

#[test]
fn filtered_records_count_for_nothing_and_move_the_checkpoint() {
    let mut story = Story::of(MappingConfig {
        batch_size: 2,
        ..plain()
    });
    for number in 0..6 {
        story.put_one(Put {
            filtered: number % 2 == 0,
            ..Put::key(1)
        });
    }
    story.start().rest();
    assert_eq!(story.calls(), [vec![1, 3], vec![5]]);
    let filtered = story.world.model.shards[0].records[4].settled;
    assert_eq!(filtered, Some(How::Filtered));
}
