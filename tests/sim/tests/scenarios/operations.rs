//! Tells stories of pauses, changes, drains and restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::snapshot::MappingState;
use penstock_sim::event::Act;
use penstock_sim::model::How;
use penstock_sim::options::{destination, plain};
use penstock_sim::story::Story;
use penstock_sim::workers::{Answer, Call};

#[test]
fn a_pause_lets_the_running_batch_finish_and_starts_nothing() {
    let config = MappingConfig {
        batch_size: 1,
        ..plain()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_secs(1));
    let mut story = Story::with(config, 1, slow);
    story
        .put([1, 1, 1])
        .start()
        .pass(1_500)
        .act(Act::Pause)
        .pass(60_000);
    assert_eq!(story.calls(), [vec![0], vec![1]]);
    assert_eq!(story.snapshot().state, MappingState::Paused);
    assert_eq!(
        story.world.model.shards[0].records[1].settled,
        Some(How::Succeeded)
    );
    story.act(Act::Resume).rest();
    assert_eq!(story.calls(), [vec![0], vec![1], vec![2]]);
}

#[test]
fn the_number_of_lanes_can_change_while_records_are_in_flight() {
    let config = MappingConfig {
        lanes: 2,
        batch_size: 2,
        ..plain()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_millis(300));
    let mut story = Story::with(config.clone(), 1, slow);
    story
        .put((0..40).map(|number| number % 9))
        .start()
        .pass(500);
    story
        .act(Act::Reconfigure(Box::new(MappingConfig {
            lanes: 5,
            ..config
        })))
        .rest();
    assert!(story.world.calls.iter().any(|call| call.lane >= 2));
    let seen: usize = story
        .world
        .calls
        .iter()
        .map(|call| call.records.len())
        .sum();
    assert_eq!(seen, 40, "nothing is lost and nothing comes twice");
}

#[test]
fn a_drain_while_one_lane_backs_off_repeats_nothing_that_was_settled() {
    let handler = |call: &Call| {
        if call.records.iter().any(|seen| seen.key == 3) {
            Answer::raise()
        } else {
            Answer::success()
        }
    };
    let config = MappingConfig {
        lanes: 4,
        batch_size: 1,
        ..plain()
    };
    let mut story = Story::with(config, 1, handler);
    story.put(0..12).start().pass(3_000).drain(10);
    assert_eq!(story.world.clean_drains, 1);
    let settled: Vec<usize> = (0..12)
        .filter(|place| {
            story.world.model.shards[0].records[*place]
                .settled
                .is_some()
        })
        .collect();
    let before = story.calls().len();
    story.start().pass(3_000);
    for call in &story.calls()[before..] {
        assert!(
            !settled.contains(&call[0]),
            "record {} was settled",
            call[0]
        );
    }
}

#[test]
fn attempts_and_the_request_id_survive_a_restart() {
    let config = MappingConfig {
        maximum_retry_attempts: Some(3),
        on_failure: destination(),
        ..plain()
    };
    let mut story = Story::with(config, 1, |_: &Call| Answer::raise());
    story
        .put([1, 1])
        .start()
        .until(|world| world.calls.len() == 2)
        .pass(10)
        .drain(10);
    story.start().rest();
    let attempts: Vec<u32> = story.world.calls.iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4], "the restart is no excuse");
    assert_eq!(story.documents()[0].count, 4);
}

#[test]
fn a_drain_ends_at_its_time_though_a_handler_does_not() {
    let stuck = |_: &Call| Answer::success().after(Duration::from_secs(600));
    let mut story = Story::with(plain(), 1, stuck);
    story
        .put([1])
        .start()
        .pass(100)
        .act(Act::Drain(Duration::from_secs(5)))
        .pass(5_000);
    assert!(!story.world.alive());
    assert_eq!(
        story.world.clean_drains, 0,
        "it is told apart from a clean end"
    );
}

#[test]
fn lanes_stay_with_the_worker_that_keeps_their_state_until_it_cannot_be_replaced() {
    let config = MappingConfig {
        lanes: 5,
        batch_size: 1,
        ..plain()
    };
    let uneven = |call: &Call| {
        let millis = 20 + u64::from(call.records[0].key % 3) * 90;
        Answer::success().after(Duration::from_millis(millis))
    };
    let mut story = Story::with(config, 1, uneven);
    let homes = |story: &Story, from: usize| -> BTreeMap<u8, BTreeSet<usize>> {
        let mut homes: BTreeMap<u8, BTreeSet<usize>> = BTreeMap::new();
        for call in &story.world.calls[from..] {
            homes.entry(call.lane).or_default().insert(call.slot);
        }
        homes
    };
    story.act(Act::Crew(vec![0, 1, 2]));
    story.put((0..60).map(|number| number % 20)).start().rest();
    let first = homes(&story, 0);
    assert!(first.values().all(|slots| slots.len() == 1), "{first:?}");
    let held = |slot: usize| first.values().filter(|slots| slots.contains(&slot)).count();
    assert_eq!([held(0) + held(1) + held(2), held(3)], [5, 0]);
    assert!([0, 1, 2].iter().all(|slot| (1..=2).contains(&held(*slot))));
    // One cannot be started any more: its lanes go to the others, and theirs stay.
    let before = story.world.calls.len();
    story.act(Act::Crew(vec![0, 2]));
    story.put((0..60).map(|number| number % 20)).rest();
    let second = homes(&story, before);
    assert_eq!(second.len(), 5, "all lanes go on");
    for (lane, slots) in &second {
        assert_eq!(slots.len(), 1, "{second:?}");
        assert!(!slots.contains(&1));
        assert!(first[lane].contains(&1) || first[lane] == *slots);
    }
}

#[test]
fn a_shard_that_an_operator_sets_back_is_read_again_without_a_pause() {
    let mut story = Story::of(plain());
    story.put([1; 4]).start().rest();
    let before = story.calls().concat().len();
    story.act(Act::Move(0, 3, Duration::ZERO)).pass(2_000);
    story.rest();
    let again = &story.calls().concat()[before..];
    assert_eq!(again, [1, 2, 3]);
    assert!(
        story
            .world
            .notices
            .iter()
            .any(|notice| notice.code == "checkpoint_moved")
    );
}
