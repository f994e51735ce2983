//! Describes the event of a Kinesis stream, and of the embedded stream, which looks the same.
//!
//! Rules: members, their order and their values are Lambda's; `encryptionType` and the explicit
//! hash key are never shown; the payload stays the base64 text that came.

use super::text::{escaped_len, seconds_len};
use super::{EventContext, Member, RecordTemplate, Slot, Value};
use crate::time::Wall;

/// The form of one record.
pub(super) fn template<'a>(context: &EventContext<'a>) -> RecordTemplate<'a> {
    let config = context.config;
    let member = |key, value| Member { key, value };
    let kinesis = vec![
        member("kinesisSchemaVersion", Value::Text("1.0")),
        member("partitionKey", Value::Varying(Slot::PartitionKey)),
        member("sequenceNumber", Value::Varying(Slot::SequenceNumber)),
        member("data", Value::Varying(Slot::Data)),
        member("approximateArrivalTimestamp", Value::Varying(Slot::Arrival)),
    ];
    let event_id = Value::Joined(context.shard.as_str(), Slot::SequenceNumber);
    RecordTemplate {
        members: vec![
            member("kinesis", Value::Object(kinesis)),
            member("eventSource", Value::Text("aws:kinesis")),
            member("eventVersion", Value::Text("1.0")),
            member("eventID", event_id),
            member("eventName", Value::Text("aws:kinesis:record")),
            member("invokeIdentityArn", Value::Text(&config.function.role_arn)),
            member("awsRegion", Value::Text(&config.region)),
            member("eventSourceARN", Value::Text(&config.source_arn)),
        ],
    }
}

/// Bytes of a record in the compact JSON event that differ from record to record: the escaped
/// key, the sequence number twice (`eventID` repeats it), the payload's base64 and the time.
///
/// `sequence_number` and `data` are digits and base64: a page holds nothing else there.
#[must_use]
pub fn weight(partition_key: &str, sequence_number: &str, data: &str, arrival: Wall) -> u32 {
    let bytes =
        escaped_len(partition_key) + 2 * sequence_number.len() + data.len() + seconds_len(arrival);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The number that an event shows for a moment: seconds with a fraction of milliseconds.
#[must_use]
pub fn arrival_seconds(arrival: Wall) -> f64 {
    arrival.0 as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_counts_the_number_twice_and_the_escapes_of_the_key() {
        let at = Wall(1_545_084_650_987);
        assert_eq!(weight("k", "12", "aGk=", at), 1 + 4 + 4 + 14);
        assert_eq!(weight("\"\u{1}é", "12", "", at), 2 + 6 + 2 + 4 + 14);
        assert_eq!(weight("", "", "", Wall(0)), 3);
    }

    #[test]
    fn arrivals_are_seconds_with_a_fraction() {
        assert_eq!(arrival_seconds(Wall(1_545_084_650_987)), 1_545_084_650.987);
        assert_eq!(arrival_seconds(Wall(-1)), -0.001);
    }
}
