//! Writes the document that a destination receives for records that were given up.
//!
//! Rules: members, their order and their values are Lambda's; queues and topics get metadata only,
//! buckets and the user's own functions the event too, as text (`payload`); a discarded range has
//! one document with one name, however often it is sent.

use serde::{Deserialize, Serialize};

use crate::civil::{timestamp, timestamp_to_the_second};
use crate::config::{EventShape, MappingConfig, destinations};
use crate::event::json::JsonSink;
use crate::event::{self, EventContext};
use crate::ids::{Fence, RequestId, ShardId};
use crate::io::TumblingCall;
use crate::record::Batch;
use crate::time::Wall;

/// The document of one discarded range of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureDocument {
    /// Names the document for ever: the same when it is sent again.
    pub id: String,
    /// The destination, as the mapping names it.
    pub destination: String,
    /// The shard.
    pub shard: ShardId,
    /// How many records it stands for.
    pub records: u32,
    /// When the records were given up, as the document shows it.
    pub timestamp: String,
    /// The document: compact JSON with AWS's members in AWS's order.
    pub body: String,
    /// The document without `payload`, while `body` has one.
    pub bare: Option<String>,
}

/// Records that are given up, and why.
#[derive(Debug, Clone, Copy)]
pub struct Discard<'a> {
    /// The mapping.
    pub config: &'a MappingConfig,
    /// The shard of the records.
    pub shard: &'a ShardId,
    /// The lease under which they were read.
    pub fence: Fence,
    /// Why.
    pub condition: Condition,
    /// The id that the handler saw.
    pub request_id: RequestId,
    /// Completed attempts of exactly these records.
    pub attempts: u32,
    /// How the last attempt ended, when the handler ran and that is why they are given up.
    pub response: Option<ResponseFacts>,
    /// The tumbling window that they belong to, where the mapping has windows.
    pub window: Option<&'a TumblingCall>,
    /// The records; none when the final invocation of a window is given up.
    pub batch: &'a Batch,
    /// When they were given up.
    pub at: Wall,
}

/// Why records are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The last retry failed.
    RetryAttemptsExhausted,
    /// They are older than the mapping allows.
    RecordAgeExceeded,
}

/// How the last attempt of given-up records ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFacts {
    /// `Unhandled` when the handler raised, ran out of time or crashed; `None` when it answered.
    pub function_error: Option<&'static str>,
}

impl FailureDocument {
    /// Writes the document.
    ///
    /// # Panics
    /// When the mapping has no destination: nothing is discarded to a document then.
    #[must_use]
    pub fn new(discard: Discard<'_>) -> Self {
        let Discard {
            config,
            shard,
            fence,
            batch,
            ..
        } = discard;
        let destination = config
            .on_failure
            .clone()
            .expect("a document is written only where one can go");
        let range = match batch.len().checked_sub(1) {
            Some(last) => format!(
                "{}-{}",
                batch.sequence_number(0),
                batch.sequence_number(last)
            ),
            // A window that ends early may be followed by one of the same bounds.
            None => format!("window-{}", discard.request_id),
        };
        let mapping = &config.id;
        let bare = body(&discard, None);
        let payload = destinations::takes_records(&destination).then(|| event_of(&discard));
        let whole = payload.map(|payload| body(&discard, Some(&payload)));
        let (body, bare) = match whole {
            Some(whole) => (whole, Some(bare)),
            None => (bare, None),
        };
        Self {
            id: format!("{mapping}/{shard}/{range}/{}", fence.0),
            destination,
            shard: shard.clone(),
            records: count(batch),
            timestamp: timestamp(discard.at),
            body,
            bare,
        }
    }

    /// Leaves the records out. False: there are none in it.
    pub fn leave_records_out(&mut self) -> bool {
        let bare = self.bare.take();
        bare.is_some_and(|bare| {
            self.body = bare;
            true
        })
    }

    /// Sends it to another destination from now on. The records cannot be put in any more, but
    /// are taken out for a destination that does not take them.
    pub fn redirect(&mut self, destination: &str) {
        destination.clone_into(&mut self.destination);
        if !destinations::takes_records(destination) {
            self.leave_records_out();
        }
    }
}

/// The event that the records are, as it was sent or would have been.
fn event_of(discard: &Discard<'_>) -> String {
    let context = EventContext {
        shard: discard.shard,
        config: discard.config,
    };
    let mut sink = JsonSink::default();
    let Ok(()) = event::walk_window(&context, discard.batch, discard.window, &mut sink);
    // The sink writes texts only, so nothing is ever replaced here.
    String::from_utf8_lossy(&sink.into_bytes()).into_owned()
}

fn body(discard: &Discard<'_>, payload: Option<&str>) -> String {
    let Discard {
        config,
        shard,
        batch,
        ..
    } = discard;
    let last = batch.len().checked_sub(1);
    let arrival = |index| {
        let arrival = batch.facts(index).arrival;
        match config.shape {
            EventShape::Kinesis => timestamp(arrival),
            EventShape::DynamoDb => timestamp_to_the_second(arrival),
            EventShape::Sqs => unreachable!("a queue's mapping has no destination"),
        }
    };
    let info = BatchInfo {
        shard_id: shard.as_str(),
        start_sequence_number: last.map(|_| batch.sequence_number(0)),
        end_sequence_number: last.map(|last| batch.sequence_number(last)),
        approximate_arrival_of_first_record: last.map(|_| arrival(0)),
        approximate_arrival_of_last_record: last.map(arrival),
        batch_size: last.map(|_| count(batch)),
        stream_arn: &config.source_arn,
    };
    let (kinesis_batch_info, dynamodb_batch_info) = match config.shape {
        EventShape::Kinesis => (Some(info), None),
        EventShape::DynamoDb => (None, Some(info)),
        EventShape::Sqs => unreachable!("a queue's mapping has no destination"),
    };
    let body = Body {
        request_context: RequestContext {
            request_id: discard.request_id.to_string(),
            function_arn: &config.function.arn,
            condition: discard.condition,
            approximate_invoke_count: discard.attempts.max(1),
        },
        response_context: discard.response.map(|facts| ResponseContext {
            status_code: 200,
            executed_version: &config.function.version,
            function_error: facts.function_error,
        }),
        version: "1.0",
        payload,
        timestamp: timestamp(discard.at),
        kinesis_batch_info,
        dynamodb_batch_info,
        time_window_info: discard.window.map(|window| TimeWindowInfo {
            window: WindowBounds {
                start: timestamp_to_the_second(window.start),
                end: timestamp_to_the_second(window.end),
            },
            is_final_invoke_for_window: window.is_final,
            is_window_terminated_early: window.terminated_early,
        }),
    };
    serde_json::to_string(&body).expect("texts and numbers are always JSON")
}

fn count(batch: &Batch) -> u32 {
    u32::try_from(batch.len()).unwrap_or(u32::MAX)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext<'a>>,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo", skip_serializing_if = "Option::is_none")]
    kinesis_batch_info: Option<BatchInfo<'a>>,
    #[serde(rename = "DDBStreamBatchInfo", skip_serializing_if = "Option::is_none")]
    dynamodb_batch_info: Option<BatchInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_window_info: Option<TimeWindowInfo>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TimeWindowInfo {
    window: WindowBounds,
    is_final_invoke_for_window: bool,
    is_window_terminated_early: bool,
}

#[derive(Serialize)]
struct WindowBounds {
    start: String,
    end: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: String,
    function_arn: &'a str,
    condition: Condition,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext<'a> {
    status_code: u16,
    executed_version: &'a str,
    function_error: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo<'a> {
    shard_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_arrival_of_first_record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_arrival_of_last_record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_size: Option<u32>,
    stream_arn: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::sample::{Sample, batch, config};

    fn records() -> Batch {
        let sample = |number: &str, arrival| Sample {
            key: "k".into(),
            number: number.into(),
            data: String::new(),
            arrival: Wall(arrival),
        };
        batch(vec![
            sample("9", 1_789_778_284_835),
            sample("10", 1_789_778_285_580),
        ])
    }

    fn document(change: impl Fn(&mut Discard<'_>)) -> FailureDocument {
        let (config, shard) = (
            config(serde_json::json!({})),
            ShardId::new("shardId-000000000001"),
        );
        let mut discard = Discard {
            config: &config,
            shard: &shard,
            fence: Fence(7),
            condition: Condition::RetryAttemptsExhausted,
            request_id: RequestId(0xc9b8_fa9f_5a7f_4000_af9c_0c60_4cde_93a5),
            attempts: 3,
            response: Some(ResponseFacts {
                function_error: Some("Unhandled"),
            }),
            window: None,
            batch: &records(),
            at: Wall(1_789_778_289_021),
        };
        change(&mut discard);
        FailureDocument::new(discard)
    }

    #[test]
    fn a_document_is_lambdas_to_the_byte() {
        let document = document(|_| {});
        let expected = concat!(
            r#"{"requestContext":{"requestId":"c9b8fa9f-5a7f-4000-af9c-0c604cde93a5","#,
            r#""functionArn":"arn:aws:lambda:us-east-2:123456789012:function:myfunction","#,
            r#""condition":"RetryAttemptsExhausted","approximateInvokeCount":3},"#,
            r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST","#,
            r#""functionError":"Unhandled"},"version":"1.0","#,
            r#""timestamp":"2026-09-19T00:38:09.021Z","#,
            r#""KinesisBatchInfo":{"shardId":"shardId-000000000001","#,
            r#""startSequenceNumber":"9","endSequenceNumber":"10","#,
            r#""approximateArrivalOfFirstRecord":"2026-09-19T00:38:04.835Z","#,
            r#""approximateArrivalOfLastRecord":"2026-09-19T00:38:05.580Z","batchSize":2,"#,
            r#""streamArn":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}}"#,
        );
        assert_eq!(document.body, expected);
        assert_eq!(document.destination, "stream:failed");
        assert_eq!(document.records, 2);
    }

    #[test]
    fn a_document_of_a_tables_stream_tells_arrivals_to_the_second() {
        let source =
            "arn:aws:dynamodb:us-east-2:123456789012:table/T/stream/2019-11-14T00:04:06.388";
        let config = config(serde_json::json!({"EventSourceArn": source}));
        let body = document(|discard| discard.config = Box::leak(Box::new(config.clone()))).body;
        let expected = concat!(
            r#""timestamp":"2026-09-19T00:38:09.021Z","#,
            r#""DDBStreamBatchInfo":{"shardId":"shardId-000000000001","#,
            r#""startSequenceNumber":"9","endSequenceNumber":"10","#,
            r#""approximateArrivalOfFirstRecord":"2026-09-19T00:38:04Z","#,
            r#""approximateArrivalOfLastRecord":"2026-09-19T00:38:05Z","batchSize":2,"#,
            r#""streamArn":"arn:aws:dynamodb:us-east-2:123456789012:table/T/stream/"#,
            r#"2019-11-14T00:04:06.388"}}"#,
        );
        assert!(body.ends_with(expected), "{body}");
    }

    #[test]
    fn a_reported_failure_has_a_null_error() {
        let body = document(|discard| {
            discard.response = Some(ResponseFacts {
                function_error: None,
            });
        });
        let context = concat!(
            r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST","#,
            r#""functionError":null}"#,
        );
        assert!(body.body.contains(context), "{}", body.body);
    }

    #[test]
    fn an_expired_range_has_no_response_and_counts_at_least_one_call() {
        let document = document(|discard| {
            discard.condition = Condition::RecordAgeExceeded;
            discard.response = None;
            discard.attempts = 0;
        });
        let body: serde_json::Value = serde_json::from_str(&document.body).unwrap();
        assert_eq!(body["requestContext"]["condition"], "RecordAgeExceeded");
        assert_eq!(body["requestContext"]["approximateInvokeCount"], 1);
        assert!(body.get("responseContext").is_none());
    }

    #[test]
    fn a_bucket_gets_the_event_as_text_between_version_and_timestamp() {
        let bucket = json!({"DestinationConfig": {"OnFailure": {"Destination": "s3://failed/a"}}});
        let config = config(bucket);
        let mut document = document(|discard| discard.config = Box::leak(Box::new(config.clone())));
        let body: serde_json::Value = serde_json::from_str(&document.body).unwrap();
        let event: serde_json::Value =
            serde_json::from_str(body["payload"].as_str().unwrap()).unwrap();
        let records = event["Records"].as_array().unwrap();
        let numbers: Vec<_> = records
            .iter()
            .map(|record| record["kinesis"]["sequenceNumber"].as_str().unwrap())
            .collect();
        assert_eq!(numbers, ["9", "10"]);
        let places = [
            r#""version":"1.0""#,
            r#""payload":"{\"Records\":[{"#,
            r#""timestamp":"2026"#,
        ]
        .map(|part| document.body.find(part).expect(part));
        assert!(places.is_sorted(), "{places:?}");

        let mut moved = document.clone();
        moved.redirect("sqs:failed");
        assert_eq!(moved.destination, "sqs:failed");
        assert!(!moved.body.contains("payload") && moved.body.contains("KinesisBatchInfo"));
        let mut kept = document.clone();
        kept.redirect("function:keep");
        assert_eq!(kept.body, document.body);
        assert!(document.leave_records_out());
        assert_eq!(document.body, moved.body);
        assert!(!document.leave_records_out(), "there are none any more");
    }

    #[test]
    fn the_name_tells_mapping_shard_range_and_lease_apart_and_nothing_else() {
        let name = document(|_| {}).id;
        let uuid = "14e0db71-5d35-4eb5-b481-8945cf9d10c2";
        assert_eq!(name, format!("{uuid}/shardId-000000000001/9-10/7"));
        let later = document(|discard| {
            discard.at = Wall(0);
            discard.attempts = 9;
        });
        assert_eq!(later.id, name);
        assert_ne!(document(|discard| discard.fence = Fence(8)).id, name);
    }
}
