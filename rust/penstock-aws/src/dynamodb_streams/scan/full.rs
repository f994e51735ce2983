//! Reads any answer that is JSON: escapes, white space, members nobody knows yet.
//!
//! Rules: texts that came as they stand are slices of the answer's text; what had to be unescaped
//! and every item are written into the side text, items as events show them.

use std::borrow::Cow;
use std::fmt;

use penstock_engine::limits::ITEM_DEPTH_MAX;
use penstock_runtime::page::Slice;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::item::hash_of_keys;
use super::{Change, Parsed, is_plain, is_sequence_number, whole_second, write_identity};
use crate::scan::{ARRIVAL_MS_MAX, BadAnswer};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAnswer<'a> {
    #[serde(borrow)]
    records: Vec<WireRecord<'a>>,
    next_shard_iterator: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRecord<'a> {
    #[serde(borrow, rename = "eventID")]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    event_name: Cow<'a, str>,
    user_identity: Option<WireIdentity>,
    #[serde(borrow)]
    dynamodb: WireChange<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireIdentity {
    principal_id: String,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireChange<'a> {
    approximate_creation_date_time: f64,
    keys: Item,
    new_image: Option<Item>,
    old_image: Option<Item>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    size_bytes: Option<u64>,
    #[serde(borrow)]
    stream_view_type: Cow<'a, str>,
}

/// Parses an answer, or says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Parsed, BadAnswer> {
    let answer: WireAnswer<'_> =
        serde_json::from_str(text).map_err(|error| BadAnswer::from_json(&error))?;
    let mut places = Places {
        text,
        side: String::new(),
    };
    let mut changes = Vec::with_capacity(answer.records.len());
    for (index, record) in answer.records.iter().enumerate() {
        let change = places.change(record).map_err(|what| {
            let count = answer.records.len();
            BadAnswer::new(format!("record {index} of {count}: {what}"))
        })?;
        changes.push(change);
    }
    Ok(Parsed {
        changes,
        side: places.side,
        next_iterator: answer.next_shard_iterator,
    })
}

struct Places<'a> {
    text: &'a str,
    side: String,
}

const TOO_FAR: &str = "it lies beyond 2 GiB";

impl Places<'_> {
    fn change(&mut self, record: &WireRecord<'_>) -> Result<Change, &'static str> {
        let WireRecord { dynamodb, .. } = record;
        if !is_sequence_number(dynamodb.sequence_number.as_bytes()) {
            return Err("its sequence number is not one");
        }
        let millis = (dynamodb.approximate_creation_date_time * 1000.0).round();
        if !(0.0..=ARRIVAL_MS_MAX as f64).contains(&millis) {
            return Err("its time is not one");
        }
        let identity = record.user_identity.as_ref().map(|who| {
            let mut json = String::new();
            write_identity(&mut json, &who.r#type, &who.principal_id);
            Item(json)
        });
        Ok(Change {
            event_id: self.word(&record.event_id)?,
            event_name: self.word(&record.event_name)?,
            user_identity: self.optional(identity.as_ref())?,
            created: whole_second(millis as i64),
            key_hash: hash_of_keys(&dynamodb.keys.0),
            keys: self.item(&dynamodb.keys)?,
            new_image: self.optional(dynamodb.new_image.as_ref())?,
            old_image: self.optional(dynamodb.old_image.as_ref())?,
            sequence_number: self.word(&dynamodb.sequence_number)?,
            size_bytes: dynamodb.size_bytes.unwrap_or(0),
            view_type: self.word(&dynamodb.stream_view_type)?,
        })
    }

    #[allow(clippy::ptr_arg, reason = "whether it was unescaped is what matters")]
    fn word(&mut self, value: &Cow<'_, str>) -> Result<Slice, &'static str> {
        if !is_plain(value.as_bytes()) {
            return Err("its id, kind of change or view type is not one");
        }
        let slice = match value {
            Cow::Borrowed(value) => {
                let start = value.as_ptr() as usize - self.text.as_ptr() as usize;
                Slice::of_body(start..start + value.len())
            }
            Cow::Owned(value) => self.aside(value),
        };
        slice.ok_or(TOO_FAR)
    }

    fn item(&mut self, item: &Item) -> Result<Slice, &'static str> {
        self.aside(&item.0).ok_or(TOO_FAR)
    }

    fn optional(&mut self, item: Option<&Item>) -> Result<Option<Slice>, &'static str> {
        item.map(|item| self.item(item)).transpose()
    }

    fn aside(&mut self, text: &str) -> Option<Slice> {
        let start = self.side.len();
        self.side.push_str(text);
        Slice::of_side(start..self.side.len())
    }
}

/// An object as events show it: compact, with no more escapes than there must be.
struct Item(String);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut out = String::new();
        deserializer.deserialize_map(Writer {
            out: &mut out,
            depth: 0,
        })?;
        Ok(Self(out))
    }
}

/// Writes the value that it is shown.
struct Writer<'a> {
    out: &'a mut String,
    depth: usize,
}

impl Writer<'_> {
    fn inside(&mut self) -> Writer<'_> {
        Writer {
            out: self.out,
            depth: self.depth + 1,
        }
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        if self.depth < ITEM_DEPTH_MAX {
            return Ok(());
        }
        Err(E::custom("too deep"))
    }

    fn scalar<E: Error>(self, value: impl Serialize) -> Result<(), E> {
        let text = serde_json::to_string(&value).map_err(E::custom)?;
        self.out.push_str(&text);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.out.push('{');
        let mut first = true;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.inside().scalar(&name)?;
            self.out.push(':');
            map.next_value_seed(self.inside())?;
        }
        self.out.push('}');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.out.push('[');
        let mut first = true;
        loop {
            let before = self.out.len();
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            if list.next_element_seed(self.inside())?.is_none() {
                self.out.truncate(before);
                break;
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(())
    }
}
