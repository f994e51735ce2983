//! Holds one fetch's records as slices of the text that they came in.
//!
//! Rules: no record is allocated by itself; a page owns at most two texts, the body as it came and
//! a side text for the few values that had to be unescaped; every slice is checked once, when the
//! page is made, so that reading a record is an index; the facts are computed in the same pass.

use std::ops::Range;
use std::sync::Arc;

use bytestring::ByteString;
use penstock_engine::event::kinesis;
use penstock_engine::record::{Page, RecordFacts, RecordView};
use penstock_engine::stream::router::hash_key;
use penstock_engine::time::Wall;

/// A piece of a page's body, or of its side text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slice {
    start: u32,
    length: u32,
}

impl Slice {
    /// The bytes of `range` in the body; `None` when they lie beyond 2 GiB.
    #[must_use]
    pub fn of_body(range: Range<usize>) -> Option<Self> {
        let start = u32::try_from(range.start)
            .ok()
            .filter(|start| start & SIDE == 0)?;
        let length = u32::try_from(range.end.checked_sub(range.start)?).ok()?;
        Some(Self { start, length })
    }

    /// The bytes of `range` in the side text; `None` when they lie beyond 2 GiB.
    #[must_use]
    pub fn of_side(range: Range<usize>) -> Option<Self> {
        Self::of_body(range).map(|slice| Self {
            start: slice.start | SIDE,
            ..slice
        })
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(self) -> usize {
        self.length as usize
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.length == 0
    }

    /// The same place in the side text, for a slice of the body.
    #[must_use]
    pub fn in_side(self) -> Self {
        Self {
            start: self.start | SIDE,
            ..self
        }
    }

    fn range(self) -> Range<usize> {
        let start = (self.start & !SIDE) as usize;
        start..start + self.length as usize
    }
}

/// Marks a slice of the side text.
const SIDE: u32 = 1 << 31;

/// The two texts that a page's slices point into.
#[derive(Default)]
pub struct Texts {
    body: ByteString,
    /// What the body keeps in memory.
    body_bytes: usize,
    side: String,
}

impl Texts {
    /// The body as it came, and the side text.
    #[must_use]
    pub fn new(body: String, side: String) -> Self {
        let body_bytes = body.capacity();
        Self::sharing(body.into(), body_bytes, side)
    }

    /// A body that is a piece of a receive buffer of so many bytes, and the side text.
    #[must_use]
    pub fn sharing(body: ByteString, body_bytes: usize, side: String) -> Self {
        Self {
            body,
            body_bytes,
            side,
        }
    }

    /// The text of a slice; `None` when it leaves its text or cuts a character.
    #[must_use]
    pub fn checked(&self, slice: Slice) -> Option<&str> {
        self.text_of(slice).get(slice.range())
    }

    /// As `checked`, for text that stands in events as it is. A body was scanned between quotes
    /// and cannot hold what would have to be escaped again; the side text can.
    #[must_use]
    pub fn checked_plain(&self, slice: Slice) -> Option<&str> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let text = self.checked(slice)?;
        // Without an early exit, so that the compiler looks at many bytes at once.
        let all = |text: &str| !text.bytes().fold(false, |other, byte| other | !plain(byte));
        (slice.start & SIDE == 0 || all(text)).then_some(text)
    }

    /// The text of a slice that was checked.
    #[must_use]
    pub fn text(&self, slice: Slice) -> &str {
        &self.text_of(slice)[slice.range()]
    }

    /// Copies a slice of `from` to the end of the side text.
    #[must_use]
    pub fn copy(&mut self, from: &Self, slice: Slice) -> Slice {
        let start = self.side.len() as u32 | SIDE;
        self.side.push_str(from.text(slice));
        Slice {
            start,
            length: slice.length,
        }
    }

    /// Bytes that the texts hold on to.
    #[must_use]
    pub fn pinned_bytes(&self) -> usize {
        self.body_bytes + self.side.capacity()
    }

    fn text_of(&self, slice: Slice) -> &str {
        if slice.start & SIDE == 0 {
            &self.body
        } else {
            &self.side
        }
    }
}

/// Where one record's parts lie in its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceRecord {
    /// The partition key, unescaped.
    pub partition_key: Slice,
    /// The digits of the sequence number.
    pub sequence_number: Slice,
    /// The payload in standard base64 with padding.
    pub data: Slice,
    /// When it reached the source.
    pub arrival: Wall,
}

impl SliceRecord {
    /// The same record, in the side text instead of the body.
    #[must_use]
    pub fn in_side(self) -> Self {
        Self {
            partition_key: self.partition_key.in_side(),
            sequence_number: self.sequence_number.in_side(),
            data: self.data.in_side(),
            arrival: self.arrival,
        }
    }
}

/// A slice that is not a piece of its page's text, or a number or payload that is neither digits
/// nor base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record {index} of a page is malformed")]
pub struct BadSlice {
    /// Which record.
    pub index: usize,
}

/// A page whose records are slices of one text.
pub struct SlicePage {
    texts: Texts,
    records: Vec<SliceRecord>,
    facts: Vec<RecordFacts>,
    aggregated: bool,
}

/// Whether a payload, given in base64, begins with the mark of the Kinesis Producer Library's
/// aggregates: the bytes F3 89 9A C2. Six letters hold them, and four bits of what follows.
fn is_aggregate(data: &str) -> bool {
    let letters = data.as_bytes();
    letters.starts_with(b"84maw") && matches!(letters.get(5), Some(b'g'..=b'v'))
}

impl SlicePage {
    /// A page of `records`, which point into `body` and `side`.
    ///
    /// A body that came as `Bytes` becomes a `String` without a copy by
    /// `String::from_utf8(Vec::from(bytes))` when nobody else holds it.
    ///
    /// # Errors
    ///
    /// When a slice leaves its text or cuts a character, or when a number or payload that was
    /// unescaped would have to be escaped again.
    pub fn new(body: String, side: String, records: Vec<SliceRecord>) -> Result<Self, BadSlice> {
        Self::of_texts(Texts::new(body, side), records)
    }

    /// As `new`, of texts that may share a receive buffer.
    ///
    /// # Errors
    ///
    /// As `new`.
    pub fn of_texts(texts: Texts, records: Vec<SliceRecord>) -> Result<Self, BadSlice> {
        let mut page = Self {
            texts,
            facts: Vec::with_capacity(records.len()),
            records,
            aggregated: false,
        };
        for (index, record) in page.records.iter().enumerate() {
            let facts = page.examine(record).ok_or(BadSlice { index })?;
            page.facts.push(facts);
            page.aggregated |= is_aggregate(page.texts.text(record.data));
        }
        Ok(page)
    }

    /// The facts of a record; `None` when one of its slices is bad.
    fn examine(&self, record: &SliceRecord) -> Option<RecordFacts> {
        let partition_key = self.texts.checked(record.partition_key)?;
        let sequence_number = self.texts.checked_plain(record.sequence_number)?;
        let data = self.texts.checked_plain(record.data)?;
        Some(RecordFacts {
            key_hash: hash_key(partition_key.as_bytes()),
            arrival: record.arrival,
            weight: kinesis::weight(partition_key, sequence_number, data, record.arrival),
            filtered: false,
        })
    }
}

impl Page for SlicePage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        self.texts.text(self.records[index].sequence_number)
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        let record = &self.records[index];
        RecordView::Kinesis {
            partition_key: self.texts.text(record.partition_key),
            sequence_number: self.texts.text(record.sequence_number),
            data: self.texts.text(record.data),
            arrival: record.arrival,
        }
    }

    fn aggregated(&self) -> bool {
        self.aggregated
    }

    fn pinned_bytes(&self) -> usize {
        self.texts.pinned_bytes()
            + self.records.capacity() * size_of::<SliceRecord>()
            + self.facts.capacity() * size_of::<RecordFacts>()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let chosen = || indices.iter().map(|&index| index as usize);
        let slices = |index: usize| {
            let record = &self.records[index];
            [record.partition_key, record.sequence_number, record.data]
        };
        let length = chosen().flat_map(slices).map(Slice::len).sum();
        let mut texts = Texts::new(String::new(), String::with_capacity(length));
        let mut copy = |slice: Slice| texts.copy(&self.texts, slice);
        let records = chosen()
            .map(|index| {
                let [partition_key, sequence_number, data] = slices(index).map(&mut copy);
                let arrival = self.records[index].arrival;
                SliceRecord {
                    partition_key,
                    sequence_number,
                    data,
                    arrival,
                }
            })
            .collect();
        let facts = chosen().map(|index| self.facts[index]).collect();
        Arc::new(Self {
            texts,
            records,
            facts,
            aggregated: self.aggregated,
        })
    }
}

impl std::fmt::Debug for SlicePage {
    /// Tells sizes only: payloads and keys stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlicePage")
            .field("records", &self.records.len())
            .field("pinned_bytes", &self.pinned_bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> SlicePage {
        let body = "k1|100|YQ==|101|Yg==|skipped".to_owned();
        let body_slice = |range| Slice::of_body(range).expect("small");
        let first = SliceRecord {
            partition_key: body_slice(0..2),
            sequence_number: body_slice(3..6),
            data: body_slice(7..11),
            arrival: Wall(5),
        };
        let second = SliceRecord {
            partition_key: Slice::of_side(0..2).expect("small"),
            sequence_number: body_slice(12..15),
            data: body_slice(16..20),
            arrival: Wall(6),
        };
        SlicePage::new(body, "é".to_owned(), vec![first, second]).expect("slices are good")
    }

    #[test]
    fn records_are_read_from_body_and_side() {
        let page = page();
        assert_eq!(page.sequence_number(0), "100");
        assert_eq!(
            page.view(1),
            RecordView::Kinesis {
                partition_key: "é",
                sequence_number: "101",
                data: "Yg==",
                arrival: Wall(6),
            }
        );
        assert_eq!(page.facts()[0].key_hash, hash_key(b"k1"));
        assert_ne!(page.facts()[0].key_hash, page.facts()[1].key_hash);
    }

    #[test]
    fn an_extract_keeps_the_records_and_frees_the_rest() {
        let page = page();
        let extract = page.extract(&[1]);
        assert_eq!(extract.view(0), page.view(1));
        assert_eq!(extract.facts(), &page.facts()[1..]);
        assert!(extract.pinned_bytes() < page.pinned_bytes());
    }

    #[test]
    fn aggregates_are_known_by_their_first_four_bytes() {
        use base64::Engine as _;
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let mark = [0xf3, 0x89, 0x9a, 0xc2];
        for next in 0..=255 {
            let data = encode(&[&mark[..], &[next, 1, 2]].concat());
            assert!(is_aggregate(&data), "{data}");
            for place in 0..4 {
                let mut other = mark;
                other[place] = next;
                let data = encode(&[&other[..], &[7]].concat());
                assert_eq!(is_aggregate(&data), other == mark, "{data}");
            }
        }
        assert!(is_aggregate(&encode(&mark)));
        assert!(!is_aggregate(&encode(&mark[..3])) && !is_aggregate(""));
    }

    #[test]
    fn slices_beyond_the_text_or_inside_a_character_are_refused() {
        let good = Slice::of_body(0..1).expect("small");
        let make = |partition_key| {
            let record = SliceRecord {
                partition_key,
                sequence_number: good,
                data: good,
                arrival: Wall(0),
            };
            SlicePage::new("1".to_owned(), "é".to_owned(), vec![record]).map(|_| ())
        };
        assert_eq!(make(good), Ok(()));
        let beyond = Slice::of_body(0..2).expect("small");
        assert_eq!(make(beyond), Err(BadSlice { index: 0 }));
        let escaped = Slice::of_side(0..2).expect("small");
        let record = SliceRecord {
            partition_key: good,
            sequence_number: good,
            data: escaped,
            arrival: Wall(0),
        };
        assert!(SlicePage::new("1".to_owned(), "\"x".to_owned(), vec![record]).is_err());
        let half = Slice::of_side(0..1).expect("small");
        assert_eq!(make(half), Err(BadSlice { index: 0 }));
        assert_eq!(Slice::of_body(usize::MAX - 1..usize::MAX), None);
    }
}
