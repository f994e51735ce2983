//! Scans a compact answer from quote to quote.
//!
//! Rules: every doubt is `None`, and the other parser decides; what is taken is taken exactly as
//! that parser would.

use std::ops::Range;

use penstock_runtime::page::Slice;

use super::item::hash_of_keys;
use super::{Change, Parsed, is_plain, is_sequence_number, whole_second, write_identity};
use crate::scan::cursor::{Cursor, put};

/// Scans an answer; `None` when anything about it is unusual.
pub(super) fn scan(text: &str) -> Option<Parsed> {
    let body = text.as_bytes();
    if body
        .iter()
        .fold(false, |found, &byte| found | (byte < 0x20))
    {
        return None;
    }
    let mut scanner = Scanner {
        text,
        cursor: Cursor { body, at: 0 },
        side: String::new(),
    };
    let (mut changes, mut next) = (None, None);
    scanner.cursor.eat(b'{')?;
    loop {
        match &body[scanner.cursor.member()?] {
            b"Records" => put(&mut changes, scanner.changes()?)?,
            b"NextShardIterator" => put(&mut next, scanner.cursor.iterator(text)?)?,
            _ => return None,
        }
        if !scanner.cursor.more(b'}')? {
            break;
        }
    }
    (scanner.cursor.at == body.len()).then_some(Parsed {
        changes: changes?,
        side: scanner.side,
        next_iterator: next.flatten(),
    })
}

struct Scanner<'a> {
    text: &'a str,
    cursor: Cursor<'a>,
    side: String,
}

/// The members of a record's `dynamodb`.
#[derive(Default)]
struct Stream {
    created: Option<i64>,
    keys: Option<Range<usize>>,
    new_image: Option<Range<usize>>,
    old_image: Option<Range<usize>>,
    sequence_number: Option<Range<usize>>,
    size_bytes: Option<u64>,
    view_type: Option<Range<usize>>,
}

impl Scanner<'_> {
    fn changes(&mut self) -> Option<Vec<Change>> {
        self.cursor.eat(b'[')?;
        if self.cursor.peek()? == b']' {
            self.cursor.at += 1;
            return Some(Vec::new());
        }
        let start = self.cursor.at;
        let first = self.change()?;
        // Records of one answer are much alike: one allocation for all of them, as a rule.
        let likely = (self.text.len() - start) / (self.cursor.at - start) + 1;
        let mut changes = Vec::with_capacity(likely.min(1_000));
        changes.push(first);
        while self.cursor.more(b']')? {
            changes.push(self.change()?);
        }
        Some(changes)
    }

    fn change(&mut self) -> Option<Change> {
        let (mut id, mut name, mut stream, mut identity) = (None, None, None, None);
        let (mut region, mut source, mut version) = (None, None, None);
        self.cursor.eat(b'{')?;
        loop {
            match &self.cursor.body[self.cursor.member()?] {
                b"eventID" => put(&mut id, self.word()?)?,
                b"eventName" => put(&mut name, self.word()?)?,
                b"dynamodb" => put(&mut stream, self.stream()?)?,
                b"userIdentity" => put(&mut identity, self.identity()?)?,
                b"awsRegion" => put(&mut region, self.cursor.plain()?)?,
                b"eventSource" => put(&mut source, self.cursor.plain()?)?,
                b"eventVersion" => put(&mut version, self.cursor.plain()?)?,
                _ => return None,
            }
            if !self.cursor.more(b'}')? {
                break;
            }
        }
        let stream: Stream = stream?;
        let keys = stream.keys?;
        Some(Change {
            event_id: Slice::of_body(id?)?,
            event_name: Slice::of_body(name?)?,
            user_identity: identity,
            created: whole_second(stream.created?),
            key_hash: hash_of_keys(&self.text[keys.clone()]),
            keys: Slice::of_body(keys)?,
            new_image: optional(stream.new_image)?,
            old_image: optional(stream.old_image)?,
            sequence_number: Slice::of_body(stream.sequence_number?)?,
            size_bytes: stream.size_bytes.unwrap_or(0),
            view_type: Slice::of_body(stream.view_type?)?,
        })
    }

    fn stream(&mut self) -> Option<Stream> {
        let mut found = Stream::default();
        self.cursor.eat(b'{')?;
        loop {
            match &self.cursor.body[self.cursor.member()?] {
                b"ApproximateCreationDateTime" => put(&mut found.created, self.cursor.millis()?)?,
                b"Keys" => put(&mut found.keys, self.cursor.item()?)?,
                b"NewImage" => put(&mut found.new_image, self.cursor.item()?)?,
                b"OldImage" => put(&mut found.old_image, self.cursor.item()?)?,
                b"SequenceNumber" => put(&mut found.sequence_number, self.number()?)?,
                b"SizeBytes" => put(&mut found.size_bytes, self.cursor.count()?)?,
                b"StreamViewType" => put(&mut found.view_type, self.word()?)?,
                _ => return None,
            }
            if !self.cursor.more(b'}')? {
                return Some(found);
            }
        }
    }

    /// Who made a change, written into the side text.
    fn identity(&mut self) -> Option<Slice> {
        let (mut principal, mut kind) = (None, None);
        self.cursor.eat(b'{')?;
        loop {
            match &self.cursor.body[self.cursor.member()?] {
                b"PrincipalId" => put(&mut principal, self.cursor.plain()?)?,
                b"Type" => put(&mut kind, self.cursor.plain()?)?,
                _ => return None,
            }
            if !self.cursor.more(b'}')? {
                break;
            }
        }
        let start = self.side.len();
        write_identity(&mut self.side, &self.text[kind?], &self.text[principal?]);
        Slice::of_side(start..self.side.len())
    }

    fn word(&mut self) -> Option<Range<usize>> {
        let range = self.cursor.quoted()?;
        is_plain(&self.cursor.body[range.clone()]).then_some(range)
    }

    fn number(&mut self) -> Option<Range<usize>> {
        let range = self.cursor.quoted()?;
        is_sequence_number(&self.cursor.body[range.clone()]).then_some(range)
    }
}

fn optional(range: Option<Range<usize>>) -> Option<Option<Slice>> {
    match range {
        None => Some(None),
        Some(range) => Slice::of_body(range).map(Some),
    }
}
