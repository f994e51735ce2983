//! Keeps the records of one shard, encoded once.
//!
//! Records stand as the JSON text in which every answer will carry them, joined by commas, in
//! segments. A sealed segment is shared memory: a page is a few slices of it and copies nothing.
//! Only the open tail, at most [`SEGMENT_BYTES`], is copied when it is read. Records have the
//! indexes 1, 2, 3 … without gaps; trimming moves the first index up.

use std::collections::VecDeque;

use bytes::Bytes;

/// When the tail holds this much text it is sealed.
pub const SEGMENT_BYTES: usize = 1 << 20;

/// What is known of one record besides its text.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Where the record's text ends in its segment.
    end: usize,
    /// Bytes of data and partition key, as limits count them.
    pub size: usize,
    /// When it arrived, by the server's clock.
    pub arrived_ms: u64,
}

/// The records of one shard.
#[derive(Debug)]
pub struct Log {
    sealed: VecDeque<Segment<Bytes>>,
    tail: Segment<Vec<u8>>,
    first: u64,
}

#[derive(Debug)]
struct Segment<T> {
    first: u64,
    metas: Vec<Meta>,
    text: T,
}

/// Records read together, as slices of text in which records are already joined by commas.
#[derive(Debug, Default)]
pub struct Page {
    /// The slices, to be joined by commas.
    pub slices: Vec<Bytes>,
    /// How many records they hold.
    pub count: usize,
    /// Bytes of data and partition keys.
    pub size: usize,
    /// The index to read from next.
    pub next: u64,
    /// When the last of them arrived.
    pub last_arrived_ms: Option<u64>,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        let tail = Segment {
            first: 1,
            metas: Vec::new(),
            text: Vec::new(),
        };
        Self {
            sealed: VecDeque::new(),
            tail,
            first: 1,
        }
    }

    /// The index the next record will have.
    #[must_use]
    pub fn tip(&self) -> u64 {
        self.tail.end()
    }

    /// The index of the oldest record that was not trimmed; the tip when there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Appends one encoded record.
    pub fn push(&mut self, text: &[u8], size: usize, arrived_ms: u64) {
        if !self.tail.text.is_empty() {
            self.tail.text.push(b',');
        }
        self.tail.text.extend_from_slice(text);
        self.tail.metas.push(Meta {
            end: self.tail.text.len(),
            size,
            arrived_ms,
        });
        if self.tail.text.len() >= SEGMENT_BYTES {
            self.seal();
        }
    }

    /// Seals the tail, so that reading it copies nothing.
    pub fn seal(&mut self) {
        if self.tail.metas.is_empty() {
            return;
        }
        let fresh = Segment {
            first: self.tip(),
            metas: Vec::new(),
            text: Vec::new(),
        };
        let full = std::mem::replace(&mut self.tail, fresh);
        let text = Bytes::from(full.text);
        self.sealed.push_back(Segment {
            first: full.first,
            metas: full.metas,
            text,
        });
    }

    /// Reads from an index on: at most `limit` records and `max_size` bytes, but at least one.
    #[must_use]
    pub fn read(&self, from: u64, limit: usize, max_size: usize) -> Page {
        let from = from.clamp(self.first, self.tip());
        let mut page = Page {
            next: from,
            ..Page::default()
        };
        let skipped = self.sealed.partition_point(|segment| segment.end() <= from);
        for segment in self.sealed.iter().skip(skipped) {
            let (start, stop) = segment.fill(&mut page, limit, max_size);
            if start == stop {
                return page;
            }
            page.slices.push(segment.text.slice(start..stop));
        }
        let (start, stop) = self.tail.fill(&mut page, limit, max_size);
        if start < stop {
            page.slices
                .push(Bytes::copy_from_slice(&self.tail.text[start..stop]));
        }
        page
    }

    /// When the record at an index arrived; `None` when there is no such record.
    #[must_use]
    pub fn arrived_ms(&self, index: u64) -> Option<u64> {
        if index < self.first {
            return None;
        }
        if index >= self.tail.first {
            return self.tail.meta(index).map(|meta| meta.arrived_ms);
        }
        let at = self
            .sealed
            .partition_point(|segment| segment.end() <= index);
        self.sealed.get(at)?.meta(index).map(|meta| meta.arrived_ms)
    }

    /// The index of the first record that arrived at or after a time; the tip when none did.
    #[must_use]
    pub fn index_at(&self, time_ms: u64) -> u64 {
        let (mut low, mut high) = (self.first, self.tip());
        while low < high {
            let middle = low + (high - low) / 2;
            if self
                .arrived_ms(middle)
                .is_some_and(|arrived| arrived >= time_ms)
            {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// Forgets every record below an index.
    pub fn trim(&mut self, below: u64) {
        self.first = below.clamp(self.first, self.tip());
        while self
            .sealed
            .front()
            .is_some_and(|segment| segment.end() <= self.first)
        {
            self.sealed.pop_front();
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: AsRef<[u8]>> Segment<T> {
    fn end(&self) -> u64 {
        self.first + self.metas.len() as u64
    }

    fn meta(&self, index: u64) -> Option<&Meta> {
        self.metas
            .get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Counts what of this segment fits into the page, and gives its range of text.
    fn fill(&self, page: &mut Page, limit: usize, max_size: usize) -> (usize, usize) {
        let Some(offset) = page.next.checked_sub(self.first) else {
            return (0, 0);
        };
        let offset = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.metas.len());
        let start = if offset == 0 {
            0
        } else {
            self.metas[offset - 1].end + 1
        };
        let mut stop = start;
        for meta in &self.metas[offset..] {
            let fits = page.count == 0 || page.size + meta.size <= max_size;
            if page.count == limit || !fits {
                break;
            }
            page.count += 1;
            page.size += meta.size;
            page.next += 1;
            page.last_arrived_ms = Some(meta.arrived_ms);
            stop = meta.end;
        }
        (start, stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64, text_len: usize) -> Log {
        let mut log = Log::new();
        for index in 1..=count {
            log.push(format!("{index:0text_len$}").as_bytes(), 10, 1000 + index);
        }
        log
    }

    fn text(page: &Page) -> String {
        let parts: Vec<&str> = page
            .slices
            .iter()
            .map(|slice| std::str::from_utf8(slice).expect("ascii"))
            .collect();
        parts.join(",")
    }

    #[test]
    fn reads_by_limit_and_by_size() {
        let log = filled(5, 1);
        assert_eq!(text(&log.read(0, 100, 1000)), "1,2,3,4,5");
        assert_eq!(text(&log.read(2, 2, 1000)), "2,3");
        assert_eq!(text(&log.read(2, 100, 30)), "2,3,4");
        assert_eq!(text(&log.read(2, 100, 1)), "2", "one record always fits");
        assert_eq!(log.read(6, 100, 1000).next, 6);
        assert_eq!(log.read(99, 100, 1000).next, 6);
    }

    #[test]
    fn sealed_segments_and_the_tail_read_as_one() {
        let log = filled(5000, 1000);
        assert!(log.sealed.len() >= 4);
        let page = log.read(1, 10_000, usize::MAX);
        assert_eq!(page.count, 5000);
        let whole = text(&page);
        for (nth, record) in whole.split(',').enumerate() {
            assert_eq!(record.parse::<usize>(), Ok(nth + 1));
        }
        let mut next = 1;
        let mut seen = 0;
        while next < log.tip() {
            let page = log.read(next, 333, usize::MAX);
            assert_eq!(text(&page).split(',').count(), page.count);
            seen += page.count;
            next = page.next;
        }
        assert_eq!(seen, 5000);
    }

    #[test]
    fn trimming_moves_the_horizon() {
        let mut log = filled(5000, 1000);
        log.trim(4000);
        assert_eq!(log.first(), 4000);
        assert_eq!(log.read(1, 1, usize::MAX).next, 4001);
        assert_eq!(log.arrived_ms(3999), None);
        assert_eq!(log.arrived_ms(4000), Some(5000));
        log.trim(10);
        assert_eq!(log.first(), 4000, "never back");
        log.trim(u64::MAX);
        assert_eq!((log.first(), log.tip()), (5001, 5001));
    }

    #[test]
    fn a_time_finds_the_next_record() {
        let log = filled(3000, 1000);
        assert_eq!(log.index_at(0), 1);
        assert_eq!(log.index_at(1500), 500);
        assert_eq!(log.index_at(9_999_999), 3001);
    }
}
