//! Tests patterns and records that mean harm.
//!
//! Bounds are on time, generous enough for a busy machine and a debug build: what is quadratic
//! takes minutes.

use std::fmt::Write as _;

use super::{ExplainError, Explanation, Filters, Shape, explain};

const MEBIBYTE: usize = 1 << 20;

/// Whether an event matches; the test harness ends what takes too long.
fn matches(pattern: &str, event: &str) -> bool {
    explain(pattern, event.as_bytes()) == Ok(Explanation::Matched)
}

#[test]
fn wildcards_are_linear_in_a_text_that_almost_matches() {
    let pattern = r#"{"a":[{"wildcard":"*a*a*a*a*b"}]}"#;
    let text = "a".repeat(MEBIBYTE);
    assert!(!matches(pattern, &format!("{{\"a\":\"{text}\"}}")));
    assert!(matches(pattern, &format!("{{\"a\":\"{text}b\"}}")));
    let digits: String = (0..660).map(|number| format!("{number:03}")).collect();
    for long in [
        format!("*{}", "a".repeat(4_000)),
        "*a".repeat(2_000),
        "*aaaaaaaa".repeat(9),
        format!("*{digits}*{digits}"),
    ] {
        let pattern = format!("{{\"a\":[{{\"wildcard\":\"{long}\"}}]}}");
        assert!(matches!(
            explain(&pattern, b"{}"),
            Err(ExplainError::Pattern(_))
        ));
    }
}

#[test]
fn deep_nesting_is_refused_and_never_overflows() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(matches(
        r#"{"a":[1]}"#,
        &format!("{{\"a\":{}}}", nested(900))
    ));
    let deep = format!("{{\"a\":{}}}", nested(MEBIBYTE / 4));
    assert!(matches!(
        explain(r#"{"a":[1]}"#, deep.as_bytes()),
        Err(ExplainError::Record(_))
    ));
    let objects = |depth: usize| format!("{}[1]{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(Filters::compile(&[objects(600)], Shape::Document, 5).is_ok());
    assert!(matches(&objects(600), &objects(600)));
    let steps = vec!["a"; 2_000].join(".");
    assert!(!matches(&format!("{{\"{steps}\":[1]}}"), &objects(900)));
}

#[test]
fn huge_arrays_take_linear_time() {
    let pattern = r#"{"a":{"x":[1],"y":[2],"z":[{"exists":false}]},"b":[7]}"#;
    let mut elements = String::new();
    for index in 0..MEBIBYTE / 16 {
        let _ = write!(elements, "{{\"x\":1}},{{\"y\":{index}}},");
    }
    let event = |last: &str| format!("{{\"a\":[{elements}{last}],\"b\":7}}");
    assert!(!matches(pattern, &event("{\"x\":0}")));
    assert!(matches(pattern, &event("{\"y\":2,\"x\":1}")));
    let scalars = format!("{{\"b\":[{}7]}}", "1,\"x\",".repeat(MEBIBYTE / 8));
    assert!(matches(r#"{"b":[7]}"#, &scalars));
}

#[test]
fn arrays_beside_one_another_are_not_multiplied() {
    let arrays = 12;
    let fields: Vec<String> = (0..arrays)
        .map(|array| format!("\"k{array}\":{{\"x\":[1]}}"))
        .collect();
    let pattern = format!("{{{},\"z\":[1]}}", fields.join(","));
    let elements = "{\"x\":1},".repeat(5_000);
    let members: Vec<String> = (0..arrays)
        .map(|array| format!("\"k{array}\":[{elements}{{}}]"))
        .collect();
    assert!(!matches(
        &pattern,
        &format!("{{{},\"z\":2}}", members.join(","))
    ));
    assert!(matches(
        &pattern,
        &format!("{{{},\"z\":1}}", members.join(","))
    ));
}

#[test]
fn repeated_keys_end_within_a_bound() {
    let fields: Vec<String> = (0..20).map(|field| format!("\"f{field}\":[1]")).collect();
    let pattern = format!("{{\"a\":{{{}}}}}", fields.join(","));
    let mut random = crate::rng::Rng::new(5);
    let mut members = Vec::new();
    for _ in 0..300 {
        let mut array = Vec::new();
        for _ in 0..30 {
            let chosen = random.next_u64();
            let element: Vec<String> = (0..20)
                .filter(|field| chosen >> field & 3 == 3)
                .map(|field| format!("\"f{field}\":1"))
                .collect();
            array.push(format!("{{{}}}", element.join(",")));
        }
        members.push(format!("\"a\":[{}]", array.join(",")));
    }
    assert!(matches(&pattern, &format!("{{{}}}", members.join(","))));
}

#[test]
fn what_repeated_keys_hide_is_looked_for_within_a_bound() {
    let fields: Vec<String> = (0..20)
        .map(|field| format!("\"f{field:02}\":[1]"))
        .collect();
    let pattern = format!(
        "{{\"a\":{{{},\"z\":[{{\"exists\":false}}]}}}}",
        fields.join(",")
    );
    // Each of many arrays has every field in one element, and what must not be there in another.
    let all: Vec<String> = (0..20).map(|field| format!("\"f{field:02}\":1")).collect();
    let array = format!("\"a\":[{{{}}},{{\"z\":1}}]", all.join(","));
    let arrays = vec![array; 200].join(",");
    assert!(!matches(
        &pattern,
        &format!("{{{arrays},\"a\":{{\"z\":1}}}}")
    ));
    let nested = format!("{}{{{arrays}}}{}", "[".repeat(900), ",{}]".repeat(900));
    let _ = explain(&pattern, format!("{{\"a\":{nested}}}").as_bytes());
    let deep = format!("{}1{}", "[{\"a\":".repeat(400), "},{\"z\":1}]".repeat(400));
    let _ = explain(&pattern, format!("{{\"a\":{deep}}}").as_bytes());
}

#[test]
fn or_lists_that_multiply_are_refused_early() {
    let or = "\"$or\":[{\"a\":[1]},{\"b\":[1]},{\"c\":[1]}]";
    let pattern = format!("{{{}}}", vec![or; 90].join(","));
    assert!(matches!(
        explain(&pattern, b"{}"),
        Err(ExplainError::Pattern(_))
    ));
    let allowed = format!("{{{}}}", [or; 6].join(","));
    assert!(
        matches(&allowed, r#"{"a":1}"#),
        "one branch may be chosen everywhere"
    );
}

#[test]
fn any_bytes_have_an_answer() {
    let mut random = crate::rng::Rng::new(6);
    let pieces: [&[u8]; 14] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"a\"",
        b":",
        b",",
        b"\\",
        b"\"",
        b"1",
        b"\xff",
        "é".as_bytes(),
        b"\\u00",
        b"null",
    ];
    for _ in 0..50_000 {
        let mut bytes = Vec::new();
        for _ in 0..random.next_u64() % 12 {
            bytes.extend_from_slice(pieces[(random.next_u64() % 14) as usize]);
        }
        let _ = explain(r#"{"a":[1,{"prefix":"a"}]}"#, &bytes);
        if let Ok(pattern) = str::from_utf8(&bytes) {
            let _ = explain(pattern, br#"{"a":1}"#);
        }
    }
}
