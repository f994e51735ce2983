//! Makes, names, describes, changes, purges and deletes queues.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::model::{ACCOUNT, arn, missing, no_queue};
use super::super::properties::Properties;
use super::super::queue::Queue;
use super::super::{Sqs, invalid};
use super::read;
use crate::seal;
use crate::service::{Answer, Call, Refusal};

/// The most names of one list.
const LISTED_MAX: u64 = 1000;

/// How long a purge keeps the next one away.
const PURGE_MS: u64 = 60_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateQueue {
    queue_name: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ByName {
    queue_name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ByUrl {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListQueues {
    #[serde(default)]
    queue_name_prefix: String,
    max_results: Option<u64>,
    next_token: Option<String>,
}

pub(super) fn create(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: CreateQueue = read(call.body)?;
    let name = request.queue_name.ok_or_else(|| missing("QueueName"))?;
    let fifo = name.ends_with(".fifo");
    check_name(name.strip_suffix(".fifo").unwrap_or(&name), name.len())?;
    let says_fifo = request.attributes.get("FifoQueue").map(String::as_str);
    if fifo != (says_fifo == Some("true")) {
        return Err(invalid(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
             underscores, must end with .fifo suffix and be 1 to 80 in length.",
        ));
    }
    let mut properties = Properties {
        fifo,
        ..Properties::default()
    };
    properties.change(&request.attributes)?;
    let now_ms = sqs.clock.now_ms();
    let mut model = sqs.lock();
    match model.queues.get(&name) {
        Some(queue) if queue.properties != properties => {
            let message = "A queue already exists with the same name and a different value for \
                           attribute(s).";
            return Err(Refusal::client("QueueNameExists", message));
        }
        Some(_) => {}
        None => {
            let number = model.next_serial();
            let queue = Queue::new(&name, number, properties, now_ms);
            model.queues.insert(name.clone(), queue);
        }
    }
    Ok(Answer::json(&json!({"QueueUrl": url_of(&call, &name)})))
}

pub(super) fn url(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ByName = read(call.body)?;
    let name = request.queue_name.ok_or_else(|| missing("QueueName"))?;
    let ours = request.owner.is_none_or(|owner| owner == ACCOUNT);
    if !ours || !sqs.lock().queues.contains_key(&name) {
        return Err(no_queue());
    }
    Ok(Answer::json(&json!({"QueueUrl": url_of(&call, &name)})))
}

pub(super) fn attributes(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ByUrl = read(call.body)?;
    let mut model = sqs.lock();
    let queue = model.queue(request.queue_url.as_deref(), sqs.clock.now_ms())?;
    let depth = queue.depth();
    let mut all = vec![
        ("QueueArn", arn(&queue.name, call.region)),
        ("ApproximateNumberOfMessages", depth.visible.to_string()),
        (
            "ApproximateNumberOfMessagesNotVisible",
            depth.in_flight.to_string(),
        ),
        (
            "ApproximateNumberOfMessagesDelayed",
            depth.delayed.to_string(),
        ),
        ("CreatedTimestamp", (queue.created_ms / 1000).to_string()),
        (
            "LastModifiedTimestamp",
            (queue.modified_ms / 1000).to_string(),
        ),
    ];
    all.extend(queue.properties.describe());
    let wanted = |name: &str| {
        let names = &request.attribute_names;
        names.iter().any(|wanted| wanted == "All" || wanted == name)
    };
    let found: Map<String, Value> = all
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    if found.is_empty() {
        return Ok(Answer::json(&json!({})));
    }
    Ok(Answer::json(&json!({"Attributes": found})))
}

pub(super) fn change(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ByUrl = read(call.body)?;
    let now_ms = sqs.clock.now_ms();
    let mut model = sqs.lock();
    let queue = model.queue(request.queue_url.as_deref(), now_ms)?;
    let mut properties = queue.properties.clone();
    properties.change(&request.attributes)?;
    queue.properties = properties;
    queue.modified_ms = now_ms;
    Ok(Answer::empty())
}

pub(super) fn list(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ListQueues = read(call.body)?;
    let limit = request.max_results.unwrap_or(LISTED_MAX).min(LISTED_MAX);
    let after = match &request.next_token {
        Some(token) => Some(seal::open(token).ok_or_else(|| invalid("Invalid NextToken."))?),
        None => None,
    };
    let model = sqs.lock();
    let mut names = model
        .queues
        .keys()
        .filter(|name| name.starts_with(&request.queue_name_prefix))
        .filter(|name| after.as_ref().is_none_or(|after| *name > after));
    let listed: Vec<&String> = names
        .by_ref()
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .collect();
    let mut answer = json!({});
    if !listed.is_empty() {
        let urls: Vec<String> = listed.iter().map(|name| url_of(&call, name)).collect();
        answer["QueueUrls"] = json!(urls);
    }
    if let (Some(last), true) = (listed.last(), names.next().is_some()) {
        answer["NextToken"] = json!(seal::seal(last));
    }
    Ok(Answer::json(&answer))
}

pub(super) fn delete(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ByUrl = read(call.body)?;
    let mut model = sqs.lock();
    let name = model
        .queue(request.queue_url.as_deref(), sqs.clock.now_ms())?
        .name
        .clone();
    if let Some(queue) = model.queues.remove(&name) {
        queue.wake.notify_waiters();
    }
    Ok(Answer::empty())
}

pub(super) fn purge(sqs: &Sqs, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ByUrl = read(call.body)?;
    let now_ms = sqs.clock.now_ms();
    let mut model = sqs.lock();
    let queue = model.queue(request.queue_url.as_deref(), now_ms)?;
    if queue.purged_ms.is_some_and(|at| at + PURGE_MS > now_ms) {
        let name = &queue.name;
        let message =
            format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds.");
        return Err(Refusal {
            status: 403,
            ..Refusal::client("PurgeQueueInProgress", message)
        });
    }
    queue.purge();
    queue.purged_ms = Some(now_ms);
    Ok(Answer::empty())
}

fn url_of(call: &Call<'_>, name: &str) -> String {
    format!("http://{}/{ACCOUNT}/{name}", call.host)
}

fn check_name(base: &str, length: usize) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if base.is_empty() || length > 80 || !base.chars().all(plain) {
        return Err(invalid(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        ));
    }
    Ok(())
}
