//! Items and their attribute values, checked and brought into one form when they come in.
//!
//! Numbers have one spelling and sets one order, so two values are the same exactly when they are
//! equal here: that is what decides whether a write changes anything.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::number::Number;
use crate::service::Refusal;

/// The most bytes of an item, by name and value.
pub const ITEM_BYTES_MAX: usize = 400 << 10;
/// The most levels of lists and maps.
const DEPTH_MAX: usize = 32;

/// An item, or its key: attributes by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Item(BTreeMap<String, Attribute>);

/// An attribute value in its one form.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Attribute(Value);

/// An item as a request writes it.
pub type Written = BTreeMap<String, Value>;

impl Item {
    /// Checks what a request writes.
    ///
    /// # Errors
    /// When a value is none, or the item is too large.
    pub fn read(written: Written) -> Result<Self, Refusal> {
        let mut attributes = BTreeMap::new();
        for (name, value) in written {
            attributes.insert(name, Attribute::read(&value)?);
        }
        Self(attributes).checked()
    }

    /// The same item, if it is not too large.
    ///
    /// # Errors
    /// When it is.
    pub fn checked(self) -> Result<Self, Refusal> {
        if self.size() > ITEM_BYTES_MAX {
            return Err(invalid("Item size has exceeded the maximum allowed size"));
        }
        Ok(self)
    }

    /// An attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.0.get(name)
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: Attribute) {
        self.0.insert(name.to_owned(), value);
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// How many attributes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its size as limits and records count it.
    #[must_use]
    pub fn size(&self) -> usize {
        let sizes = self.0.iter();
        sizes
            .map(|(name, value)| name.len() + size_of(&value.0))
            .sum()
    }

    /// Its JSON text, the same for equal items.
    #[must_use]
    pub fn text(&self) -> String {
        json!(self).to_string()
    }
}

impl Attribute {
    /// Checks a value.
    ///
    /// # Errors
    /// When it is not exactly one value of a type.
    pub fn read(value: &Value) -> Result<Self, Refusal> {
        normal(value, 0).map(Self)
    }

    /// Its type: `S`, `N`, `B`, …
    #[must_use]
    pub fn kind(&self) -> &str {
        let names = self.0.as_object().and_then(|object| object.keys().next());
        names.map_or("", String::as_str)
    }

    /// Its JSON text.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// Whether it is a string or bytes of no length, which no key may be.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.get(self.kind()).and_then(Value::as_str) == Some("")
    }

    /// The sum of two numbers, or their difference.
    ///
    /// # Errors
    /// When one is not a number, or the sum has too many digits.
    pub fn plus(&self, other: &Self, subtract: bool) -> Result<Self, Refusal> {
        let number = |value: &Self| {
            let text = value.0.get("N").and_then(Value::as_str);
            text.and_then(Number::parse)
        };
        let (Some(one), Some(other)) = (number(self), number(other)) else {
            return Err(invalid(
                "An operand in the update expression has an incorrect data type",
            ));
        };
        let sum = one.plus(&other, subtract).ok_or_else(|| {
            invalid("Number overflow. Attempting to store a number with more than 38 digits")
        })?;
        Ok(Self(json!({"N": sum.to_string()})))
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        Self::read(&value).map_err(|refusal| serde::de::Error::custom(refusal.message))
    }
}

/// The refusal of what the model allows and the service does not.
#[must_use]
pub fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::client("ValidationException", message)
}

fn normal(value: &Value, depth: usize) -> Result<Value, Refusal> {
    if depth > DEPTH_MAX {
        return Err(invalid("Nesting Levels have exceeded supported limits"));
    }
    let members = value.as_object().filter(|object| object.len() == 1);
    let Some((kind, held)) = members.and_then(|object| object.iter().next()) else {
        return Err(invalid(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ));
    };
    let held = match (kind.as_str(), held) {
        ("S" | "N" | "B", Value::String(text)) => json!(scalar(kind, text)?),
        ("BOOL", Value::Bool(_)) | ("NULL", Value::Bool(true)) => held.clone(),
        ("SS" | "NS" | "BS", Value::Array(members)) => set(&kind[..1], members)?,
        ("L", Value::Array(members)) => {
            let made: Result<Vec<Value>, Refusal> = members
                .iter()
                .map(|member| normal(member, depth + 1))
                .collect();
            json!(made?)
        }
        ("M", Value::Object(members)) => {
            let made: Result<BTreeMap<&String, Value>, Refusal> = members
                .iter()
                .map(|(name, member)| Ok((name, normal(member, depth + 1)?)))
                .collect();
            json!(made?)
        }
        _ => {
            let message = format!("{kind} is no type of a value, or its value is of another type");
            return Err(Refusal::client("SerializationException", message));
        }
    };
    Ok(json!({kind: held}))
}

fn scalar(kind: &str, text: &str) -> Result<String, Refusal> {
    match kind {
        "N" => {
            let number = Number::parse(text).ok_or_else(|| {
                invalid(format!(
                    "The parameter cannot be converted to a numeric value: {text}"
                ))
            })?;
            Ok(number.to_string())
        }
        "B" if STANDARD.decode(text).is_err() => Err(Refusal::client(
            "SerializationException",
            "Bytes are not base64.",
        )),
        _ => Ok(text.to_owned()),
    }
}

fn set(kind: &str, members: &[Value]) -> Result<Value, Refusal> {
    let mut made = Vec::with_capacity(members.len());
    for member in members {
        let text = member.as_str().ok_or_else(|| {
            Refusal::client("SerializationException", "A set holds values of one type.")
        })?;
        made.push(scalar(kind, text)?);
    }
    if made.is_empty() {
        return Err(invalid(
            "One or more parameter values were invalid: An set may not be empty",
        ));
    }
    made.sort_unstable();
    if made.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid(
            "One or more parameter values were invalid: Input collection contains duplicates.",
        ));
    }
    Ok(json!(made))
}

/// The size of a value that [`normal`] made.
fn size_of(value: &Value) -> usize {
    let Some((kind, held)) = value.as_object().and_then(|object| object.iter().next()) else {
        return 0;
    };
    let text = |value: &Value, kind: u8| {
        let text = value.as_str().unwrap_or_default();
        match kind {
            b'N' => Number::parse(text).map_or(0, |number| number.size()),
            b'B' => STANDARD.decode(text).map_or(0, |bytes| bytes.len()),
            _ => text.len(),
        }
    };
    match (kind.as_str(), held) {
        ("L", Value::Array(members)) => {
            3 + members
                .iter()
                .map(|member| 1 + size_of(member))
                .sum::<usize>()
        }
        ("M", Value::Object(members)) => {
            let sizes = members.iter();
            3 + sizes
                .map(|(name, member)| 1 + name.len() + size_of(member))
                .sum::<usize>()
        }
        (_, Value::Array(members)) => {
            let kind = kind.as_bytes()[0];
            members.iter().map(|member| text(member, kind)).sum()
        }
        (_, Value::Bool(_)) => 1,
        _ => text(held, kind.as_bytes()[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(value: Value) -> Result<Item, Refusal> {
        Item::read(serde_json::from_value(value).expect("an object"))
    }

    #[test]
    fn spelling_and_order_make_no_difference() {
        let one = item(json!({"n": {"N": "1.0"}, "s": {"SS": ["b", "a"]}, "m": {"M": {}}}));
        let other = item(json!({"m": {"M": {}}, "s": {"SS": ["a", "b"]}, "n": {"N": "1"}}));
        assert_eq!(one, other);
        assert!(one.is_ok());
    }

    #[test]
    fn a_list_keeps_its_order() {
        let list = |one, other| item(json!({"l": {"L": [{"S": one}, {"S": other}]}}));
        assert_ne!(list("a", "b"), list("b", "a"));
    }

    #[test]
    fn sizes_are_those_of_the_service() {
        let size = |value| item(value).map(|item| item.size());
        assert_eq!(size(json!({"Id": {"N": "101"}})), Ok(5));
        assert_eq!(size(json!({"Message": {"S": "New item!"}})), Ok(16));
        assert_eq!(size(json!({"b": {"B": "Zm9vYmFy"}})), Ok(7));
        assert_eq!(size(json!({"l": {"L": [{"BOOL": true}]}})), Ok(1 + 3 + 2));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for value in [
            json!({}),
            json!({"S": "a", "N": "1"}),
            json!({"S": 1}),
            json!({"N": "x"}),
            json!({"B": "%"}),
            json!({"SS": []}),
            json!({"NS": ["1", "1.0"]}),
            json!({"NULL": false}),
            json!({"X": "a"}),
            json!("a"),
        ] {
            assert!(Attribute::read(&value).is_err(), "{value}");
        }
        let mut deep = json!({"S": "a"});
        for _ in 0..=DEPTH_MAX {
            deep = json!({"L": [deep]});
        }
        assert!(Attribute::read(&deep).is_err());
    }

    #[test]
    fn an_item_has_at_most_400_kilobytes() {
        let text = "x".repeat(ITEM_BYTES_MAX - 1);
        assert!(item(json!({"s": {"S": text}})).is_ok());
        assert!(item(json!({"st": {"S": text}})).is_err());
    }
}
