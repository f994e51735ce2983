//! Takes a GetRecords answer in as it arrives, and hands its records out in pages.
//!
//! Rules: bytes are scanned while they are still in the processor's cache, and a piece that fills
//! most of a receive buffer becomes a page as it lies there: only the record that was cut in two
//! is copied, into the page's side text. Small pieces are gathered. The records of all
//! pages and of the end are those that `read` finds in the whole answer, or the end is its
//! refusal; a page has only whole records, and the last one that was scanned is always held back,
//! so that the end of the answer is read by the rules for whole answers: it is the text before the
//! first record, then everything from the record that was held back. What the scanner does not
//! take at once is left for that end.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use penstock_engine::ids::SequenceNumber;
use penstock_engine::record::Page;
use penstock_runtime::page::{SlicePage, SliceRecord, Texts};
use penstock_runtime::ports::Parts;

use super::cursor::Cursor;
use super::{BadAnswer, Records, fast, read};
use crate::client::{RECEIVE_BYTES, Taker};

/// Bytes after which a page is cut: a fraction of the processor's second cache.
const PAGE_BYTES: usize = 256 << 10;

/// Bytes from which on a piece stays in its receive buffer: half of one, so that pages pin at most
/// twice what they hold.
const SHARED_BYTES: usize = RECEIVE_BYTES / 2;

/// Bytes of a piece that are looked at first for the end of the record before it.
const BRIDGE_BYTES: usize = 4 << 10;

/// What has come of an answer and was not handed out.
pub(crate) struct Intake {
    parts: Parts,
    /// The answer up to its first record, once a page was cut.
    head: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of the body after which a page is cut; doubled when that came to nothing.
    full: usize,
    page_bytes: usize,
    shared_bytes: usize,
    last: Option<SequenceNumber>,
}

impl Intake {
    /// An answer of which nothing has come, for a taker of its parts.
    pub(crate) fn new(parts: Parts) -> Self {
        Self::with_pages_of(PAGE_BYTES, parts)
    }

    pub(super) fn with_pages_of(page_bytes: usize, parts: Parts) -> Self {
        Self {
            head: Vec::new(),
            body: Vec::new(),
            full: if parts.are_wanted() {
                page_bytes
            } else {
                usize::MAX
            },
            parts,
            page_bytes,
            shared_bytes: SHARED_BYTES,
            last: None,
        }
    }

    #[cfg(test)]
    pub(super) fn shared_from(&mut self, bytes: usize) {
        self.shared_bytes = bytes;
    }

    /// The last record that was handed out as a part.
    pub(crate) fn last(&self) -> Option<&SequenceNumber> {
        self.last.as_ref()
    }

    /// Reads what is left of the whole answer.
    pub(crate) fn finish(self) -> Result<Records, BadAnswer> {
        match self.last {
            None => read(self.body),
            Some(_) => {
                let mut text = self.head;
                text.extend_from_slice(&self.body);
                read(text)
            }
        }
    }

    /// Hands out the whole records of the body, but for the last one.
    fn cut(&mut self) {
        match self.page() {
            Some((page, held)) => self.hand_out(page, held),
            None => self.full *= 2,
        }
    }

    fn hand_out(&mut self, page: SlicePage, held: Vec<u8>) {
        self.full = self.page_bytes.max(2 * held.len());
        self.body = held;
        let last = page.sequence_number(page.facts().len() - 1);
        self.last = Some(SequenceNumber::new(last));
        self.parts.take(Arc::new(page));
    }

    /// Makes a page of what was held and of a piece that stays where it is; false when the piece
    /// has to be gathered like others.
    fn share(&mut self, data: &Bytes) -> bool {
        // To look for the end of a record that is larger than a piece copies all of it each time.
        let vast = self.body.len() > self.shared_bytes;
        if vast || data.len() < self.shared_bytes || self.full == usize::MAX {
            return false;
        }
        let Some((page, held)) = self.shared_page(data) else {
            return false;
        };
        self.hand_out(page, held);
        true
    }

    fn shared_page(&mut self, data: &Bytes) -> Option<(SlicePage, Vec<u8>)> {
        let Bridge {
            text,
            first,
            mut records,
        } = self.bridge(data)?;
        let rest = data.slice(text.len() - self.body.len()..);
        let mut cursor = Cursor { body: &rest, at: 0 };
        let (mut whole, end) = whole_records(&mut cursor);
        whole.pop()?;
        records.append(&mut whole);
        if records.is_empty() {
            return None;
        }
        let body = ByteString::try_from(rest.slice(..end)).ok()?;
        let head = text[..first].to_vec();
        let texts = Texts::sharing(body, RECEIVE_BYTES, String::from_utf8(text).ok()?);
        let page = SlicePage::of_texts(texts, records).ok()?;
        if self.last.is_none() {
            self.head = head;
        }
        Some((page, rest[end..].to_vec()))
    }

    /// What was held, up to the first record that begins in the data.
    fn bridge(&self, data: &[u8]) -> Option<Bridge> {
        let held = self.body.len();
        // Records are much alike, and at least one of them is held.
        let mut more = BRIDGE_BYTES.max(held);
        loop {
            let enough = more >= data.len();
            let text = [&self.body, &data[..more.min(data.len())]].concat();
            if let Some(bridge) = Bridge::over(text, held, self.last.is_none()) {
                return Some(bridge);
            }
            if enough {
                return None;
            }
            more *= 2;
        }
    }

    /// A page of the whole records but the last, and the bytes from there on.
    fn page(&mut self) -> Option<(SlicePage, Vec<u8>)> {
        let mut cursor = Cursor {
            body: &self.body,
            at: 0,
        };
        let first = match self.last {
            None => fast::to_records(&mut cursor)?,
            Some(_) => 0,
        };
        let (mut records, end) = whole_records(&mut cursor);
        records.pop()?;
        if records.is_empty() {
            return None;
        }
        let mut held = Vec::with_capacity(self.page_bytes);
        held.extend_from_slice(&self.body[end..]);
        if self.last.is_none() {
            self.head = self.body[..first].to_vec();
        }
        let mut text = std::mem::take(&mut self.body);
        text.truncate(end);
        match String::from_utf8(text) {
            Ok(text) => {
                let page = SlicePage::new(text, String::new(), records);
                Some((page.ok()?, held))
            }
            Err(error) => {
                // The end of the answer says so; until then nothing is lost.
                self.body = error.into_bytes();
                self.body.extend_from_slice(&held);
                None
            }
        }
    }
}

impl Taker for Intake {
    /// Makes room once.
    fn announce(&mut self, bytes: usize) {
        self.body.reserve_exact(bytes.min(self.full));
    }

    fn take(&mut self, data: Bytes) {
        if self.share(&data) {
            return;
        }
        let mut data = data.as_ref();
        while self.body.len() + data.len() >= self.full {
            let (fits, rest) = data.split_at(self.full - self.body.len());
            self.body.extend_from_slice(fits);
            self.cut();
            data = rest;
        }
        self.body.extend_from_slice(data);
    }
}

/// Whole records that begin in one piece and end in the next.
struct Bridge {
    /// Everything up to the first record that begins in the next piece.
    text: Vec<u8>,
    /// Where the first record begins.
    first: usize,
    records: Vec<SliceRecord>,
}

impl Bridge {
    /// The bridge in a text that was held up to a place; `None` when its end is not there.
    fn over(mut text: Vec<u8>, held: usize, begins: bool) -> Option<Self> {
        let mut cursor = Cursor { body: &text, at: 0 };
        let first = match begins {
            true => fast::to_records(&mut cursor)?,
            false => 0,
        };
        let mut records = Vec::new();
        while cursor.at < held {
            records.push(cursor.record()?.in_side());
            cursor.more(b']').filter(|more| *more)?;
        }
        let end = cursor.at;
        text.truncate(end);
        Some(Self {
            text,
            first,
            records,
        })
    }
}

/// Records as far as they are whole, and where the last of them begins.
fn whole_records(cursor: &mut Cursor<'_>) -> (Vec<SliceRecord>, usize) {
    let (mut records, mut begin) = (Vec::new(), cursor.at);
    let mut next = cursor.at;
    while let Some(record) = cursor.record() {
        begin = next;
        if records.is_empty() {
            // Records of one answer are much alike: one allocation for all of them, as a rule.
            let likely = (cursor.body.len() - begin) / (cursor.at - begin) + 2;
            records.reserve_exact(likely.min(10_000));
        }
        records.push(record);
        if cursor.more(b']') != Some(true) {
            break;
        }
        next = cursor.at;
    }
    (records, begin)
}
