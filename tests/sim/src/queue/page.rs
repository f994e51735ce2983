//! Holds one receive's messages for the engine, and counts what they make the process keep.

use std::fmt;
use std::sync::Arc;

use penstock_engine::event::sqs;
use penstock_engine::record::{MessageView, Page, RecordFacts, RecordView};
use penstock_engine::stream::router::hash_key;
use penstock_engine::time::Wall;

use crate::page::Ledger;

/// What a sender gave a message, and what the queue added when it took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Names the message.
    pub id: String,
    /// The message group.
    pub group: Option<String>,
    /// The body.
    pub body: String,
    /// The MD5 of the body.
    pub md5_of_body: String,
    /// The sender's attributes in the event's form.
    pub attributes: String,
    /// Their MD5, when there are any.
    pub md5_of_attributes: Option<String>,
    /// System attributes that follow those that change with each receive, as JSON members.
    pub more: String,
    /// When it was sent.
    pub sent: Wall,
    /// What it weighs, when that is not what its event weighs.
    pub weight: Option<u32>,
    /// Whether the mapping's filters drop it.
    pub filtered: bool,
}

/// One receive of a message.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The message.
    pub content: Arc<Content>,
    /// Which receive of all.
    pub receipt: u64,
    /// The how-manieth of this message.
    pub receives: u32,
    /// When the first one was.
    pub first_received: Wall,
}

/// A page of received messages.
pub struct MessagePage {
    messages: Vec<(Delivered, String, String)>,
    facts: Vec<RecordFacts>,
    bytes: u64,
    ledger: Ledger,
}

impl MessagePage {
    /// A page with these messages.
    #[must_use]
    pub fn new(delivered: Vec<Delivered>, ledger: &Ledger) -> Self {
        let with_texts = |one: Delivered| {
            let attributes = attributes(&one);
            let receipt = format!("receipt-{}", one.receipt);
            (one, receipt, attributes)
        };
        let messages: Vec<_> = delivered.into_iter().map(with_texts).collect();
        let facts = messages.iter().map(|(one, receipt, attributes)| {
            let group = one.content.group.as_deref();
            RecordFacts {
                key_hash: group.map_or(0, |group| hash_key(group.as_bytes())),
                arrival: one.content.sent,
                weight: one
                    .content
                    .weight
                    .unwrap_or_else(|| sqs_weight(one, receipt, attributes)),
                filtered: one.content.filtered,
            }
        });
        let facts: Vec<RecordFacts> = facts.collect();
        let bytes = facts.iter().map(|facts| u64::from(facts.weight)).sum();
        ledger.pin(bytes);
        Self {
            messages,
            facts,
            bytes,
            ledger: ledger.clone(),
        }
    }
}

/// Which receive a handle stands for.
///
/// # Panics
/// When it is none of ours.
#[must_use]
pub fn receipt_of(handle: &str) -> u64 {
    let digits = handle.strip_prefix("receipt-");
    let number = digits.and_then(|digits| digits.parse().ok());
    number.unwrap_or_else(|| panic!("{handle} is no receipt handle"))
}

fn attributes(one: &Delivered) -> String {
    let (receives, sent) = (one.receives, one.content.sent.0);
    let (ordered, more, first) = (ordered(one), &one.content.more, one.first_received.0);
    format!(r#"{{"ApproximateReceiveCount":"{receives}","SentTimestamp":"{sent}",{ordered}"#)
        + &format!(
            r#""SenderId":"AIDASIMULATED",{more}"ApproximateFirstReceiveTimestamp":"{first}"}}"#
        )
}

/// The attributes of FIFO queues that stand before the sender.
fn ordered(one: &Delivered) -> String {
    match &one.content.group {
        Some(group) => {
            let sent = one.content.sent.0;
            format!(r#""SequenceNumber":"{sent}","MessageGroupId":"{group}","#)
        }
        None => String::new(),
    }
}

fn view<'a>(one: &'a Delivered, receipt: &'a str, attributes: &'a str) -> MessageView<'a> {
    MessageView {
        message_id: &one.content.id,
        receipt_handle: receipt,
        body: &one.content.body,
        md5_of_body: &one.content.md5_of_body,
        attributes,
        message_attributes: &one.content.attributes,
        md5_of_message_attributes: one.content.md5_of_attributes.as_deref(),
        group: one.content.group.as_deref(),
        receive_count: one.receives,
    }
}

fn sqs_weight(one: &Delivered, receipt: &str, attributes: &str) -> u32 {
    sqs::weight(&view(one, receipt, attributes))
}

impl fmt::Debug for MessagePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.messages.iter().map(|(one, receipt, _)| {
            let group = one.content.group.as_deref().unwrap_or("");
            format!("{}/{group} {receipt} ({})", one.content.id, one.receives)
        });
        f.debug_list().entries(shown).finish()
    }
}

impl Drop for MessagePage {
    fn drop(&mut self) {
        self.ledger.unpin(self.bytes);
    }
}

impl Page for MessagePage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.messages[index].0.content.id
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        let (one, receipt, attributes) = &self.messages[index];
        RecordView::Sqs(view(one, receipt, attributes))
    }

    fn pinned_bytes(&self) -> usize {
        usize::try_from(self.bytes).expect("pages are small")
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let taken = indices
            .iter()
            .map(|index| self.messages[*index as usize].0.clone());
        Arc::new(Self::new(taken.collect(), &self.ledger))
    }
}
