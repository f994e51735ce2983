//! Marks the records of a page that the filters drop.
//!
//! Rules: a page of which every record passes is given back as it came, and looked at only when
//! there are filters; otherwise it is wrapped, and only its facts are new.

use std::sync::Arc;

use super::matcher::Matcher;
use crate::event::EventContext;
use crate::record::{Page, RecordFacts, RecordView};

/// The page with the verdict of the mapping's filters, if it has any, in its facts.
#[must_use]
pub fn mark(page: Arc<dyn Page>, context: &EventContext<'_>) -> Arc<dyn Page> {
    let Some(filters) = context.config.filters.as_deref() else {
        return page;
    };
    let mut matcher = Matcher::new(filters, context);
    let mut facts = Vec::new();
    for index in 0..page.facts().len() {
        if !matcher.passes(&page.view(index)) {
            if facts.is_empty() {
                facts = page.facts().to_vec();
            }
            facts[index].filtered = true;
        }
    }
    match facts.is_empty() {
        true => page,
        false => Arc::new(Marked { page, facts }),
    }
}

/// A page with facts of its own.
#[derive(Debug)]
struct Marked {
    page: Arc<dyn Page>,
    facts: Vec<RecordFacts>,
}

impl Page for Marked {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        self.page.sequence_number(index)
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        self.page.view(index)
    }

    fn aggregated(&self) -> bool {
        self.page.aggregated()
    }

    fn pinned_bytes(&self) -> usize {
        self.page.pinned_bytes() + self.facts.capacity() * size_of::<RecordFacts>()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let page = self.page.extract(indices);
        let facts = indices.iter().map(|&index| self.facts[index as usize]);
        let facts: Vec<RecordFacts> = facts.collect();
        match facts.iter().any(|facts| facts.filtered) {
            true => Arc::new(Self { page, facts }),
            false => page,
        }
    }
}
