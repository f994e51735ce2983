//! Pieces of the hot path, each made once and run as often as is wanted.

use std::hint::black_box;
use std::sync::Arc;

use penstock_engine::config::MappingConfig;
use penstock_engine::event::json::{CountingSink, JsonSink};
use penstock_engine::event::{self, EventContext};
use penstock_engine::filter;
use penstock_engine::ids::ShardId;
use penstock_engine::record::{Batch, Page, RecordRef};

use crate::life::{self, Life};
use crate::pages;

/// Pages on their way past a mapping's filters.
pub struct Filtering {
    shard: ShardId,
    config: MappingConfig,
    page: Arc<dyn Page>,
}

impl Filtering {
    /// So many orders, and the filters of `config`.
    #[must_use]
    pub fn of(records: usize, config: MappingConfig) -> Self {
        Self {
            shard: shard(),
            config,
            page: pages::orders(records),
        }
    }

    /// Marks the page.
    ///
    /// # Panics
    /// When a record does not pass.
    pub fn run(&self) {
        let context = EventContext {
            shard: &self.shard,
            config: &self.config,
        };
        let passed = black_box(filter::mark(black_box(self.page.clone()), &context));
        assert!(Arc::ptr_eq(&passed, &self.page), "every record passes");
    }
}

/// A batch on its way into the text of an event.
pub struct Encoding {
    shard: ShardId,
    config: MappingConfig,
    batch: Batch,
}

impl Encoding {
    /// So many records.
    #[must_use]
    pub fn of(records: usize) -> Self {
        let page = pages::page(0, records);
        let records = 0..page.facts().len() as u32;
        Self {
            shard: shard(),
            config: life::config(),
            batch: Batch {
                pages: vec![page],
                records: records.map(|index| RecordRef { page: 0, index }).collect(),
            },
        }
    }

    /// Writes the event.
    pub fn write(&self) {
        let mut sink = JsonSink::with_capacity(1 << 24);
        let Ok(()) = event::walk(&self.context(), &self.batch, &mut sink);
        black_box(sink.into_bytes());
    }

    /// Counts the event's bytes.
    pub fn measure(&self) {
        let mut sink = CountingSink::default();
        let Ok(()) = event::walk(&self.context(), &self.batch, &mut sink);
        black_box(sink.bytes());
    }

    fn context(&self) -> EventContext<'_> {
        EventContext {
            shard: &self.shard,
            config: &self.config,
        }
    }
}

/// A mapping whose batches go from their fetch to their checkpoint, with the pages for them.
pub struct Delivering {
    life: Life,
    pages: std::vec::IntoIter<Arc<dyn Page>>,
    records: usize,
}

impl Delivering {
    /// So many pages of so many records.
    #[must_use]
    pub fn of(pages: u32, records: usize) -> Self {
        let made: Vec<_> = (0..pages).map(|nth| pages::page(nth, records)).collect();
        Self {
            life: Life::begin(),
            pages: made.into_iter(),
            records,
        }
    }

    /// Delivers the next page.
    ///
    /// # Panics
    /// When there is none, or a batch does not hold all of it.
    pub fn next(&mut self) {
        let page = self.pages.next().expect("there is a page for every run");
        let ran = self.life.deliver(page);
        assert_eq!(ran, self.records, "a batch holds the whole page");
    }
}

fn shard() -> ShardId {
    ShardId::new("shardId-000000000000")
}
