//! Describes each event once, for any number of encodings.
//!
//! Rules: a shape is a template (what all records of a shard share, and where the rest goes) and
//! the values that vary; a sink learns the template once per batch and gets one call per record,
//! so that it can prepare whatever it likes; the size of an event is known before it is built.
//!
//! The compact JSON event of n records has
//! `ENVELOPE_BYTES + Σ (weight + constant_bytes) + (n - 1)` bytes, the last term for the commas
//! between records; `weight` is in the record's facts. A tumbling window adds `window::bytes`.

pub mod dynamodb;
pub mod json;
pub mod kinesis;
#[cfg(test)]
pub(crate) mod sample;
pub mod sqs;
mod text;
pub mod window;

pub(crate) use text::write_text;
pub use window::WindowMembers;

use crate::config::{EventShape, MappingConfig};
use crate::ids::ShardId;
use crate::io::TumblingCall;
use crate::record::{Batch, RecordView};
use crate::time::Wall;

/// Bytes of `{"Records":[` and `]}`.
pub const ENVELOPE_BYTES: u64 = b"{\"Records\":[]}".len() as u64;

/// What all records of a batch have in common.
#[derive(Debug, Clone, Copy)]
pub struct EventContext<'a> {
    /// The shard that the batch comes from.
    pub shard: &'a ShardId,
    /// The mapping.
    pub config: &'a MappingConfig,
}

/// One record's form: its members in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTemplate<'a> {
    /// The members.
    pub members: Vec<Member<'a>>,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its key, which never needs an escape in JSON.
    pub key: &'static str,
    /// Its value.
    pub value: Value<'a>,
}

/// A value, or the place where one goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// The same text in every record.
    Text(&'a str),
    /// An object of its own.
    Object(Vec<Member<'a>>),
    /// Varies from record to record.
    Varying(Slot),
    /// As `Varying`, and the member is left out where the slot is empty. Never the first member of
    /// its object, and never a text that stands between the quotes of the template.
    Optional(Slot),
    /// As `Optional`, and the member is null where the slot is empty.
    Nullable(Slot),
    /// The text `prefix`, a colon and the text of the slot.
    Joined(&'a str, Slot),
}

/// Names a part of a record that varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The partition key.
    PartitionKey,
    /// The sequence number.
    SequenceNumber,
    /// The payload.
    Data,
    /// When the record reached the source.
    Arrival,
    /// The record's own id.
    EventId,
    /// The kind of change.
    EventName,
    /// Who made the change.
    UserIdentity,
    /// The item's key.
    Keys,
    /// The item afterwards.
    NewImage,
    /// The item before.
    OldImage,
    /// Bytes of the record, as its source counts them.
    SizeBytes,
    /// What the stream shows of items.
    ViewType,
    /// The message's id.
    MessageId,
    /// The name of this receive of the message.
    ReceiptHandle,
    /// The message's body.
    Body,
    /// The system attributes.
    Attributes,
    /// The sender's attributes.
    MessageAttributes,
    /// The MD5 of the sender's attributes.
    Md5OfMessageAttributes,
    /// The MD5 of the body.
    Md5OfBody,
}

/// What stands in a slot for one record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Varying<'a> {
    /// Text that may hold any character.
    Text(&'a str),
    /// ASCII text that never needs an escape in JSON: base64 and digits.
    Plain(&'a str),
    /// The same, where the template has no quotes for it.
    Quoted(&'a str),
    /// A moment, shown as a number of seconds.
    Seconds(Wall),
    /// A whole number.
    Number(u64),
    /// Compact JSON, to stand as it is.
    Json(&'a str),
    /// Nothing: the record has no such part.
    Absent,
}

impl Slot {
    /// What stands in this slot for the record.
    #[must_use]
    pub fn of<'a>(self, view: &RecordView<'a>) -> Varying<'a> {
        match *view {
            RecordView::Kinesis {
                partition_key,
                sequence_number,
                data,
                arrival,
            } => match self {
                Self::PartitionKey => Varying::Text(partition_key),
                Self::SequenceNumber => Varying::Plain(sequence_number),
                Self::Data => Varying::Plain(data),
                Self::Arrival => Varying::Seconds(arrival),
                _ => Varying::Absent,
            },
            RecordView::DynamoDb(item) => dynamodb::part(self, item),
            RecordView::Sqs(message) => sqs::part(self, &message),
        }
    }

    /// Whether what stands here is a text, between quotes in JSON.
    #[must_use]
    pub fn is_text(self) -> bool {
        match self {
            Self::PartitionKey
            | Self::SequenceNumber
            | Self::Data
            | Self::EventId
            | Self::EventName
            | Self::ViewType
            | Self::MessageId
            | Self::ReceiptHandle
            | Self::Body
            | Self::Md5OfBody => true,
            Self::Arrival
            | Self::UserIdentity
            | Self::Keys
            | Self::NewImage
            | Self::OldImage
            | Self::SizeBytes
            | Self::Attributes
            | Self::MessageAttributes
            | Self::Md5OfMessageAttributes => false,
        }
    }
}

/// Builds events in one encoding.
pub trait EventSink {
    /// Why building can fail.
    type Error;

    /// A batch of `records` records begins, all of this form.
    ///
    /// # Errors
    /// When the sink cannot build.
    fn begin(&mut self, template: &RecordTemplate<'_>, records: usize) -> Result<(), Self::Error>;

    /// The next record.
    ///
    /// # Errors
    /// When the sink cannot build.
    fn record(&mut self, view: &RecordView<'_>) -> Result<(), Self::Error>;

    /// The batch is whole; in a tumbling window the event has these members too.
    ///
    /// # Errors
    /// When the sink cannot build.
    fn end(&mut self, window: Option<&WindowMembers<'_>>) -> Result<(), Self::Error>;
}

/// Shows a batch to a sink.
///
/// # Errors
/// The sink's own.
pub fn walk<S: EventSink>(
    context: &EventContext<'_>,
    batch: &Batch,
    sink: &mut S,
) -> Result<(), S::Error> {
    walk_window(context, batch, None, sink)
}

/// Shows the batch of a call to a sink, with what a tumbling window adds to it.
///
/// # Errors
/// The sink's own.
pub fn walk_window<S: EventSink>(
    context: &EventContext<'_>,
    batch: &Batch,
    window: Option<&TumblingCall>,
    sink: &mut S,
) -> Result<(), S::Error> {
    let window = window.map(|call| WindowMembers::of(call, context.shard, context.config));
    sink.begin(&template(context), batch.len())?;
    for index in 0..batch.len() {
        sink.record(&batch.view(index))?;
    }
    sink.end(window.as_ref())
}

/// A moment as an event shows it.
#[must_use]
pub fn seconds(moment: Wall) -> String {
    let mut text = Vec::with_capacity(16);
    text::write_seconds(&mut text, moment);
    text.into_iter().map(char::from).collect()
}

/// The form of the mapping's records in this shard.
#[must_use]
pub fn template<'a>(context: &EventContext<'a>) -> RecordTemplate<'a> {
    match context.config.shape {
        EventShape::Kinesis => kinesis::template(context),
        EventShape::DynamoDb => dynamodb::template(context),
        EventShape::Sqs => sqs::template(context),
    }
}

/// Bytes that every record of this shard adds to the compact JSON event besides its weight and
/// the comma before it. The same for all records, so worth keeping.
#[must_use]
pub fn constant_bytes(context: &EventContext<'_>) -> u64 {
    json::template_bytes(&template(context))
}
