//! Sends messages: limits, delays, groups and deduplication.

use std::borrow::Cow;
use std::collections::BTreeMap;

use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::super::attributes::{self, Attributes, hex};
use super::super::deduplication::Sent;
use super::super::message::{Attached, Message, Place, escaped};
use super::super::model::{Model, missing};
use super::super::{Sqs, invalid};
use super::{Entry, check_batch, each, read, within};
use crate::service::{Answer, Call, Refusal};

/// The largest batch, in bytes of bodies and attributes.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Sequence numbers begin here: twenty digits, as the service's.
const SEQUENCE_BASE: u128 = 18_800_000_000_000_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessage<'a> {
    queue_url: Option<String>,
    #[serde(borrow)]
    message_body: Option<Cow<'a, str>>,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: Attributes,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, attributes::Attribute>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessageBatch<'a> {
    queue_url: Option<String>,
    #[serde(borrow, default)]
    entries: Vec<SendEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendEntry<'a> {
    id: String,
    #[serde(borrow)]
    message_body: Option<Cow<'a, str>>,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: Attributes,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, attributes::Attribute>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

impl Entry for SendEntry<'_> {
    fn id(&self) -> &str {
        &self.id
    }
}

pub(super) fn one(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: SendMessage<'_> = read(call.body)?;
    let entry = SendEntry {
        id: String::new(),
        message_body: request.message_body,
        delay_seconds: request.delay_seconds,
        message_attributes: request.message_attributes,
        message_system_attributes: request.message_system_attributes,
        message_group_id: request.message_group_id,
        message_deduplication_id: request.message_deduplication_id,
    };
    let draft = Draft::of(entry)?;
    let mut model = sqs.lock();
    let answer = draft.send(&mut model, request.queue_url.as_deref(), sqs.clock.now_ms())?;
    Ok(Answer {
        records: 1,
        ..Answer::json(&answer)
    })
}

pub(super) fn batch(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: SendMessageBatch<'_> = read(call.body)?;
    check_batch(&request.entries)?;
    let bytes: usize = request.entries.iter().map(SendEntry::bytes).sum();
    if bytes > BATCH_BYTES_MAX {
        let message = format!(
            "Batch requests cannot be longer than {BATCH_BYTES_MAX} bytes. You have sent {bytes} \
             bytes."
        );
        return Err(Refusal::client("BatchRequestTooLong", message));
    }
    let now_ms = sqs.clock.now_ms();
    let url = request.queue_url.as_deref();
    sqs.lock().queue(url, now_ms)?;
    Ok(each(call, request.entries, |entry| {
        // Encoded before the lock is taken.
        let draft = Draft::of(entry)?;
        draft.send(&mut sqs.lock(), url, now_ms)
    }))
}

impl SendEntry<'_> {
    fn bytes(&self) -> usize {
        let body = self.message_body.as_ref().map_or(0, |body| body.len());
        body + attributes::check(&self.message_attributes).unwrap_or_default()
    }
}

/// A message that is encoded and not yet sent.
struct Draft {
    message: Message,
    bytes: usize,
    delay: Option<i64>,
    content: String,
}

impl Draft {
    fn of(entry: SendEntry<'_>) -> Result<Self, Refusal> {
        let bytes = entry.bytes();
        let text = entry.message_body.ok_or_else(|| missing("MessageBody"))?;
        if text.is_empty() {
            return Err(missing("MessageBody"));
        }
        if let Some(wrong) = text.chars().find(|c| !is_allowed(*c)) {
            let code = u32::from(wrong);
            let message =
                format!("Invalid binary character '#x{code:x}' was found in the message.");
            return Err(Refusal::client("InvalidMessageContents", message));
        }
        attributes::check(&entry.message_attributes)?;
        let trace = entry
            .message_system_attributes
            .into_iter()
            .map(trace)
            .next();
        let (body, md5_of_body) = body_of(&escaped(&text), &text);
        Ok(Self {
            bytes,
            delay: entry.delay_seconds,
            content: hex(&Sha256::digest(text.as_bytes())),
            message: Message {
                id: String::new(),
                body,
                md5_of_body,
                attributes: Attached::new(entry.message_attributes),
                trace: trace.transpose()?,
                group: entry.message_group_id,
                deduplication: entry.message_deduplication_id,
                sequence: None,
                sent_ms: 0,
                first_ms: None,
                receives: 0,
                receipt: 0,
                moved_from: None,
                place: Place::Ready,
            },
        })
    }

    fn send(mut self, model: &mut Model, url: Option<&str>, now_ms: u64) -> Result<Value, Refusal> {
        let key = model.next_serial();
        let queue = model.queue(url, now_ms)?;
        let limit = queue.properties.bytes_max;
        if self.bytes as u64 > limit {
            return Err(invalid(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {limit} \
                 bytes."
            )));
        }
        let delay_s = match self.delay {
            Some(delay) if queue.properties.fifo && delay != 0 => {
                return Err(invalid(format!(
                    "Value {delay} for parameter DelaySeconds is invalid. Reason: The request \
                     include parameter that is not valid for this queue type."
                )));
            }
            Some(delay) if !queue.properties.fifo => within("DelaySeconds", delay, 900)?,
            _ => queue.properties.delay_s,
        };
        let message = &mut self.message;
        message.id = uuid(key, now_ms);
        message.sent_ms = now_ms;
        if delay_s > 0 {
            message.place = Place::Delayed {
                until_ms: now_ms + delay_s * 1000,
            };
        }
        if queue.properties.fifo {
            if message.group.as_deref().is_none_or(str::is_empty) {
                return Err(missing("MessageGroupId"));
            }
            if message.deduplication.is_none() && queue.properties.deduplicates_by_content {
                message.deduplication = Some(self.content);
            }
            let Some(id) = message.deduplication.clone() else {
                return Err(invalid(
                    "The queue should either have ContentBasedDeduplication enabled or \
                     MessageDeduplicationId provided explicitly",
                ));
            };
            let sequence = (SEQUENCE_BASE + u128::from(key) * 256).to_string();
            if let Some(sent) = queue.deduplication.known(&id, now_ms) {
                message.id = sent.id;
                message.sequence = Some(sent.sequence);
                return Ok(message.sent());
            }
            message.sequence = Some(sequence.clone());
            let sent = Sent {
                id: message.id.clone(),
                sequence,
            };
            queue.deduplication.remember(&id, sent, now_ms);
        } else if message.deduplication.is_some() {
            return Err(invalid(
                "The request includes parameter MessageDeduplicationId which is not valid for \
                 this queue type",
            ));
        }
        let answer = self.message.sent();
        queue.add(key, self.message);
        Ok(answer)
    }
}

impl Message {
    fn sent(&self) -> Value {
        let mut answer = json!({"MessageId": self.id, "MD5OfMessageBody": self.md5_of_body});
        if let Some(attached) = &self.attributes {
            answer["MD5OfMessageAttributes"] = json!(attached.md5);
        }
        if let Some(sequence) = &self.sequence {
            answer["SequenceNumber"] = json!(sequence);
        }
        answer
    }
}

/// A body as messages carry it, and its MD5.
pub(in super::super) fn body_of(escaped: &str, text: &str) -> (String, String) {
    let md5 = hex(&Md5::digest(text.as_bytes()));
    (format!(r#""Body":"{escaped}","MD5OfBody":"{md5}""#), md5)
}

/// An id in the shape of a UUID; two messages never share one.
pub(in super::super) fn uuid(key: u64, now_ms: u64) -> String {
    let mixed = (key ^ now_ms << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{key:012x}",
        mixed >> 32,
        mixed >> 16 & 0xffff,
        mixed >> 4 & 0xfff,
        mixed & 0xfff
    )
}

fn trace((name, value): (String, attributes::Attribute)) -> Result<String, Refusal> {
    match value.string_value {
        Some(text) if name == "AWSTraceHeader" && value.data_type == "String" => Ok(text),
        _ => Err(invalid(format!(
            "Message system attribute name '{name}' is invalid."
        ))),
    }
}

/// The characters of XML 1.0, which are all that a message may have.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
