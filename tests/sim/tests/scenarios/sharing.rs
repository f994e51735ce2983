//! Tells stories of streams that several processes share.

use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_sim::event::Act;
use penstock_sim::options::plain;
use penstock_sim::sharing::Sharing;
use penstock_sim::story::Story;
use penstock_sim::workers::{Answer, Call};

fn shared(takes: Duration) -> Story {
    let config = MappingConfig {
        batch_size: 1,
        ..plain()
    };
    let slow = move |_: &Call| Answer::success().after(takes);
    let mut story = Story::with(config, 1, slow);
    story.world.sharing = Some(Sharing { fails: 0 });
    story
}

#[test]
fn a_shard_that_moves_by_plan_finishes_what_runs_and_nothing_comes_twice() {
    let mut story = shared(Duration::from_secs(1));
    story.put([1, 1, 1, 1]).start().pass(1_500);
    assert_eq!(story.calls(), [vec![0], vec![1]]);
    story
        .act(Act::HandOver(0, Duration::from_secs(5), 1))
        .pass(4_000);
    assert_eq!(story.calls().len(), 2, "the other process has the shard");
    story.rest();
    // The other process has settled one record while it had the shard.
    assert_eq!(story.calls(), [vec![0], vec![1], vec![3]]);
}

#[test]
fn a_holder_that_cannot_renew_starts_nothing_until_it_can() {
    let mut story = shared(Duration::from_secs(2));
    story.world.sharing = Some(Sharing { fails: 1_000 });
    story.put([1; 9]).start().pass(60_000);
    assert_eq!(story.calls().len(), 4, "those of the first two thirds");
    story.world.sharing = Some(Sharing { fails: 0 });
    story.rest();
    assert_eq!(story.calls().len(), 9);
}

#[test]
fn children_begin_when_another_process_has_ended_their_parent() {
    let mut story = shared(Duration::ZERO);
    story.put([1, 2, 3]).start().rest();
    story.put([1, 2]).act(Act::Split(0, Duration::ZERO));
    story.act(Act::Steal(0, Duration::from_secs(5), None, 9));
    story.put([1, 2, 3]).rest();
    assert!(story.world.calls.iter().any(|call| call.shard > 0));
}
