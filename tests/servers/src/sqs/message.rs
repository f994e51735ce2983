//! One message: what was sent, what became of it, and the JSON in which it is received.
//!
//! Body and attributes are encoded once, when the message is sent.

use std::fmt::Write;

use super::attributes::{Attributes, is_wanted, md5};

/// Who sends: the id of the user that every signature here stands for.
pub const SENDER: &str = "AIDAPENSTOCKTESTUSER0";

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It can be received, once it is its group's turn.
    Ready,
    /// It was sent with a delay that has not passed.
    Delayed {
        /// When the delay ends.
        until_ms: u64,
    },
    /// It was received and is hidden.
    InFlight {
        /// When it can be received again.
        until_ms: u64,
    },
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id, in the shape of a UUID.
    pub id: String,
    /// `"Body":"…","MD5OfBody":"…"`.
    pub body: String,
    /// The MD5 of its body.
    pub md5_of_body: String,
    /// Its attributes; most messages have none.
    pub attributes: Option<Box<Attached>>,
    /// The member `AWSTraceHeader` of its system attributes.
    pub trace: Option<String>,
    /// The message group.
    pub group: Option<String>,
    /// The deduplication id.
    pub deduplication: Option<String>,
    /// The sequence number, in a FIFO queue.
    pub sequence: Option<String>,
    /// When it was sent.
    pub sent_ms: u64,
    /// When it was received first.
    pub first_ms: Option<u64>,
    /// How often it was received.
    pub receives: u32,
    /// The serial of its newest receive.
    pub receipt: u64,
    /// The queue that it was moved from when it was received too often.
    pub moved_from: Option<String>,
    /// Where it is.
    pub place: Place,
}

/// The attributes of a message and their MD5.
#[derive(Clone, Debug)]
pub struct Attached {
    /// By name.
    pub by_name: Attributes,
    /// Their MD5.
    pub md5: String,
    /// Their JSON.
    text: String,
}

impl Attached {
    /// Attributes as a message carries them; `None` when there are none.
    #[must_use]
    pub fn new(by_name: Attributes) -> Option<Box<Self>> {
        (!by_name.is_empty()).then(|| {
            Box::new(Self {
                md5: md5(&by_name),
                text: json(&by_name),
                by_name,
            })
        })
    }
}

/// What a receive asks to be told of each message.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Message attributes.
    pub attributes: Vec<String>,
    /// System attributes.
    pub system: Vec<String>,
}

impl Message {
    /// Appends the message as a receive answers it.
    pub fn write(&self, out: &mut String, receipt: &str, wanted: &Wanted) {
        out.push('{');
        self.write_system(out, &wanted.system);
        out.push_str(&self.body);
        if let Some(attached) = &self.attributes {
            attached.write(out, &wanted.attributes);
        }
        let id = &self.id;
        write!(out, r#","MessageId":"{id}","ReceiptHandle":"{receipt}"}}"#).expect("to memory");
    }

    fn write_system(&self, out: &mut String, wanted: &[String]) {
        if wanted.is_empty() {
            return;
        }
        let all = wanted.iter().any(|one| one == "All");
        let start = out.len();
        let mut member = |name: &str, value: &dyn std::fmt::Display| {
            if all || wanted.iter().any(|one| one == name) {
                let comma = if out.len() == start {
                    r#""Attributes":{"#
                } else {
                    ","
                };
                write!(out, r#"{comma}"{name}":"{value}""#).expect("to memory");
            }
        };
        member("SenderId", &SENDER);
        member(
            "ApproximateFirstReceiveTimestamp",
            &self.first_ms.unwrap_or_default(),
        );
        member("ApproximateReceiveCount", &self.receives);
        member("SentTimestamp", &self.sent_ms);
        for (name, value) in [
            ("SequenceNumber", &self.sequence),
            ("MessageDeduplicationId", &self.deduplication),
            ("MessageGroupId", &self.group),
            ("AWSTraceHeader", &self.trace),
            ("DeadLetterQueueSourceArn", &self.moved_from),
        ] {
            if let Some(value) = value {
                member(name, &escaped(value));
            }
        }
        if out.len() > start {
            out.push_str("},");
        }
    }
}

impl Attached {
    fn write(&self, out: &mut String, wanted: &[String]) {
        let all = wanted.iter().any(|one| one == "All" || one == ".*");
        if all {
            let Self { md5, text, .. } = self;
            write!(
                out,
                r#","MD5OfMessageAttributes":"{md5}","MessageAttributes":{text}"#
            )
            .expect("to memory");
            return;
        }
        let some: Attributes = self
            .by_name
            .iter()
            .filter(|(name, _)| is_wanted(wanted, name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !some.is_empty() {
            let (md5, text) = (md5(&some), json(&some));
            write!(
                out,
                r#","MD5OfMessageAttributes":"{md5}","MessageAttributes":{text}"#
            )
            .expect("to memory");
        }
    }
}

fn json(attributes: &Attributes) -> String {
    serde_json::to_string(attributes).expect("maps of texts are JSON")
}

/// A text as it stands between the quotes of a JSON string.
#[must_use]
pub fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a text is JSON");
    quoted[1..quoted.len() - 1].to_owned()
}
