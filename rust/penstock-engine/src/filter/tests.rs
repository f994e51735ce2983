//! Tests the pattern language: every operator, paths, arrays, `$or`, and what is refused.

use super::*;

fn matches(pattern: &str, event: &str) -> bool {
    match explain(pattern, event.as_bytes()) {
        Ok(explanation) => explanation == Explanation::Matched,
        Err(error) => panic!("{pattern} on {event}: {error}"),
    }
}

/// Holds a list of values against single values, each marked by whether it passes.
fn values(list: &str, cases: &[(bool, &[&str])]) {
    for (expected, values) in cases {
        for value in *values {
            let (pattern, event) = (format!("{{\"a\":{list}}}"), format!("{{\"a\":{value}}}"));
            assert_eq!(matches(&pattern, &event), *expected, "{list} on {value}");
        }
    }
}

#[test]
fn literals_match_their_own_type() {
    values(
        "[null]",
        &[(true, &["null"]), (false, &["\"null\"", "0", "[]", "{}"])],
    );
    values("[\"\"]", &[(true, &["\"\""]), (false, &["null", "\" \""])]);
    values(
        "[\"x\"]",
        &[
            (true, &["\"x\"", r#""\u0078""#]),
            (false, &["\"X\"", "\"xy\""]),
        ],
    );
    values(
        "[\"é\"]",
        &[(true, &[r#""\u00e9""#]), (false, &[r#""e\u0301""#])],
    );
    values(
        "[300]",
        &[
            (true, &["300", "300.0", "3.0e2", "3E+2"]),
            (false, &["\"300\"", "301"]),
        ],
    );
    values("[5.10]", &[(true, &["5.1"]), (false, &["5"])]);
    values(
        "[0]",
        &[(true, &["-0", "-0.0", "0e5"]), (false, &["null", "false"])],
    );
    values(
        "[true]",
        &[(true, &["true"]), (false, &["\"true\"", "false"])],
    );
    values(
        "[1,\"x\",null]",
        &[(true, &["1", "\"x\"", "null"]), (false, &["2", "true"])],
    );
    let exact = "9007199254740993";
    values(
        &format!("[{exact}]"),
        &[(true, &[exact]), (false, &["9007199254740992"])],
    );
    values(
        "[{\"exactly\":\"x\"}]",
        &[(true, &["\"x\""]), (false, &["\"y\""])],
    );
}

#[test]
fn texts_match_at_their_ends_or_without_case() {
    let strangers: &[&str] = &["12", "true", "null"];
    values(
        "[{\"prefix\":\"1\"}]",
        &[
            (true, &["\"12\""]),
            (false, &["\"21\""]),
            (false, strangers),
        ],
    );
    values(
        "[{\"prefix\":\"\"}]",
        &[(true, &["\"\"", "\"x\""]), (false, strangers)],
    );
    values(
        "[{\"suffix\":\"数\"}]",
        &[(true, &["\"x数\""]), (false, &["\"数x\""])],
    );
    values(
        "[{\"suffix\":\"\"}]",
        &[(true, &["\"\""]), (false, strangers)],
    );
    let caseless = "[{\"prefix\":{\"equals-ignore-case\":\"éA\"}}]";
    values(caseless, &[(true, &["\"Éab\""]), (false, &["\"eab\""])]);
    let caseless = "[{\"suffix\":{\"equals-ignore-case\":\"éA\"}}]";
    values(caseless, &[(true, &["\"bÉa\""]), (false, &["\"bÉ\""])]);
    let equal = "[{\"equals-ignore-case\":\"Yes\"}]";
    values(
        equal,
        &[
            (true, &["\"YES\"", "\"yes\""]),
            (false, &["\"yess\""]),
            (false, strangers),
        ],
    );
    let wildcard = "[{\"wildcard\":\"a*b\"}]";
    values(
        wildcard,
        &[
            (true, &["\"ab\"", "\"axxb\""]),
            (false, &["\"abc\""]),
            (false, strangers),
        ],
    );
}

#[test]
fn numbers_match_in_ranges() {
    let between = "[{\"numeric\":[\">\",10,\"<=\",20]}]";
    values(
        between,
        &[
            (true, &["10.5", "20", "2e1"]),
            (false, &["10", "21", "\"15\"", "null"]),
        ],
    );
    values(
        "[{\"numeric\":[\"=\",100]}]",
        &[(true, &["1e2"]), (false, &["100.1"])],
    );
    values(
        "[{\"numeric\":[\"<\",0]}]",
        &[(true, &["-1", "-1e300"]), (false, &["0", "-0.0"])],
    );
    values(
        "[{\"numeric\":[\">=\",5]}]",
        &[(true, &["5"]), (false, &["4.9", "9007199254740993"])],
    );
}

#[test]
fn anything_but_takes_every_other_value_of_any_type() {
    let all: &[&str] = &["null", "5", "true", "\"y\""];
    values(
        "[{\"anything-but\":\"x\"}]",
        &[(true, all), (false, &["\"x\"", "{}", "[]"])],
    );
    values(
        "[{\"anything-but\":[5,6]}]",
        &[(true, &["\"5\"", "7"]), (false, &["5.0", "6"])],
    );
    values(
        "[{\"anything-but\":[\"x\",\"z\"]}]",
        &[(true, all), (false, &["\"x\"", "\"z\""])],
    );
    values(
        "[{\"anything-but\":[\"x\"]}]",
        &[(true, &["[\"x\",\"y\"]"]), (false, &["[\"x\"]"])],
    );
    for (inner, excluded) in [
        ("{\"prefix\":\"x\"}", "\"xy\""),
        ("{\"suffix\":[\"y\",\"z\"]}", "\"xz\""),
        ("{\"equals-ignore-case\":[\"É\"]}", "\"é\""),
        ("{\"wildcard\":\"*z*\"}", "\"xzy\""),
    ] {
        let list = format!("[{{\"anything-but\":{inner}}}]");
        values(
            &list,
            &[(true, &["null", "5", "\"a\""]), (false, &[excluded])],
        );
    }
    assert!(!matches(r#"{"a":[{"anything-but":"x"}]}"#, "{}"));
    assert!(matches(
        r#"{"a":[{"anything-but":["x"]},{"exists":false}]}"#,
        "{}"
    ));
}

#[test]
fn only_scalars_exist() {
    let (there, not) = (
        r#"{"a":{"b":[{"exists":true}]}}"#,
        r#"{"a":{"b":[{"exists":false}]}}"#,
    );
    for event in [r#"{"a":{"b":null}}"#, r#"{"a":{"b":[1]}}"#, r#"{"a.b":0}"#] {
        assert!(matches(there, event) && !matches(not, event), "{event}");
    }
    for event in [
        "{}",
        r#"{"a":"x"}"#,
        r#"{"a":{"b":{}}}"#,
        r#"{"a":{"b":[{}]}}"#,
    ] {
        assert!(!matches(there, event) && matches(not, event), "{event}");
    }
    assert!(
        !matches(not, r#"{"a":[{"c":1},{"b":1}]}"#),
        "no element may have it"
    );
    assert!(matches(r#"{"a":[{"exists":false},"x"]}"#, r#"{"a":"x"}"#));
}

#[test]
fn addresses_match_however_they_are_written() {
    values(
        "[\"::1\"]",
        &[(true, &["\"0:0:0:0:0:0:0:1\""]), (false, &["\"::2\""])],
    );
    values(
        "[\"10.0.0.1\"]",
        &[
            (true, &["\"010.0.0.1\""]),
            (false, &["\"10.0.0.1 \"", "10"]),
        ],
    );
    values(
        "[\"1.2.3.999\"]",
        &[(true, &["\"1.2.3.999\""]), (false, &["\"1.2.3.99\""])],
    );
    let block = "[{\"cidr\":\"10.0.0.0/24\"}]";
    values(
        block,
        &[
            (true, &["\"10.0.0.255\""]),
            (false, &["\"10.0.1.0\"", "\"10.0.0.1x\"", "10"]),
        ],
    );
}

#[test]
fn paths_are_keys_joined_by_dots() {
    for pattern in [r#"{"a.b":[1]}"#, r#"{"a":{"b":[1]}}"#] {
        for event in [
            r#"{"a.b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":[[{"b":[[1]]}]]}"#,
        ] {
            assert!(matches(pattern, event), "{pattern} {event}");
        }
    }
    assert!(!matches(r#"{"a":{"b":[1]}}"#, r#"{"a":{"bb":1},"b":1}"#));
    assert!(
        matches(r#"{"a":["x"]}"#, r#"{"a":1,"a":"x"}"#),
        "both values count"
    );
    let merged = r#"{"a":{"b":[1]},"a":{"c":[2]}}"#;
    assert!(matches(merged, r#"{"a":{"b":1,"c":2}}"#) && !matches(merged, r#"{"a":{"c":2}}"#));
    assert!(
        matches(r#"{"a":[1],"a":[2]}"#, r#"{"a":2}"#),
        "the last list of a path is the one"
    );
    assert!(
        !matches(r#"{"a":{"b":[1]}}"#, r#"{"a":"{\"b\":1}"}"#),
        "texts are not parsed"
    );
}

#[test]
fn fields_of_one_rule_come_from_one_element() {
    let pattern = r#"{"a":{"x":[1],"y":[2]}}"#;
    assert!(!matches(pattern, r#"{"a":[{"x":1,"y":3},{"x":4,"y":2}]}"#));
    assert!(!matches(pattern, r#"{"a":[{"x":1},{"y":2}]}"#));
    assert!(matches(pattern, r#"{"a":[{"x":0},{"x":1,"y":2}]}"#));
    assert!(matches(pattern, r#"{"a":[{"x":[{"z":1},1],"y":[0,2]}]}"#));
    let two = r#"{"a":{"x":[1]},"b":{"y":[2]}}"#;
    assert!(matches(
        two,
        r#"{"a":[{"x":0},{"x":1}],"b":[{"y":2},{"y":1}]}"#
    ));
    let later = r#"{"a":{"c":[1],"d":[{"exists":false}]}}"#;
    assert!(
        matches(later, r#"{"a":[{"d":1},{"c":1}]}"#),
        "d stands in another element than c"
    );
    assert!(!matches(later, r#"{"a":[{"d":1,"c":1}]}"#));
}

#[test]
fn or_is_an_operator_when_it_can_be_one() {
    let either = r#"{"c":[9],"$or":[{"a":[1]},{"b":[2],"d":[3]}]}"#;
    assert!(matches(either, r#"{"c":9,"a":1}"#) && matches(either, r#"{"c":9,"b":2,"d":3}"#));
    assert!(!matches(either, r#"{"c":9,"b":2}"#) && !matches(either, r#"{"a":1}"#));
    let inside = r#"{"x":{"$or":[{"a":[1]},{"$or":[{"b":[2]},{"c":[3]}]}]}}"#;
    assert!(matches(inside, r#"{"x":{"c":3}}"#) && !matches(inside, r#"{"c":3}"#));
    let wins = r#"{"a":[1],"$or":[{"a":[2]},{"b":[2]}]}"#;
    assert!(matches(wins, r#"{"a":2}"#) && !matches(wins, r#"{"a":1}"#));
    assert!(matches(r#"{"$or":["x","y"]}"#, r#"{"$or":"y"}"#));
    assert!(matches(r#"{"$or":{"a":[1]}}"#, r#"{"$or":{"a":1}}"#));
    assert!(matches(
        r#"{"$or":[{"prefix":"x"},{"suffix":"y"}]}"#,
        r#"{"$or":"xz"}"#
    ));
}

fn refusal(pattern: &str) -> String {
    match Filters::compile(&[pattern], Shape::Document, 5) {
        Ok(_) => panic!("{pattern} is a pattern"),
        Err(error) => {
            assert_eq!(error.message, "Invalid filter pattern definition.");
            error.hint
        }
    }
}

#[test]
fn malformed_patterns_are_refused_with_the_reason() {
    for (pattern, reason) in [
        ("[]", "Filter is not an object"),
        ("null", "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        (r#"{"a":{}}"#, "Empty objects are not allowed"),
        (r#"{"a":[]}"#, "Empty arrays are not allowed"),
        (r#"{"a":"x"}"#, "\"a\" must be an object or an array"),
        (r#"{"a":[1]} x"#, "something stands behind the end"),
        (r#"{"$or":[{"a":[1]}]}"#, "Unrecognized match type a"),
        (r#"{"$or":[]}"#, "Empty arrays are not allowed"),
    ] {
        assert!(
            refusal(pattern).contains(reason),
            "{pattern}: {}",
            refusal(pattern)
        );
    }
}

#[test]
fn malformed_values_are_refused_with_the_reason() {
    refused_in_a_list(&[
        (
            "[1]",
            "Match value must be String, number, true, false, or null",
        ),
        ("{}", "Match expression name not found"),
        (
            r#"{"prefix":"a","suffix":"b"}"#,
            "Only one key allowed in match expression",
        ),
        (r#"{"NUMERIC":[]}"#, "Unrecognized match type NUMERIC"),
        (r#"{"prefix":1}"#, "prefix match pattern must be a string"),
        (r#"{"suffix":[]}"#, "suffix match pattern must be a string"),
        (
            r#"{"equals-ignore-case":["a"]}"#,
            "equals-ignore-case match pattern must be a string",
        ),
        (
            r#"{"wildcard":1}"#,
            "wildcard match pattern must be a string",
        ),
        (
            r#"{"wildcard":"a**"}"#,
            "Consecutive wildcard characters at pos 2",
        ),
        (
            r#"{"exists":"true"}"#,
            "exists match pattern must be either true or false.",
        ),
    ]);
}

#[test]
fn malformed_ranges_are_refused_with_the_reason() {
    refused_in_a_list(&[
        (r#"{"numeric":1}"#, "Value of numeric must be an array."),
        (r#"{"numeric":[]}"#, "Invalid member in numeric match: ]"),
        (
            r#"{"numeric":["!=",1]}"#,
            "Unrecognized numeric range operator: !=",
        ),
        (r#"{"numeric":[">","1"]}"#, "Value of > must be numeric"),
        (
            r#"{"numeric":["<",5,">",1]}"#,
            "Too many elements in numeric expression",
        ),
        (
            r#"{"numeric":["=",5,"<",7]}"#,
            "Too many elements in numeric expression",
        ),
        (
            r#"{"numeric":[">",5,">",7]}"#,
            "Bad numeric range operator: >",
        ),
        (
            r#"{"numeric":[">",5,"<",1]}"#,
            "Bottom must be less than top",
        ),
        (
            r#"{"numeric":[">=",1,"<=",1]}"#,
            "Bottom must be less than top",
        ),
        (
            r#"{"numeric":[">",1,"<",3,"<",4]}"#,
            "Too many terms in numeric range expression",
        ),
        (
            r#"{"numeric":["=",9007199254740993]}"#,
            "Cannot compare number : 9007199254740993",
        ),
    ]);
}

#[test]
fn malformed_exclusions_are_refused_with_the_reason() {
    refused_in_a_list(&[
        (
            r#"{"anything-but":null}"#,
            "Value of anything-but must be an array or single",
        ),
        (
            r#"{"anything-but":[true]}"#,
            "Inside anything but list, start|null|boolean",
        ),
        (r#"{"anything-but":["a",1]}"#, "mixed type is not supported"),
        (r#"{"anything-but":[]}"#, "mixed type is not supported"),
        (
            r#"{"anything-but":{}}"#,
            "Anything-But expression name not found",
        ),
        (
            r#"{"anything-but":{"numeric":[1]}}"#,
            "Unsupported anything-but pattern: numeric",
        ),
        (
            r#"{"anything-but":{"prefix":""}}"#,
            "Null prefix/suffix not allowed",
        ),
        (
            r#"{"anything-but":{"suffix":[1]}}"#,
            "prefix/suffix match pattern must be a string",
        ),
    ]);
}

#[test]
fn malformed_addresses_and_json_are_refused_with_the_reason() {
    refused_in_a_list(&[
        (r#"{"cidr":"10.0.0.0"}"#, "Malformed CIDR, one '/' required"),
        ("\"\\ud8\"", "a backslash begins no escape"),
        ("01", "a number begins with a zero"),
    ]);
}

/// Requires each text to be refused as a member of a field's values, for its reason.
fn refused_in_a_list(cases: &[(&str, &str)]) {
    for (list, reason) in cases {
        let told = refusal(&format!("{{\"a\":[{list}]}}"));
        assert!(told.contains(reason), "{list}: {told}");
    }
}
