//! Makes an answer's body wrong, or right in ways that only a full parser takes.

use bytes::Bytes;
use memchr::memmem;

use crate::faults::Garbage;

/// The body as the fault wants it.
#[must_use]
pub fn mangle(parts: &[Bytes], form: Garbage) -> Bytes {
    let body = parts.concat();
    match form {
        Garbage::Broken => Bytes::from(body[..body.len() / 2].to_vec()),
        Garbage::NotJson => Bytes::from_static(b"<html><body>502 Bad Gateway</body></html>"),
        Garbage::Nothing => Bytes::new(),
        Garbage::UnknownFields => {
            let body = replace(&body, br#"{"SequenceNumber":"#, UNKNOWN_IN_RECORD);
            let body = replace(&body, br#"{"awsRegion":"#, UNKNOWN_IN_CHANGE);
            let body = replace(&body, br#""MessageId":"#, UNKNOWN_IN_MESSAGE);
            let Some(rest) = body.strip_prefix(b"{") else {
                return Bytes::from(body);
            };
            let comma: &[u8] = if rest.starts_with(b"}") { b"" } else { b"," };
            Bytes::from([UNKNOWN_IN_ANSWER, comma, rest].concat())
        }
        Garbage::Escapes => {
            let body = replace(&body, br#""Data":"#, br#""D\u0061ta":"#);
            let body = replace(&body, br#""Keys":"#, br#""K\u0065ys":"#);
            let body = replace(&body, br#""Body":"#, br#""B\u006fdy":"#);
            Bytes::from(replace(
                &body,
                br#""SequenceNumber":"4"#,
                br#""SequenceNumber":"\u0034"#,
            ))
        }
    }
}

/// Members that end in quotes, braces and the names of known members.
const UNKNOWN_IN_ANSWER: &[u8] =
    br#"{"Unknown":{"Records":[{"Data":"bm8=","SequenceNumber":"1"}],"Text":"\"}],"},"Null":null"#;
const UNKNOWN_IN_RECORD: &[u8] =
    br#"{"EncryptionType":"NONE","Unknown":[{"Data":"bm8="},1.5e3,true,"]}"],"SequenceNumber":"#;
const UNKNOWN_IN_CHANGE: &[u8] =
    br#"{"Unknown":[{"dynamodb":{"Keys":"]}"}},1.5e3,true],"awsRegion":"#;
const UNKNOWN_IN_MESSAGE: &[u8] = br#""Unknown":[{"Body":"]}"},1.5e3,true],"MessageId":"#;

fn replace(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(body.len() + body.len() / 4);
    let mut copied = 0;
    for at in memmem::find_iter(body, from) {
        made.extend_from_slice(&body[copied..at]);
        made.extend_from_slice(to);
        copied = at + from.len();
    }
    made.extend_from_slice(&body[copied..]);
    made
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn body() -> Vec<Bytes> {
        vec![
            Bytes::from_static(br#"{"MillisBehindLatest":0,"Records":["#),
            Bytes::from_static(br#"{"SequenceNumber":"495","Data":"YQ==","PartitionKey":"k"}"#),
            Bytes::from_static(b"]}"),
        ]
    }

    #[test]
    fn unusual_json_says_the_same() {
        let plain: Value = serde_json::from_slice(&body().concat()).expect("json");
        for form in [Garbage::UnknownFields, Garbage::Escapes] {
            let mangled = mangle(&body(), form);
            assert_ne!(mangled, body().concat());
            let value: Value = serde_json::from_slice(&mangled).expect("json");
            let (record, same) = (&value["Records"][0], &plain["Records"][0]);
            for name in ["SequenceNumber", "Data", "PartitionKey"] {
                assert_eq!(record[name], same[name]);
            }
        }
        let empty = mangle(&[Bytes::from_static(b"{}")], Garbage::UnknownFields);
        assert!(serde_json::from_slice::<Value>(&empty).is_ok());
    }

    #[test]
    fn wrong_json_is_wrong() {
        for form in [Garbage::Broken, Garbage::NotJson, Garbage::Nothing] {
            assert!(serde_json::from_slice::<Value>(&mangle(&body(), form)).is_err());
        }
    }
}
