//! Reads any answer that is JSON: white space, members nobody knows yet, missing ones.
//!
//! Rules: what came as it stands is a slice of the answer's text; what had to be unescaped or is
//! written here goes into the side text. A digest that is not there is computed.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_engine::time::Wall;
use penstock_runtime::messages::SliceMessage;
use penstock_runtime::page::Slice;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::attributes::{
    GROUP, ORDER, Object, RECEIVE_COUNT, SENT, Value, escaped, md5_of, md5_of_text, millis,
};
use super::{Parsed, is_md5};
use crate::scan::BadAnswer;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAnswer<'a> {
    #[serde(borrow, default)]
    messages: Option<Vec<WireMessage<'a>>>,
}

/// Any object.
type WireObject = std::collections::BTreeMap<String, serde::de::IgnoredAny>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireMessage<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    receipt_handle: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: Option<String>,
    #[serde(rename = "MD5OfMessageAttributes")]
    md5_of_attributes: Option<String>,
    #[serde(borrow, default)]
    attributes: Members<'a, Text<'a>>,
    #[serde(borrow, default)]
    message_attributes: Members<'a, WireAttribute<'a>>,
}

/// A text that is borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAttribute<'a> {
    #[serde(borrow)]
    data_type: Cow<'a, str>,
    #[serde(borrow)]
    string_value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    binary_value: Option<Cow<'a, str>>,
}

/// An object's members in the order in which they came.
struct Members<'a, T>(Vec<(Cow<'a, str>, T)>);

impl<T> Default for Members<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Members<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Vec<(Cow<'de, str>, T)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Self::Value = Vec::new();
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, T>()? {
                    if members.iter().any(|(other, _)| *other == name) {
                        return Err(serde::de::Error::custom("a name comes twice"));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        let members = deserializer.deserialize_any(Reader(std::marker::PhantomData))?;
        Ok(Self(members))
    }
}

/// Parses an answer that came at `now`, or says what is wrong with it.
pub(super) fn parse(text: &str, now: Wall) -> Result<Parsed, BadAnswer> {
    // Serde would take a list for an object without members.
    if !text.trim_start().starts_with('{') {
        let error = serde_json::from_str::<WireObject>(text).err();
        return Err(error.map_or_else(
            || BadAnswer::new("it is not an object"),
            |error| BadAnswer::from_json(&error),
        ));
    }
    let answer: WireAnswer<'_> =
        serde_json::from_str(text).map_err(|error| BadAnswer::from_json(&error))?;
    let wire = answer.messages.unwrap_or_default();
    let mut writer = Writer {
        text,
        now,
        side: String::new(),
    };
    let mut messages = Vec::with_capacity(wire.len());
    for (index, message) in wire.iter().enumerate() {
        let made = writer.message(message).map_err(|what| {
            let count = wire.len();
            BadAnswer::new(format!("message {index} of {count}: {what}"))
        })?;
        messages.push(made);
    }
    Ok(Parsed {
        messages,
        side: writer.side,
    })
}

struct Writer<'a> {
    text: &'a str,
    now: Wall,
    side: String,
}

const FAR: &str = "it lies beyond 2 GiB";

impl Writer<'_> {
    fn message(&mut self, wire: &WireMessage<'_>) -> Result<SliceMessage, &'static str> {
        let system = &wire.attributes;
        let said = |place: usize| system.value(ORDER[place]).map(|text| &*text.0);
        let receive_count = match said(RECEIVE_COUNT) {
            Some(count) => count.parse().map_err(|_| "its receive count is no count")?,
            None => 1,
        };
        let sent = match said(SENT) {
            Some(at) => millis(at).ok_or("the time it was sent is none")?,
            None => self.now,
        };
        let attributes = self.system(system).ok_or(FAR)?;
        let (message_attributes, computed) = self.attributes(&wire.message_attributes)?;
        let md5_of_attributes = match (&wire.md5_of_attributes, computed) {
            (Some(md5), Some(_)) if is_md5(md5.as_bytes()) => Some(md5.clone()),
            (Some(_), Some(_)) => return Err("the MD5 of its attributes is none"),
            (_, computed) => computed,
        };
        let md5_of_body = match &wire.md5_of_body {
            Some(md5) if is_md5(md5.as_bytes()) => md5.clone(),
            Some(_) => return Err("the MD5 of its body is none"),
            None => md5_of_text(&wire.body),
        };
        let group = system.value(ORDER[GROUP]).map(|text| self.place(&text.0));
        Ok(SliceMessage {
            message_id: self.place(&wire.message_id).ok_or(FAR)?,
            receipt_handle: self.place(&wire.receipt_handle).ok_or(FAR)?,
            body: self.place(&wire.body).ok_or(FAR)?,
            md5_of_body: self.written(&md5_of_body).ok_or(FAR)?,
            attributes,
            message_attributes,
            md5_of_message_attributes: match md5_of_attributes {
                Some(md5) => Some(self.written(&md5).ok_or(FAR)?),
                None => None,
            },
            group: match group {
                Some(group) => Some(group.ok_or(FAR)?),
                None => None,
            },
            receive_count,
            sent,
        })
    }

    fn system(&mut self, system: &Members<'_, Text<'_>>) -> Option<Slice> {
        let ordered = ORDER.iter().copied();
        let ordered = ordered.filter_map(|name| Some((name, system.value(name)?)));
        let rest = system.0.iter().map(|(name, value)| (&**name, value));
        let rest = rest.filter(|(name, _)| !ORDER.contains(name));
        let mut object = Object::begin(&mut self.side);
        for (name, value) in ordered.chain(rest) {
            object.raw(&escaped(name), &escaped(&value.0));
        }
        object.end()
    }

    fn attributes(
        &mut self,
        attributes: &Members<'_, WireAttribute<'_>>,
    ) -> Result<(Slice, Option<String>), &'static str> {
        let mut object = Object::begin(&mut self.side);
        let mut decoded = Vec::with_capacity(attributes.0.len());
        for (name, attribute) in &attributes.0 {
            let (binary, value) = match (&attribute.string_value, &attribute.binary_value) {
                (Some(text), None) => (false, text),
                (None, Some(coded)) => (true, coded),
                _ => return Err("an attribute has no value, or two"),
            };
            let kind = &attribute.data_type;
            object.attribute(&escaped(name), binary, &escaped(value), &escaped(kind));
            decoded.push(match binary {
                true => STANDARD
                    .decode(&**value)
                    .map_err(|_| "an attribute is not base64")?,
                false => value.as_bytes().to_vec(),
            });
        }
        let slice = object.end().ok_or(FAR)?;
        let values = attributes.0.iter().zip(&decoded);
        let values = values.map(|((name, attribute), bytes)| Value {
            name,
            kind: &attribute.data_type,
            binary: attribute.binary_value.is_some(),
            bytes,
        });
        let values: Vec<Value<'_>> = values.collect();
        Ok((slice, (!values.is_empty()).then(|| md5_of(values))))
    }

    /// Where a text stands: in the answer, when it was borrowed from it, or in the side text.
    fn place(&mut self, value: &str) -> Option<Slice> {
        let start = (value.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        match start.filter(|start| start + value.len() <= self.text.len()) {
            Some(start) => Slice::of_body(start..start + value.len()),
            None => self.written(value),
        }
    }

    /// Appends a text to the side text.
    fn written(&mut self, value: &str) -> Option<Slice> {
        let start = self.side.len();
        self.side.push_str(value);
        Slice::of_side(start..self.side.len())
    }
}

impl<T> Members<'_, T> {
    fn value(&self, name: &str) -> Option<&T> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value)
    }
}
