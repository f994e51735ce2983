//! Writes items, one or twenty-five at a time, and reads one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::super::DynamoDb;
use super::super::expression::{Places, Update};
use super::super::item::{Attribute, Item, Written, invalid};
use super::read;
use crate::service::{Answer, Call, Refusal};
use crate::validation::constraint_broken;

/// The most writes of one BatchWriteItem.
const BATCH_MAX: usize = 25;

pub(super) fn get(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: GetItem = read(call.body)?;
    let mut model = dynamodb.settled(dynamodb.clock.now_ms());
    let table = model.usable(&request.table_name)?;
    let key = table.read_key(request.key)?;
    Ok(Answer::json(&match table.item(&key) {
        Some(item) => json!({"Item": item}),
        None => json!({}),
    }))
}

pub(super) fn put(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: PutItem = read(call.body)?;
    let returns = Returns::of(request.return_values.as_deref(), &["NONE", "ALL_OLD"])?;
    let item = Item::read(request.item)?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let key = model.usable(&request.table_name)?.key_of(&item)?;
    let old = model.write(&request.table_name, &key, Some(item), false, now_ms)?;
    Ok(returns.answer(old.as_ref(), None))
}

pub(super) fn delete(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: DeleteItem = read(call.body)?;
    let returns = Returns::of(request.return_values.as_deref(), &["NONE", "ALL_OLD"])?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let key = model.usable(&request.table_name)?.read_key(request.key)?;
    let old = model.write(&request.table_name, &key, None, false, now_ms)?;
    Ok(returns.answer(old.as_ref(), None))
}

pub(super) fn update(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: UpdateItem = read(call.body)?;
    let known = ["NONE", "ALL_OLD", "ALL_NEW"];
    let returns = Returns::of(request.return_values.as_deref(), &known)?;
    let places = Places {
        names: &request.expression_attribute_names,
        values: &request.expression_attribute_values,
    };
    let expression = request.update_expression.as_deref();
    let update = expression
        .map(|text| Update::parse(text, &places))
        .transpose()?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let table = model.usable(&request.table_name)?;
    let key = table.read_key(request.key)?;
    let before = table.item(&key).cloned();
    let mut after = before.clone().unwrap_or_else(|| key.clone());
    if let Some(update) = update {
        if let Some(name) = update.touched().find(|name| key.attribute(name).is_some()) {
            return Err(invalid(format!(
                "One or more parameter values were invalid: Cannot update attribute {name}. This \
                 attribute is part of the key"
            )));
        }
        after = update.apply(&after)?.checked()?;
    }
    let old = model.write(
        &request.table_name,
        &key,
        Some(after.clone()),
        false,
        now_ms,
    )?;
    Ok(returns.answer(old.as_ref(), Some(&after)))
}

pub(super) fn batch(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: BatchWriteItem = read(call.body)?;
    let count: usize = request.request_items.values().map(Vec::len).sum();
    if !(1..=BATCH_MAX).contains(&count) {
        let value = format!("[{count} requests]");
        let must = "have length between 1 and 25";
        return Err(constraint_broken("requestItems", &value, must));
    }
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let mut writes = Vec::with_capacity(count);
    let mut keys = BTreeSet::new();
    for (name, requests) in request.request_items {
        let table = model.usable(&name)?;
        for request in requests {
            let (key, new) = match (request.put_request, request.delete_request) {
                (Some(put), None) => {
                    let item = Item::read(put.item)?;
                    (table.key_of(&item)?, Some(item))
                }
                (None, Some(delete)) => (table.read_key(delete.key)?, None),
                _ => {
                    return Err(invalid(
                        "Supplied AttributeValue has more than one or no request set: each is one \
                         PutRequest or one DeleteRequest",
                    ));
                }
            };
            if !keys.insert((name.clone(), key.text())) {
                return Err(invalid("Provided list of item keys contains duplicates"));
            }
            writes.push((name.clone(), key, new));
        }
    }
    for (name, key, new) in writes {
        model.write(&name, &key, new, false, now_ms)?;
    }
    let mut answer = Answer::json(&json!({"UnprocessedItems": {}}));
    answer.records = count;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetItem {
    table_name: String,
    key: Written,
    /// Every read is consistent here, so either value is kept.
    #[serde(rename = "ConsistentRead")]
    _consistent_read: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutItem {
    table_name: String,
    item: Written,
    return_values: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteItem {
    table_name: String,
    key: Written,
    return_values: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateItem {
    table_name: String,
    key: Written,
    update_expression: Option<String>,
    #[serde(default)]
    expression_attribute_names: BTreeMap<String, String>,
    #[serde(default)]
    expression_attribute_values: BTreeMap<String, Attribute>,
    return_values: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BatchWriteItem {
    request_items: BTreeMap<String, Vec<WriteRequest>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WriteRequest {
    put_request: Option<PutRequest>,
    delete_request: Option<DeleteRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutRequest {
    item: Written,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteRequest {
    key: Written,
}

/// Which image of an item an answer carries.
#[derive(Clone, Copy)]
enum Returns {
    Nothing,
    Old,
    New,
}

impl Returns {
    fn of(name: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let name = name.unwrap_or("NONE");
        if !known.contains(&name) {
            let must = format!("satisfy enum value set: {known:?}, as far as this server goes");
            return Err(constraint_broken("returnValues", name, &must));
        }
        Ok(match name {
            "ALL_OLD" => Self::Old,
            "ALL_NEW" => Self::New,
            _ => Self::Nothing,
        })
    }

    fn answer(self, old: Option<&Item>, new: Option<&Item>) -> Answer {
        let image = match self {
            Self::Nothing => None,
            Self::Old => old,
            Self::New => new,
        };
        let mut answer = Answer::json(&match image {
            Some(item) => json!({"Attributes": item}),
            None => json!({}),
        });
        answer.records = 1;
        answer
    }
}
