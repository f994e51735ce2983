//! Keeps a stream in the process, for tests: records, closing, and failures on command.
//!
//! Rules: it behaves as a source must, and fails only when told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::{Position, ShardId};
use penstock_engine::io::{Fetched, ShardInfo, ShardListing};
use penstock_engine::time::Wall;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::SourceError;
use crate::page::{Slice, SlicePage, SliceRecord};
use crate::ports::{FetchRequest, StreamSource};

/// A stream in the process.
pub struct MemorySource {
    clock: Arc<dyn Clock>,
    content: Mutex<Content>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Content {
    shards: BTreeMap<ShardId, Shard>,
    faults: VecDeque<Fault>,
    fetches: u64,
}

#[derive(Default)]
struct Shard {
    parents: Vec<ShardId>,
    closed: bool,
    records: Vec<Record>,
}

struct Record {
    partition_key: String,
    data: String,
    arrival: Wall,
}

impl MemorySource {
    /// A stream with `shards` open shards, `shard-0` and so on.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, shards: u32) -> Arc<Self> {
        let source = Self {
            clock,
            content: Mutex::default(),
            changed: watch::Sender::new(()),
        };
        for number in 0..shards {
            source.open_shard(format!("shard-{number}"), Vec::new());
        }
        Arc::new(source)
    }

    /// Adds a shard.
    pub fn open_shard(&self, id: impl Into<String>, parents: Vec<ShardId>) {
        let shard = Shard {
            parents,
            ..Shard::default()
        };
        self.content().shards.insert(ShardId::new(id.into()), shard);
        self.changed.send_replace(());
    }

    /// Ends a shard; nothing more comes in it.
    pub fn close_shard(&self, id: &str) {
        if let Some(shard) = self.content().shards.get_mut(&ShardId::new(id)) {
            shard.closed = true;
        }
        self.changed.send_replace(());
    }

    /// Appends a record to a shard that exists.
    pub fn push(&self, id: &str, partition_key: &str, data: &[u8]) {
        let arrival = self.clock.now().wall;
        let record = Record {
            partition_key: partition_key.to_owned(),
            data: STANDARD.encode(data),
            arrival,
        };
        if let Some(shard) = self.content().shards.get_mut(&ShardId::new(id)) {
            shard.records.push(record);
        }
        self.changed.send_replace(());
    }

    /// The next fetch fails so.
    pub fn fail_next_fetch(&self, kind: FaultKind, message: &str) {
        self.content().faults.push_back(Fault::new(kind, message));
    }

    /// How many fetches have come.
    #[must_use]
    pub fn fetches(&self) -> u64 {
        self.content().fetches
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, request: &FetchRequest) -> Result<Fetched, Fault> {
        let mut content = self.content();
        content.fetches += 1;
        if let Some(fault) = content.faults.pop_front() {
            return Err(fault);
        }
        let shard = content.shards.get(&request.shard).ok_or_else(|| {
            Fault::new(
                FaultKind::NotFound,
                format!("there is no shard {}", request.shard),
            )
        })?;
        let start = shard.start(&request.from)?;
        let end = shard
            .records
            .len()
            .min(start.saturating_add(request.limit as usize));
        let more = end < shard.records.len();
        let last = shard.records[start..end]
            .last()
            .map(|record| record.arrival);
        let age = last.map_or(0, |last| {
            self.clock.now().wall.millis_since(last).unsigned_abs()
        });
        let ended = shard.closed && !more;
        let children = content
            .shards
            .iter()
            .filter(|(_, child)| ended && child.parents.contains(&request.shard))
            .map(|(id, child)| child.info(id))
            .collect();
        let page = (start < end).then(|| shard.page(start, end)).transpose()?;
        let behind_ms = Some(if more { age.max(1) } else { 0 });
        Ok(Fetched {
            page,
            next: None,
            behind_ms,
            ended,
            children,
        })
    }
}

impl Shard {
    fn info(&self, id: &ShardId) -> ShardInfo {
        ShardInfo {
            id: id.clone(),
            parents: self.parents.clone(),
            closed: self.closed,
        }
    }

    /// Records count from 1; the place of a record is one less.
    fn start(&self, from: &Position) -> Result<usize, Fault> {
        Ok(match from {
            Position::TrimHorizon => 0,
            Position::ShardEnd => self.records.len(),
            Position::AtTimestamp(at) => self
                .records
                .iter()
                .take_while(|record| record.arrival < *at)
                .count(),
            Position::After { sequence, .. } => {
                let number = sequence.as_str().parse::<usize>().ok();
                number
                    .filter(|number| *number <= self.records.len())
                    .ok_or_else(|| {
                        let message = format!("{sequence} is not a sequence number of this shard");
                        Fault::new(FaultKind::Invalid, message)
                    })?
            }
        })
    }

    fn page(
        &self,
        start: usize,
        end: usize,
    ) -> Result<Arc<dyn penstock_engine::record::Page>, Fault> {
        let too_large = || Fault::new(FaultKind::TooLarge, "the page has more than 2 GiB");
        let mut body = String::new();
        let mut add = |text: &str| {
            let from = body.len();
            body.push_str(text);
            Slice::of_body(from..body.len()).ok_or_else(too_large)
        };
        let mut records = Vec::with_capacity(end - start);
        for (index, record) in self.records[start..end].iter().enumerate() {
            records.push(SliceRecord {
                partition_key: add(&record.partition_key)?,
                sequence_number: add(&(start + index + 1).to_string())?,
                data: add(&record.data)?,
                arrival: record.arrival,
            });
        }
        let page = SlicePage::new(body, String::new(), records)
            .map_err(|error| Fault::new(FaultKind::Fatal, error.to_string()))?;
        Ok(Arc::new(page))
    }
}

impl StreamSource for MemorySource {
    fn profile(&self) -> SourceProfile {
        SourceProfile {
            idle_interval: Duration::from_millis(50),
            fetch_wait: Duration::from_secs(1),
            fetch_records_max: 10_000,
            fetch_bytes_max: 12 << 20,
            tip_reads_per_second: None,
            list_interval: Duration::from_secs(60),
        }
    }

    fn list_shards(&self) -> BoxFuture<'_, Result<ShardListing, SourceError>> {
        Box::pin(async move {
            let shards = self
                .content()
                .shards
                .iter()
                .map(|(id, one)| one.info(id))
                .collect();
            let server_time = self.clock.now().wall;
            Ok(ShardListing {
                shards,
                server_time,
                incarnation: None,
                retention: None,
            })
        })
    }

    fn ready<'a>(&'a self, request: &'a FetchRequest) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let until = self.clock.now().mono + request.wait;
            let mut time_up = self.clock.sleep_until(until);
            let mut changes = self.changed.subscribe();
            loop {
                let readable = {
                    let content = self.content();
                    !content.faults.is_empty()
                        || content.shards.get(&request.shard).is_none_or(|shard| {
                            let start = shard.start(&request.from);
                            shard.closed || start.map_or(true, |at| at < shard.records.len())
                        })
                };
                if readable {
                    return;
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    () = &mut time_up => return,
                }
            }
        })
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, SourceError>> {
        Box::pin(async move {
            self.ready(&request).await;
            self.read(&request).map_err(SourceError::from)
        })
    }
}
