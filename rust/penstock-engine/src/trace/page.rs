//! Keeps what the engine sees of a page, without its payloads.
//!
//! Rules: a page from a trace gives the engine the same facts, numbers and sizes as the page that
//! was recorded; what an event would show of its records is gone, and shows as empty.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{Page, RecordFacts, RecordView};

/// A page without payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Columns")]
pub struct FactsPage {
    sequence_numbers: Vec<String>,
    facts: Vec<RecordFacts>,
    /// What a page of each record alone would hold on to.
    record_bytes: Vec<u64>,
    pinned_bytes: u64,
}

impl FactsPage {
    /// What the engine sees of `page`. Copies each record once to learn what it weighs alone: for
    /// debugging, not for every day.
    #[must_use]
    pub fn of(page: &dyn Page) -> Self {
        let facts = page.facts().to_vec();
        let indices = 0..facts.len();
        let alone = |index| page.extract(&[index as u32]).pinned_bytes() as u64;
        Self {
            sequence_numbers: indices
                .clone()
                .map(|i| page.sequence_number(i).to_owned())
                .collect(),
            record_bytes: indices.map(alone).collect(),
            facts,
            pinned_bytes: page.pinned_bytes() as u64,
        }
    }

    /// The page behind the pointer that the engine takes.
    #[must_use]
    pub fn shared(self) -> Arc<dyn Page> {
        Arc::new(self)
    }
}

impl Page for FactsPage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.sequence_numbers[index]
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Kinesis {
            partition_key: "",
            sequence_number: &self.sequence_numbers[index],
            data: "",
            arrival: self.facts[index].arrival,
        }
    }

    fn pinned_bytes(&self) -> usize {
        usize::try_from(self.pinned_bytes).unwrap_or(usize::MAX)
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let chosen = || indices.iter().map(|&index| index as usize);
        let record_bytes: Vec<u64> = chosen().map(|index| self.record_bytes[index]).collect();
        Arc::new(Self {
            sequence_numbers: chosen().map(|i| self.sequence_numbers[i].clone()).collect(),
            facts: chosen().map(|index| self.facts[index]).collect(),
            pinned_bytes: record_bytes.iter().sum(),
            record_bytes,
        })
    }
}

/// The same before it is known that the columns have one length.
#[derive(Deserialize)]
struct Columns {
    sequence_numbers: Vec<String>,
    facts: Vec<RecordFacts>,
    record_bytes: Vec<u64>,
    pinned_bytes: u64,
}

impl TryFrom<Columns> for FactsPage {
    type Error = String;

    fn try_from(columns: Columns) -> Result<Self, String> {
        let Columns {
            sequence_numbers,
            facts,
            record_bytes,
            pinned_bytes,
        } = columns;
        let lengths = [sequence_numbers.len(), facts.len(), record_bytes.len()];
        if lengths != [facts.len(); 3] {
            return Err(format!(
                "a page with columns of different lengths: {lengths:?}"
            ));
        }
        Ok(Self {
            sequence_numbers,
            facts,
            record_bytes,
            pinned_bytes,
        })
    }
}
