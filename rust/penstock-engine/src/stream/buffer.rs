//! Keeps the pages of one shard while any of their records is unsettled.
//!
//! Rules: a record's ordinal is its place in the order in which the shard was read, counted from
//! the start of this tenure; a page is dropped when its last live record is settled, but the
//! sequence number of its last record stays until the watermark has passed; when few live records
//! pin a page, they are copied out.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::SequenceNumber;
use crate::record::{Batch, Page, RecordFacts, RecordRef};

/// A page is worth compacting below one live record in so many.
const SPARSE: usize = 8;
/// Pages smaller than this are not worth compacting.
const COMPACT_BYTES_MIN: usize = 64 * 1024;

#[derive(Debug)]
struct Slot {
    base: u64,
    /// Ordinals covered, also by a page that has gone.
    len: u64,
    live: usize,
    page: Option<Arc<dyn Page>>,
    /// For a compacted page: the offsets of its records within the slot, ascending.
    offsets: Option<Vec<u32>>,
    last: SequenceNumber,
}

impl Slot {
    fn index_of(&self, ordinal: u64) -> usize {
        let offset = (ordinal - self.base) as u32;
        match &self.offsets {
            None => offset as usize,
            Some(kept) => kept.binary_search(&offset).expect("live records are kept"),
        }
    }

    fn bytes(&self) -> u64 {
        self.page
            .as_ref()
            .map_or(0, |page| page.pinned_bytes() as u64)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    slots: VecDeque<Slot>,
    next: u64,
    bytes: u64,
}

impl Buffer {
    /// The ordinal that the next record will get.
    pub fn next_ordinal(&self) -> u64 {
        self.next
    }

    /// Bytes of the pages held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a page in, of which `live` records are not settled yet. Returns its first ordinal.
    pub fn push(&mut self, page: Arc<dyn Page>, live: usize) {
        let len = page.facts().len();
        let last = SequenceNumber::new(page.sequence_number(len - 1));
        let base = self.next;
        self.next += len as u64;
        let mut slot = Slot {
            base,
            len: len as u64,
            live,
            page: Some(page),
            offsets: None,
            last,
        };
        if live == 0 {
            slot.page = None;
        }
        self.bytes += slot.bytes();
        self.slots.push_back(slot);
        self.merge_tail();
    }

    /// How many of these ascending ordinals, the first of which is `first`, share its page.
    pub fn run(&self, first: u64, ordinals: impl Iterator<Item = u64>) -> usize {
        let slot = &self.slots[self.find(first)];
        let end = slot.base + slot.len;
        ordinals.take_while(|ordinal| *ordinal < end).count()
    }

    /// Says that `count` live records of the page of `ordinal` are settled. Returns bytes freed.
    pub fn release(&mut self, ordinal: u64, count: usize) -> u64 {
        let at = self.find(ordinal);
        let slot = &mut self.slots[at];
        debug_assert!(slot.live >= count, "more records settled than were live");
        slot.live -= count;
        if slot.live > 0 {
            return 0;
        }
        let freed = slot.bytes();
        slot.page = None;
        slot.offsets = None;
        self.bytes -= freed;
        self.merge_around(at);
        freed
    }

    /// Forgets everything before the watermark but the last sequence number before it.
    pub fn trim(&mut self, watermark: u64) {
        while let Some(next) = self.slots.get(1) {
            // A page that begins at the watermark needs the number before it.
            if next.base >= watermark || self.slots[0].page.is_some() {
                return;
            }
            self.slots.pop_front();
        }
    }

    /// The sequence number of the record just before `ordinal`, if any was read.
    pub fn before(&self, ordinal: u64) -> Option<SequenceNumber> {
        let previous = ordinal.checked_sub(1)?;
        let at = self
            .slots
            .partition_point(|slot| slot.base + slot.len <= previous);
        let slot = self.slots.get(at)?;
        if previous < slot.base {
            return None;
        }
        if previous == slot.base + slot.len - 1 {
            return Some(slot.last.clone());
        }
        let page = slot.page.as_ref()?;
        Some(SequenceNumber::new(
            page.sequence_number(slot.index_of(previous)),
        ))
    }

    /// The sequence number of a live record.
    pub fn sequence(&self, ordinal: u64) -> SequenceNumber {
        let (page, index) = self.locate(ordinal);
        SequenceNumber::new(page.sequence_number(index))
    }

    /// The facts of a live record.
    pub fn facts(&self, ordinal: u64) -> RecordFacts {
        let (page, index) = self.locate(ordinal);
        page.facts()[index]
    }

    /// Gathers live records, given by ascending ordinals, into a batch.
    pub fn batch(&self, ordinals: impl ExactSizeIterator<Item = u64>) -> Batch {
        let mut batch = Batch {
            pages: Vec::new(),
            records: Vec::with_capacity(ordinals.len()),
        };
        let mut at = usize::MAX;
        for ordinal in ordinals {
            let inside = self
                .slots
                .get(at)
                .is_some_and(|slot| ordinal >= slot.base && ordinal < slot.base + slot.len);
            if !inside {
                at = self.find(ordinal);
                let page = self.slots[at]
                    .page
                    .as_ref()
                    .expect("live records keep their page");
                batch.pages.push(Arc::clone(page));
            }
            let index = self.slots[at].index_of(ordinal) as u32;
            batch.records.push(RecordRef {
                page: batch.pages.len() as u32 - 1,
                index,
            });
        }
        batch
    }

    /// Copies out the records of sparse pages. `live` lists all live ordinals from the first
    /// argument to the second, ascending. Returns bytes freed.
    pub fn compact(&mut self, mut live: impl FnMut(u64, u64) -> Vec<u64>) -> u64 {
        let mut freed = 0;
        for slot in &mut self.slots {
            let Some(page) = &slot.page else { continue };
            let sparse = slot.live * SPARSE < page.facts().len();
            if !sparse || page.pinned_bytes() < COMPACT_BYTES_MIN {
                continue;
            }
            let before = page.pinned_bytes();
            // The record before each live one stays too: it may become the watermark.
            let mut offsets = Vec::new();
            for ordinal in live(slot.base, slot.base + slot.len) {
                let offset = (ordinal - slot.base) as u32;
                for kept in [offset.checked_sub(1), Some(offset)].into_iter().flatten() {
                    if offsets.last() != Some(&kept) {
                        offsets.push(kept);
                    }
                }
            }
            let known = |offset: &u32| match &slot.offsets {
                None => Some(*offset),
                Some(kept) => kept.binary_search(offset).ok().map(|index| index as u32),
            };
            offsets.retain(|offset| known(offset).is_some());
            let indices: Vec<u32> = offsets.iter().filter_map(known).collect();
            let small = page.extract(&indices);
            freed += before.saturating_sub(small.pinned_bytes()) as u64;
            slot.page = Some(small);
            slot.offsets = Some(offsets);
        }
        self.bytes -= freed;
        freed
    }

    /// Drops everything; ordinals go on counting. Returns bytes freed.
    pub fn clear(&mut self) -> u64 {
        self.slots.clear();
        std::mem::take(&mut self.bytes)
    }

    fn locate(&self, ordinal: u64) -> (&Arc<dyn Page>, usize) {
        let slot = &self.slots[self.find(ordinal)];
        (
            slot.page.as_ref().expect("live records keep their page"),
            slot.index_of(ordinal),
        )
    }

    fn find(&self, ordinal: u64) -> usize {
        let at = self
            .slots
            .partition_point(|slot| slot.base + slot.len <= ordinal);
        debug_assert!(self.slots.get(at).is_some_and(|slot| slot.base <= ordinal));
        at
    }

    fn merge_tail(&mut self) {
        if !self.slots.is_empty() {
            self.merge_around(self.slots.len() - 1);
        }
    }

    /// Joins neighbours that have no page left: only the last sequence number of a run counts.
    fn merge_around(&mut self, at: usize) {
        let gone = |slot: Option<&Slot>| slot.is_some_and(|slot| slot.page.is_none());
        if !gone(self.slots.get(at)) {
            return;
        }
        if gone(self.slots.get(at + 1)) {
            let next = self.slots.remove(at + 1).expect("just looked at it");
            self.slots[at].len += next.len;
            self.slots[at].last = next.last;
        }
        if at > 0 && gone(self.slots.get(at - 1)) {
            let this = self.slots.remove(at).expect("just looked at it");
            self.slots[at - 1].len += this.len;
            self.slots[at - 1].last = this.last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::testing::page;

    fn number(text: &str) -> Option<SequenceNumber> {
        Some(SequenceNumber::new(text))
    }

    #[test]
    fn a_page_goes_with_its_last_live_record_and_leaves_its_last_number() {
        let mut buffer = Buffer::default();
        buffer.push(page(10..20, 1_000), 10);
        buffer.push(page(20..30, 1_000), 10);
        assert_eq!(buffer.release(0, 9), 0);
        assert_eq!(buffer.before(9), number("18"));
        assert_eq!(buffer.release(9, 1), 10_000);
        assert_eq!((buffer.bytes(), buffer.before(10)), (10_000, number("19")));
        buffer.trim(10);
        assert_eq!(
            buffer.before(10),
            number("19"),
            "the watermark still needs it"
        );
        assert_eq!(buffer.sequence(15).as_str(), "25");
    }

    #[test]
    fn pages_without_live_records_melt_together() {
        let mut buffer = Buffer::default();
        buffer.push(page(0..10, 100), 1);
        for start in 1..50 {
            buffer.push(page(start * 10..start * 10 + 10, 100), 0);
        }
        assert!(buffer.slots.len() <= 2, "{} slots", buffer.slots.len());
        assert_eq!(buffer.before(500), number("499"));
        assert_eq!(buffer.before(0), None);
    }

    #[test]
    fn a_batch_names_each_page_once() {
        let mut buffer = Buffer::default();
        buffer.push(page(0..3, 100), 3);
        buffer.push(page(3..6, 100), 3);
        let batch = buffer.batch([1, 2, 4].into_iter());
        assert_eq!(batch.pages.len(), 2);
        let numbers: Vec<_> = (0..3).map(|at| batch.sequence_number(at)).collect();
        assert_eq!(numbers, ["1", "2", "4"]);
    }

    #[test]
    fn stragglers_are_copied_out_with_the_number_before_them() {
        let mut buffer = Buffer::default();
        buffer.push(page(0..1_000, 1_000), 1_000);
        buffer.release(0, 998);
        let live = |from: u64, to: u64| {
            [500, 900]
                .into_iter()
                .filter(|at| (from..to).contains(at))
                .collect()
        };
        assert_eq!(buffer.compact(live), 996_000);
        assert_eq!((buffer.bytes(), buffer.before(500)), (4_000, number("499")));
        assert_eq!(
            buffer.batch([500, 900].into_iter()).sequence_number(1),
            "900"
        );
        assert_eq!(buffer.compact(live), 0, "a small page is left alone");
        buffer.release(500, 1);
        assert_eq!(buffer.release(900, 1), 4_000);
    }
}
