//! Holds one fetch's records for the engine, and counts what it makes the process keep.
//!
//! Rules: a page is counted in the ledger from its making until its last holder lets go, so the
//! world knows what is really pinned without asking the engine.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_engine::record::{Page, RecordFacts, RecordView};
use penstock_engine::stream::router::hash_key;

use crate::stream::SimRecord;

/// Bytes of all pages that somebody still holds.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<AtomicU64>);

impl Ledger {
    /// What is pinned now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Somebody holds so many bytes more.
    pub(crate) fn pin(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Somebody lets go of so many bytes.
    pub(crate) fn unpin(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A page of simulated records.
pub struct SimPage {
    facts: Vec<RecordFacts>,
    digits: Vec<String>,
    keys: Vec<String>,
    bytes: u64,
    ledger: Ledger,
}

impl SimPage {
    /// A page with these records.
    #[must_use]
    pub fn new<'a>(records: impl Iterator<Item = &'a SimRecord>, ledger: &Ledger) -> Self {
        let mut page = Self {
            facts: Vec::new(),
            digits: Vec::new(),
            keys: Vec::new(),
            bytes: 0,
            ledger: ledger.clone(),
        };
        for record in records {
            let key = key_text(record.key);
            page.facts.push(RecordFacts {
                key_hash: hash_key(key.as_bytes()),
                arrival: record.arrival,
                weight: record.weight,
                filtered: record.filtered,
            });
            page.digits.push(record.sequence.to_string());
            page.keys.push(key);
            page.bytes += u64::from(record.weight);
        }
        page.counted()
    }

    fn counted(self) -> Self {
        self.ledger.pin(self.bytes);
        self
    }
}

impl fmt::Debug for SimPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.digits.first(), self.digits.last());
        write!(
            f,
            "Page {{ {} records, {first:?} to {last:?} }}",
            self.digits.len()
        )
    }
}

impl Drop for SimPage {
    fn drop(&mut self) {
        self.ledger.unpin(self.bytes);
    }
}

impl Page for SimPage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.digits[index]
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Kinesis {
            partition_key: &self.keys[index],
            sequence_number: &self.digits[index],
            data: "cGVuc3RvY2s=",
            arrival: self.facts[index].arrival,
        }
    }

    fn pinned_bytes(&self) -> usize {
        usize::try_from(self.bytes).expect("pages are small")
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let at = |index: &u32| *index as usize;
        let facts: Vec<RecordFacts> = indices.iter().map(|index| self.facts[at(index)]).collect();
        let bytes = facts.iter().map(|facts| u64::from(facts.weight)).sum();
        let page = Self {
            digits: indices
                .iter()
                .map(|index| self.digits[at(index)].clone())
                .collect(),
            keys: indices
                .iter()
                .map(|index| self.keys[at(index)].clone())
                .collect(),
            facts,
            bytes,
            ledger: self.ledger.clone(),
        };
        Arc::new(page.counted())
    }
}

/// The partition key's text.
#[must_use]
pub fn key_text(key: u32) -> String {
    format!("key-{key}")
}
