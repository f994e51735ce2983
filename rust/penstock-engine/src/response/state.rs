//! Reads the state of a tumbling window from a handler's answer.
//!
//! Rules: the state is an object, and comes out as compact JSON with no more escapes than events
//! have, so that its size is what an event will carry; numbers stay as they were written; an
//! answer without a state, or with another kind of value, is a failure of the handler.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::io::HandlerError;
use crate::limits::WINDOW_STATE_DEPTH_MAX;

/// The state in the JSON text `answer`.
///
/// # Errors
/// What the handler did wrong, in words for its author.
pub fn read(answer: &[u8]) -> Result<Arc<str>, HandlerError> {
    let state = match serde_json::from_slice::<Answer<'_>>(answer) {
        Ok(Answer(Some(state))) => state,
        Ok(Answer(None)) => {
            let message = "the answer has no state; return {\"state\": {...}}".to_owned();
            return Err(failure("StateMissing", message));
        }
        Err(_) => {
            let message =
                "a tumbling window needs an answer like {\"state\": {...}}; this is no object";
            return Err(failure("StateMissing", message.to_owned()));
        }
    };
    let text = state.get();
    if !text.starts_with('{') {
        let kind = match text.as_bytes().first() {
            Some(b'[') => "a list",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            _ => "a number",
        };
        let message = format!("the state of a tumbling window must be an object, not {kind}");
        return Err(failure("StateNotAnObject", message));
    }
    compact(text).map(Arc::from)
}

fn failure(kind: &str, message: String) -> HandlerError {
    HandlerError {
        kind: kind.to_owned(),
        message,
    }
}

/// An answer's `state`; the last one counts, as in Python.
struct Answer<'a>(Option<&'a RawValue>);

impl<'de> Deserialize<'de> for Answer<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(AnswerVisitor)
    }
}

struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = Answer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a state")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut state = None;
        while let Some(key) = object.next_key::<Cow<'de, str>>()? {
            if key == "state" {
                state = Some(object.next_value::<&'de RawValue>()?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Answer(state))
    }
}

/// Valid JSON without spaces between its tokens, and with the escapes of events.
fn compact(json: &str) -> Result<String, HandlerError> {
    let mut out = Vec::with_capacity(json.len());
    let (mut rest, mut depth) = (json, 0_usize);
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => {
                let length = text_len(rest);
                write_text(&mut out, &rest[..length])?;
                length
            }
            b' ' | b'\n' | b'\r' | b'\t' => 1,
            other => {
                depth += usize::from(matches!(other, b'{' | b'['));
                depth -= usize::from(matches!(other, b'}' | b']'));
                if depth > WINDOW_STATE_DEPTH_MAX {
                    let message = format!(
                        "the state has more than {WINDOW_STATE_DEPTH_MAX} objects and lists \
                         inside one another"
                    );
                    return Err(failure("StateTooDeep", message));
                }
                out.push(other);
                1
            }
        };
        rest = &rest[length..];
    }
    Ok(String::from_utf8(out).expect("texts and ASCII make text"))
}

/// Bytes of the string that begins `json`, its quotes included.
fn text_len(json: &str) -> usize {
    let mut bytes = json.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

fn write_text(out: &mut Vec<u8>, quoted: &str) -> Result<(), HandlerError> {
    if !quoted.contains('\\') {
        out.extend_from_slice(quoted.as_bytes());
        return Ok(());
    }
    let plain: String = serde_json::from_str(quoted).map_err(|_| {
        let message = "the state holds half of a surrogate pair, which is no text".to_owned();
        failure("StateNotText", message)
    })?;
    crate::event::write_text(out, &plain);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(answer: &str) -> String {
        read(answer.as_bytes()).expect_err(answer).kind
    }

    #[test]
    fn a_state_comes_out_compact_and_with_the_escapes_of_events() {
        for (answer, state) in [
            (r#"{"state":{}}"#, "{}"),
            (
                r#"{ "x" : [1], "state" : { "a b" : [ 1 , -2.50 , 1E+3 ] , "c" : { } } }"#,
                r#"{"a b":[1,-2.50,1E+3],"c":{}}"#,
            ),
            (
                r#"{"state":{"\u00e9\/":"\ud83d\ude00 \"\u0001\n, :"}}"#,
                "{\"é/\":\"😀 \\\"\\u0001\\n, :\"}",
            ),
            (
                r#"{"state":{"n":123456789012345678901234567890}}"#,
                r#"{"n":123456789012345678901234567890}"#,
            ),
            (r#"{"state":{"a":1},"state":{"a":2}}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(read(answer.as_bytes()).as_deref(), Ok(state), "{answer}");
        }
    }

    #[test]
    fn an_answer_without_a_state_is_a_failure() {
        for answer in [
            "null",
            "{}",
            r#"{"State":{}}"#,
            "[]",
            r#""state""#,
            "1",
            "true",
        ] {
            assert_eq!(kind(answer), "StateMissing", "{answer}");
        }
    }

    #[test]
    fn a_state_that_is_no_object_is_a_failure() {
        for state in ["null", "1", "-1", r#""{}""#, "true", "[]", "[{}]"] {
            let answer = format!(r#"{{"state": {state} }}"#);
            assert_eq!(kind(&answer), "StateNotAnObject", "{answer}");
        }
    }

    #[test]
    fn what_an_event_cannot_hold_is_a_failure() {
        let deep = |depth: usize| {
            format!(
                r#"{{"state":{{"a":{}{}}}}}"#,
                "[".repeat(depth - 1),
                "]".repeat(depth - 1)
            )
        };
        assert!(read(deep(WINDOW_STATE_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(kind(&deep(WINDOW_STATE_DEPTH_MAX + 1)), "StateTooDeep");
        assert_eq!(kind(&deep(100_000)), "StateTooDeep");
        assert_eq!(kind(r#"{"state":{"a":"\ud800"}}"#), "StateNotText");
    }
}
