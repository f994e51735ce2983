//! Scans a compact answer from quote to quote.
//!
//! Rules: every doubt is `None`, and the other parser decides; what is taken is taken exactly as
//! that parser would. A text that ends too early is a doubt like others.

use penstock_engine::time::Wall;
use penstock_runtime::page::{Slice, SliceRecord};

use super::cursor::{Cursor, put};
use super::{Parsed, is_base64, is_sequence_number};

/// Scans an answer; `None` when anything about it is unusual.
pub(super) fn scan(text: &str) -> Option<Parsed> {
    let body = text.as_bytes();
    let mut cursor = Cursor { body, at: 0 };
    let mut parsed = Parsed::default();
    let (mut records, mut next, mut behind) = (None, None, None);
    cursor.eat(b'{')?;
    loop {
        match &body[cursor.member()?] {
            b"Records" => put(&mut records, cursor.records()?)?,
            b"NextShardIterator" => put(&mut next, cursor.iterator(text)?)?,
            b"MillisBehindLatest" => put(&mut behind, cursor.count()?)?,
            _ => return None,
        }
        if !cursor.more(b'}')? {
            break;
        }
    }
    if cursor.at != body.len() {
        return None;
    }
    parsed.records = records?;
    parsed.next_iterator = next.flatten();
    parsed.behind_ms = behind;
    Some(parsed)
}

/// Goes to the first record of an answer that has some, and gives its place.
pub(super) fn to_records(cursor: &mut Cursor<'_>) -> Option<usize> {
    let (mut next, mut behind) = (None, None);
    cursor.eat(b'{')?;
    loop {
        match &cursor.body[cursor.member()?] {
            b"Records" => break,
            b"NextShardIterator" => put(&mut next, cursor.iterator_range()?)?,
            b"MillisBehindLatest" => put(&mut behind, cursor.count()?)?,
            _ => return None,
        }
        if !cursor.more(b'}')? {
            return None;
        }
    }
    cursor.eat(b'[')?;
    Some(cursor.at)
}

impl Cursor<'_> {
    fn records(&mut self) -> Option<Vec<SliceRecord>> {
        self.eat(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Vec::new());
        }
        let start = self.at;
        let first = self.record()?;
        // Records of one answer are much alike: one allocation for all of them, as a rule.
        let likely = (self.body.len() - start) / (self.at - start) + 1;
        let mut records = Vec::with_capacity(likely.min(10_000));
        records.push(first);
        while self.more(b']')? {
            records.push(self.record()?);
        }
        Some(records)
    }

    /// The next record, when it is whole and as usual.
    pub(super) fn record(&mut self) -> Option<SliceRecord> {
        let (mut data, mut key, mut sequence, mut arrival) = (None, None, None, None);
        let mut encryption = None;
        self.eat(b'{')?;
        loop {
            // By the name's first letter, then all of it with its quotes: no search for its end.
            match self.body.get(self.at + 1)? {
                b'D' => {
                    self.skip(br#""Data":"#)?;
                    put(&mut data, self.quoted()?)?;
                }
                b'P' => {
                    self.skip(br#""PartitionKey":"#)?;
                    put(&mut key, self.plain()?)?;
                }
                b'S' => {
                    self.skip(br#""SequenceNumber":"#)?;
                    put(&mut sequence, self.quoted()?)?;
                }
                b'A' => {
                    self.skip(br#""ApproximateArrivalTimestamp":"#)?;
                    put(&mut arrival, self.millis()?)?;
                }
                b'E' => {
                    self.skip(br#""EncryptionType":"#)?;
                    put(&mut encryption, self.plain()?)?;
                }
                _ => return None,
            }
            if !self.more(b'}')? {
                break;
            }
        }
        let (data, sequence) = (data?, sequence?);
        let good =
            is_base64(&self.body[data.clone()]) && is_sequence_number(&self.body[sequence.clone()]);
        if !good {
            return None;
        }
        Some(SliceRecord {
            partition_key: Slice::of_body(key?)?,
            sequence_number: Slice::of_body(sequence)?,
            data: Slice::of_body(data)?,
            arrival: Wall(arrival?),
        })
    }
}
