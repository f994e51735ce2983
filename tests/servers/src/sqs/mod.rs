//! SQS, AWS JSON 1.0: the operations that producers, consumers and their tests use.
//!
//! One lock guards the model. What costs time happens outside it: messages are encoded before they
//! are sent. A receive that waits holds no lock; sends, deletes, returns and moves of the clock
//! wake it.

pub mod attributes;
pub mod canned;
pub mod deduplication;
pub mod message;
pub mod model;
mod operations;
pub mod properties;
pub mod queue;
pub mod receipt;
pub mod settings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::control::{read, wrong};
use crate::service::{Answer, Call, Later, Refusal, Service, Target};
use model::{Model, name_of_url};
use settings::Settings;

/// The service.
#[derive(Debug)]
pub struct Sqs {
    clock: Arc<Clock>,
    model: Mutex<Model>,
}

impl Sqs {
    /// A service without queues.
    #[must_use]
    pub fn new(clock: Arc<Clock>, settings: Settings) -> Self {
        Self {
            clock,
            model: Mutex::new(Model::new(settings)),
        }
    }

    /// Adds the queue of a canned run.
    pub fn add_canned(&self, spec: &canned::Spec) {
        canned::fill(&mut self.lock(), spec, self.clock.now_ms());
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the receipts that are out be unknown: of one queue, or of all.
    fn expire(&self, order: &Expire) -> Value {
        let mut model = self.lock();
        let serial = model.next_serial();
        let mut queues = 0;
        for queue in model.queues.values_mut() {
            if order.queue.as_ref().is_none_or(|name| *name == queue.name) {
                queue.receipts_from = serial;
                queues += 1;
            }
        }
        json!({"queues": queues})
    }

    /// How many messages a queue has, by place: exact, and without a call that is counted.
    fn depth(&self, order: &Depth) -> Result<Value, Refusal> {
        let now_ms = self.clock.now_ms();
        let mut model = self.lock();
        let queue = model.queues.get_mut(&order.queue);
        let queue = queue.ok_or_else(|| wrong(format!("no queue {}", order.queue)))?;
        queue.settle(now_ms);
        let depth = queue.depth();
        Ok(json!({
            "visible": depth.visible,
            "in_flight": depth.in_flight,
            "delayed": depth.delayed,
        }))
    }
}

impl Service for Sqs {
    fn operation<'a>(&self, target_header: &'a str) -> Option<&'a str> {
        target_header.strip_prefix("AmazonSQS.")
    }

    fn content_type(&self) -> &'static str {
        "application/x-amz-json-1.0"
    }

    fn spelled(&self, code: &str) -> String {
        let space = match code {
            "AccessDeniedException"
            | "ExpiredTokenException"
            | "IncompleteSignatureException"
            | "InternalFailure"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "SerializationException"
            | "ServiceUnavailable"
            | "UnknownOperationException"
            | "UnrecognizedClientException" => "com.amazon.coral.service",
            _ => "com.amazonaws.sqs",
        };
        format!("{space}#{code}")
    }

    fn query_error(&self, refusal: &Refusal) -> Option<String> {
        let name = refusal.code.as_str();
        let old = match name {
            "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
            "QueueNameExists" => "QueueAlreadyExists",
            "OverLimit" => "OverLimit",
            "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight",
            "PurgeQueueInProgress" => "AWS.SimpleQueueService.PurgeQueueInProgress",
            "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
            "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            "InvalidBatchEntryId" => "AWS.SimpleQueueService.InvalidBatchEntryId",
            "BatchRequestTooLong" => "AWS.SimpleQueueService.BatchRequestTooLong",
            "ReceiptHandleIsInvalid"
            | "InvalidParameterValue"
            | "MissingParameter"
            | "InvalidAttributeName"
            | "InvalidAttributeValue"
            | "InvalidAddress"
            | "InvalidMessageContents"
            | "RequestThrottled" => name,
            _ => return None,
        };
        let fault = if refusal.status < 500 {
            "Sender"
        } else {
            "Receiver"
        };
        Some(format!("{old};{fault}"))
    }

    fn target(&self, body: &Bytes) -> Target {
        let Ok(named) = serde_json::from_slice::<Named>(body) else {
            return Target::default();
        };
        let of_url = || {
            name_of_url(named.queue_url.as_deref())
                .ok()
                .map(str::to_owned)
        };
        Target {
            stream: named.queue_name.clone().or_else(of_url),
            shard: None,
        }
    }

    fn answer(&self, call: Call<'_>) -> Result<Answer, Refusal> {
        operations::answer(self, call)
    }

    fn answer_later<'a>(&'a self, call: Call<'a>) -> Option<Later<'a>> {
        (call.operation == "ReceiveMessage")
            .then(|| Box::pin(operations::receive(self, call)) as Later<'a>)
    }

    fn throttled(&self, _operation: &str, _target: &Target) -> Refusal {
        Refusal {
            status: 403,
            ..Refusal::client("RequestThrottled", "Rate exceeded.")
        }
    }

    fn control(&self, action: &str, body: &Bytes) -> Option<Result<Value, Refusal>> {
        match action {
            "settings" => Some(read::<Settings>(body).map(|settings| {
                self.lock().settings = settings;
                json!({})
            })),
            "expire_receipts" => Some(read(body).map(|order| self.expire(&order))),
            "depth" => Some(read(body).and_then(|order| self.depth(&order))),
            _ => None,
        }
    }
}

/// The refusal of a value.
fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::client("InvalidParameterValue", message)
}

/// The members by which any request says what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    queue_name: Option<String>,
    queue_url: Option<String>,
}

/// Forgets the receipts of one queue, or of all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    queue: Option<String>,
}

/// Asks for a queue's depth.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Depth {
    queue: String,
}
