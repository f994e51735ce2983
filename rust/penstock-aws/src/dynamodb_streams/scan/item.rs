//! Goes over the JSON of an item's keys and images, and hashes keys.
//!
//! Rules: what passes is compact, valid JSON with just the escapes that events have, so that it
//! stands in an event as it came; nothing is copied; containers go [`ITEM_DEPTH_MAX`] deep.

use std::cmp::Ordering;
use std::ops::Range;

use memchr::memchr2;
use penstock_engine::limits::ITEM_DEPTH_MAX;
use penstock_engine::stream::router::hash_key;

use crate::scan::cursor::Cursor;

impl Cursor<'_> {
    /// An object, as it may stand in an event. The caller has looked for control characters.
    pub(super) fn item(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        (self.peek()? == b'{').then_some(())?;
        self.skip_value(0)?;
        Some(start..self.at)
    }

    fn skip_value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_text(),
            b'{' => self.skip_container(b'}', depth + 1),
            b'[' => self.skip_container(b']', depth + 1),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            // An item's numbers are texts.
            _ => None,
        }
    }

    fn skip_container(&mut self, end: u8, depth: usize) -> Option<()> {
        if depth > ITEM_DEPTH_MAX {
            return None;
        }
        self.at += 1;
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            if end == b'}' {
                self.skip_text()?;
                self.eat(b':')?;
            }
            self.skip_value(depth)?;
            if !self.more(end)? {
                return Some(());
            }
        }
    }

    fn skip_text(&mut self) -> Option<()> {
        self.eat(b'"')?;
        loop {
            self.at += memchr2(b'"', b'\\', self.body.get(self.at..)?)?;
            if self.body[self.at] == b'"' {
                self.at += 1;
                return Some(());
            }
            self.at += escape_len(&self.body[self.at..])?;
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.body[self.at..].starts_with(word);
        found.then(|| self.at += word.len())
    }
}

/// The length of an escape that an event would have in this place too.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = text.get(2..6)?;
            let control = match digits {
                [b'0', b'0', b'0', low] => !b"89acd".contains(low) && is_small_hex(*low),
                [b'0', b'0', b'1', low] => is_small_hex(*low),
                _ => false,
            };
            control.then_some(6)
        }
        _ => None,
    }
}

fn is_small_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The hash that sends an item to its lane: the same whatever order its key attributes come in.
///
/// `keys` is an object that `item` has passed.
pub(super) fn hash_of_keys(keys: &str) -> u64 {
    let mut members = members(keys.as_bytes()).unwrap_or_default();
    if members.is_sorted_by(|a, b| a.cmp(b) == Ordering::Less) {
        return hash_key(keys.as_bytes());
    }
    members.sort_unstable();
    hash_key(&[b"{", members.join(&b',').as_slice(), b"}"].concat())
}

/// The members of an object, each with its name.
fn members(object: &[u8]) -> Option<Vec<&[u8]>> {
    let mut cursor = Cursor {
        body: object,
        at: 1,
    };
    let mut members = Vec::with_capacity(2);
    while cursor.peek()? != b'}' {
        let start = cursor.at;
        cursor.skip_text()?;
        cursor.eat(b':')?;
        cursor.skip_value(0)?;
        members.push(&object[start..cursor.at]);
        if !cursor.more(b'}')? {
            break;
        }
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str) -> bool {
        let body = text.as_bytes();
        let mut cursor = Cursor { body, at: 0 };
        cursor.item().is_some_and(|range| range == (0..text.len()))
    }

    fn nested(depth: usize) -> String {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    }

    #[test]
    fn what_events_may_show_passes() {
        for text in [
            "{}",
            r#"{"Id":{"N":"101"}}"#,
            r#"{"a":{"L":[{"S":"x"},{"M":{}},{"NULL":true},{"BOOL":false}]},"b":{"SS":["é","🦀"]}}"#,
            r#"{"quote \" back \\ tab \t":{"S":"\b\f\n\r\u0000\u000b\u001f"}}"#,
            r#"{"a":null}"#,
            &nested(ITEM_DEPTH_MAX),
        ] {
            assert!(passes(text), "{text}");
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&value.to_string()).unwrap(),
                value
            );
        }
    }

    #[test]
    fn what_events_would_show_otherwise_does_not() {
        for text in [
            "",
            "[]",
            "\"x\"",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":"x",}"#,
            r#"{"a":1}"#,
            r#"{"a": "x"}"#,
            r#"{"a":"x"} "#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\u00e9"}"#,
            r#"{"a":"\u000A"}"#,
            r#"{"a":"\u000a"}"#,
            r#"{"a":"\u001F"}"#,
            r#"{"a":"\u00"#,
            r#"{"a":"\"#,
            r#"{"a":tru}"#,
            r#"{"a":["x"}"#,
            &nested(ITEM_DEPTH_MAX + 1),
        ] {
            assert!(!passes(text), "{text}");
        }
        assert!(!passes(&"{\"a\":".repeat(200_000)), "no stack is used up");
    }

    #[test]
    fn an_items_lane_does_not_hang_on_the_order_of_its_keys() {
        let one = r#"{"id":{"S":"a,b\"}"},"at":{"N":"7"}}"#;
        let other = r#"{"at":{"N":"7"},"id":{"S":"a,b\"}"}}"#;
        assert_eq!(hash_of_keys(one), hash_of_keys(other));
        assert_ne!(hash_of_keys(one), hash_of_keys(&one.replace('7', "8")));
        let alone = r#"{"id":{"S":"a"}}"#;
        assert_eq!(hash_of_keys(alone), hash_key(alone.as_bytes()));
        assert_ne!(hash_of_keys(alone), hash_of_keys(r#"{"id":{"N":"a"}}"#));
    }
}
