//! Keeps leases and checkpoints in a DynamoDB table, in the Kinesis Client Library's format.
//!
//! Rules: every write has a condition, but those of names that nobody else uses; a write whose
//! answer was lost is looked up; rows are read consistently, so that what is read is no older than
//! the question; no row is touched that says it is another application's.
//!
//! What a checkpoint has beyond the library's words stands in an attribute of ours, or, when that
//! would make looking at all rows dear, in a table beside this one: the library takes every row
//! whose kind it does not know for a lease, so that none of ours may stand among its own.
//!
//! Requests: a look at all rows is one Scan a megabyte, any other call one request; a large
//! checkpoint costs one more to write, to read, and to clear up behind.

mod beside;
mod document;
mod opening;
mod wire;
mod writes;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, try_join_all};
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::ShardId;
use penstock_engine::io::{Checkpoint, Resume};
use penstock_engine::lease::table::{self, Item};
use penstock_engine::lease::{Place, Row, Write};
use penstock_runtime::error::StoreError;
use penstock_runtime::ports::{Answer, NewRow, Save, SharedStore};
use serde_json::{Value, json};

use crate::access::{Access, AccessBook};
use crate::client::Client;
use crate::protocol;
use crate::protocol::Subject;
use crate::signing::Service;
use document::{Document, Kept};
use wire::{Refusal, Scanned, Updated};
use writes::Expression;

const DYNAMODB: Service = Service {
    signing_name: "dynamodb",
    target: "DynamoDB_20120810",
    content_type: "application/x-amz-json-1.0",
};

/// Whose a row is: the application that reads the stream.
const APPLICATION: &str = "penstockApplication";

/// Set on rows of the library when it reads several streams.
const STREAM_NAME: &str = "streamName";

/// Rows that are put at a time.
const PUT_TOGETHER: usize = 8;

/// The most pages of one look at all rows: a gigabyte.
const PAGES_MAX: usize = 1_000;

/// How often a row and what stands beside it are read, when they do not belong together.
const READS_MAX: usize = 3;

/// What keeping leases in a table needs to know.
#[derive(Debug, Clone)]
pub struct DynamoDbTableOptions {
    /// The table's name.
    pub table: String,
    /// The name of the access in the book.
    pub access: String,
    /// Whose the rows are, in a word that stays: one stream read by one function.
    pub application: String,
    /// How long a write may take, the look at its row included when its answer was lost.
    pub patience: Duration,
}

/// The table.
pub struct DynamoDbTable {
    options: DynamoDbTableOptions,
    client: Client,
    /// Shards that may have parts beside the table which no checkpoint needs any more.
    littered: Mutex<BTreeSet<ShardId>>,
}

impl DynamoDbTable {
    /// A store that makes no request before it is asked.
    #[must_use]
    pub fn new(options: DynamoDbTableOptions, book: Arc<AccessBook>) -> Self {
        let client = Client::new(DYNAMODB, &options.access, book);
        Self {
            options,
            client,
            littered: Mutex::default(),
        }
    }

    fn subject<'a>(&'a self, operation: &'static str, shard: Option<&'a ShardId>) -> Subject<'a> {
        Subject {
            operation,
            noun: "table",
            stream: &self.options.table,
            shard: shard.map(ShardId::as_str),
        }
    }

    /// Makes a request that has no condition, and reads its answer.
    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        subject: &Subject<'_>,
        body: &Value,
    ) -> Result<T, StoreError> {
        let access = self.access(subject).await?;
        let answer = self
            .client
            .call(&access, subject, body.to_string().into())
            .await
            .map_err(|error| told(subject, error.into()))?;
        parsed(&access, subject, &answer.body)
    }

    /// Makes a write with a condition: `Err` has the item that stood against it.
    async fn call_if<T: serde::de::DeserializeOwned>(
        &self,
        subject: &Subject<'_>,
        body: &Value,
    ) -> Result<Result<T, Option<Item>>, StoreError> {
        let access = self.access(subject).await?;
        let answered = self
            .client
            .call_if(&access, subject, body.to_string().into())
            .await
            .map_err(|error| told(subject, error.into()))?;
        match answered {
            Ok(body) => parsed(&access, subject, &body).map(Ok),
            Err(body) => parsed::<Refusal>(&access, subject, &body).map(|not| Err(not.item)),
        }
    }

    async fn access(&self, subject: &Subject<'_>) -> Result<Arc<Access>, StoreError> {
        let access = self.client.access(subject).await;
        access.map_err(|error| StoreError::from(Fault::from(error)))
    }

    /// Every item that is a lease of ours.
    async fn items(&self) -> Result<Vec<(Row, Item)>, StoreError> {
        let subject = self.subject("Scan", None);
        let (mut rows, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let mut body = json!({"TableName": self.options.table, "ConsistentRead": true});
            if let Some(after) = after {
                body["ExclusiveStartKey"] = Value::Object(after);
            }
            let page: Scanned = self.call(&subject, &body).await?;
            for item in page.items {
                rows.extend(self.row(&item)?.map(|row| (row, item)));
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(rows);
            }
        }
        let message = format!("{subject} did not end within {PAGES_MAX} pages");
        Err(StoreError::new(FaultKind::Transient, message))
    }

    /// One shard's item, if it is there.
    async fn item(&self, shard: &ShardId) -> Result<Option<(Row, Item)>, StoreError> {
        let subject = self.subject("GetItem", Some(shard));
        let body = json!({
            "TableName": self.options.table, "Key": key(shard), "ConsistentRead": true,
        });
        let found: wire::Found = self.call(&subject, &body).await?;
        let Some(item) = found.item else {
            return Ok(None);
        };
        Ok(self.row(&item)?.map(|row| (row, item)))
    }

    /// The row of an item, when it is a lease; nobody else's is taken for ours.
    fn row(&self, item: &Item) -> Result<Option<Row>, StoreError> {
        let table = &self.options.table;
        let invalid = |message: String| StoreError::new(FaultKind::Invalid, message);
        let text = |name: &str| item.get(name).and_then(|value| value["S"].as_str());
        let row = table::read(item)
            .map_err(|error| invalid(format!("table {table} is of another shape: {error}")))?;
        let Some(row) = row else {
            return Ok(None);
        };
        if text(STREAM_NAME).is_some() {
            let message = format!(
                "table {table} keeps the leases of several streams (row {}); penstock keeps one \
                 stream's in a table: choose another table",
                row.shard
            );
            return Err(invalid(message));
        }
        match text(APPLICATION).filter(|owner| *owner != self.options.application) {
            Some(other) => Err(invalid(format!(
                "row {} of table {table} is of {}, and this is {}: choose another table, or \
                 delete this one when nobody needs its checkpoints",
                row.shard,
                protocol::shown(other),
                self.options.application
            ))),
            None => Ok(Some(row)),
        }
    }

    /// Performs a conditional update; a lost answer is looked up within the patience.
    async fn update(&self, shard: &ShardId, write: &Write, extra: Expression) -> Update {
        let began = Instant::now();
        let patience = self.options.patience;
        let subject = self.subject("UpdateItem", Some(shard));
        let body = extra.request(&self.options.table, shard);
        let asked = self.call_if::<Updated>(&subject, &body);
        // Most of the time is the write's; what is left is enough for one look.
        let answered = tokio::time::timeout(patience.mul_f64(0.6), asked).await;
        let lost = match answered {
            Ok(Ok(Ok(updated))) => return self.written(shard, &updated.attributes),
            Ok(Ok(Err(item))) => return self.stood_against(item),
            Ok(Err(error)) if error.fault().kind != FaultKind::Transient => return Err(error),
            Ok(Err(error)) => error,
            Err(_) => {
                let message = format!("{subject} had no answer for {:?}", began.elapsed());
                StoreError::new(FaultKind::Transient, message)
            }
        };
        let left = patience.saturating_sub(began.elapsed());
        match tokio::time::timeout(left, self.item(shard)).await {
            Ok(Ok(None)) => Ok(Answer::Refused(None)),
            Ok(Ok(Some((row, _)))) => match write.outcome(&row) {
                Some(true) => Ok(Answer::Written(row)),
                Some(false) => Ok(Answer::Refused(Some(row))),
                None => Err(lost),
            },
            Ok(Err(_)) | Err(_) => Err(lost),
        }
    }

    fn written(&self, shard: &ShardId, item: &Item) -> Update {
        let missing = || {
            let message = format!("the row of shard {shard} was written and did not come back");
            StoreError::new(FaultKind::Transient, message)
        };
        self.row(item)?.map(Answer::Written).ok_or_else(missing)
    }

    fn stood_against(&self, item: Option<Item>) -> Update {
        let row = item.map(|item| self.row(&item)).transpose()?;
        Ok(Answer::Refused(row.flatten()))
    }

    async fn put(&self, new: &NewRow) -> Result<(), StoreError> {
        let place = Place::of(&new.checkpoint.position);
        let row = Row::new(new.shard.clone(), place, new.parents.clone());
        let mut item = Item::new();
        table::write(&row, &mut item);
        item.insert(table::KIND.to_owned(), json!({"S": "LEASE"}));
        let application = json!({"S": self.options.application});
        item.insert(APPLICATION.to_owned(), application);
        let document = json!({"S": Document::of(&new.checkpoint)?.text});
        item.insert(document::ATTRIBUTE.to_owned(), document);
        let subject = self.subject("PutItem", Some(&new.shard));
        let body = json!({
            "TableName": self.options.table, "Item": item,
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": table::KEY},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        });
        match self.call_if::<Value>(&subject, &body).await? {
            Ok(_) => Ok(()),
            // It is there already: left alone, when it is ours.
            Err(found) => self.stood_against(found).map(|_| ()),
        }
    }

    /// The checkpoint of a row, with what stands beside the table of it.
    async fn checkpoint(&self, row: Row, item: Item) -> Result<Checkpoint, StoreError> {
        let (mut row, mut item) = (row, item);
        for _ in 0..READS_MAX {
            match document::kept(&row, &item)? {
                Kept::Whole(checkpoint) => return Ok(*checkpoint),
                Kept::Beside(parts) => {
                    self.litter(&row.shard);
                    if let Some(text) = self.parts(&row.shard, &parts).await? {
                        return document::whole(&row, &text);
                    }
                }
            }
            // Somebody saved in between, unless they are gone for good.
            match self.item(&row.shard).await? {
                Some(found) => (row, item) = found,
                None => break,
            }
        }
        let message = format!(
            "what table {} keeps of the checkpoint of shard {} is not there: was one of the two \
             restored without the other?",
            self.beside(),
            row.shard
        );
        Err(StoreError::new(FaultKind::Invalid, message))
    }

    async fn save(&self, save: Save) -> Result<(), StoreError> {
        let document = Document::of(&save.checkpoint)?;
        let large = document.is_large();
        let text = if large {
            self.litter(&save.shard);
            self.put_parts(&save, &document).await?
        } else {
            document.text
        };
        let write = save.write();
        let mut expression = Expression::of(&write, &self.options.application);
        expression.set(document::ATTRIBUTE, json!({"S": text}));
        let answer = self.update(&save.shard, &write, expression).await?;
        if let Answer::Refused(row) = answer {
            return Err(save.refused(row.as_ref()));
        }
        let littered = self.littered().contains(&save.shard);
        if littered {
            self.clear_up(&save, large).await;
        }
        Ok(())
    }

    fn litter(&self, shard: &ShardId) {
        self.littered().insert(shard.clone());
    }

    fn littered(&self) -> MutexGuard<'_, BTreeSet<ShardId>> {
        self.littered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Update = Result<Answer, StoreError>;

impl SharedStore for DynamoDbTable {
    fn open(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.make_ready())
    }

    fn scan(&self) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let items = self.items().await?;
            Ok(items.into_iter().map(|(row, _)| row).collect())
        })
    }

    fn read(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Row>, StoreError>> {
        Box::pin(async move { Ok(self.item(&shard).await?.map(|(row, _)| row)) })
    }

    fn write(&self, shard: ShardId, write: Write) -> BoxFuture<'_, Result<Answer, StoreError>> {
        Box::pin(async move {
            let expression = Expression::of(&write, &self.options.application);
            self.update(&shard, &write, expression).await
        })
    }

    fn register(&self, rows: Vec<NewRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut waiting = rows.as_slice();
            while !waiting.is_empty() {
                let (now, later) = waiting.split_at(together(waiting));
                try_join_all(now.iter().map(|row| self.put(row))).await?;
                waiting = later;
            }
            Ok(())
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<Resume, StoreError>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            for (row, item) in self.items().await? {
                rows.push((row.shard.clone(), self.checkpoint(row, item).await?));
            }
            Ok(Resume { rows })
        })
    }

    fn load(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>> {
        Box::pin(async move {
            match self.item(&shard).await? {
                Some((row, item)) => self.checkpoint(row, item).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn save(&self, save: Save) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.save(save))
    }
}

/// How many of the first rows can be put at a time: none before its parents.
fn together(rows: &[NewRow]) -> usize {
    let mut shards = BTreeSet::new();
    let first = rows.iter().take(PUT_TOGETHER);
    first
        .take_while(|row| {
            let alone = row.parents.iter().all(|parent| !shards.contains(parent));
            alone && shards.insert(&row.shard)
        })
        .count()
        .max(1)
}

fn key(shard: &ShardId) -> Value {
    json!({table::KEY: {"S": shard.as_str()}})
}

/// A fault, with what to do when something is not allowed or not there any more.
fn told(subject: &Subject<'_>, fault: Fault) -> StoreError {
    let hint = match fault.kind {
        FaultKind::Denied => format!("allow dynamodb:{} on it", subject.operation),
        FaultKind::NotFound => "the table is not there, or not any more".to_owned(),
        _ => return fault.into(),
    };
    StoreError::new(fault.kind, format!("{} ({hint})", fault.message))
}

fn parsed<T: serde::de::DeserializeOwned>(
    access: &Access,
    subject: &Subject<'_>,
    body: &[u8],
) -> Result<T, StoreError> {
    let endpoint = &access.endpoint;
    let place = protocol::Place { subject, endpoint };
    let parsed = place.parse(body);
    parsed.map_err(|error| StoreError::from(Fault::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_together_as_far_as_none_comes_before_its_parents() {
        let row = |shard: u32, parents: &[u32]| NewRow {
            shard: ShardId::new(shard.to_string()),
            parents: parents
                .iter()
                .map(|it| ShardId::new(it.to_string()))
                .collect(),
            checkpoint: Checkpoint::starting_at(penstock_engine::ids::Position::TrimHorizon, None),
        };
        assert_eq!(together(&[row(0, &[])]), 1);
        assert_eq!(together(&[row(0, &[]), row(1, &[]), row(2, &[1])]), 2);
        assert_eq!(together(&[row(2, &[9]), row(3, &[9])]), 2);
        let many: Vec<NewRow> = (0..20).map(|shard| row(shard, &[])).collect();
        assert_eq!(together(&many), PUT_TOGETHER);
    }
}
