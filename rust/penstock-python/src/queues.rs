//! Carries out the commands of embedded queues, as JSON documents say them.
//!
//! Rules: one command, one answer; a command's members are checked like any document's; a send is
//! answered when its messages are on disk; messages' attributes are spelled as boto3 does.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_runtime::runtime::Runtime;
use penstock_runtime::state::queues::{
    Attribute, AttributeValue, BROWSE_MESSAGES_MAX, NewMessage, QueueOptions, Queues, Redrive,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents::{Document, write};
use crate::errors::Failure;

/// The longest command: as many bytes as a queue takes at once, with every one escaped.
const COMMAND_BYTES_MAX: usize = 64 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    body: String,
    delay_s: Option<u64>,
    group: Option<String>,
    deduplication_id: Option<String>,
    trace_header: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, EntryAttribute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct EntryAttribute {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

/// Does what the command says and gives its answer.
pub(crate) fn run(runtime: &Runtime, command: &[u8]) -> Result<Vec<u8>, Failure> {
    let queues = runtime.state().queues();
    let mut document = Document::parse_up_to(command, COMMAND_BYTES_MAX)?;
    let answer = match document.need::<String>("op")?.as_str() {
        "create" => create(queues, document)?,
        "list" => {
            document.finish()?;
            json!({ "queues": queues.list()? })
        }
        "describe" => {
            let name = last_name(document)?;
            return write(&queues.describe(&name)?);
        }
        "delete" => {
            queues.delete(&last_name(document)?)?;
            json!({})
        }
        "send" => send(queues, document)?,
        "browse" => {
            let after = document.take("after")?.unwrap_or(0);
            let limit = document.take("limit")?.unwrap_or(BROWSE_MESSAGES_MAX);
            json!({ "messages": queues.browse(&last_name(document)?, after, limit)? })
        }
        other => {
            let message =
                format!("{other:?} is none of create, list, describe, delete, send and browse");
            return Err(Failure::argument("op", message));
        }
    };
    write(&answer)
}

fn create(queues: &Queues, mut document: Document) -> Result<Value, Failure> {
    let defaults = QueueOptions::default();
    let target = document.take("dead_letter_queue")?;
    let count = document.take("max_receive_count")?;
    let redrive = match (target, count) {
        (None, None) => None,
        (Some(dead_letter_queue), Some(max_receive_count)) => Some(Redrive {
            dead_letter_queue,
            max_receive_count,
        }),
        _ => {
            let message = "needs max_receive_count, and the other way round";
            return Err(Failure::argument("dead_letter_queue", message));
        }
    };
    let mut seconds = |member: &str, default| {
        let given = document.take::<u64>(member)?;
        Ok::<_, Failure>(given.unwrap_or(default))
    };
    let options = QueueOptions {
        visibility_timeout_s: seconds("visibility_timeout_s", defaults.visibility_timeout_s)?,
        delay_s: seconds("delay_s", defaults.delay_s)?,
        retention_s: seconds("retention_s", defaults.retention_s)?,
        redrive,
        content_based_deduplication: document
            .take("content_based_deduplication")?
            .unwrap_or(defaults.content_based_deduplication),
    };
    let name = last_name(document)?;
    queues.create(&name, &options)?;
    Ok(json!(queues.describe(&name)?))
}

fn send(queues: &Queues, mut document: Document) -> Result<Value, Failure> {
    let entries = document.need::<Vec<Entry>>("messages")?;
    let name = last_name(document)?;
    let messages = entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| new_message(index, entry));
    let sent = queues.send(&name, messages.collect::<Result<_, _>>()?)?;
    let shown = sent.iter().map(|one| {
        json!({
            "message_id": one.message_id,
            "md5_of_body": one.md5_of_body,
            "md5_of_attributes": one.md5_of_attributes,
            "sequence_number": one.sequence_number,
        })
    });
    Ok(json!({ "messages": shown.collect::<Vec<_>>() }))
}

fn new_message(index: usize, entry: Entry) -> Result<NewMessage, Failure> {
    let attributes = entry.attributes.into_iter().map(|(name, given)| {
        let path = format!("messages[{index}].attributes.{name}");
        Ok((name, attribute(&path, given)?))
    });
    Ok(NewMessage {
        attributes: attributes.collect::<Result<_, Failure>>()?,
        body: entry.body,
        delay_s: entry.delay_s,
        group: entry.group,
        deduplication_id: entry.deduplication_id,
        trace_header: entry.trace_header,
    })
}

fn attribute(path: &str, given: EntryAttribute) -> Result<Attribute, Failure> {
    let value = match (given.string_value, given.binary_value) {
        (Some(text), None) => AttributeValue::Text(text),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(&text);
            AttributeValue::Binary(bytes.map_err(|_| Failure::argument(path, "is not base64"))?)
        }
        _ => {
            return Err(Failure::argument(
                path,
                "has one of StringValue and BinaryValue",
            ));
        }
    };
    Ok(Attribute {
        data_type: given.data_type,
        value,
    })
}

/// The queue's name, which is the last member to be taken.
fn last_name(mut document: Document) -> Result<String, Failure> {
    let name = document.need("name")?;
    document.finish()?;
    Ok(name)
}
