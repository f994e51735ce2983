//! Checks a message that is to be sent, and writes it as it is kept.
//!
//! Rules: what SQS refuses is refused here, with the message's place; attributes are kept as the
//! event shows them; both MD5s are those that SQS gives.

use std::fmt::{Display, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::json;
use sha2::Sha256;

use super::QueueError;

/// The most bytes of one message: body and attributes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The longest delay of a message or of all messages of a queue, in seconds.
pub const DELAY_S_MAX: u64 = 900;

/// The most attributes of one message.
const ATTRIBUTES_MAX: usize = 10;

/// The longest group, deduplication id, and name or type of an attribute.
const GROUP_CHARACTERS_MAX: usize = 128;
const NAME_CHARACTERS_MAX: usize = 256;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewMessage {
    /// The text.
    pub body: String,
    /// How long nobody sees it, in seconds; the queue's own delay unless given.
    pub delay_s: Option<u64>,
    /// Its group: what keeps its order in a FIFO queue.
    pub group: Option<String>,
    /// What tells a message that is sent again, in a FIFO queue.
    pub deduplication_id: Option<String>,
    /// Its attributes, by name.
    pub attributes: Vec<(String, Attribute)>,
    /// The `AWSTraceHeader`.
    pub trace_header: Option<String>,
}

/// An attribute of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with a label after a dot.
    pub data_type: String,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text, numbers too.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// A message as it is kept.
pub(super) struct Encoded {
    pub(super) body: String,
    pub(super) md5_of_body: String,
    /// JSON in the event's shape, `{}` when there are none.
    pub(super) attributes: String,
    pub(super) md5_of_attributes: Option<String>,
    pub(super) delay_s: Option<u64>,
    pub(super) group: Option<String>,
    pub(super) deduplication_id: Option<String>,
    pub(super) trace_header: Option<String>,
}

impl Encoded {
    /// The message at `index` of what is sent.
    pub(super) fn of(index: usize, message: NewMessage) -> Result<Self, QueueError> {
        check(&message).map_err(|reason| {
            QueueError::Invalid(format!("message {index} cannot be sent: {reason}"))
        })?;
        let mut attributes = message.attributes;
        attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let md5_of_attributes = (!attributes.is_empty()).then(|| attributes_md5(&attributes));
        Ok(Self {
            md5_of_body: hex(&Md5::digest(message.body.as_bytes())),
            attributes: shown(&attributes),
            md5_of_attributes,
            body: message.body,
            delay_s: message.delay_s,
            group: message.group,
            deduplication_id: message.deduplication_id,
            trace_header: message.trace_header,
        })
    }

    /// What it counts in the file.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + self.attributes.len()
    }

    /// The deduplication id of a message that is known by its body.
    pub(super) fn content_id(&self) -> String {
        hex(&Sha256::digest(self.body.as_bytes()))
    }
}

fn check(message: &NewMessage) -> Result<(), String> {
    let attributes: usize = message.attributes.iter().map(attribute_bytes).sum();
    let bytes = message.body.len() + attributes;
    if message.body.is_empty() {
        return Err("its body is empty".to_owned());
    }
    if bytes > MESSAGE_BYTES_MAX {
        return Err(format!(
            "it has {bytes} bytes with its attributes, {MESSAGE_BYTES_MAX} are allowed"
        ));
    }
    if let Some(character) = message.body.chars().find(|one| !is_allowed(*one)) {
        return Err(format!(
            "its body holds {:?}, which SQS does not carry",
            character.escape_unicode().to_string()
        ));
    }
    if let Some(delay_s) = message.delay_s.filter(|delay| *delay > DELAY_S_MAX) {
        return Err(format!("its delay of {delay_s} s is over {DELAY_S_MAX} s"));
    }
    for (what, id) in [
        ("group", &message.group),
        ("deduplication id", &message.deduplication_id),
    ] {
        if let Some(id) = id.as_ref().filter(|id| !is_group(id)) {
            return Err(format!(
                "its {what} {id:?} is not 1 to {GROUP_CHARACTERS_MAX} letters, digits and \
                 punctuation marks"
            ));
        }
    }
    if message.attributes.len() > ATTRIBUTES_MAX {
        let count = message.attributes.len();
        return Err(format!(
            "it has {count} attributes, {ATTRIBUTES_MAX} are allowed"
        ));
    }
    message.attributes.iter().try_for_each(check_attribute)
}

fn check_attribute((name, attribute): &(String, Attribute)) -> Result<(), String> {
    let Attribute { data_type, value } = attribute;
    let wrong = |reason: &str| Err(format!("its attribute {name:?} {reason}"));
    let lower = name.to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if !(1..=NAME_CHARACTERS_MAX).contains(&name.len()) || !name.bytes().all(fits) || dots {
        return wrong(
            "has a name that is not 1 to 256 letters, digits, hyphens, underscores and single dots",
        );
    }
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return wrong("has a name that is kept for AWS");
    }
    let kind = data_type.split('.').next().unwrap_or_default();
    match (kind, value) {
        _ if data_type.len() > NAME_CHARACTERS_MAX => wrong("has a type that is too long"),
        ("Binary", AttributeValue::Binary(bytes)) if !bytes.is_empty() => Ok(()),
        ("String", AttributeValue::Text(text)) if text.chars().any(|one| !is_allowed(one)) => {
            wrong("holds a character that SQS does not carry")
        }
        ("String", AttributeValue::Text(text)) if !text.is_empty() => Ok(()),
        ("Number", AttributeValue::Text(text)) if text.parse::<f64>().is_ok() => Ok(()),
        ("Number", AttributeValue::Text(_)) => wrong("is a Number and holds none"),
        ("String" | "Number" | "Binary", _) => wrong("does not hold a value of its type"),
        _ => wrong("has a type that does not begin with String, Number or Binary"),
    }
}

/// The characters that SQS carries: those of XML.
fn is_allowed(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_group(id: &str) -> bool {
    (1..=GROUP_CHARACTERS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

fn attribute_bytes((name, attribute): &(String, Attribute)) -> usize {
    name.len() + attribute.data_type.len() + value_bytes(&attribute.value).len()
}

fn value_bytes(value: &AttributeValue) -> &[u8] {
    match value {
        AttributeValue::Text(text) => text.as_bytes(),
        AttributeValue::Binary(bytes) => bytes,
    }
}

/// The attributes as the event shows them.
fn shown(attributes: &[(String, Attribute)]) -> String {
    object(attributes.iter().map(|(name, attribute)| {
        let (key, value) = match &attribute.value {
            AttributeValue::Text(text) => ("stringValue", text.clone()),
            AttributeValue::Binary(bytes) => ("binaryValue", STANDARD.encode(bytes)),
        };
        let members = [
            (key, json!(value)),
            ("stringListValues", json!([])),
            ("binaryListValues", json!([])),
            ("dataType", json!(attribute.data_type)),
        ];
        (name, object(members))
    }))
}

/// A compact object whose members keep their order.
pub(super) fn object<K: AsRef<str>, V: Display>(
    members: impl IntoIterator<Item = (K, V)>,
) -> String {
    let members = members
        .into_iter()
        .map(|(key, value)| format!("{}:{value}", json!(key.as_ref())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The MD5 of all attributes, which are in the order of their names.
fn attributes_md5(attributes: &[(String, Attribute)]) -> String {
    let mut digest = Md5::new();
    for (name, attribute) in attributes {
        add(&mut digest, name.as_bytes());
        add(&mut digest, attribute.data_type.as_bytes());
        let kind = match attribute.value {
            AttributeValue::Text(_) => 1_u8,
            AttributeValue::Binary(_) => 2,
        };
        digest.update([kind]);
        add(&mut digest, value_bytes(&attribute.value));
    }
    hex(&digest.finalize())
}

fn add(digest: &mut Md5, bytes: &[u8]) {
    // A message has at most 1 MiB.
    digest.update((bytes.len() as u32).to_be_bytes());
    digest.update(bytes);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data_type: &str, value: &str) -> Attribute {
        Attribute {
            data_type: data_type.to_owned(),
            value: AttributeValue::Text(value.to_owned()),
        }
    }

    fn encoded(message: NewMessage) -> Encoded {
        Encoded::of(0, message).unwrap_or_else(|error| panic!("{error}"))
    }

    fn message(body: &str) -> NewMessage {
        NewMessage {
            body: body.to_owned(),
            ..NewMessage::default()
        }
    }

    #[test]
    fn md5s_are_those_of_sqs() {
        let one = encoded(NewMessage {
            attributes: vec![
                ("WeeksOn".to_owned(), text("Number", "6")),
                ("Title".to_owned(), text("String", "The Whistler")),
                ("Author".to_owned(), text("String", "John Grisham")),
            ],
            ..message("Test message.")
        });
        let recorded = "d25a6aea97eb8f585bfa92d314504a92";
        assert_eq!(one.md5_of_attributes.as_deref(), Some(recorded));
        assert_eq!(
            hex(&Md5::digest(b"hello")),
            "5d41402abc4b2a76b9719d911017c592"
        );
        assert_eq!(encoded(message("hello")).md5_of_attributes, None);
    }

    #[test]
    fn attributes_are_kept_as_the_event_shows_them() {
        let binary = Attribute {
            data_type: "Binary.png".to_owned(),
            value: AttributeValue::Binary(b"1100".to_vec()),
        };
        let one = encoded(NewMessage {
            attributes: vec![
                ("n".to_owned(), text("Number", "6")),
                ("b".to_owned(), binary),
            ],
            ..message("x")
        });
        assert_eq!(
            one.attributes,
            concat!(
                r#"{"b":{"binaryValue":"MTEwMA==","stringListValues":[],"binaryListValues":[],"#,
                r#""dataType":"Binary.png"},"n":{"stringValue":"6","stringListValues":[],"#,
                r#""binaryListValues":[],"dataType":"Number"}}"#,
            )
        );
        assert_eq!(encoded(message("x")).attributes, "{}");
    }

    #[test]
    fn what_sqs_refuses_is_refused_with_the_reason() {
        let with = |name: &str, attribute| NewMessage {
            attributes: vec![(name.to_owned(), attribute)],
            ..message("x")
        };
        let group = NewMessage {
            group: Some("a b".to_owned()),
            ..message("x")
        };
        let late = NewMessage {
            delay_s: Some(901),
            ..message("x")
        };
        let cases = [
            (message(""), "body is empty"),
            (message("a\u{0}b"), "\\\\u{0}"),
            (message("\u{ffff}"), "does not carry"),
            (
                message(&"x".repeat(MESSAGE_BYTES_MAX + 1)),
                "1048576 are allowed",
            ),
            (group, "group \"a b\""),
            (late, "901 s is over 900 s"),
            (with("AWS.x", text("String", "y")), "kept for AWS"),
            (with("a..b", text("String", "y")), "single dots"),
            (with("a", text("Number", "six")), "holds none"),
            (with("a", text("Date", "y")), "does not begin with"),
            (with("a", text("Binary", "y")), "value of its type"),
            (with("a", text("String", "")), "value of its type"),
        ];
        for (message, reason) in cases {
            let Err(refused) = Encoded::of(3, message) else {
                panic!("it was taken, though {reason}");
            };
            let text = refused.to_string();
            assert!(
                text.starts_with("message 3 cannot be sent") && text.contains(reason),
                "{text}"
            );
        }
        let whole = message(&"x".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(encoded(whole).bytes(), MESSAGE_BYTES_MAX + 2);
    }
}
