//! Scans a compact answer from quote to quote.
//!
//! Rules: every doubt is `None`, and the other parser decides; what is taken is taken exactly as
//! that parser would.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memchr2};
use penstock_engine::time::Wall;
use penstock_runtime::messages::SliceMessage;
use penstock_runtime::page::Slice;

use super::attributes::{GROUP, ORDER, Object, RECEIVE_COUNT, SENT, escaped, millis};
use super::{Parsed, is_md5};
use crate::scan::cursor::{Cursor, put};

/// Scans an answer that came at `now`; `None` when anything about it is unusual.
pub(super) fn scan(text: &str, now: Wall) -> Option<Parsed> {
    let body = text.as_bytes();
    // One pass for what no string may hold, so that nobody has to look again.
    if body
        .iter()
        .fold(false, |found, &byte| found | (byte < 0x20))
    {
        return None;
    }
    if text == "{}" {
        return Some(Parsed::default());
    }
    let mut scanner = Scanner {
        text,
        now,
        cursor: Cursor { body, at: 0 },
        side: String::new(),
    };
    scanner.cursor.eat(b'{')?;
    (&body[scanner.cursor.member()?] == b"Messages").then_some(())?;
    let messages = scanner.messages()?;
    scanner.cursor.eat(b'}')?;
    (scanner.cursor.at == body.len()).then_some(())?;
    Some(Parsed {
        messages,
        side: scanner.side,
    })
}

struct Scanner<'a> {
    text: &'a str,
    now: Wall,
    cursor: Cursor<'a>,
    side: String,
}

/// What stands between two quotes.
#[derive(Clone)]
struct Quoted {
    range: Range<usize>,
    escapes: bool,
}

/// The members of one message.
#[derive(Default)]
struct Found {
    id: Option<Range<usize>>,
    receipt: Option<Range<usize>>,
    body: Option<Quoted>,
    md5_of_body: Option<Range<usize>>,
    md5_of_attributes: Option<Range<usize>>,
    system: Option<System>,
    attributes: Option<Slice>,
}

/// What system attributes say.
#[derive(Clone, Copy)]
struct System {
    text: Slice,
    receive_count: u32,
    sent: Option<Wall>,
    group: Option<Slice>,
}

impl Scanner<'_> {
    fn messages(&mut self) -> Option<Vec<SliceMessage>> {
        self.cursor.eat(b'[')?;
        if self.cursor.peek()? == b']' {
            self.cursor.at += 1;
            return Some(Vec::new());
        }
        let mut messages = Vec::with_capacity(10);
        loop {
            messages.push(self.message()?);
            if !self.cursor.more(b']')? {
                return Some(messages);
            }
        }
    }

    fn message(&mut self) -> Option<SliceMessage> {
        let mut found = Found::default();
        self.cursor.eat(b'{')?;
        loop {
            let name = self.cursor.member()?;
            match &self.cursor.body[name] {
                b"MessageId" => put(&mut found.id, self.plain()?)?,
                b"ReceiptHandle" => put(&mut found.receipt, self.plain()?)?,
                b"Body" => put(&mut found.body, self.quoted()?)?,
                b"MD5OfBody" => put(&mut found.md5_of_body, self.md5()?)?,
                b"MD5OfMessageAttributes" => put(&mut found.md5_of_attributes, self.md5()?)?,
                b"Attributes" => {
                    let system = self.system()?;
                    put(&mut found.system, system)?;
                }
                b"MessageAttributes" => {
                    let attributes = self.attributes()?;
                    put(&mut found.attributes, attributes)?;
                }
                _ => return None,
            }
            if !self.cursor.more(b'}')? {
                break;
            }
        }
        self.made(found)
    }

    fn made(&mut self, found: Found) -> Option<SliceMessage> {
        let system = found.system?;
        // An MD5 comes with attributes, and only then.
        (found.attributes.is_some() == found.md5_of_attributes.is_some()).then_some(())?;
        let message_attributes = match found.attributes {
            Some(slice) => slice,
            None => Object::begin(&mut self.side).end()?,
        };
        Some(SliceMessage {
            message_id: Slice::of_body(found.id?)?,
            receipt_handle: Slice::of_body(found.receipt?)?,
            body: self.kept(&found.body?)?,
            md5_of_body: Slice::of_body(found.md5_of_body?)?,
            attributes: system.text,
            message_attributes,
            md5_of_message_attributes: match found.md5_of_attributes {
                Some(range) => Some(Slice::of_body(range)?),
                None => None,
            },
            group: system.group,
            receive_count: system.receive_count,
            sent: system.sent.unwrap_or(self.now),
        })
    }

    fn system(&mut self) -> Option<System> {
        const NONE: Option<Quoted> = None;
        let mut known = [NONE; ORDER.len()];
        let mut others: Vec<(Range<usize>, Quoted)> = Vec::new();
        self.cursor.eat(b'{')?;
        loop {
            let name = self.plain()?;
            self.cursor.eat(b':')?;
            let value = self.quoted()?;
            let text = &self.text[name.clone()];
            match ORDER.iter().position(|one| *one == text) {
                Some(place) => put(&mut known[place], value)?,
                None if others
                    .iter()
                    .any(|(other, _)| self.text[other.clone()] == *text) =>
                {
                    return None;
                }
                None => others.push((name, value)),
            }
            if !self.cursor.more(b'}')? {
                break;
            }
        }
        let said = |place: usize| {
            let value = known[place].as_ref().filter(|value| !value.escapes)?;
            Some(&self.text[value.range.clone()])
        };
        let receive_count = said(RECEIVE_COUNT)?.parse().ok()?;
        let sent = match &known[SENT] {
            Some(_) => Some(millis(said(SENT)?)?),
            None => None,
        };
        let group = match known[GROUP].clone() {
            Some(group) => Some(self.kept(&group)?),
            None => None,
        };
        let ordered = ORDER.iter().copied().zip(&known);
        let ordered = ordered.filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let rest = others
            .iter()
            .map(|(name, value)| (&self.text[name.clone()], value));
        let mut object = Object::begin(&mut self.side);
        for (name, value) in ordered.chain(rest) {
            let raw = &self.text[value.range.clone()];
            if value.escapes {
                object.raw(name, &escaped(&unescaped(raw)?));
            } else {
                object.raw(name, raw);
            }
        }
        Some(System {
            text: object.end()?,
            receive_count,
            sent,
            group,
        })
    }

    /// A sender's attributes, in the event's form.
    fn attributes(&mut self) -> Option<Slice> {
        let (text, mut seen) = (self.text, Vec::new());
        let cursor = &mut self.cursor;
        let mut object = Object::begin(&mut self.side);
        cursor.eat(b'{')?;
        loop {
            let name = cursor.plain()?;
            cursor.eat(b':')?;
            (!seen.contains(&&text[name.clone()])).then_some(())?;
            seen.push(&text[name.clone()]);
            let (mut kind, mut string, mut binary) = (None, None, None);
            cursor.eat(b'{')?;
            loop {
                let member = cursor.member()?;
                match &cursor.body[member] {
                    b"DataType" => put(&mut kind, cursor.plain()?)?,
                    b"StringValue" => put(&mut string, quoted(cursor)?)?,
                    b"BinaryValue" => put(&mut binary, cursor.plain()?)?,
                    _ => return None,
                }
                if !cursor.more(b'}')? {
                    break;
                }
            }
            let (name, kind) = (&text[name], &text[kind?]);
            match (string, binary) {
                (Some(value), None) if value.escapes => {
                    let value = escaped(&unescaped(&text[value.range])?);
                    object.attribute(name, false, &value, kind);
                }
                (Some(value), None) => object.attribute(name, false, &text[value.range], kind),
                (None, Some(value)) => {
                    STANDARD.decode(&text[value.clone()]).ok()?;
                    object.attribute(name, true, &text[value], kind);
                }
                _ => return None,
            }
            if !cursor.more(b'}')? {
                return object.end();
            }
        }
    }

    fn plain(&mut self) -> Option<Range<usize>> {
        self.cursor.plain()
    }

    fn quoted(&mut self) -> Option<Quoted> {
        quoted(&mut self.cursor)
    }

    fn md5(&mut self) -> Option<Range<usize>> {
        let range = self.cursor.plain()?;
        is_md5(&self.cursor.body[range.clone()]).then_some(range)
    }

    /// The text of a string: as it came, or unescaped into the side text.
    fn kept(&mut self, value: &Quoted) -> Option<Slice> {
        if !value.escapes {
            return Slice::of_body(value.range.clone());
        }
        let start = self.side.len();
        // What is still to come is no longer than the rest of the answer.
        self.side.reserve(self.text.len() - value.range.start);
        unescape(&self.text[value.range.clone()], &mut self.side)?;
        Slice::of_side(start..self.side.len())
    }
}

/// What stands between a quote and the one that ends the string.
fn quoted(cursor: &mut Cursor<'_>) -> Option<Quoted> {
    cursor.eat(b'"')?;
    let start = cursor.at;
    let (mut at, mut escapes) = (start, false);
    loop {
        at += memchr2(b'"', b'\\', cursor.body.get(at..)?)?;
        if cursor.body[at] == b'"' {
            break;
        }
        escapes = true;
        at += 2;
    }
    cursor.at = at + 1;
    Some(Quoted {
        range: start..at,
        escapes,
    })
}

fn unescaped(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    unescape(raw, &mut out)?;
    Some(out)
}

/// Appends the text that a string with escapes stands for; `None` when an escape is not one.
fn unescape(raw: &str, out: &mut String) -> Option<()> {
    let mut rest = raw;
    out.reserve(raw.len());
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let escape = *rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        match escape {
            b'"' | b'\\' | b'/' => out.push(char::from(escape)),
            b'n' => out.push('\n'),
            b't' => out.push('\t'),
            b'r' => out.push('\r'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'u' => {
                let first = hex4(rest)?;
                rest = &rest[4..];
                let code = if (0xd800..0xdc00).contains(&first) {
                    let low = hex4(rest.strip_prefix("\\u")?)?;
                    rest = &rest[6..];
                    (0xdc00..0xe000).contains(&low).then_some(())?;
                    0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    first
                };
                out.push(char::from_u32(code)?);
            }
            _ => return None,
        }
    }
    out.push_str(rest);
    Some(())
}

fn hex4(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())?
}
