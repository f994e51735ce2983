//! Writes the two objects of attributes that a message's event has, and their MD5.
//!
//! Rules: system attributes stand in the order in which Lambda writes them, those that it is not
//! known to order behind them as they came. A sender's attribute has its own name, its value, two
//! empty lists and its type.

use md5::{Digest, Md5};
use penstock_engine::time::Wall;
use penstock_runtime::page::Slice;

/// System attributes in Lambda's order.
pub(super) const ORDER: [&str; 9] = [
    "ApproximateReceiveCount",
    "SentTimestamp",
    "SequenceNumber",
    "MessageGroupId",
    "SenderId",
    "MessageDeduplicationId",
    "ApproximateFirstReceiveTimestamp",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];
pub(super) const RECEIVE_COUNT: usize = 0;
pub(super) const SENT: usize = 1;
pub(super) const GROUP: usize = 3;

/// A JSON object that grows at the end of a text.
pub(super) struct Object<'s> {
    out: &'s mut String,
    start: usize,
}

impl<'s> Object<'s> {
    pub(super) fn begin(out: &'s mut String) -> Self {
        let start = out.len();
        out.push('{');
        Self { out, start }
    }

    /// A member whose name and value are what stands between the quotes of JSON strings.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push('"');
        self.out.push_str(value);
        self.out.push('"');
    }

    /// A sender's attribute; all three are what stands between the quotes of JSON strings.
    pub(super) fn attribute(&mut self, name: &str, binary: bool, value: &str, kind: &str) {
        self.name(name);
        self.out.push_str(if binary {
            r#"{"binaryValue":""#
        } else {
            r#"{"stringValue":""#
        });
        self.out.push_str(value);
        self.out
            .push_str(r#"","stringListValues":[],"binaryListValues":[],"dataType":""#);
        self.out.push_str(kind);
        self.out.push_str("\"}");
    }

    /// The whole object; `None` when it lies beyond 2 GiB.
    pub(super) fn end(self) -> Option<Slice> {
        self.out.push('}');
        Slice::of_side(self.start..self.out.len())
    }

    fn name(&mut self, name: &str) {
        if self.out.len() > self.start + 1 {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
    }
}

/// What stands between the quotes of the JSON string that shows a text.
pub(super) fn escaped(text: &str) -> String {
    let mut quoted = serde_json::Value::from(text).to_string();
    quoted.pop();
    quoted.remove(0);
    quoted
}

/// A count of milliseconds, in decimal digits.
pub(super) fn millis(text: &str) -> Option<Wall> {
    text.parse().ok().filter(|at| *at >= 0).map(Wall)
}

/// One attribute of a sender, as the MD5 takes it in.
pub(super) struct Value<'a> {
    pub name: &'a str,
    pub kind: &'a str,
    /// The mark of a text or of bytes.
    pub binary: bool,
    pub bytes: &'a [u8],
}

/// The MD5 of a sender's attributes, in whatever order they come: 32 hexadecimal digits.
pub(super) fn md5_of(mut values: Vec<Value<'_>>) -> String {
    values.sort_by_key(|value| value.name);
    let mut hash = Md5::new();
    let part = |hash: &mut Md5, bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        hash.update(length.to_be_bytes());
        hash.update(bytes);
    };
    for Value {
        name,
        kind,
        binary,
        bytes,
    } in values
    {
        part(&mut hash, name.as_bytes());
        part(&mut hash, kind.as_bytes());
        hash.update([if binary { 2 } else { 1 }]);
        part(&mut hash, bytes);
    }
    hex(&hash.finalize())
}

/// The MD5 of a body.
pub(super) fn md5_of_text(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_md5_of_attributes_is_the_one_that_aws_gives() {
        let value = |name, kind, bytes| Value {
            name,
            kind,
            binary: false,
            bytes,
        };
        let values = vec![
            value("WeeksOn", "Number", b"6".as_slice()),
            value("Author", "String", b"John Grisham"),
            value("Title", "String", b"The Whistler"),
        ];
        assert_eq!(md5_of(values), "d25a6aea97eb8f585bfa92d314504a92");
        assert_eq!(
            md5_of_text("Test message."),
            "e4e68fb7bd0e697a0ae8f1bb342846b3"
        );
    }
}
