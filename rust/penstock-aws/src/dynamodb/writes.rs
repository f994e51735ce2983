//! Writes the lease machine's conditional writes in DynamoDB's expressions.
//!
//! Rules: what an expression asks for and does is what [`Write::allowed`] and [`Write::apply`] say
//! of the row that the item shows; a fence counts only beside the owner that it belongs to, since
//! the Kinesis Client Library leaves both in a row that it takes.

use penstock_engine::ids::{Fence, Owner, ShardId};
use penstock_engine::lease::Write;
use penstock_engine::lease::table;
use serde_json::{Map, Value, json};

/// The library's name for whoever still works on a shard that has been given to another.
const CHECKPOINT_OWNER: &str = "checkpointOwner";

/// The library's attributes of a checkpoint that was announced and not made.
const PENDING: [&str; 3] = [
    "pendingCheckpoint",
    "pendingCheckpointSubSequenceNumber",
    "pendingCheckpointState",
];

/// A condition and an update, as they grow.
#[derive(Debug, Default)]
pub(super) struct Expression {
    conditions: Vec<String>,
    sets: Vec<String>,
    removes: Vec<String>,
    names: Map<String, Value>,
    values: Map<String, Value>,
}

impl Expression {
    /// What a write asks for and does.
    pub(super) fn of(write: &Write, application: &str) -> Self {
        let mut it = Self::default();
        match write {
            Write::Take {
                owner,
                from,
                seen,
                counter,
            } => it.take(owner, from.as_ref(), *seen, *counter, application),
            Write::Renew { owner, fence } => {
                it.held(owner, *fence);
                it.count();
            }
            Write::Ask { owner, from, fence } => {
                it.held(from, *fence);
                it.absent(table::WANTED);
                it.set(table::WANTED, text(owner.as_str()));
            }
            Write::Release { owner, fence } => {
                it.held(owner, *fence);
                it.count();
                for name in [table::OWNER, table::FENCED, table::FENCE, table::SAVES] {
                    it.remove(name);
                }
            }
            Write::Save {
                owner,
                fence,
                number,
                place,
            } => {
                it.held(owner, *fence);
                let (name, value) = (it.name(table::SAVES), it.value(number_of(*number)));
                it.conditions.push(format!("{name} < {value}"));
                it.set(table::SAVES, number_of(*number));
                let (place, sub) = table::words(place);
                it.set(table::CHECKPOINT, text(place));
                it.set(table::SUB, number_of(sub));
                it.set(table::SWITCHES, number_of(0));
                for name in PENDING {
                    it.remove(name);
                }
            }
        }
        it
    }

    /// Sets an attribute.
    pub(super) fn set(&mut self, attribute: &str, value: Value) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.sets.push(format!("{name} = {value}"));
    }

    /// The whole request.
    pub(super) fn request(self, table: &str, shard: &ShardId) -> Value {
        let mut update = format!("SET {}", self.sets.join(", "));
        if !self.removes.is_empty() {
            update += &format!(" REMOVE {}", self.removes.join(", "));
        }
        json!({
            "TableName": table, "Key": super::key(shard),
            "ConditionExpression": self.conditions.join(" AND "), "UpdateExpression": update,
            "ExpressionAttributeNames": self.names, "ExpressionAttributeValues": self.values,
            "ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    }

    fn take(
        &mut self,
        owner: &Owner,
        from: Option<&Owner>,
        seen: u64,
        counter: u64,
        application: &str,
    ) {
        match from {
            Some(from) => self.equal(table::OWNER, text(from.as_str())),
            None => self.absent(table::OWNER),
        }
        self.equal(table::COUNTER, number_of(seen));
        let (name, value) = (self.name(super::APPLICATION), self.value(text(application)));
        let free = format!("attribute_not_exists({name})");
        self.conditions
            .push(format!("({free} OR {name} = {value})"));
        self.sets.push(format!("{name} = {value}"));
        if from != Some(owner) {
            let name = self.name(table::SWITCHES);
            let (zero, one) = (self.value(number_of(0)), self.value(number_of(1)));
            self.sets
                .push(format!("{name} = if_not_exists({name}, {zero}) + {one}"));
        }
        self.set(table::OWNER, text(owner.as_str()));
        self.set(table::FENCED, text(owner.as_str()));
        self.set(table::COUNTER, number_of(counter));
        self.set(table::FENCE, number_of(counter));
        self.set(table::SAVES, number_of(0));
        self.remove(table::WANTED);
        self.remove(CHECKPOINT_OWNER);
    }

    /// The row is held under this lease.
    fn held(&mut self, owner: &Owner, fence: Fence) {
        self.equal(table::OWNER, text(owner.as_str()));
        self.equal(table::FENCED, text(owner.as_str()));
        self.equal(table::FENCE, number_of(fence.0));
        let (name, value) = (self.name(table::COUNTER), self.value(number_of(fence.0)));
        self.conditions.push(format!("{name} >= {value}"));
    }

    /// The counter grows.
    fn count(&mut self) {
        let (name, one) = (self.name(table::COUNTER), self.value(number_of(1)));
        self.sets.push(format!("{name} = {name} + {one}"));
    }

    fn equal(&mut self, attribute: &str, value: Value) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.conditions.push(format!("{name} = {value}"));
    }

    fn absent(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.conditions
            .push(format!("attribute_not_exists({name})"));
    }

    fn remove(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.removes.push(name);
    }

    /// A stand-in for an attribute: some of the names are words of the language.
    fn name(&mut self, attribute: &str) -> String {
        let name = format!("#{attribute}");
        self.names.insert(name.clone(), json!(attribute));
        name
    }

    fn value(&mut self, value: Value) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }
}

fn text(value: &str) -> Value {
    json!({ "S": value })
}

fn number_of(value: u64) -> Value {
    json!({ "N": value.to_string() })
}
