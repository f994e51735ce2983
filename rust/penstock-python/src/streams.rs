//! Carries out the commands of embedded streams, as JSON documents say them.
//!
//! Rules: one command, one answer; a command's members are checked like any document's; a put is
//! answered when its records are on disk; a read waits only as long as it was told.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_engine::config::names::embedded_arn;
use penstock_engine::fault::Fault;
use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::Fetched;
use penstock_engine::record::{Page, RecordView};
use penstock_runtime::runtime::Runtime;
use penstock_runtime::state::streams::{NewRecord, Streams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents::{Document, write};
use crate::errors::Failure;

/// The longest command: a put of as many bytes as a stream takes at once, in base64 and JSON.
const COMMAND_BYTES_MAX: usize = 32 << 20;

/// The longest wait for a first record.
const WAIT_MS_MAX: u64 = 60_000;

/// The most records of one read.
const READ_RECORDS_MAX: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    data: String,
    hash_key: Option<String>,
}

/// Does what the command says and gives its answer.
pub(crate) fn run(runtime: &Runtime, command: &[u8]) -> Result<Vec<u8>, Failure> {
    let streams = runtime.state().streams();
    let mut document = Document::parse_up_to(command, COMMAND_BYTES_MAX)?;
    let answer = match document.need::<String>("op")?.as_str() {
        "create" => create(streams, document)?,
        "list" => {
            document.finish()?;
            json!({ "streams": streams.list()? })
        }
        "describe" => {
            let name = last_name(document)?;
            return write(&streams.describe(&name)?);
        }
        "delete" => {
            streams.delete(&last_name(document)?)?;
            json!({})
        }
        "put" => put(streams, document)?,
        "read" => read(runtime, document)?,
        "split" => split(streams, document)?,
        "merge" => merge(streams, document)?,
        other => {
            let message = format!(
                "{other:?} is none of create, list, describe, delete, put, read, split and merge"
            );
            return Err(Failure::argument("op", message));
        }
    };
    write(&answer)
}

fn create(streams: &Streams, mut document: Document) -> Result<Value, Failure> {
    let shards = document.need("shards")?;
    let name = last_name(document)?;
    streams.create(&name, shards)?;
    Ok(json!(streams.describe(&name)?))
}

fn put(streams: &Streams, mut document: Document) -> Result<Value, Failure> {
    let entries = document.need::<Vec<Entry>>("records")?;
    let name = last_name(document)?;
    let records = entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| new_record(index, entry));
    let placed = streams.put(&name, records.collect::<Result<_, _>>()?)?;
    let shown = placed
        .iter()
        .map(|at| json!({"shard": at.shard, "sequence_number": at.sequence_number}));
    Ok(json!({ "records": shown.collect::<Vec<_>>() }))
}

fn new_record(index: usize, entry: Entry) -> Result<NewRecord, Failure> {
    let wrong = |member: &str, message: &str| {
        Failure::argument(format!("records[{index}].{member}"), message)
    };
    let data = STANDARD
        .decode(&entry.data)
        .map_err(|_| wrong("data", "is not base64"))?;
    let hash_key = entry
        .hash_key
        .map(|digits| digits.parse::<u128>())
        .transpose();
    let hash_key = hash_key.map_err(|_| wrong("hash_key", "is not a whole number of 128 bits"))?;
    Ok(NewRecord {
        partition_key: entry.key,
        data,
        hash_key,
    })
}

fn read(runtime: &Runtime, mut document: Document) -> Result<Value, Failure> {
    let shard = ShardId::new(document.need::<String>("shard")?);
    let after = document.take::<String>("after")?;
    let limit = document.take("limit")?.unwrap_or(READ_RECORDS_MAX);
    let wait_ms = document.take("wait_ms")?.unwrap_or(0);
    let name = last_name(document)?;
    within("limit", u64::from(limit), 1, u64::from(READ_RECORDS_MAX))?;
    within("wait_ms", wait_ms, 0, WAIT_MS_MAX)?;
    let from = after.map_or(Position::TrimHorizon, |number| {
        Position::after(SequenceNumber::new(number))
    });
    let streams = runtime.state().streams();
    if wait_ms > 0 {
        let wait = Duration::from_millis(wait_ms);
        runtime
            .handle()
            .block_on(streams.readable(&name, &shard, &from, wait));
    }
    let failed = |fault: Fault| Failure::Source {
        source_arn: embedded_arn(&name),
        fault,
    };
    Ok(shown(
        &streams.read(&name, &shard, &from, limit).map_err(failed)?,
    ))
}

fn split(streams: &Streams, mut document: Document) -> Result<Value, Failure> {
    let shard = ShardId::new(document.need::<String>("shard")?);
    let children = streams.split(&last_name(document)?, &shard, None)?;
    Ok(json!({ "shards": children }))
}

fn merge(streams: &Streams, mut document: Document) -> Result<Value, Failure> {
    let shard = ShardId::new(document.need::<String>("shard")?);
    let adjacent = ShardId::new(document.need::<String>("adjacent")?);
    let children = streams.merge(&last_name(document)?, &shard, &adjacent)?;
    Ok(json!({ "shards": children }))
}

/// The stream's name, which is the last member to be taken.
fn last_name(mut document: Document) -> Result<String, Failure> {
    let name = document.need("name")?;
    document.finish()?;
    Ok(name)
}

fn within(member: &str, value: u64, least: u64, most: u64) -> Result<(), Failure> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Failure::argument(
        member,
        format!("{value} is not {least} to {most}"),
    ))
}

fn shown(fetched: &Fetched) -> Value {
    let page = fetched.page.as_deref();
    let count = page.map_or(0, |page| page.facts().len());
    let records: Vec<Value> = page
        .map(|page| (0..count).map(|index| shown_record(page, index)).collect())
        .unwrap_or_default();
    let children: Vec<_> = fetched.children.iter().map(|child| &child.id).collect();
    json!({
        "records": records,
        "behind_ms": fetched.behind_ms,
        "ended": fetched.ended,
        "children": children,
    })
}

fn shown_record(page: &dyn Page, index: usize) -> Value {
    let RecordView::Kinesis {
        partition_key,
        sequence_number,
        data,
        arrival,
    } = page.view(index)
    else {
        unreachable!("an embedded stream's records are shown as those of Kinesis")
    };
    json!({
        "key": partition_key,
        "data": data,
        "sequence_number": sequence_number,
        "arrival_ms": arrival.0,
    })
}
