//! Attributes of messages: their JSON, their MD5, and which of them a receive asks for.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::invalid;
use crate::service::Refusal;

/// The most attributes of one message.
const COUNT_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 256;

/// One attribute, as the protocol writes it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Attribute {
    /// Base64 text of a binary value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
    /// `String`, `Number` or `Binary`, perhaps with a suffix of the sender's.
    pub data_type: String,
    /// The text of a value that is not binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
}

/// The attributes of a message, by name.
pub type Attributes = BTreeMap<String, Attribute>;

impl Attribute {
    /// Bytes that count against the size of a message: type and value.
    fn size(&self) -> Option<usize> {
        let value = match (&self.string_value, &self.binary_value) {
            (Some(text), None) => text.len(),
            (None, Some(coded)) => STANDARD.decode(coded).ok()?.len(),
            _ => return None,
        };
        Some(self.data_type.len() + value)
    }

    fn check(&self, name: &str) -> Result<usize, Refusal> {
        let kind = self
            .data_type
            .split_once('.')
            .map_or(&*self.data_type, |(kind, _)| kind);
        let binary = match kind {
            "String" | "Number" => false,
            "Binary" => true,
            _ => {
                return Err(invalid(format!(
                    "The type of message (user) attribute '{name}' is invalid. You must use only \
                     the following supported type prefixes: Binary, Number, String."
                )));
            }
        };
        if kind == "Number" && !self.string_value.as_deref().is_some_and(is_number) {
            return Err(invalid(format!(
                "Can't cast the value of message (user) attribute '{name}' to a number."
            )));
        }
        let size = self.size().filter(|size| *size > self.data_type.len());
        size.filter(|_| binary == self.binary_value.is_some())
            .ok_or_else(|| {
                invalid(format!(
                    "The message (user) attribute '{name}' must contain a non-empty message \
                     attribute value for message (user) attribute type '{kind}'."
                ))
            })
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Refuses attributes that the service would refuse, and gives the bytes they count.
///
/// # Errors
/// In the service's words.
pub fn check(attributes: &Attributes) -> Result<usize, Refusal> {
    if attributes.len() > COUNT_MAX {
        let count = attributes.len();
        return Err(invalid(format!(
            "Number of message attributes [{count}] exceeds the allowed maximum [{COUNT_MAX}]."
        )));
    }
    let mut total = 0;
    for (name, attribute) in attributes {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
            return Err(invalid(format!(
                "The message (user) attribute name '{name}' is invalid. Attribute name can contain \
                 A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters."
            )));
        }
        total += name.len() + attribute.check(name)?;
    }
    Ok(total)
}

/// The MD5 of attributes: names in the order of their bytes, each with its type and value, every
/// part behind its length, a value behind the mark of its kind.
#[must_use]
pub fn md5(attributes: &Attributes) -> String {
    let mut hash = Md5::new();
    for (name, attribute) in attributes {
        part(&mut hash, name.as_bytes());
        part(&mut hash, attribute.data_type.as_bytes());
        match (&attribute.string_value, &attribute.binary_value) {
            (Some(text), _) => {
                hash.update([1]);
                part(&mut hash, text.as_bytes());
            }
            (None, coded) => {
                let coded = coded.as_deref().unwrap_or_default();
                hash.update([2]);
                part(&mut hash, &STANDARD.decode(coded).unwrap_or_default());
            }
        }
    }
    hex(&hash.finalize())
}

fn part(hash: &mut Md5, bytes: &[u8]) {
    hash.update((bytes.len() as u32).to_be_bytes());
    hash.update(bytes);
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Whether a receive that names `wanted` asks for an attribute: `All`, `.*`, a name, or `prefix.*`.
#[must_use]
pub fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.iter().any(|one| match one.as_str() {
        "All" | ".*" => true,
        one => match one.strip_suffix(".*") {
            Some(prefix) => name.starts_with(prefix),
            None => one == name,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &str, value: &str) -> Attribute {
        Attribute {
            binary_value: None,
            data_type: kind.to_owned(),
            string_value: Some(value.to_owned()),
        }
    }

    #[test]
    fn the_md5_is_the_one_the_service_gives() {
        let attributes = Attributes::from([
            ("Author".to_owned(), text("String", "John Grisham")),
            ("Title".to_owned(), text("String", "The Whistler")),
            ("WeeksOn".to_owned(), text("Number", "6")),
        ]);
        assert_eq!(md5(&attributes), "d25a6aea97eb8f585bfa92d314504a92");
    }

    #[test]
    fn attributes_are_asked_for_by_name_or_prefix() {
        let wanted = ["one".to_owned(), "two.*".to_owned()];
        assert!(is_wanted(&wanted, "one") && is_wanted(&wanted, "two.three"));
        assert!(!is_wanted(&wanted, "on") && !is_wanted(&[], "one"));
        assert!(is_wanted(&["All".to_owned()], "x") && is_wanted(&[".*".to_owned()], "x"));
    }

    #[test]
    fn what_the_service_refuses_is_refused() {
        let one = |attribute| Attributes::from([("n".to_owned(), attribute)]);
        assert_eq!(check(&one(text("Number.int", "6"))), Ok(12));
        for wrong in [
            text("Text", "a"),
            text("Number", "six"),
            text("String", ""),
            text("Binary", "a"),
        ] {
            assert!(check(&one(wrong)).is_err());
        }
        let odd = Attributes::from([("a b".to_owned(), text("String", "a"))]);
        assert!(check(&odd).is_err());
        let many = (0..11).map(|nth| (format!("n{nth}"), text("String", "a")));
        assert!(check(&many.collect()).is_err());
    }
}
