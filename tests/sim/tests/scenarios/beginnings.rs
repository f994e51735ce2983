//! Tells stories of where reading begins, and how shards follow one another.

use std::time::Duration;

use penstock_engine::config::{MappingConfig, StartingPosition};
use penstock_engine::ids::Position;
use penstock_engine::time::Wall;
use penstock_sim::event::{Act, Put};
use penstock_sim::faults::Faults;
use penstock_sim::options::plain;
use penstock_sim::story::Story;
use penstock_sim::workers::{Answer, Call};
use penstock_sim::world::World;

#[test]
fn latest_is_resolved_once_and_survives_a_crash() {
    let config = MappingConfig {
        starting_position: StartingPosition::Latest,
        ..plain()
    };
    let mut story = Story::of(config);
    story.put([1, 2]).pass(1_000).start().pass(500);
    story.act(Act::Crash);
    story.put([3]).pass(60_000).start().rest();
    assert_eq!(
        story.calls(),
        [vec![2]],
        "what came while it was down, and nothing before"
    );
}

#[test]
fn at_timestamp_begins_at_the_moment() {
    let from = Wall(1_700_000_000_000 - 30_000);
    let config = MappingConfig {
        starting_position: StartingPosition::AtTimestamp(from),
        ..plain()
    };
    let mut story = Story::of(config);
    story.put_one(Put {
        age: Duration::from_secs(31),
        ..Put::key(1)
    });
    story.put_one(Put {
        age: Duration::from_secs(30),
        ..Put::key(1)
    });
    story.put_one(Put::key(1)).start().rest();
    assert_eq!(story.calls(), [vec![1, 2]]);
}

#[test]
fn shards_found_later_begin_at_their_oldest_record() {
    let config = MappingConfig {
        starting_position: StartingPosition::Latest,
        ..plain()
    };
    let mut story = Story::of(config);
    story.start().rest();
    story.behave(Faults {
        names_children: false,
        ..Faults::none()
    });
    story.act(Act::Split(0, Duration::from_secs(20))).put(0..8);
    story.rest();
    let seen: usize = story
        .world
        .calls
        .iter()
        .map(|call| call.records.len())
        .sum();
    assert_eq!(
        seen, 8,
        "what was put before the children were listed is not lost"
    );
}

#[test]
fn a_closed_shard_is_drained_before_its_children_begin() {
    let config = MappingConfig {
        batch_size: 2,
        ..plain()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_millis(700));
    let mut story = Story::with(config, 1, slow);
    story
        .put(0..8)
        .act(Act::Split(0, Duration::ZERO))
        .put(0..8)
        .start()
        .rest();
    let first_child = story
        .world
        .calls
        .iter()
        .position(|call| call.shard != 0)
        .unwrap();
    assert_eq!(first_child, 4, "all four batches of the parent come first");
}

#[test]
fn a_merged_shard_waits_for_both_parents() {
    let slow_first = |call: &Call| {
        let takes = if call.records[0].shard == 0 { 5_000 } else { 0 };
        Answer::success().after(Duration::from_millis(takes))
    };
    let config = MappingConfig {
        function: penstock_engine::config::FunctionConfig {
            timeout: Duration::from_secs(60),
            ..plain().function
        },
        ..plain()
    };
    let mut story = Story::with(config, 2, slow_first);
    story
        .put(0..10)
        .act(Act::Merge(0, Duration::ZERO))
        .put(0..10)
        .start()
        .rest();
    let child = story
        .world
        .calls
        .iter()
        .find(|call| call.shard == 2)
        .unwrap();
    assert!(
        child.at.0 >= 5_000_000_000,
        "the slow parent had to end first"
    );
}

#[test]
fn a_split_then_a_merge_while_behind_keeps_every_key_in_order() {
    let config = MappingConfig {
        lanes: 4,
        batch_size: 3,
        ..plain()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_millis(40));
    let mut story = Story::with(config, 1, slow);
    story
        .put((0..60).map(|number| number % 7))
        .start()
        .pass(100);
    story
        .act(Act::Split(0, Duration::ZERO))
        .put((0..60).map(|number| number % 7));
    story
        .act(Act::Merge(0, Duration::ZERO))
        .put((0..60).map(|number| number % 7));
    story.rest();
    let seen: usize = story
        .world
        .calls
        .iter()
        .map(|call| call.records.len())
        .sum();
    assert_eq!(seen, 180);
}

#[test]
fn a_parent_that_is_no_longer_listed_counts_as_ended() {
    let mut story = Story::of(plain());
    story
        .put([1, 2])
        .act(Act::Split(0, Duration::ZERO))
        .act(Act::Trim(0, 2))
        .put(0..4);
    story.start().rest();
    assert!(story.world.calls.iter().all(|call| call.shard != 0));
    assert_eq!(
        story
            .world
            .calls
            .iter()
            .map(|call| call.records.len())
            .sum::<usize>(),
        4
    );
}

#[test]
fn the_end_of_a_shard_outlives_its_listing() {
    let mut story = Story::of(plain());
    story.put([1, 2]).start().rest();
    story.act(Act::Split(0, Duration::ZERO)).rest();
    let parent = story.world.stream.shards[0].id.clone();
    let saved = |world: &World| world.store.checkpoint(&parent).unwrap().position.clone();
    assert_eq!(saved(&story.world), Position::ShardEnd);
    story.act(Act::Trim(0, 2)).drain(10);
    let calls = story.calls().len();
    story.start().rest();
    assert_eq!(
        story.calls().len(),
        calls,
        "nothing of the parent comes again"
    );
}
