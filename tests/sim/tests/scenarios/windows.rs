//! Tells stories of tumbling windows: how state is carried, and how windows end.
//!
//! The world begins twenty seconds into a minute.

use std::time::Duration;

use penstock_engine::config::{MappingConfig, PartialState};
use penstock_engine::io::{HandlerError, Outcome, Report};
use penstock_engine::limits::WINDOW_STATE_BYTES_MAX;
use penstock_sim::event::{Act, Put};
use penstock_sim::options::{destination, plain};
use penstock_sim::story::Story;
use penstock_sim::workers::{Answer, Call};
use serde_json::Value;

fn minutes() -> MappingConfig {
    MappingConfig {
        tumbling_window: Some(Duration::from_secs(60)),
        ..plain()
    }
}

/// The calls: the records, the state they got, and whether the call was final or even early.
fn told(story: &Story) -> Vec<(Vec<usize>, String, &'static str)> {
    let calls = story.world.calls.iter();
    calls
        .map(|call| {
            let window = call.window.as_ref().expect("every call is of a window");
            let kind = match (window.is_final, window.terminated_early) {
                (false, _) => "",
                (true, false) => "final",
                (true, true) => "early",
            };
            let state = match window.state.len() {
                0..100 => window.state.to_string(),
                _ => "large".to_owned(),
            };
            (call.records.clone(), state, kind)
        })
        .collect()
}

fn call(records: &[usize], state: &str, kind: &'static str) -> (Vec<usize>, String, &'static str) {
    (records.to_vec(), state.to_owned(), kind)
}

#[test]
fn a_record_of_a_later_window_ends_the_one_before() {
    let mut story = Story::of(minutes());
    story.put([1, 2]).start().pass(1_000);
    story.put([3]).pass(60_000);
    story.put([1]).rest();
    assert_eq!(
        told(&story),
        [
            call(&[0, 1], "{}", ""),
            call(&[2], r#"{"seen":[0,1]}"#, ""),
            call(&[], r#"{"seen":[0,1,2]}"#, "final"),
            call(&[3], "{}", ""),
            call(&[], r#"{"seen":[3]}"#, "final"),
        ]
    );
}

#[test]
fn one_read_with_records_of_several_windows_is_several_batches() {
    let mut story = Story::of(minutes());
    let aged = |seconds| Put {
        age: Duration::from_secs(seconds),
        ..Put::key(1)
    };
    for age in [150, 145, 80, 20, 10] {
        story.put_one(aged(age));
    }
    story.start().rest();
    let records: Vec<Vec<usize>> = story.calls();
    assert_eq!(
        records,
        [vec![0, 1], vec![], vec![2], vec![], vec![3, 4], vec![]]
    );
}

#[test]
fn a_late_record_joins_the_open_window() {
    let mut story = Story::of(minutes());
    story.put([1]).start().pass(1_000);
    story
        .put_one(Put {
            age: Duration::from_secs(90),
            ..Put::key(1)
        })
        .rest();
    assert_eq!(
        told(&story),
        [
            call(&[0], "{}", ""),
            call(&[1], r#"{"seen":[0]}"#, ""),
            call(&[], r#"{"seen":[0,1]}"#, "final"),
        ]
    );
}

#[test]
fn a_window_of_a_quiet_shard_ends_two_minutes_after_its_last_record() {
    let mut story = Story::of(minutes());
    story.put([1]).start().rest();
    let last = story.world.calls.last().expect("a final call");
    let seconds = Duration::from_nanos(last.at.0).as_secs_f64();
    assert!((120.0..122.0).contains(&seconds), "{seconds}");
}

#[test]
fn the_end_of_a_shard_ends_its_window_and_children_begin_anew() {
    let mut story = Story::of(minutes());
    story.put([1, 2, 3]).start().pass(1_000);
    story.act(Act::Split(0, Duration::ZERO)).put([1, 2, 3, 4]);
    story.pass(20_000);
    let calls = told(&story);
    assert_eq!(
        calls[..2],
        [
            call(&[0, 1, 2], "{}", ""),
            call(&[], r#"{"seen":[0,1,2]}"#, "final"),
        ]
    );
    assert!(
        calls[2..]
            .iter()
            .all(|(records, state, _)| !records.is_empty() && state == "{}")
    );
    story.rest();
}

#[test]
fn a_crash_goes_on_with_the_state_of_its_checkpoint() {
    let mut story = Story::of(minutes());
    story.put([1, 2]).start().pass(2_000);
    story.act(Act::Crash).put([3]).start().rest();
    assert_eq!(
        told(&story),
        [
            call(&[0, 1], "{}", ""),
            call(&[2], r#"{"seen":[0,1]}"#, ""),
            call(&[], r#"{"seen":[0,1,2]}"#, "final"),
        ]
    );
}

#[test]
fn a_retry_gets_the_state_that_the_failed_attempt_got() {
    let mut calls = 0;
    let handler = move |_: &Call| {
        calls += 1;
        match calls {
            2 => Answer::raise(),
            3 => Answer::failed_from(0),
            _ => Answer::success(),
        }
    };
    let config = MappingConfig {
        partial_response: true,
        ..minutes()
    };
    let mut story = Story::with(config, 1, handler);
    story.put([1]).start().pass(1_000);
    story.put([2]).rest();
    assert_eq!(
        told(&story),
        [
            call(&[0], "{}", ""),
            call(&[1], r#"{"seen":[0]}"#, ""),
            call(&[1], r#"{"seen":[0]}"#, ""),
            call(&[1], r#"{"seen":[0]}"#, ""),
            call(&[], r#"{"seen":[0,1]}"#, "final"),
        ]
    );
}

#[test]
fn a_partial_answer_keeps_the_state_of_what_succeeded() {
    let mut calls = 0;
    let handler = move |_: &Call| {
        calls += 1;
        match calls {
            1 => Answer::failed_from(2),
            _ => Answer::success(),
        }
    };
    let config = MappingConfig {
        partial_response: true,
        ..minutes()
    };
    let mut story = Story::with(config, 1, handler);
    story.put([1, 2, 3, 4]).start().rest();
    assert_eq!(
        told(&story),
        [
            call(&[0, 1, 2, 3], "{}", ""),
            call(&[2, 3], r#"{"seen":[0,1]}"#, ""),
            call(&[], r#"{"seen":[0,1,2,3]}"#, "final"),
        ]
    );
}

#[test]
fn a_partial_answer_leaves_the_state_where_the_mapping_discards_it() {
    let mut calls = 0;
    let handler = move |_: &Call| {
        calls += 1;
        match calls {
            2 => Answer::failed_from(1),
            _ => Answer::success(),
        }
    };
    let config = MappingConfig {
        partial_response: true,
        partial_state: PartialState::Discard,
        ..minutes()
    };
    let mut story = Story::with(config, 1, handler);
    story.put([1]).start().pass(1_000);
    story.put([2, 3]).rest();
    assert_eq!(
        told(&story),
        [
            call(&[0], "{}", ""),
            call(&[1, 2], r#"{"seen":[0]}"#, ""),
            call(&[2], r#"{"seen":[0]}"#, ""),
            call(&[], r#"{"seen":[0,2]}"#, "final"),
        ]
    );
}

#[test]
fn a_state_that_is_too_large_ends_its_window_early() {
    let mut calls = 0;
    let handler = move |call: &Call| {
        calls += 1;
        if calls > 1 || call.records.is_empty() {
            return Answer::success();
        }
        let pad = "x".repeat(WINDOW_STATE_BYTES_MAX);
        let state = format!(r#"{{"seen":[0],"pad":"{pad}"}}"#);
        let (report, state) = (Report::AllSucceeded, state.into());
        Outcome::Aggregated { report, state }.into()
    };
    let mut story = Story::with(minutes(), 1, handler);
    story.put([1]).start().pass(1_000);
    story.put([2]).rest();
    assert_eq!(
        told(&story),
        [
            call(&[0], "{}", ""),
            call(&[], "large", "early"),
            call(&[1], "{}", ""),
            call(&[], r#"{"seen":[1]}"#, "final"),
        ]
    );
    let bounds: Vec<_> = story
        .world
        .calls
        .iter()
        .map(|call| {
            let window = call.window.as_ref().expect("a window");
            (window.start, window.end)
        })
        .collect();
    assert!(bounds.iter().all(|one| *one == bounds[0]), "{bounds:?}");
    let notices = &story.world.notices;
    assert!(
        notices
            .iter()
            .any(|notice| notice.code == "window_state_too_large")
    );
}

#[test]
fn an_answer_without_a_state_fails_its_batch() {
    let mut calls = 0;
    let handler = move |_: &Call| {
        calls += 1;
        match calls {
            1 => Outcome::Raised(HandlerError {
                kind: "StateMissing".to_owned(),
                message: String::new(),
            })
            .into(),
            _ => Answer::success(),
        }
    };
    let mut story = Story::with(minutes(), 1, handler);
    story.put([1]).start().rest();
    let attempts: Vec<u32> = story.world.calls.iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 2, 1]);
}

#[test]
fn a_final_call_that_fails_for_good_leaves_a_document_of_its_window() {
    let handler = |call: &Call| match call.records.len() {
        0 => Answer::raise(),
        _ => Answer::success(),
    };
    let config = MappingConfig {
        maximum_retry_attempts: Some(1),
        on_failure: destination(),
        ..minutes()
    };
    let mut story = Story::with(config, 1, handler);
    story.put([1]).start().pass(61_000);
    story.put([1]).pass(10_000);
    let kinds: Vec<&str> = told(&story).iter().map(|(.., kind)| *kind).collect();
    assert_eq!(kinds, ["", "final", "final", ""]);
    let body: Value =
        serde_json::from_str(&story.world.documents[0].body).expect("a document is JSON");
    assert_eq!(body["requestContext"]["approximateInvokeCount"], 2);
    let info = body["KinesisBatchInfo"].as_object().expect("an object");
    assert_eq!(info.keys().collect::<Vec<_>>(), ["shardId", "streamArn"]);
    assert_eq!(
        body["timeWindowInfo"].to_string(),
        concat!(
            r#"{"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false,"#,
            r#""window":{"end":"2023-11-14T22:14:00Z","start":"2023-11-14T22:13:00Z"}}"#
        )
    );
}

#[test]
fn windows_that_are_switched_off_end_with_what_they_have() {
    let mut story = Story::of(minutes());
    story.put([1]).start().pass(1_000);
    let off = MappingConfig {
        tumbling_window: None,
        lanes: 4,
        ..minutes()
    };
    story
        .act(Act::Reconfigure(Box::new(off)))
        .put([2])
        .pass(5_000);
    let windows: Vec<Option<bool>> = story
        .world
        .calls
        .iter()
        .map(|call| call.window.as_ref().map(|window| window.is_final))
        .collect();
    assert_eq!(windows.len(), 3);
    assert_eq!(windows.iter().filter(|window| window.is_none()).count(), 1);
    assert!(windows.contains(&Some(true)), "{windows:?}");
}
