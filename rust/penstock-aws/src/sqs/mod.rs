//! Reads SQS queues: ReceiveMessage, the batches that delete and hide, GetQueueAttributes.
//!
//! Rules: a receive asks for all attributes of every kind; it may wait as long as the queue lets
//! it, and its request's deadline lies beyond that wait. The queue's URL is made of the endpoint
//! and the ARN, so that reading a queue needs no permission beyond Lambda's own three.

mod scan;
mod settle;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::fault::FaultKind;
use penstock_engine::io::{QueueFacts, Refused};
use penstock_engine::record::{Batch, Page};
use penstock_runtime::error::SourceError;
use penstock_runtime::ports::{QueueSource, ReceiveRequest};
use serde::Serialize;

use crate::access::{Access, AccessBook};
use crate::client::{Answer, Client};
use crate::protocol::{Place, Subject};
use crate::signing::Service;
use settle::Deed;
use wire::{Attributes, Count, GetQueueAttributes, QueueAttributes, ReceiveMessage, RedrivePolicy};

const SQS: Service = Service {
    signing_name: "sqs",
    target: "AmazonSQS",
    content_type: "application/x-amz-json-1.0",
};

/// The most messages that one ReceiveMessage answers.
const RECEIVED_MAX: u32 = 10;

/// The most bytes that one of them has.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// The longest that ReceiveMessage waits for a first message.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The longest that a message can be hidden by one request.
const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// How long the answer to a receive that is not wanted any more may be on its way: the time from
/// one end of a continent to the other and back, several times.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// How often a queue is asked what it is.
const DESCRIBE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What reading a queue needs to know.
#[derive(Debug, Clone)]
pub struct SqsOptions {
    /// The queue's name.
    pub queue: String,
    /// The account that owns it.
    pub account: String,
    /// The name of the access in the book.
    pub access: String,
}

/// One SQS queue.
pub struct SqsSource {
    options: SqsOptions,
    client: Client,
}

impl SqsSource {
    /// A source that makes no request before it is asked.
    #[must_use]
    pub fn new(options: SqsOptions, book: Arc<AccessBook>) -> Self {
        let client = Client::new(SQS, &options.access, book);
        Self { options, client }
    }

    /// What reading any queue asks for.
    #[must_use]
    pub fn profile_of() -> SourceProfile {
        SourceProfile {
            idle_interval: Duration::ZERO,
            fetch_wait: WAIT_MAX,
            fetch_records_max: RECEIVED_MAX,
            fetch_bytes_max: u64::from(RECEIVED_MAX) * MESSAGE_BYTES_MAX,
            tip_reads_per_second: None,
            list_interval: DESCRIBE_INTERVAL,
        }
    }

    async fn receive(&self, request: ReceiveRequest) -> Result<Option<Arc<dyn Page>>, SourceError> {
        let subject = self.subject("ReceiveMessage");
        let access = self.client.access(&subject).await?;
        let wait = request.wait.min(WAIT_MAX);
        let body = ReceiveMessage {
            queue_url: &self.url(&access),
            max_number_of_messages: request.limit.clamp(1, RECEIVED_MAX),
            wait_time_seconds: wait.as_secs(),
            visibility_timeout: request.visibility.map(seconds),
            attribute_names: ["All"],
            message_attribute_names: ["All"],
            receive_request_attempt_id: request.attempt.map(|id| id.to_string()),
        };
        let body = written(&subject, &body)?;
        let answer = self
            .client
            .call_waiting(&access, &subject, body, wait)
            .await?;
        let now = answer.date.unwrap_or_else(|| self.client.now());
        let page = scan::read(answer.body, now)
            .map_err(|error| self.place(&access, &subject).malformed(&error))?;
        Ok(page.map(|page| Arc::new(page) as Arc<dyn Page>))
    }

    async fn describe(&self) -> Result<QueueFacts, SourceError> {
        let subject = self.subject("GetQueueAttributes");
        let access = self.client.access(&subject).await?;
        let body = GetQueueAttributes {
            queue_url: &self.url(&access),
            attribute_names: ["All"],
        };
        let answer = self.call(&access, &subject, &body).await?;
        let place = self.place(&access, &subject);
        let described: QueueAttributes = place.parse(&answer.body)?;
        let Attributes {
            visibility_timeout,
            fifo_queue,
            redrive_policy,
        } = described.attributes;
        let visibility_timeout = visibility_timeout.parse().map_err(|_| {
            let cause = "VisibilityTimeout is not a number";
            place.malformed(&cause)
        })?;
        Ok(QueueFacts {
            visibility_timeout: Duration::from_secs(visibility_timeout),
            fifo: fifo_queue.as_deref() == Some("true"),
            max_receive_count: redrive_policy.as_deref().and_then(max_receive_count),
            server_time: answer.date.unwrap_or_else(|| self.client.now()),
        })
    }

    /// How requests name the queue.
    fn url(&self, access: &Access) -> String {
        let SqsOptions { queue, account, .. } = &self.options;
        let endpoint = access.endpoint.to_string();
        format!("{}/{account}/{queue}", endpoint.trim_end_matches('/'))
    }

    async fn call(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: &impl Serialize,
    ) -> Result<Answer, SourceError> {
        let body = written(subject, body)?;
        self.client.call(access, subject, body).await
    }

    fn subject(&self, operation: &'static str) -> Subject<'_> {
        Subject {
            operation,
            noun: "queue",
            stream: &self.options.queue,
            shard: None,
        }
    }

    fn place<'a>(&self, access: &'a Access, subject: &'a Subject<'a>) -> Place<'a> {
        let endpoint = &access.endpoint;
        Place { subject, endpoint }
    }
}

impl QueueSource for SqsSource {
    fn profile(&self) -> SourceProfile {
        Self::profile_of()
    }

    fn describe(&self) -> BoxFuture<'_, Result<QueueFacts, SourceError>> {
        Box::pin(self.describe())
    }

    fn last_moment(&self) -> Duration {
        LAST_MOMENT
    }

    fn receive(
        &self,
        request: ReceiveRequest,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn Page>>, SourceError>> {
        Box::pin(self.receive(request))
    }

    fn acknowledge(&self, messages: Batch) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>> {
        Box::pin(async move { self.settle(&messages, Deed::Delete).await })
    }

    fn extend(
        &self,
        messages: Batch,
        by: Duration,
    ) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>> {
        Box::pin(async move { self.settle(&messages, Deed::Hide(seconds(by))).await })
    }
}

fn written(subject: &Subject<'_>, body: &impl Serialize) -> Result<Vec<u8>, SourceError> {
    serde_json::to_vec(body).map_err(|error| {
        let message = format!("{subject} cannot be written: {error}");
        SourceError::new(FaultKind::Invalid, message)
    })
}

/// A span in whole seconds, as visibility is told; a part of a second counts as one, so that
/// nothing is shown too early.
fn seconds(span: Duration) -> u64 {
    let span = span.min(VISIBILITY_MAX);
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// A policy that cannot be read is as good as none: the queue itself follows it.
fn max_receive_count(policy: &str) -> Option<u32> {
    let policy: RedrivePolicy = serde_json::from_str(policy).ok()?;
    match policy.max_receive_count {
        Count::Number(count) => Some(count),
        Count::Text(text) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_policy_is_read_as_a_number_or_a_text() {
        let arn = r#""deadLetterTargetArn":"arn:aws:sqs:us-east-1:0:d""#;
        let policy =
            |count: &str| max_receive_count(&format!(r#"{{{arn},"maxReceiveCount":{count}}}"#));
        assert_eq!(policy("3"), Some(3));
        assert_eq!(policy("\"3\""), Some(3));
        assert_eq!(policy("\"three\""), None);
        assert_eq!(max_receive_count(""), None);
    }

    #[test]
    fn visibility_is_told_in_whole_seconds() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(1000)), 1);
        assert_eq!(seconds(Duration::from_secs(50_000)), 43_200);
    }
}
