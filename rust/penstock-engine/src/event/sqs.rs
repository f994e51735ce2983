//! Describes the event of an SQS queue, and of the embedded queue, which looks the same.
//!
//! Rules: members, their order and their values are Lambda's; `md5OfMessageAttributes` of a message
//! without attributes is left out where the mapping has no batch window and null where it has one,
//! as Lambda does; both objects of attributes stay the JSON text that the page made of them.

use super::json::{NULL, lead_len};
use super::text::escaped_len;
use super::{EventContext, Member, RecordTemplate, Slot, Value, Varying};
use crate::record::MessageView;

const MD5_OF_ATTRIBUTES: &str = "md5OfMessageAttributes";

/// The form of one message.
pub(super) fn template<'a>(context: &EventContext<'a>) -> RecordTemplate<'a> {
    let config = context.config;
    let member = |key, value| Member { key, value };
    let md5 = if config.batch_window.is_zero() {
        Value::Optional(Slot::Md5OfMessageAttributes)
    } else {
        Value::Nullable(Slot::Md5OfMessageAttributes)
    };
    RecordTemplate {
        members: vec![
            member("messageId", Value::Varying(Slot::MessageId)),
            member("receiptHandle", Value::Varying(Slot::ReceiptHandle)),
            member("body", Value::Varying(Slot::Body)),
            member("attributes", Value::Varying(Slot::Attributes)),
            member("messageAttributes", Value::Varying(Slot::MessageAttributes)),
            member(MD5_OF_ATTRIBUTES, md5),
            member("md5OfBody", Value::Varying(Slot::Md5OfBody)),
            member("eventSource", Value::Text("aws:sqs")),
            member("eventSourceARN", Value::Text(&config.source_arn)),
            member("awsRegion", Value::Text(&config.region)),
        ],
    }
}

/// What stands in a slot for this message.
pub(super) fn part<'a>(slot: Slot, message: &MessageView<'a>) -> Varying<'a> {
    match slot {
        Slot::MessageId => Varying::Text(message.message_id),
        Slot::ReceiptHandle => Varying::Text(message.receipt_handle),
        Slot::Body => Varying::Text(message.body),
        Slot::Attributes => Varying::Json(message.attributes),
        Slot::MessageAttributes => Varying::Json(message.message_attributes),
        Slot::Md5OfMessageAttributes => {
            let md5 = message.md5_of_message_attributes;
            md5.map_or(Varying::Absent, Varying::Quoted)
        }
        Slot::Md5OfBody => Varying::Plain(message.md5_of_body),
        _ => Varying::Absent,
    }
}

/// Bytes of a message in the compact JSON event that differ from message to message, where the
/// mapping has a batch window: without one a message that has no attributes takes 30 bytes less,
/// which is not worth weighing again when the window changes.
#[must_use]
pub fn weight(message: &MessageView<'_>) -> u32 {
    let md5 = message.md5_of_message_attributes;
    let bytes = escaped_len(message.message_id)
        + escaped_len(message.receipt_handle)
        + escaped_len(message.body)
        + message.attributes.len()
        + message.message_attributes.len()
        + lead_len(MD5_OF_ATTRIBUTES)
        + md5.map_or(NULL.len(), |md5| 2 + md5.len())
        + message.md5_of_body.len();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
