//! The operations, by name, and what they share: entries of batches and what is refused of them.

mod queues;
mod receive;
mod send;
mod settle;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Sqs;
use super::invalid;
use crate::faults::Effect;
use crate::service::{Answer, Call, Refusal};

pub(super) use receive::receive;
pub(super) use send::{body_of, uuid};

/// The most entries of a batch.
const ENTRIES_MAX: usize = 10;

/// Carries out a call that does not wait.
pub(super) fn answer(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    match call.operation {
        "CreateQueue" => queues::create(sqs, call),
        "GetQueueUrl" => queues::url(sqs, call),
        "GetQueueAttributes" => queues::attributes(sqs, call),
        "SetQueueAttributes" => queues::change(sqs, call),
        "ListQueues" => queues::list(sqs, call),
        "DeleteQueue" => queues::delete(sqs, call),
        "PurgeQueue" => queues::purge(sqs, call),
        "SendMessage" => send::one(sqs, call),
        "SendMessageBatch" => send::batch(sqs, call),
        "DeleteMessage" => settle::delete(sqs, call),
        "DeleteMessageBatch" => settle::delete_batch(sqs, call),
        "ChangeMessageVisibility" => settle::change(sqs, call),
        "ChangeMessageVisibilityBatch" => settle::change_batch(sqs, call),
        _ => Err(Refusal::client("UnknownOperationException", "")),
    }
}

/// Reads a request, and refuses members this server does not know.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("This server does not take the request: {error}");
        Refusal::client("SerializationException", message)
    })
}

/// What an entry of a batch is known by.
trait Entry {
    fn id(&self) -> &str;
}

/// Refuses a batch as a whole that is empty, too long, or whose entries cannot be told apart.
fn check_batch(entries: &[impl Entry]) -> Result<(), Refusal> {
    if entries.is_empty() {
        let message = "There should be at least one entry in the request.";
        return Err(Refusal::client("EmptyBatchRequest", message));
    }
    if entries.len() > ENTRIES_MAX {
        let message = format!(
            "Maximum number of entries per request are {ENTRIES_MAX}. You have sent {}.",
            entries.len()
        );
        return Err(Refusal::client("TooManyEntriesInBatchRequest", message));
    }
    for (nth, entry) in entries.iter().enumerate() {
        let id = entry.id();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if id.is_empty() || id.len() > 80 || !id.chars().all(plain) {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and \
                           underscores. It can be at most 80 letters long.";
            return Err(Refusal::client("InvalidBatchEntryId", message));
        }
        if entries[..nth].iter().any(|other| other.id() == id) {
            let message = format!("Id {id} repeated.");
            return Err(Refusal::client("BatchEntryIdsNotDistinct", message));
        }
    }
    Ok(())
}

/// Carries out the entries of a batch that no fault refuses, each by itself.
fn each<E: Entry>(
    call: Call<'_>,
    entries: Vec<E>,
    mut act: impl FnMut(E) -> Result<Value, Refusal>,
) -> Answer {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (nth, entry) in entries.into_iter().enumerate() {
        let id = entry.id().to_owned();
        let outcome = match call.effect {
            Some(Effect::RefuseEntries {
                every,
                code,
                message,
            }) if nth % every.get() == 0 => Err(Refusal::client(code, message.clone())),
            _ => act(entry),
        };
        match outcome {
            Ok(mut value) => {
                value["Id"] = json!(id);
                good.push(value);
            }
            Err(refusal) => bad.push(json!({
                "Id": id,
                "SenderFault": refusal.status < 500,
                "Code": refusal.code,
                "Message": refusal.message,
            })),
        }
    }
    let records = good.len();
    let mut answer = json!({"Successful": good});
    if !bad.is_empty() {
        answer["Failed"] = json!(bad);
    }
    Answer {
        records,
        ..Answer::json(&answer)
    }
}

/// A number within its range, or the service's refusal of it.
fn within(name: &str, value: i64, most: u64) -> Result<u64, Refusal> {
    let number = u64::try_from(value).ok().filter(|number| *number <= most);
    number.ok_or_else(|| {
        invalid(format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between 0 and {most}, \
             if provided."
        ))
    })
}
