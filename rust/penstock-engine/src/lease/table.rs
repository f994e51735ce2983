//! Reads and writes rows as items of a DynamoDB table, in the Kinesis Client Library's format.
//!
//! Rules: names and types of attributes are those of the library's versions 2 and 3, whose tables
//! hold rows of other kinds too (`entityType`), which are not leases; attributes that are not
//! known here stay as they are; ours begin with `penstock` and the library does not read them. Nor
//! does it remove them from a row that it takes: they count only while the row is still held by
//! whom they name, at a counter that its lease can have come to.

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::row::{Place, Row};
use crate::ids::{Fence, Owner, SequenceNumber, ShardId};
use crate::mutants::{self, Mutant};

/// An item as DynamoDB's JSON has it: each value is an object of its type and itself.
pub type Item = Map<String, Value>;

/// Why an item is not a row that can be worked with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the lease table's row {row:?} has no usable `{attribute}`; it must be {wanted}")]
pub struct RowError {
    /// Its key, as far as it has one.
    pub row: String,
    /// The attribute.
    pub attribute: &'static str,
    /// What it should be.
    pub wanted: &'static str,
}

/// The key: the shard.
pub const KEY: &str = "leaseKey";
/// What kind of row it is; the library's older versions have no such attribute.
pub const KIND: &str = "entityType";
/// Who holds it.
pub const OWNER: &str = "leaseOwner";
/// Its counter.
pub const COUNTER: &str = "leaseCounter";
/// How far it has come.
pub const CHECKPOINT: &str = "checkpoint";
/// The user record within that record.
pub const SUB: &str = "checkpointSubSequenceNumber";
/// Changes of owner since the last checkpoint.
pub const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
const PARENTS: &str = "parentShardId";
const CHILDREN: &str = "childShardIds";
const FIRST_HASH: &str = "startingHashKey";
const LAST_HASH: &str = "endingHashKey";
/// The fence of a lease of ours.
pub const FENCE: &str = "penstockFence";
/// Whose lease that is.
pub const FENCED: &str = "penstockOwner";
/// The number of the last save under it.
pub const SAVES: &str = "penstockSaves";
/// Who has asked for the row.
pub const WANTED: &str = "penstockWantedBy";

/// Reads a row; `None` when the item is not a lease.
///
/// # Errors
/// When an attribute that a lease must have is missing, or one has another type than the library
/// gives it.
pub fn read(item: &Item) -> Result<Option<Row>, RowError> {
    let kind = item.get(KIND).and_then(|value| value.get("S"));
    if kind.is_some_and(|kind| kind != "LEASE") {
        return Ok(None);
    }
    let reader = Reader { item };
    let missing = |attribute, wanted| reader.error(attribute, wanted);
    let key = reader.text(KEY)?.ok_or_else(|| missing(KEY, TEXT))?;
    let counter = reader.number(COUNTER)?;
    let counter = counter.ok_or_else(|| missing(COUNTER, NUMBER))?;
    let hash_keys = reader.text(FIRST_HASH)?.zip(reader.text(LAST_HASH)?);
    let owner = reader.text(OWNER)?;
    let fence = reader.number(FENCE)?;
    let (fenced, saves) = (reader.text(FENCED)?, reader.number(SAVES)?);
    let ours = owner.is_some() && owner == fenced && fence <= Some(counter);
    let fence = fence.filter(|_| ours || mutants::active(Mutant::StaleFenceCounts));
    let wanted_by = reader.text(WANTED)?;
    Ok(Some(Row {
        shard: ShardId::new(key),
        owner: owner.map(Owner::new),
        counter,
        fence: fence.map(Fence),
        saves: saves.filter(|_| fence.is_some()).unwrap_or_default(),
        // Another program does not know that it was asked for the row.
        wanted_by: wanted_by
            .filter(|_| owner.is_none() || fence.is_some())
            .map(Owner::new),
        place: reader.place()?,
        switches: reader.number(SWITCHES)?.unwrap_or_default(),
        parents: reader.shards(PARENTS)?,
        children: reader.shards(CHILDREN)?,
        hash_keys: hash_keys.map(|(first, last)| (first.to_owned(), last.to_owned())),
    }))
}

/// A place as the table has it: the record or one of the library's words, and the user record.
#[must_use]
pub fn words(place: &Place) -> (&str, u64) {
    match place {
        Place::TrimHorizon => ("TRIM_HORIZON", 0),
        Place::Latest => ("LATEST", 0),
        Place::AtTimestamp => ("AT_TIMESTAMP", 0),
        Place::After { sequence, sub } => (sequence.as_str(), *sub),
        Place::ShardEnd => ("SHARD_END", 0),
    }
}

/// Writes a row's attributes into an item and leaves the others as they are.
pub fn write(row: &Row, item: &mut Item) {
    let (place, sub) = words(&row.place);
    let text = |value: &str| json!({ "S": value });
    let number = |value: u64| json!({ "N": value.to_string() });
    let owner = |owner: &Option<Owner>| owner.as_ref().map(|owner| text(owner.as_str()));
    let shards = |shards: &[ShardId]| {
        let names: Vec<&str> = shards.iter().map(ShardId::as_str).collect();
        (!names.is_empty()).then(|| json!({ "SS": names }))
    };
    let hash_keys = row.hash_keys.as_ref();
    let attributes = [
        (KEY, Some(text(row.shard.as_str()))),
        (OWNER, owner(&row.owner)),
        (COUNTER, Some(number(row.counter))),
        (CHECKPOINT, Some(text(place))),
        (SUB, Some(number(sub))),
        (SWITCHES, Some(number(row.switches))),
        (PARENTS, shards(&row.parents)),
        (CHILDREN, shards(&row.children)),
        (FIRST_HASH, hash_keys.map(|(first, _)| text(first))),
        (LAST_HASH, hash_keys.map(|(_, last)| text(last))),
        (FENCE, row.fence.map(|fence| number(fence.0))),
        (FENCED, row.fence.and_then(|_| owner(&row.owner))),
        (SAVES, row.fence.map(|_| number(row.saves))),
        (WANTED, owner(&row.wanted_by)),
    ];
    for (name, value) in attributes {
        match value {
            Some(value) => item.insert(name.to_owned(), value),
            None => item.remove(name),
        };
    }
}

const TEXT: &str = "a string (S)";
const NUMBER: &str = "a whole number (N)";
const TEXTS: &str = "a set of strings (SS)";
const PLACE: &str = "a sequence number, TRIM_HORIZON, LATEST, AT_TIMESTAMP or SHARD_END (S)";

struct Reader<'a> {
    item: &'a Item,
}

impl<'a> Reader<'a> {
    fn error(&self, attribute: &'static str, wanted: &'static str) -> RowError {
        let key = self.item.get(KEY).and_then(|value| value.get("S"));
        RowError {
            row: key.and_then(Value::as_str).unwrap_or_default().to_owned(),
            attribute,
            wanted,
        }
    }

    fn typed(
        &self,
        name: &'static str,
        kind: &str,
        wanted: &'static str,
    ) -> Result<Option<&'a Value>, RowError> {
        let Some(value) = self.item.get(name) else {
            return Ok(None);
        };
        let typed = value.get(kind);
        typed.map(Some).ok_or_else(|| self.error(name, wanted))
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, RowError> {
        let Some(value) = self.typed(name, "S", TEXT)? else {
            return Ok(None);
        };
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(Some).ok_or_else(|| self.error(name, TEXT))
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, RowError> {
        let Some(value) = self.typed(name, "N", NUMBER)? else {
            return Ok(None);
        };
        let number = value.as_str().and_then(|digits| digits.parse().ok());
        number.map(Some).ok_or_else(|| self.error(name, NUMBER))
    }

    fn shards(&self, name: &'static str) -> Result<Vec<ShardId>, RowError> {
        let Some(value) = self.typed(name, "SS", TEXTS)? else {
            return Ok(Vec::new());
        };
        let names = value.as_array().ok_or_else(|| self.error(name, TEXTS))?;
        let mut shards = Vec::with_capacity(names.len());
        for name_of_shard in names {
            let text = name_of_shard.as_str();
            shards.push(ShardId::new(text.ok_or_else(|| self.error(name, TEXTS))?));
        }
        shards.sort();
        Ok(shards)
    }

    fn place(&self) -> Result<Place, RowError> {
        let bad = || self.error(CHECKPOINT, PLACE);
        let text = self.text(CHECKPOINT)?.ok_or_else(bad)?;
        Ok(match text {
            "TRIM_HORIZON" => Place::TrimHorizon,
            "LATEST" => Place::Latest,
            "AT_TIMESTAMP" => Place::AtTimestamp,
            "SHARD_END" => Place::ShardEnd,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Place::After {
                sequence: SequenceNumber::new(digits),
                sub: self.number(SUB)?.unwrap_or_default(),
            },
            _ => return Err(bad()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(value: Value) -> Item {
        match value {
            Value::Object(item) => item,
            other => panic!("{other} is not an item"),
        }
    }

    /// A row as version 3.5 of the library leaves it.
    fn of_the_library() -> Item {
        item(json!({
            "leaseKey": {"S": "shardId-000000000001"},
            "entityType": {"S": "LEASE"},
            "leaseOwner": {"S": "6d1c2f6e-worker"},
            "leaseCounter": {"N": "41"},
            "checkpoint": {"S": "49590338271490256608559692538361571095921575989136588898"},
            "checkpointSubSequenceNumber": {"N": "3"},
            "ownerSwitchesSinceCheckpoint": {"N": "2"},
            "startingHashKey": {"S": "0"},
            "endingHashKey": {"S": "170141183460469231731687303715884105727"},
            "throughputKBps": {"N": "0.25"},
            "parentShardId": {"SS": ["shardId-000000000000"]},
        }))
    }

    #[test]
    fn a_row_of_the_library_is_read_whole() {
        let row = read(&of_the_library()).unwrap().expect("a lease");
        assert_eq!(row.shard, ShardId::new("shardId-000000000001"));
        assert_eq!(row.owner, Some(Owner::new("6d1c2f6e-worker")));
        assert_eq!((row.counter, row.switches, row.fence), (41, 2, None));
        assert!(matches!(row.place, Place::After { sub: 3, .. }));
        assert_eq!(row.parents, [ShardId::new("shardId-000000000000")]);
        let (first, last) = row.hash_keys.expect("a range");
        assert_eq!((first.as_str(), last.len()), ("0", 39));
    }

    #[test]
    fn what_is_not_known_here_stays_in_the_item() {
        let before = of_the_library();
        let mut row = read(&before).unwrap().expect("a lease");
        let mut after = before.clone();
        write(&row, &mut after);
        assert_eq!(after, before);
        row.owner = None;
        row.wanted_by = Some(Owner::new("b"));
        write(&row, &mut after);
        assert!(!after.contains_key(OWNER) && after.contains_key("throughputKBps"));
        assert_eq!(read(&after), Ok(Some(row)));
    }

    #[test]
    fn what_is_ours_counts_only_while_the_row_is() {
        let mut row = Row::new(ShardId::new("s"), Place::TrimHorizon, Vec::new());
        (row.owner, row.counter) = (Some(Owner::new("a")), 7);
        (row.fence, row.saves) = (Some(Fence(5)), 3);
        row.wanted_by = Some(Owner::new("b"));
        let mut ours = Item::new();
        write(&row, &mut ours);
        assert_eq!(read(&ours), Ok(Some(row.clone())));
        let with = |attribute: &str, value: Value| {
            let mut item = ours.clone();
            item.insert(attribute.to_owned(), value);
            read(&item).unwrap().expect("a lease")
        };
        let taken = with(OWNER, json!({"S": "6d1c2f6e-worker"}));
        assert_eq!((taken.fence, taken.saves), (None, 0));
        assert_eq!(taken.wanted_by, None);
        let made_anew = with(COUNTER, json!({"N": "4"}));
        assert_eq!((made_anew.owner, made_anew.fence), (row.owner, None));
    }

    #[test]
    fn every_place_comes_back_as_it_was() {
        let after = Place::After {
            sequence: SequenceNumber::new("7"),
            sub: 0,
        };
        let places = [
            Place::TrimHorizon,
            Place::Latest,
            Place::AtTimestamp,
            after,
            Place::ShardEnd,
        ];
        for place in places {
            let row = Row::new(ShardId::new("s"), place, Vec::new());
            let mut item = Item::new();
            write(&row, &mut item);
            assert_eq!(read(&item), Ok(Some(row)));
        }
    }

    #[test]
    fn rows_of_other_kinds_are_not_leases() {
        for kind in ["LEADER", "CLIENT_VERSION_MIGRATION", "WORKER_METRIC_STATS"] {
            let other = json!({"leaseKey": {"S": "x"}, "entityType": {"S": kind}});
            assert_eq!(read(&item(other)), Ok(None));
        }
    }

    #[test]
    fn a_row_of_another_shape_is_refused_by_name() {
        let cases = [
            (KEY, json!(null)),
            (KEY, json!({"N": "1"})),
            (COUNTER, json!(null)),
            (COUNTER, json!({"N": "-1"})),
            (COUNTER, json!({"N": "1.5"})),
            (CHECKPOINT, json!(null)),
            (CHECKPOINT, json!({"S": "yesterday"})),
            (CHECKPOINT, json!({"S": ""})),
            (OWNER, json!({"SS": ["a"]})),
            (PARENTS, json!({"S": "shardId-000000000000"})),
            (PARENTS, json!({"SS": [1]})),
            (FENCE, json!("12")),
        ];
        for (attribute, value) in cases {
            let mut bad = of_the_library();
            match value {
                Value::Null => bad.remove(attribute),
                value => bad.insert(attribute.to_owned(), value),
            };
            let error = read(&bad).expect_err("not a lease");
            assert_eq!(error.attribute, attribute);
            assert!(error.to_string().contains(attribute));
        }
    }
}
