//! Describes the event of a DynamoDB table's stream.
//!
//! Rules: members, their order and their values are Lambda's; an image or identity that a record
//! does not have is left out, never null; keys and images stay the JSON text that came.

use super::json::lead_len;
use super::text::{number_len, seconds_len};
use super::{EventContext, Member, RecordTemplate, Slot, Value, Varying};
use crate::record::ItemView;

/// The form of one record.
pub(super) fn template<'a>(context: &EventContext<'a>) -> RecordTemplate<'a> {
    let config = context.config;
    let member = |key, value| Member { key, value };
    let dynamodb = vec![
        member("ApproximateCreationDateTime", Value::Varying(Slot::Arrival)),
        member("Keys", Value::Varying(Slot::Keys)),
        member(NEW_IMAGE, Value::Optional(Slot::NewImage)),
        member(OLD_IMAGE, Value::Optional(Slot::OldImage)),
        member("SequenceNumber", Value::Varying(Slot::SequenceNumber)),
        member("SizeBytes", Value::Varying(Slot::SizeBytes)),
        member("StreamViewType", Value::Varying(Slot::ViewType)),
    ];
    RecordTemplate {
        members: vec![
            member("eventID", Value::Varying(Slot::EventId)),
            member("eventName", Value::Varying(Slot::EventName)),
            member("eventVersion", Value::Text("1.1")),
            member("eventSource", Value::Text("aws:dynamodb")),
            member("awsRegion", Value::Text(&config.region)),
            member(USER_IDENTITY, Value::Optional(Slot::UserIdentity)),
            member("dynamodb", Value::Object(dynamodb)),
            member("eventSourceARN", Value::Text(&config.source_arn)),
        ],
    }
}

const NEW_IMAGE: &str = "NewImage";
const OLD_IMAGE: &str = "OldImage";
const USER_IDENTITY: &str = "userIdentity";

/// What stands in a slot for this change.
pub(super) fn part(slot: Slot, item: ItemView<'_>) -> Varying<'_> {
    let optional = |text: Option<_>| text.map_or(Varying::Absent, Varying::Json);
    match slot {
        Slot::EventId => Varying::Plain(item.event_id),
        Slot::EventName => Varying::Plain(item.event_name),
        Slot::UserIdentity => optional(item.user_identity),
        Slot::Arrival => Varying::Seconds(item.created),
        Slot::Keys => Varying::Json(item.keys),
        Slot::NewImage => optional(item.new_image),
        Slot::OldImage => optional(item.old_image),
        Slot::SequenceNumber => Varying::Plain(item.sequence_number),
        Slot::SizeBytes => Varying::Number(item.size_bytes),
        Slot::ViewType => Varying::Plain(item.view_type),
        _ => Varying::Absent,
    }
}

/// Bytes of a record in the compact JSON event that differ from record to record.
#[must_use]
pub fn weight(item: &ItemView<'_>) -> u32 {
    let optional = |key, text: Option<&str>| text.map_or(0, |text| lead_len(key) + text.len());
    let bytes = item.event_id.len()
        + item.event_name.len()
        + optional(USER_IDENTITY, item.user_identity)
        + seconds_len(item.created)
        + item.keys.len()
        + optional(NEW_IMAGE, item.new_image)
        + optional(OLD_IMAGE, item.old_image)
        + item.sequence_number.len()
        + number_len(item.size_bytes)
        + item.view_type.len();
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

    const MODIFIED: ItemView<'static> = ItemView {
        event_id: "c4ca4238a0b923820dcc509a6f75849b",
        event_name: "MODIFY",
        user_identity: None,
        created: Wall(1_479_499_740_000),
        keys: r#"{"Id":{"N":"101"}}"#,
        new_image: Some(r#"{"Message":{"S":"New item!"},"Id":{"N":"101"}}"#),
        old_image: Some(r#"{"Message":{"S":"Old"},"Id":{"N":"101"}}"#),
        sequence_number: "4421584500000000017450439091",
        size_bytes: 26,
        view_type: "NEW_AND_OLD_IMAGES",
    };
    const EXPIRED: ItemView<'static> = ItemView {
        event_name: "REMOVE",
        user_identity: Some(r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#),
        new_image: None,
        old_image: None,
        size_bytes: 0,
        view_type: "KEYS_ONLY",
        ..MODIFIED
    };

    #[derive(Debug)]
    struct Items(Vec<ItemView<'static>>, Vec<RecordFacts>);

    impl Page for Items {
        fn facts(&self) -> &[RecordFacts] {
            &self.1
        }

        fn sequence_number(&self, index: usize) -> &str {
            self.0[index].sequence_number
        }

        fn view(&self, index: usize) -> RecordView<'_> {
            RecordView::DynamoDb(self.0[index])
        }

        fn pinned_bytes(&self) -> usize {
            0
        }

        fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
            items(
                indices
                    .iter()
                    .map(|&index| self.0[index as usize])
                    .collect(),
            )
        }
    }

    fn items(views: Vec<ItemView<'static>>) -> Arc<dyn Page> {
        let facts = views.iter().map(|view| RecordFacts {
            key_hash: 0,
            arrival: view.created,
            weight: weight(view),
            filtered: false,
        });
        let facts = facts.collect();
        Arc::new(Items(views, facts))
    }

    /// The event of these changes, after holding every way of counting its bytes against it.
    fn written(views: &[ItemView<'static>]) -> String {
        let page = |index: usize| RecordRef {
            page: 0,
            index: index as u32,
        };
        let batch = Batch {
            pages: vec![items(views.to_vec())],
            records: (0..views.len()).map(page).collect(),
        };
        let source =
            "arn:aws:dynamodb:us-east-1:123456789012:table/T/stream/2015-06-27T00:48:05.899";
        let shard = ShardId::new("shardId-00000001573689847184-864758bb");
        let config = config(serde_json::json!({"EventSourceArn": source}));
        let context = EventContext {
            shard: &shard,
            config: &config,
        };
        let (mut sink, mut counting) = (JsonSink::default(), CountingSink::default());
        let Ok(()) = walk(&context, &batch, &mut sink);
        let Ok(()) = walk(&context, &batch, &mut counting);
        let text = String::from_utf8(sink.into_bytes()).unwrap();
        let weights: u64 = views.iter().map(|view| u64::from(weight(view))).sum();
        let constants = views.len() as u64 * constant_bytes(&context);
        let commas = views.len().saturating_sub(1) as u64;
        assert_eq!(
            ENVELOPE_BYTES + weights + constants + commas,
            text.len() as u64
        );
        assert_eq!(counting.bytes(), text.len() as u64);
        text
    }

    #[test]
    fn an_event_is_lambdas_to_the_byte() {
        let expected = concat!(
            r#"{"Records":[{"eventID":"c4ca4238a0b923820dcc509a6f75849b","eventName":"MODIFY","#,
            r#""eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","#,
            r#""dynamodb":{"ApproximateCreationDateTime":1479499740.0,"Keys":{"Id":{"N":"101"}},"#,
            r#""NewImage":{"Message":{"S":"New item!"},"Id":{"N":"101"}},"#,
            r#""OldImage":{"Message":{"S":"Old"},"Id":{"N":"101"}},"#,
            r#""SequenceNumber":"4421584500000000017450439091","SizeBytes":26,"#,
            r#""StreamViewType":"NEW_AND_OLD_IMAGES"},"#,
            r#""eventSourceARN":"arn:aws:dynamodb:us-east-1:123456789012:"#,
            r#"table/T/stream/2015-06-27T00:48:05.899"}]}"#,
        );
        assert_eq!(written(&[MODIFIED]), expected);
    }

    #[test]
    fn what_a_record_does_not_have_is_left_out() {
        let event: serde_json::Value = serde_json::from_str(&written(&[EXPIRED])).unwrap();
        let record = &event["Records"][0];
        let identity = serde_json::json!({
            "type": "Service", "principalId": "dynamodb.amazonaws.com",
        });
        assert_eq!(record["userIdentity"], identity);
        assert!(record["dynamodb"].get("NewImage").is_none());
        assert!(record["dynamodb"].get("OldImage").is_none());
        assert!(written(&[EXPIRED]).contains(r#""us-east-1","userIdentity":{"#));
    }

    #[test]
    fn sizes_are_known_for_any_mixture_of_records() {
        let inserted = ItemView {
            old_image: None,
            event_name: "INSERT",
            size_bytes: u64::MAX,
            ..MODIFIED
        };
        let all = [MODIFIED, EXPIRED, inserted, EXPIRED];
        for count in 0..=all.len() {
            let event: serde_json::Value = serde_json::from_str(&written(&all[..count])).unwrap();
            assert_eq!(event["Records"].as_array().unwrap().len(), count);
        }
    }
}
