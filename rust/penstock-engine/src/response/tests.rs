//! Reads answers of every kind that a handler can give.

use super::*;
use crate::event::sample::numbered;

const BATCH: [&str; 4] = ["9", "10", "11", "12"];

fn read(answer: &str) -> Report {
    classify(answer.as_bytes(), true, &numbered(&BATCH))
}

fn entry(identifier: &str) -> String {
    format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{identifier}}}]}}"#)
}

#[test]
fn empty_answers_are_successes() {
    for answer in [
        r#""""#,
        "[]",
        "null",
        "{}",
        r#"{"batchItemFailures":[]}"#,
        r#"{"batchItemFailures":null}"#,
        r#"{"statusCode":200,"body":{"batchItemFailures":[1]}}"#,
        " \n{ \"a\" : [[[]]] } ",
    ] {
        assert_eq!(read(answer), Report::AllSucceeded, "{answer}");
    }
}

#[test]
fn answers_that_are_no_report_fail_the_batch() {
    for answer in [
        r#""done""#,
        "1",
        "-1",
        "1.5",
        "1e999",
        "true",
        "false",
        "[1]",
        "[null]",
        "[[]]",
        "[{}]",
        r#"[{"itemIdentifier":"10"}]"#,
    ] {
        assert_eq!(read(answer), Report::Unusable, "{answer}");
    }
}

#[test]
fn lists_of_failures_that_are_no_lists_fail_the_batch() {
    for value in [
        "{}",
        r#"{"itemIdentifier":"10"}"#,
        r#""""#,
        r#""10""#,
        "0",
        "1.5",
        "true",
        "false",
    ] {
        let answer = format!(r#"{{"batchItemFailures":{value}}}"#);
        assert_eq!(read(&answer), Report::Unusable, "{answer}");
    }
}

#[test]
fn unusable_identifiers_fail_the_batch() {
    for identifier in [
        r#""""#,
        "null",
        "123",
        "10",
        "10.0",
        "true",
        r#"["10"]"#,
        r#"{"a":"10"}"#,
        r#""8""#,
        r#""010""#,
        r#"" 10""#,
        r#""\ud800""#,
    ] {
        let answer = entry(identifier);
        assert_eq!(read(&answer), Report::Unusable, "{answer}");
    }
    for item in [
        r#"{"foo":123}"#,
        r#"{"foo":null}"#,
        "{}",
        r#""10""#,
        "10",
        "null",
        "true",
        r#"["10"]"#,
        r#"{"ItemIdentifier":"10"}"#,
    ] {
        let answer = format!(r#"{{"batchItemFailures":[{item}]}}"#);
        assert_eq!(read(&answer), Report::Unusable, "{answer}");
    }
}

#[test]
fn a_reported_record_fails_with_all_behind_it() {
    for (index, number) in BATCH.iter().enumerate() {
        let report = read(&entry(&format!("\"{number}\"")));
        assert_eq!(report, Report::FailedFrom(index as u32));
    }
}

#[test]
fn the_lowest_number_by_value_wins() {
    let items = |numbers: &[&str]| {
        let items: Vec<String> = numbers
            .iter()
            .map(|n| format!(r#"{{"itemIdentifier":"{n}","x":[1]}}"#))
            .collect();
        format!(
            r#"{{"x":{{}},"batchItemFailures":[{}],"y":1}}"#,
            items.join(",")
        )
    };
    assert_eq!(read(&items(&["12", "10"])), Report::FailedFrom(1));
    assert_eq!(read(&items(&["10", "9"])), Report::FailedFrom(0));
    assert_eq!(
        read(&items(&["12", "11", "10", "9"])),
        Report::FailedFrom(0)
    );
    assert_eq!(read(&items(&["11", "11", "11"])), Report::FailedFrom(2));
}

#[test]
fn every_set_of_reported_records_fails_from_its_first() {
    for set in 1_u32..16 {
        let items: Vec<String> = (0..4)
            .rev()
            .filter(|index| set & (1 << index) != 0)
            .map(|index| format!(r#"{{"itemIdentifier":"{}"}}"#, BATCH[index]))
            .collect();
        let answer = format!(r#"{{"batchItemFailures":[{}]}}"#, items.join(","));
        assert_eq!(
            read(&answer),
            Report::FailedFrom(set.trailing_zeros()),
            "{answer}"
        );
    }
}

#[test]
fn of_a_queue_each_reported_message_fails_by_itself_and_every_copy_of_it() {
    let batch = numbered(&["a", "b", "c", "b"]);
    let read = |answer: &str| classify_messages(answer.as_bytes(), true, &batch);
    let items = |ids: &[&str]| {
        let items = ids
            .iter()
            .map(|id| format!(r#"{{"itemIdentifier":"{id}"}}"#));
        format!(
            r#"{{"batchItemFailures":[{}]}}"#,
            items.collect::<Vec<_>>().join(",")
        )
    };
    let failed = |places: &[u32]| Report::Failed(places.into());
    assert_eq!(read(&items(&["c", "a", "c"])), failed(&[0, 2]));
    assert_eq!(read(&items(&["b"])), failed(&[1, 3]));
    for bad in [
        items(&["a", "d"]),
        items(&["a", ""]),
        r#"[{}]"#.into(),
        "[1]".into(),
    ] {
        assert_eq!(read(&bad), Report::Unusable, "{bad}");
    }
    for good in [
        items(&[]),
        "{}".into(),
        "null".into(),
        "\"\"".into(),
        "[]".into(),
    ] {
        assert_eq!(read(&good), Report::AllSucceeded, "{good}");
    }
    let unasked = classify_messages(items(&["a"]).as_bytes(), false, &batch);
    assert_eq!(unasked, Report::AllSucceeded);
}

#[test]
fn one_bad_entry_spoils_the_good_ones() {
    for bad in [
        r#"{"itemIdentifier":"8"}"#,
        r#"{"itemIdentifier":""}"#,
        "{}",
        "1",
    ] {
        for answer in [
            format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"10"}},{bad}]}}"#),
            format!(r#"{{"batchItemFailures":[{bad},{{"itemIdentifier":"10"}}]}}"#),
        ] {
            assert_eq!(read(&answer), Report::Unusable, "{answer}");
        }
    }
}

#[test]
fn an_identifier_that_stands_twice_in_the_batch_means_the_first() {
    let batch = numbered(&["5", "7", "7", "7", "8"]);
    let report = classify(entry("\"7\"").as_bytes(), true, &batch);
    assert_eq!(report, Report::FailedFrom(1));
}

#[test]
fn escaped_identifiers_are_the_same_texts() {
    assert_eq!(read(&entry(r#""\u0031\u0030""#)), Report::FailedFrom(1));
    let answer = r#"{"batchItem\u0046ailures":[{"item\u0049dentifier":"11"}]}"#;
    assert_eq!(read(answer), Report::FailedFrom(2));
}

#[test]
fn without_the_option_every_answer_is_a_success() {
    for answer in [
        entry("\"10\""),
        entry("null"),
        "true".into(),
        "nonsense".into(),
    ] {
        let report = classify(answer.as_bytes(), false, &numbered(&BATCH));
        assert_eq!(report, Report::AllSucceeded);
    }
}

#[test]
fn what_is_not_json_fails_the_batch() {
    for answer in [
        "",
        "nonsense",
        "{",
        "NaN",
        r#"{"batchItemFailures":[]"#,
        "null null",
    ] {
        assert_eq!(read(answer), Report::Unusable, "{answer}");
    }
    assert_eq!(
        classify(b"\"\xff\"", true, &numbered(&BATCH)),
        Report::Unusable
    );
}

#[test]
fn deep_and_large_answers_are_read_without_trouble() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(read(&deep), Report::AllSucceeded);
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(read(&deep), Report::Unusable);
    let many = vec![r#"{"itemIdentifier":"12"}"#; 200_000].join(",");
    assert_eq!(
        read(&format!(r#"{{"batchItemFailures":[{many}]}}"#)),
        Report::FailedFrom(3)
    );
}
