//! Defines the bodies of SQS's requests and short answers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiveMessage<'a> {
    pub queue_url: &'a str,
    pub max_number_of_messages: u32,
    pub wait_time_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility_timeout: Option<u64>,
    /// The name that every version of the service knows.
    pub attribute_names: [&'static str; 1],
    pub message_attribute_names: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_request_attempt_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SettledBatch<'a> {
    #[serde(default, borrow)]
    pub successful: Option<Vec<SettledEntry<'a>>>,
    #[serde(default)]
    pub failed: Option<Vec<FailedEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SettledEntry<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FailedEntry {
    pub id: String,
    pub code: String,
    #[serde(default)]
    pub sender_fault: bool,
    pub message: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueAttributes<'a> {
    pub queue_url: &'a str,
    pub attribute_names: [&'static str; 1],
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueAttributes {
    pub attributes: Attributes,
}

/// What penstock asks of a queue; numbers are texts here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attributes {
    pub visibility_timeout: String,
    pub fifo_queue: Option<String>,
    pub redrive_policy: Option<String>,
}

/// The policy in its own JSON; the count is a number, and a text from some tools.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RedrivePolicy {
    pub max_receive_count: Count,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Count {
    Number(u32),
    Text(String),
}
