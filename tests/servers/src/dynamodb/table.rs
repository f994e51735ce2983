//! One table: its keys and its items.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::item::{Item, Written, invalid};
use crate::hash::hash_of;
use crate::service::Refusal;

/// Where a table is in its life. The times are when the state ends, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Just created: describable, nothing else.
    Creating(u64),
    /// Usable.
    Active,
    /// Usable, but not to be changed.
    Updating(u64),
    /// Gone at the end.
    Deleting(u64),
}

/// A key attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// Its name.
    pub name: String,
    /// Its type: `S`, `N` or `B`.
    pub kind: String,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its region.
    pub region: String,
    /// The partition key, and the sort key if it has one.
    pub key: Vec<KeyPart>,
    /// Where it is in its life.
    pub state: State,
    /// When it was created.
    pub created_ms: u64,
    /// The ARN of its newest stream, enabled or not.
    pub stream: Option<String>,
    /// Its items, by the text of their keys.
    items: BTreeMap<String, Item>,
}

impl Table {
    /// A table without items.
    #[must_use]
    pub fn new(
        name: &str,
        arn: String,
        region: &str,
        key: Vec<KeyPart>,
        state: State,
        now_ms: u64,
    ) -> Self {
        Self {
            name: name.to_owned(),
            arn,
            region: region.to_owned(),
            key,
            state,
            created_ms: now_ms,
            stream: None,
            items: BTreeMap::new(),
        }
    }

    /// Moves on to the state that is due; `false` when it is gone.
    #[must_use]
    pub fn settle(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Creating(end) | State::Updating(end) if end <= now_ms => {
                self.state = State::Active;
                true
            }
            State::Deleting(end) => end > now_ms,
            _ => true,
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.state {
            State::Creating(_) => "CREATING",
            State::Active => "ACTIVE",
            State::Updating(_) => "UPDATING",
            State::Deleting(_) => "DELETING",
        }
    }

    /// Its key schema, as the API writes it.
    #[must_use]
    pub fn key_schema(&self) -> Value {
        let kinds = ["HASH", "RANGE"];
        let parts = self.key.iter().zip(kinds);
        parts
            .map(|(part, kind)| json!({"AttributeName": part.name, "KeyType": kind}))
            .collect()
    }

    /// The key of an item.
    ///
    /// # Errors
    /// When a part of it is missing, of another type, or blank.
    pub fn key_of(&self, item: &Item) -> Result<Item, Refusal> {
        let mut key = Item::default();
        for KeyPart { name, kind } in &self.key {
            let value = item.attribute(name).ok_or_else(|| {
                invalid(format!(
                    "One or more parameter values were invalid: Missing the key {name} in the item"
                ))
            })?;
            if value.kind() != kind {
                return Err(invalid(format!(
                    "One or more parameter values were invalid: Type mismatch for key {name} \
                     expected: {kind} actual: {}",
                    value.kind()
                )));
            }
            if value.is_blank() {
                return Err(invalid(format!(
                    "One or more parameter values are not valid. The AttributeValue for a key \
                     attribute cannot contain an empty string value. Key: {name}"
                )));
            }
            key.set(name, value.clone());
        }
        Ok(key)
    }

    /// Reads a key: its parts and nothing else.
    ///
    /// # Errors
    /// When it is not that.
    pub fn read_key(&self, written: Written) -> Result<Item, Refusal> {
        let given = Item::read(written)?;
        match self.key_of(&given) {
            Ok(key) if key.len() == given.len() => Ok(key),
            _ => Err(invalid(
                "The provided key element does not match the schema",
            )),
        }
    }

    /// The hash by which an item finds its shard: that of its partition key.
    #[must_use]
    pub fn hash(&self, key: &Item) -> u128 {
        let part = self.key.first().and_then(|part| key.attribute(&part.name));
        hash_of(&part.map_or_else(String::new, |value| value.text()))
    }

    /// The item of a key.
    #[must_use]
    pub fn item(&self, key: &Item) -> Option<&Item> {
        self.items.get(&key.text())
    }

    /// Puts or removes the item of a key, and gives what was there.
    pub fn replace(&mut self, key: &Item, new: Option<Item>) -> Option<Item> {
        match new {
            Some(item) => self.items.insert(key.text(), item),
            None => self.items.remove(&key.text()),
        }
    }

    /// How the API describes it, without its stream.
    #[must_use]
    pub fn describe(&self) -> Value {
        let definitions: Vec<Value> = self
            .key
            .iter()
            .map(|part| json!({"AttributeName": part.name, "AttributeType": part.kind}))
            .collect();
        json!({
            "TableName": self.name,
            "TableArn": self.arn,
            "TableStatus": self.status(),
            "KeySchema": self.key_schema(),
            "AttributeDefinitions": definitions,
            "CreationDateTime": self.created_ms as f64 / 1000.0,
            "ItemCount": self.items.len(),
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        })
    }
}
