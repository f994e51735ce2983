//! Tells stories of destinations, sources and stores that fail.

use std::time::Duration;

use penstock_engine::config::{MappingConfig, OnDestinationFailure};
use penstock_engine::ids::Position;
use penstock_engine::snapshot::Reason;
use penstock_sim::event::Act;
use penstock_sim::faults::Faults;
use penstock_sim::model::How;
use penstock_sim::options::{destination, plain};
use penstock_sim::story::Story;
use penstock_sim::workers::{Answer, Call};

#[test]
fn a_destination_that_is_down_holds_the_checkpoint_and_not_the_lane() {
    let handler = |call: &Call| {
        if call.records[0].place == 0 {
            Answer::raise()
        } else {
            Answer::success()
        }
    };
    let config = MappingConfig {
        batch_size: 1,
        maximum_retry_attempts: Some(0),
        on_failure: destination(),
        ..plain()
    };
    let mut story = Story::with(config, 1, handler);
    story.behave(Faults {
        destination: 1_000,
        ..Faults::none()
    });
    story.put([1; 4]).start().pass(30_000);
    assert_eq!(story.calls().len(), 4, "the lane goes on");
    let shard = story.world.stream.shards[0].id.clone();
    let saved = story
        .world
        .store
        .checkpoint(&shard)
        .unwrap()
        .position
        .clone();
    assert_eq!(saved, Position::TrimHorizon, "the checkpoint waits");
    story.behave(Faults::none()).rest();
    assert_eq!(story.documents().len(), 1);
}

#[test]
fn a_lane_waits_when_too_many_documents_are_undelivered() {
    let config = MappingConfig {
        batch_size: 1,
        maximum_retry_attempts: Some(0),
        on_failure: destination(),
        ..plain()
    };
    let mut story = Story::with(config, 1, |_: &Call| Answer::raise());
    story.behave(Faults {
        destination: 1_000,
        ..Faults::none()
    });
    story.put([1; 40]).start().pass(60_000);
    let bound = penstock_engine::limits::UNDELIVERED_DOCUMENTS_MAX as usize;
    assert_eq!(story.calls().len(), bound);
    story.behave(Faults::none()).rest();
    assert_eq!(story.documents().len(), 40);
}

#[test]
fn drop_gives_a_document_up_after_three_tries() {
    let config = MappingConfig {
        maximum_retry_attempts: Some(0),
        on_failure: destination(),
        on_destination_failure: OnDestinationFailure::Drop,
        ..plain()
    };
    let mut story = Story::with(config, 1, |_: &Call| Answer::raise());
    story.behave(Faults {
        destination: 1_000,
        ..Faults::none()
    });
    story.put([1]).start().rest();
    assert_eq!(
        story.world.model.shards[0].records[0].settled,
        Some(How::Dropped)
    );
    assert!(story.documents().is_empty());
}

#[test]
fn an_expired_iterator_is_asked_for_again_and_loses_nothing() {
    let mut story = Story::of(plain());
    story.behave(Faults {
        expired: 600,
        ..Faults::calm()
    });
    story.put(0..20).start().pass(5_000).put(0..20).pass(60_000);
    assert!(story.world.all_settled());
    story.behave(Faults::none()).rest();
}

#[test]
fn empty_answers_with_data_behind_do_not_stop_reading() {
    let mut story = Story::of(plain());
    story.behave(Faults {
        empty: 900,
        ..Faults::calm()
    });
    story.put(0..20).start().pass(120_000);
    assert!(story.world.all_settled());
    assert!(
        story.world.reads < 700,
        "{} reads are a storm",
        story.world.reads
    );
}

#[test]
fn a_throttled_shard_says_so() {
    let mut story = Story::of(plain());
    story.behave(Faults {
        throttled: 1_000,
        ..Faults::none()
    });
    story.put([1]).start().pass(10_000);
    let snapshot = story.snapshot();
    let stall = snapshot.shards[0].stall.as_ref().expect("it does not move");
    assert!(
        matches!(stall.reason, Reason::Throttled { .. }),
        "{stall:?}"
    );
    assert!(
        story.world.reads < 12,
        "{} reads in 10 s of throttling",
        story.world.reads
    );
    story.behave(Faults::none()).rest();
}

#[test]
fn records_trimmed_while_stopped_are_a_gap_and_reading_goes_on() {
    for trimmed_aloud in [true, false] {
        let mut story = Story::of(plain());
        story.behave(Faults {
            trimmed_aloud,
            ..Faults::none()
        });
        story.put([1, 1]).start().rest();
        story
            .drain(10)
            .put([1; 6])
            .act(Act::Trim(0, 5))
            .start()
            .rest();
        assert_eq!(story.calls()[1..], [vec![5, 6, 7]]);
        let told = story
            .world
            .notices
            .iter()
            .any(|notice| notice.code == "gap");
        assert!(
            told || !trimmed_aloud,
            "a gap that the source tells is told on"
        );
    }
}

#[test]
fn a_stream_created_anew_under_the_same_name_is_read_from_its_start() {
    let mut story = Story::of(plain());
    story.put([1, 1, 1]).start().rest();
    story
        .drain(10)
        .act(Act::Recreate(1))
        .put([1, 1])
        .start()
        .rest();
    assert_eq!(story.calls(), [vec![0, 1, 2], vec![0, 1]]);
    assert!(
        story
            .world
            .notices
            .iter()
            .any(|notice| notice.code == "stream_recreated")
    );
}

/// How many records are handed out within a minute in which the store works like this.
fn handed_out_under(faults: Faults) -> usize {
    let config = MappingConfig {
        batch_size: 10,
        ahead_records_max: 30,
        ..plain()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_millis(200));
    let mut story = Story::with(config, 1, slow);
    story
        .start()
        .pass(100)
        .behave(faults)
        .put([1; 200])
        .pass(60_000);
    let handed = story.calls().iter().map(Vec::len).sum();
    story.behave(Faults::none()).rest();
    assert!(story.world.all_settled());
    handed
}

#[test]
fn a_store_that_fails_stops_the_mapping_within_its_reach() {
    let handed = handed_out_under(Faults {
        store: 1_000,
        ..Faults::calm()
    });
    assert!(
        (10..=40).contains(&handed),
        "{handed} records beyond what is saved"
    );
}

#[test]
fn a_store_that_is_stuck_stops_the_mapping_within_its_reach() {
    let stuck = Faults {
        slow: 1_000,
        slow_ms: (100_000, 100_000),
        ..Faults::calm()
    };
    let mut story = Story::with(
        MappingConfig {
            batch_size: 10,
            ahead_records_max: 30,
            ..plain()
        },
        1,
        |_: &Call| Answer::success().after(Duration::from_millis(300)),
    );
    story
        .put([1; 200])
        .start()
        .until(|world| !world.calls.is_empty());
    story.behave(stuck).pass(60_000);
    let handed: usize = story.calls().iter().map(Vec::len).sum();
    assert!(
        (10..=80).contains(&handed),
        "{handed} records while one save hangs"
    );
    story.behave(Faults::none()).rest();
}

#[test]
fn a_save_whose_answer_is_lost_repeats_nothing() {
    let mut story = Story::of(MappingConfig {
        batch_size: 1,
        ..plain()
    });
    story.behave(Faults {
        store_lost: 500,
        ..Faults::calm()
    });
    story.put([1; 20]).start().pass(60_000);
    story.behave(Faults::none()).rest();
    story.drain(10).start().rest();
    assert_eq!(story.calls().len(), 20);
}

#[test]
fn a_lost_lease_is_let_go_and_taken_again() {
    let mut story = Story::of(MappingConfig {
        batch_size: 1,
        ..plain()
    });
    story.put([1; 4]).start().rest();
    let (held, told) = (Duration::from_secs(20), Some(Duration::from_millis(10)));
    story
        .act(Act::Steal(0, held, told, 0))
        .pass(1_000)
        .put([1; 3])
        .pass(10_000);
    assert_eq!(story.calls().len(), 4, "another process has the shard");
    story.rest();
    assert_eq!(story.calls().len(), 7);
}

#[test]
fn each_life_repeats_only_what_was_not_saved() {
    let config = MappingConfig {
        batch_size: 1,
        ..plain()
    };
    let slow = |_: &Call| Answer::success().after(Duration::from_millis(100));
    let mut story = Story::with(config, 1, slow);
    story
        .put([1; 10])
        .start()
        .pass(350)
        .act(Act::Crash)
        .start()
        .rest();
    let twice = story.calls().len() - 10;
    assert!(twice <= 1, "{twice} records came twice");
}

#[test]
fn what_an_operator_skips_is_dropped_and_the_shard_goes_on() {
    let config = MappingConfig {
        batch_size: 1,
        maximum_retry_attempts: Some(0),
        on_failure: destination(),
        ..plain()
    };
    let handler = |call: &Call| {
        if call.records[0].place == 0 {
            Answer::raise()
        } else {
            Answer::success()
        }
    };
    let mut story = Story::with(config, 1, handler);
    story.behave(Faults {
        destination: 1_000,
        ..Faults::none()
    });
    story.put([1; 3]).start().pass(5_000);
    story.act(Act::Skip(0)).rest();
    let counters = story.snapshot().counters;
    assert_eq!((counters.dropped, counters.succeeded), (1, 2));
    let skipped = &story.world.skipped;
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].records, 1);
    assert!(story.documents().is_empty());
    // A later life has nothing of it to do.
    story.drain(5).start().rest();
    assert_eq!(story.calls().len(), 3, "{:?}", story.calls());
}

#[test]
fn a_skip_where_nothing_waits_is_answered_at_once() {
    let mut story = Story::of(plain());
    story.put([1; 3]).start().rest();
    story.act(Act::Skip(0)).pass(1);
    assert!(story.world.skipped.is_empty());
}
