//! Lays a record of any shape out as numbers and texts, and shows it again as a page.
//!
//! Rules: a page that was read is checked whole, so that looking at a record cannot fail; the
//! numbers of a record stand in its row, its texts one after the other behind those of the record
//! before it.

use std::fmt;
use std::sync::Arc;

use penstock_engine::config::EventShape;
use penstock_engine::record::{ItemView, MessageView, Page, RecordFacts, RecordView};
use penstock_engine::time::Wall;

use super::BadFrame;

const TEXTS_MAX: usize = 8;
const NUMBERS_MAX: usize = 2;
/// The length of a text that is not there.
const ABSENT: u32 = u32::MAX;
/// Bytes of a record's facts.
const FACTS_BYTES: usize = 20;

/// Which parts a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Kinesis = 1,
    DynamoDb = 2,
    Sqs = 3,
}

impl Shape {
    pub(super) fn of(shape: EventShape) -> Self {
        match shape {
            EventShape::Kinesis => Self::Kinesis,
            EventShape::DynamoDb => Self::DynamoDb,
            EventShape::Sqs => Self::Sqs,
        }
    }

    pub(super) fn numbered(number: u32) -> Option<Self> {
        [Self::Kinesis, Self::DynamoDb, Self::Sqs]
            .into_iter()
            .find(|shape| *shape as u32 == number)
    }

    pub(super) fn row_bytes(self) -> usize {
        FACTS_BYTES + self.numbers() * 8 + self.texts() * 4
    }

    fn numbers(self) -> usize {
        match self {
            Self::Kinesis | Self::Sqs => 1,
            Self::DynamoDb => 2,
        }
    }

    fn texts(self) -> usize {
        match self {
            Self::Kinesis => 3,
            Self::DynamoDb | Self::Sqs => 8,
        }
    }
}

/// The parts of one record.
pub(super) struct Row<'a> {
    shape: Shape,
    numbers: [u64; NUMBERS_MAX],
    texts: [Option<&'a str>; TEXTS_MAX],
}

impl<'a> Row<'a> {
    pub(super) fn of(view: &RecordView<'a>) -> Self {
        match *view {
            RecordView::Kinesis {
                partition_key,
                sequence_number,
                data,
                arrival,
            } => Self {
                shape: Shape::Kinesis,
                numbers: [arrival.0 as u64, 0],
                texts: padded([Some(partition_key), Some(sequence_number), Some(data)]),
            },
            RecordView::DynamoDb(item) => Self {
                shape: Shape::DynamoDb,
                numbers: [item.created.0 as u64, item.size_bytes],
                texts: [
                    Some(item.event_id),
                    Some(item.event_name),
                    item.user_identity,
                    Some(item.keys),
                    item.new_image,
                    item.old_image,
                    Some(item.sequence_number),
                    Some(item.view_type),
                ],
            },
            RecordView::Sqs(message) => Self {
                shape: Shape::Sqs,
                numbers: [u64::from(message.receive_count), 0],
                texts: [
                    Some(message.message_id),
                    Some(message.receipt_handle),
                    Some(message.body),
                    Some(message.md5_of_body),
                    Some(message.attributes),
                    Some(message.message_attributes),
                    message.md5_of_message_attributes,
                    message.group,
                ],
            },
        }
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.texts.iter().flatten().map(|text| text.len()).sum()
    }

    /// Fills the record's row.
    pub(super) fn write(&self, facts: &RecordFacts, place: &mut [u8]) {
        let mut rest = place;
        put(&mut rest, &facts.key_hash.to_le_bytes());
        put(&mut rest, &facts.arrival.0.to_le_bytes());
        put(&mut rest, &facts.weight.to_le_bytes());
        for number in &self.numbers[..self.shape.numbers()] {
            put(&mut rest, &number.to_le_bytes());
        }
        for text in &self.texts[..self.shape.texts()] {
            let length = text.map_or(ABSENT, |text| text.len() as u32);
            put(&mut rest, &length.to_le_bytes());
        }
    }

    /// Writes the record's texts at the start of `place`; gives what is left of it.
    pub(super) fn write_texts<'p>(&self, mut place: &'p mut [u8]) -> &'p mut [u8] {
        for text in self.texts.iter().flatten() {
            put(&mut place, text.as_bytes());
        }
        place
    }
}

/// The records of a frame, copied out of it.
pub(super) struct FramePage {
    shape: Shape,
    texts: String,
    entries: Vec<Entry>,
    facts: Vec<RecordFacts>,
}

/// Where a record's texts lie, and its numbers.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    lengths: [u32; TEXTS_MAX],
    numbers: [u64; NUMBERS_MAX],
}

impl FramePage {
    pub(super) fn new(shape: Shape, table: &[u8], texts: &[u8]) -> Result<Self, BadFrame> {
        let texts =
            String::from_utf8(texts.to_vec()).map_err(|_| BadFrame("its texts are not UTF-8"))?;
        let records = table.len() / shape.row_bytes();
        let mut page = Self {
            shape,
            texts,
            entries: Vec::with_capacity(records),
            facts: Vec::with_capacity(records),
        };
        let mut start = 0;
        for row in table.chunks_exact(shape.row_bytes()) {
            let (facts, entry) = read_row(shape, row, start);
            start = page
                .end_of(&entry)
                .ok_or(BadFrame("a record's texts leave the frame"))?;
            page.entries.push(entry);
            page.facts.push(facts);
        }
        if start as usize == page.texts.len() {
            Ok(page)
        } else {
            Err(BadFrame("it holds texts of no record"))
        }
    }

    /// Where the texts of a record end; `None` when one of them is no piece of the page's.
    fn end_of(&self, entry: &Entry) -> Option<u32> {
        let mut end = entry.start;
        for length in entry.lengths.iter().filter(|length| **length != ABSENT) {
            let next = end.checked_add(*length)?;
            self.texts.get(end as usize..next as usize)?;
            end = next;
        }
        Some(end)
    }

    fn texts(&self, entry: &Entry) -> [Option<&str>; TEXTS_MAX] {
        let mut start = entry.start as usize;
        entry.lengths.map(|length| {
            (length != ABSENT).then(|| {
                let end = start + length as usize;
                let text = &self.texts[start..end];
                start = end;
                text
            })
        })
    }
}

impl Page for FramePage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        match self.view(index) {
            RecordView::Kinesis {
                sequence_number, ..
            } => sequence_number,
            RecordView::DynamoDb(item) => item.sequence_number,
            RecordView::Sqs(message) => message.message_id,
        }
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        let entry = &self.entries[index];
        let optional = self.texts(entry);
        let texts = optional.map(Option::unwrap_or_default);
        let moment = Wall(entry.numbers[0] as i64);
        match self.shape {
            Shape::Kinesis => RecordView::Kinesis {
                partition_key: texts[0],
                sequence_number: texts[1],
                data: texts[2],
                arrival: moment,
            },
            Shape::DynamoDb => RecordView::DynamoDb(ItemView {
                event_id: texts[0],
                event_name: texts[1],
                user_identity: optional[2],
                created: moment,
                keys: texts[3],
                new_image: optional[4],
                old_image: optional[5],
                sequence_number: texts[6],
                size_bytes: entry.numbers[1],
                view_type: texts[7],
            }),
            Shape::Sqs => RecordView::Sqs(MessageView {
                message_id: texts[0],
                receipt_handle: texts[1],
                body: texts[2],
                md5_of_body: texts[3],
                attributes: texts[4],
                message_attributes: texts[5],
                md5_of_message_attributes: optional[6],
                group: optional[7],
                receive_count: u32::try_from(entry.numbers[0]).unwrap_or(u32::MAX),
            }),
        }
    }

    fn pinned_bytes(&self) -> usize {
        self.texts.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.facts.capacity() * size_of::<RecordFacts>()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let mut texts = String::new();
        let mut copied = |index: u32| {
            let entry = self.entries[index as usize];
            let start = texts.len() as u32;
            texts.extend(self.texts(&entry).into_iter().flatten());
            Entry { start, ..entry }
        };
        let entries = indices.iter().map(|index| copied(*index)).collect();
        let facts = indices.iter().map(|index| self.facts[*index as usize]);
        Arc::new(Self {
            shape: self.shape,
            facts: facts.collect(),
            entries,
            texts,
        })
    }
}

impl fmt::Debug for FramePage {
    /// Tells sizes only: payloads and keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramePage")
            .field("records", &self.entries.len())
            .field("text_bytes", &self.texts.len())
            .finish()
    }
}

fn read_row(shape: Shape, row: &[u8], start: u32) -> (RecordFacts, Entry) {
    let mut rest = row;
    let facts = RecordFacts {
        key_hash: u64::from_le_bytes(take(&mut rest)),
        arrival: Wall(i64::from_le_bytes(take(&mut rest))),
        weight: u32::from_le_bytes(take(&mut rest)),
        filtered: false,
    };
    let mut entry = Entry {
        start,
        lengths: [ABSENT; TEXTS_MAX],
        numbers: [0; NUMBERS_MAX],
    };
    for number in &mut entry.numbers[..shape.numbers()] {
        *number = u64::from_le_bytes(take(&mut rest));
    }
    for length in &mut entry.lengths[..shape.texts()] {
        *length = u32::from_le_bytes(take(&mut rest));
    }
    (facts, entry)
}

/// Takes the first bytes of a row, which is as long as its shape says.
fn take<const LENGTH: usize>(rest: &mut &[u8]) -> [u8; LENGTH] {
    let (first, others) = rest.split_first_chunk().unwrap_or((&[0; LENGTH], &[]));
    *rest = others;
    *first
}

/// Writes at the start of a place that was measured to be large enough.
fn put(place: &mut &mut [u8], bytes: &[u8]) {
    let (here, rest) = std::mem::take(place).split_at_mut(bytes.len());
    here.copy_from_slice(bytes);
    *place = rest;
}

fn padded(parts: [Option<&str>; 3]) -> [Option<&str>; TEXTS_MAX] {
    let mut texts = [None; TEXTS_MAX];
    texts[..parts.len()].copy_from_slice(&parts);
    texts
}
