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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::json::{CountingSink, JsonSink};
    use super::super::sample::config;
    use super::super::{ENVELOPE_BYTES, constant_bytes, walk};
    use super::*;
    use crate::ids::ShardId;
    use crate::record::{Batch, Page, RecordFacts, RecordRef, RecordView};
    use crate::time::Wall;

    const PLAIN: MessageView<'static> = MessageView {
        message_id: "059f36b4-87a3-44ab-83d2-661975830a7d",
        receipt_handle: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        body: "Test message.",
        md5_of_body: "e4e68fb7bd0e697a0ae8f1bb342846b3",
        attributes: concat!(
            r#"{"ApproximateReceiveCount":"1","SentTimestamp":"1545082649183","#,
            r#""SenderId":"AIDAIENQZJOLO23YVJ4VO","#,
            r#""ApproximateFirstReceiveTimestamp":"1545082649185"}"#
        ),
        message_attributes: "{}",
        md5_of_message_attributes: None,
        group: None,
        receive_count: 1,
    };
    const FIFO: MessageView<'static> = MessageView {
        body: "{\"a\": \"é\"}\n",
        md5_of_body: "ed6b4da0d8ab9a1f1a4b2c9ef5f7a5b7",
        attributes: concat!(
            r#"{"ApproximateReceiveCount":"2","SentTimestamp":"1573251510774","#,
            r#""SequenceNumber":"18849496460467696128","MessageGroupId":"1","#,
            r#""SenderId":"AIDAIO23YVJENQZJOL4VO","MessageDeduplicationId":"1","#,
            r#""ApproximateFirstReceiveTimestamp":"1573251510774","#,
            r#""AWSTraceHeader":"Root=1-5759e988-bd862e3fe1be46a994272793"}"#
        ),
        message_attributes: concat!(
            r#"{"b":{"binaryValue":"MTEwMA==","stringListValues":[],"#,
            r#""binaryListValues":[],"dataType":"Binary"}}"#
        ),
        md5_of_message_attributes: Some("d25a6aea97eb8f585bfa92d314504a92"),
        group: Some("1"),
        receive_count: 2,
        ..PLAIN
    };

    #[derive(Debug)]
    struct Messages(Vec<MessageView<'static>>, Vec<RecordFacts>);

    impl Page for Messages {
        fn facts(&self) -> &[RecordFacts] {
            &self.1
        }

        fn sequence_number(&self, index: usize) -> &str {
            self.0[index].message_id
        }

        fn view(&self, index: usize) -> RecordView<'_> {
            RecordView::Sqs(self.0[index])
        }

        fn pinned_bytes(&self) -> usize {
            0
        }

        fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
            let chosen = indices.iter().map(|&index| self.0[index as usize]);
            messages(chosen.collect())
        }
    }

    fn messages(views: Vec<MessageView<'static>>) -> Arc<dyn Page> {
        let facts = views.iter().map(|view| RecordFacts {
            key_hash: 0,
            arrival: Wall(1_545_082_649_183),
            weight: weight(view),
            filtered: false,
        });
        let facts = facts.collect();
        Arc::new(Messages(views, facts))
    }

    /// The event of these messages and the bytes that it was weighed at, under a batch window of
    /// so many seconds.
    fn written(queue: &str, window: u32, views: &[MessageView<'static>]) -> (String, u64) {
        let record = |index: usize| RecordRef {
            page: 0,
            index: index as u32,
        };
        let batch = Batch {
            pages: vec![messages(views.to_vec())],
            records: (0..views.len()).map(record).collect(),
        };
        let shard = ShardId::new(queue);
        let config = config(serde_json::json!({
            "EventSourceArn": format!("arn:aws:sqs:us-east-2:123456789012:{queue}"),
            "StartingPosition": null,
            "DestinationConfig": null,
            "MaximumBatchingWindowInSeconds": window,
        }));
        let context = EventContext {
            shard: &shard,
            config: &config,
        };
        let (mut sink, mut counting) = (JsonSink::default(), CountingSink::default());
        let Ok(()) = walk(&context, &batch, &mut sink);
        let Ok(()) = walk(&context, &batch, &mut counting);
        let text = String::from_utf8(sink.into_bytes()).unwrap();
        assert_eq!(counting.bytes(), text.len() as u64);
        let weights: u64 = views.iter().map(|view| u64::from(weight(view))).sum();
        let constants = views.len() as u64 * constant_bytes(&context);
        let commas = views.len().saturating_sub(1) as u64;
        (text, ENVELOPE_BYTES + weights + constants + commas)
    }

    #[test]
    fn an_event_is_lambdas_to_the_byte() {
        let expected = concat!(
            r#"{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","#,
            r#""receiptHandle":"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a","body":"Test message.","#,
            r#""attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1545082649183","#,
            r#""SenderId":"AIDAIENQZJOLO23YVJ4VO","#,
            r#""ApproximateFirstReceiveTimestamp":"1545082649185"},"messageAttributes":{},"#,
            r#""md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs","#,
            r#""eventSourceARN":"arn:aws:sqs:us-east-2:123456789012:my-queue","#,
            r#""awsRegion":"us-east-2"}]}"#,
        );
        let (text, weighed) = written("my-queue", 0, &[PLAIN]);
        assert_eq!(text, expected);
        // The member that is left out here is weighed all the same.
        assert_eq!(weighed, text.len() as u64 + 30);
    }

    #[test]
    fn a_fifo_message_shows_its_group_its_bytes_and_their_md5() {
        let expected = concat!(
            r#"{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","#,
            r#""receiptHandle":"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a","#,
            r#""body":"{\"a\": \"é\"}\n","#,
            r#""attributes":{"ApproximateReceiveCount":"2","SentTimestamp":"1573251510774","#,
            r#""SequenceNumber":"18849496460467696128","MessageGroupId":"1","#,
            r#""SenderId":"AIDAIO23YVJENQZJOL4VO","MessageDeduplicationId":"1","#,
            r#""ApproximateFirstReceiveTimestamp":"1573251510774","#,
            r#""AWSTraceHeader":"Root=1-5759e988-bd862e3fe1be46a994272793"},"#,
            r#""messageAttributes":{"b":{"binaryValue":"MTEwMA==","stringListValues":[],"#,
            r#""binaryListValues":[],"dataType":"Binary"}},"#,
            r#""md5OfMessageAttributes":"d25a6aea97eb8f585bfa92d314504a92","#,
            r#""md5OfBody":"ed6b4da0d8ab9a1f1a4b2c9ef5f7a5b7","eventSource":"aws:sqs","#,
            r#""eventSourceARN":"arn:aws:sqs:us-east-2:123456789012:my-queue.fifo","#,
            r#""awsRegion":"us-east-2"}]}"#,
        );
        let (text, weighed) = written("my-queue.fifo", 0, &[FIFO]);
        assert_eq!(text, expected);
        assert_eq!(weighed, text.len() as u64);
    }

    #[test]
    fn the_md5_of_attributes_is_left_out_or_null_or_there() {
        let shown = |window, view| written("my-queue", window, &[view]).0;
        let hex = r#","md5OfMessageAttributes":"d25a6aea97eb8f585bfa92d314504a92","md5OfBody""#;
        let null = r#","md5OfMessageAttributes":null,"md5OfBody""#;
        assert!(!shown(0, PLAIN).contains("md5OfMessageAttributes"));
        assert!(shown(5, PLAIN).contains(null));
        assert!(shown(0, FIFO).contains(hex));
        assert!(shown(5, FIFO).contains(hex));
        let (text, weighed) = written("my-queue", 5, &[PLAIN, FIFO, PLAIN]);
        assert_eq!(weighed, text.len() as u64);
    }
}
