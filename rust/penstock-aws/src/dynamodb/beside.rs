//! Keeps documents that are too large for a row in a table beside, in parts.
//!
//! Rules: the names of parts are used once, so that nobody's late write changes what a row points
//! at; a row points at parts that are all there; parts that no row points at are cleared up by the
//! holder, after a save; the table is made when it is first needed.

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::ShardId;
use penstock_engine::lease::table;
use penstock_runtime::error::StoreError;
use penstock_runtime::ports::Save;
use serde_json::{Value, json};

use super::document::{Document, Parts};
use super::wire::{Batched, Scanned};
use super::{DynamoDbTable, PAGES_MAX};
use crate::protocol::Subject;

/// What tells a shard's parts apart.
const PART: &str = "part";
/// What is in a part.
const TEXT: &str = "text";
/// The bytes of a part: an item holds 400 KB.
const PART_BYTES_MAX: usize = 350 << 10;
/// The most requests of one BatchWriteItem.
const BATCH_MAX: usize = 25;

impl DynamoDbTable {
    /// The name of the table beside.
    pub(super) fn beside(&self) -> String {
        format!("{}-penstock", self.options.table)
    }

    /// Puts a document's parts; gives what stands in the row instead.
    pub(super) async fn put_parts(
        &self,
        save: &Save,
        document: &Document,
    ) -> Result<String, StoreError> {
        let pieces = pieces(&document.text, PART_BYTES_MAX);
        let of = prefix(save);
        let puts = pieces.iter().enumerate().map(|(place, text)| {
            let part = format!("{of}{place:03}");
            json!({"PutRequest": {"Item": {
                table::KEY: {"S": save.shard.as_str()}, PART: {"S": part}, TEXT: {"S": text},
            }}})
        });
        let written = self.batch(&save.shard, puts.collect()).await;
        if let Err(error) = written {
            if error.fault().kind == FaultKind::NotFound {
                return Err(self.make_beside().await);
            }
            return Err(error);
        }
        let count = pieces.len();
        Parts { of, count }.in_row()
    }

    /// The text of a document's parts; `None` when they are not all there.
    pub(super) async fn parts(
        &self,
        shard: &ShardId,
        parts: &Parts,
    ) -> Result<Option<String>, StoreError> {
        let found = self.query(shard, Some(&parts.of)).await?;
        if found.len() != parts.count {
            return Ok(None);
        }
        let texts = found.iter().map(|item| item[TEXT]["S"].as_str());
        Ok(texts.collect())
    }

    /// Deletes a shard's parts that its row does not point at; what fails is left for the next
    /// time, and costs nothing but room.
    pub(super) async fn clear_up(&self, save: &Save, large: bool) {
        let keep = large.then(|| prefix(save));
        let cleared = async {
            let found = self.query(&save.shard, None).await?;
            let names = found.iter().filter_map(|item| item[PART]["S"].as_str());
            let old = names.filter(|name| keep.as_ref().is_none_or(|it| !name.starts_with(it)));
            let deletes: Vec<Value> = old
                .map(|part| {
                    json!({"DeleteRequest": {"Key": {
                        table::KEY: {"S": save.shard.as_str()}, PART: {"S": part},
                    }}})
                })
                .collect();
            for some in deletes.chunks(BATCH_MAX) {
                self.batch(&save.shard, some.to_vec()).await?;
            }
            Ok::<(), StoreError>(())
        };
        match cleared.await {
            // What the row points at now will be left behind.
            Ok(()) if large => {}
            Ok(()) => {
                self.littered().remove(&save.shard);
            }
            Err(error) => tracing::debug!(shard = %save.shard, %error, "parts were left behind"),
        }
    }

    /// A shard's parts in the order of their names: those of one document, or the names of all.
    async fn query(&self, shard: &ShardId, of: Option<&str>) -> Result<Vec<Value>, StoreError> {
        let beside = self.beside();
        let subject = self.subject_beside(&beside, "Query", shard);
        let mut body = json!({
            "TableName": beside, "ConsistentRead": true,
            "KeyConditionExpression": "#key = :shard",
            "ExpressionAttributeNames": {"#key": table::KEY, "#part": PART},
            "ExpressionAttributeValues": {":shard": {"S": shard.as_str()}},
        });
        if let Some(of) = of {
            body["KeyConditionExpression"] = json!("#key = :shard AND begins_with(#part, :of)");
            body["ExpressionAttributeValues"][":of"] = json!({"S": of});
        } else {
            body["ProjectionExpression"] = json!("#part");
        }
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: Scanned = self.call(&subject, &body).await?;
            found.extend(page.items.into_iter().map(Value::Object));
            let Some(after) = page.last_evaluated_key else {
                return Ok(found);
            };
            body["ExclusiveStartKey"] = Value::Object(after);
        }
        let message = format!("{subject} did not end within {PAGES_MAX} pages");
        Err(StoreError::new(FaultKind::Transient, message))
    }

    async fn batch(&self, shard: &ShardId, requests: Vec<Value>) -> Result<(), StoreError> {
        let beside = self.beside();
        let subject = self.subject_beside(&beside, "BatchWriteItem", shard);
        let body = json!({"RequestItems": {&beside: requests}});
        let batched: Batched = self.call(&subject, &body).await?;
        if batched.unprocessed_items.is_empty() {
            return Ok(());
        }
        let kind = FaultKind::Throttled { after: None };
        Err(StoreError::new(kind, format!("{subject} was done in part")))
    }

    /// Makes the table; says that it is being made, or what stands against it.
    async fn make_beside(&self) -> StoreError {
        let beside = self.beside();
        let keys = [(table::KEY, "HASH"), (PART, "RANGE")];
        match self.create(&beside, &keys).await {
            Ok(()) => {
                let message = format!("table {beside} is being made for large checkpoints");
                StoreError::new(FaultKind::Transient, message)
            }
            Err(error) => error,
        }
    }

    fn subject_beside<'a>(
        &self,
        beside: &'a str,
        operation: &'static str,
        shard: &'a ShardId,
    ) -> Subject<'a> {
        Subject {
            operation,
            noun: "table",
            stream: beside,
            shard: Some(shard.as_str()),
        }
    }
}

/// What the names of the parts of one save begin with, in the order of saves.
fn prefix(save: &Save) -> String {
    format!("{:020}-{:020}-", save.fence.0, save.number)
}

/// A text in pieces of at most so many bytes, none of them cut through a character.
fn pieces(text: &str, bytes_max: usize) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while rest.len() > bytes_max {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(bytes_max));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_short_enough_and_make_the_text_again() {
        for text in ["", "abcdef", "äöüäöü", "a🙂b🙂c", "0123456789"] {
            let pieces = pieces(text, 5);
            assert!(pieces.iter().all(|piece| piece.len() <= 5));
            assert_eq!(pieces.concat(), text);
        }
        assert_eq!(pieces("0123456789", 5), ["01234", "56789"]);
    }
}
