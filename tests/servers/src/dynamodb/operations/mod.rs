//! The operations of both services, by name.
//!
//! Of tables and items only a part is known here. What requests ask besides, such as conditions and
//! indexes, is refused by name: a test that relied on it would pass for the wrong reason.

mod items;
mod read;
mod streams;
mod tables;

use serde::Deserialize;

use super::DynamoDb;
use super::item::invalid;
use crate::service::{Answer, Call, Refusal};

/// The operations of `DynamoDBStreams_20120810`.
pub(super) const STREAMS: [&str; 4] = [
    "DescribeStream",
    "GetRecords",
    "GetShardIterator",
    "ListStreams",
];

/// The operations of `DynamoDB_20120810`.
pub(super) const TABLES: [&str; 10] = [
    "BatchWriteItem",
    "CreateTable",
    "DeleteItem",
    "DeleteTable",
    "DescribeTable",
    "GetItem",
    "ListTables",
    "PutItem",
    "UpdateItem",
    "UpdateTable",
];

/// Carries a call out.
pub(super) fn answer(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    match call.operation {
        "DescribeStream" => streams::describe(dynamodb, call),
        "ListStreams" => streams::list(dynamodb, call),
        "GetShardIterator" => read::get_shard_iterator(dynamodb, call),
        "GetRecords" => read::get_records(dynamodb, call),
        "CreateTable" => tables::create(dynamodb, call),
        "UpdateTable" => tables::update(dynamodb, call),
        "DescribeTable" => tables::describe(dynamodb, call),
        "DeleteTable" => tables::delete(dynamodb, call),
        "ListTables" => tables::list(dynamodb, call),
        "GetItem" => items::get(dynamodb, call),
        "PutItem" => items::put(dynamodb, call),
        "UpdateItem" => items::update(dynamodb, call),
        "DeleteItem" => items::delete(dynamodb, call),
        "BatchWriteItem" => items::batch(dynamodb, call),
        _ => Err(Refusal::client("UnknownOperationException", "")),
    }
}

/// Reads a request, and refuses members this server does not know.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("This server does not take the request: {error}")))
}
