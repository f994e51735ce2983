//! Deletes messages and changes how long they are hidden.
//!
//! A standard queue takes an old receipt for a delete that has nothing to do; a FIFO queue refuses
//! it, and any queue refuses to hide or show a message that is not in flight.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::model::missing;
use super::super::queue::{Queue, Stale};
use super::super::{Sqs, invalid};
use super::{Entry, check_batch, each, read, within};
use crate::service::{Answer, Call, Refusal};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct One<'a> {
    queue_url: Option<String>,
    #[serde(borrow)]
    receipt_handle: Option<Cow<'a, str>>,
    visibility_timeout: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Many<'a> {
    queue_url: Option<String>,
    #[serde(borrow, default)]
    entries: Vec<OneOf<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OneOf<'a> {
    id: String,
    #[serde(borrow)]
    receipt_handle: Option<Cow<'a, str>>,
    visibility_timeout: Option<i64>,
}

impl Entry for OneOf<'_> {
    fn id(&self) -> &str {
        &self.id
    }
}

pub(super) fn delete(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: One<'_> = read(call.body)?;
    let mut model = sqs.lock();
    let queue = model.queue(request.queue_url.as_deref(), sqs.clock.now_ms())?;
    delete_one(queue, request.receipt_handle.as_deref())?;
    Ok(Answer {
        records: 1,
        ..Answer::empty()
    })
}

pub(super) fn delete_batch(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: Many<'_> = read(call.body)?;
    check_batch(&request.entries)?;
    let mut model = sqs.lock();
    let queue = model.queue(request.queue_url.as_deref(), sqs.clock.now_ms())?;
    Ok(each(call, request.entries, |entry| {
        delete_one(queue, entry.receipt_handle.as_deref())
    }))
}

pub(super) fn change(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: One<'_> = read(call.body)?;
    let now_ms = sqs.clock.now_ms();
    let mut model = sqs.lock();
    let queue = model.queue(request.queue_url.as_deref(), now_ms)?;
    let span = request.visibility_timeout;
    change_one(queue, request.receipt_handle.as_deref(), span, now_ms)?;
    Ok(Answer {
        records: 1,
        ..Answer::empty()
    })
}

pub(super) fn change_batch(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: Many<'_> = read(call.body)?;
    check_batch(&request.entries)?;
    let now_ms = sqs.clock.now_ms();
    let mut model = sqs.lock();
    let queue = model.queue(request.queue_url.as_deref(), now_ms)?;
    Ok(each(call, request.entries, |entry| {
        let span = entry.visibility_timeout;
        change_one(queue, entry.receipt_handle.as_deref(), span, now_ms)
    }))
}

fn delete_one(queue: &mut Queue, handle: Option<&str>) -> Result<Value, Refusal> {
    let handle = handle.ok_or_else(|| missing("ReceiptHandle"))?;
    match queue.received(handle) {
        Ok(key) => drop(queue.remove(key)),
        Err(Stale::Visible) if !queue.properties.fifo => {
            if let Some(key) = queue.named(handle) {
                queue.remove(key);
            }
        }
        Err(Stale::Gone) => {}
        Err(Stale::Older) if !queue.properties.fifo => {}
        Err(Stale::Older | Stale::Visible) => {
            return Err(invalid(format!(
                "Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle \
                 has expired."
            )));
        }
        Err(Stale::Unknown) => return Err(unknown(handle)),
    }
    Ok(json!({}))
}

fn change_one(
    queue: &mut Queue,
    handle: Option<&str>,
    span: Option<i64>,
    now_ms: u64,
) -> Result<Value, Refusal> {
    let handle = handle.ok_or_else(|| missing("ReceiptHandle"))?;
    let span = span.ok_or_else(|| missing("VisibilityTimeout"))?;
    let span = within("VisibilityTimeout", span, 43_200)?;
    match queue.received(handle) {
        Ok(key) => queue.hide(key, now_ms + span * 1000, now_ms),
        Err(Stale::Unknown) => return Err(unknown(handle)),
        Err(Stale::Visible) => {
            let message = "The message is not in flight.";
            return Err(Refusal::client("MessageNotInflight", message));
        }
        Err(Stale::Gone | Stale::Older) => {
            return Err(invalid(format!(
                "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not \
                 exist or is not available for visibility timeout change."
            )));
        }
    }
    Ok(json!({}))
}

fn unknown(handle: &str) -> Refusal {
    let message = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
    Refusal {
        status: 404,
        ..Refusal::client("ReceiptHandleIsInvalid", message)
    }
}
