//! Tells stories of what becomes of batches that fail.

use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{Outcome, Report};
use penstock_sim::event::Put;
use penstock_sim::model::How;
use penstock_sim::options::{destination, plain};
use penstock_sim::story::Story;
use penstock_sim::workers::{Answer, Call};

#[test]
fn a_throttled_call_costs_no_attempt() {
    let mut calls = 0;
    let handler = move |_: &Call| {
        calls += 1;
        match calls {
            1..=5 => {
                let kind = FaultKind::Throttled { after: None };
                Outcome::Rejected(Fault::new(kind, "busy")).into()
            }
            6 => Answer::raise(),
            _ => Answer::success(),
        }
    };
    let config = MappingConfig {
        maximum_retry_attempts: Some(1),
        ..plain()
    };
    let mut story = Story::with(config, 1, handler);
    story.put([1]).start().rest();
    let attempts: Vec<u32> = story.world.calls.iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(
        story.world.model.shards[0].records[0].settled,
        Some(How::Succeeded)
    );
}

#[test]
fn only_the_expired_head_is_given_up() {
    let config = MappingConfig {
        maximum_record_age: Some(Duration::from_secs(60)),
        on_failure: destination(),
        ..plain()
    };
    let mut story = Story::of(config);
    story
        .put_one(Put {
            age: Duration::from_secs(80),
            ..Put::key(1)
        })
        .put([1; 5]);
    story.start().rest();
    assert_eq!(story.calls(), [vec![1, 2, 3, 4, 5]]);
    let document = &story.documents()[0];
    assert_eq!((document.first, document.last, document.count), (0, 0, 1));
    assert_eq!(document.condition, "RecordAgeExceeded");
    assert_eq!(document.function_error, None);
}

#[test]
fn a_record_that_is_always_failing_is_given_up_at_its_age() {
    let config = MappingConfig {
        maximum_record_age: Some(Duration::from_secs(60)),
        on_failure: destination(),
        ..plain()
    };
    let mut story = Story::with(config, 1, |_: &Call| Answer::raise());
    story.put([1]).start().rest();
    let document = &story.documents()[0];
    assert_eq!(document.condition, "RecordAgeExceeded");
    assert_eq!(document.count, story.calls().len() as u64);
    let last = story.world.calls.last().unwrap().at;
    assert!(
        last.0 < 60_000_000_000,
        "nothing is tried when it is too old"
    );
}

#[test]
fn a_report_that_cannot_be_used_fails_the_whole_batch() {
    let mut first = true;
    let handler = move |_: &Call| {
        if std::mem::take(&mut first) {
            return Answer::from(Outcome::Returned(Report::Unusable));
        }
        Answer::success()
    };
    let config = MappingConfig {
        partial_response: true,
        ..plain()
    };
    let mut story = Story::with(config, 1, handler);
    story.put([1, 1, 1]).start().rest();
    assert_eq!(story.calls(), [vec![0, 1, 2], vec![0, 1, 2]]);
}

#[test]
fn a_poison_record_blocks_its_lane_and_no_other() {
    let handler = |call: &Call| {
        if call.records.iter().any(|seen| seen.key == 1) {
            Answer::raise()
        } else {
            Answer::success()
        }
    };
    let config = MappingConfig {
        lanes: 10,
        batch_size: 1,
        ..plain()
    };
    let mut story = Story::with(config, 1, handler);
    story.put(0..20).start().pass(10_000);
    let lane = story.world.model.lane(0, 1, 10);
    let records = &story.world.model.shards[0].records;
    for (place, record) in records.iter().enumerate() {
        let other = story.world.model.lane(0, place, 10) != lane;
        assert!(
            !other || record.settled.is_some(),
            "record {place} is held up"
        );
    }
}
