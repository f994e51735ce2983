//! Reads the stream for the engine: pages, empty answers, ends, faults.
//!
//! Rules: a read finds what stands in the stream when the answer leaves; the model is handed the
//! records together with the engine, if the tenure that asked is still the current one; an answer
//! may come in two parts, and the second part may be lost.

use std::ops::Range;
use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::OpId;
use penstock_engine::io::{Fetch, Fetched, Input};

use crate::event::Event;
use crate::oracles::{Verdict, violated};
use crate::stream::Place;
use crate::world::{Request, World};

/// Reads a second and shard that may bring nothing.
const FRUITLESS_MAX: u32 = 40;

impl World {
    pub(crate) fn fetch(&mut self, fetch: Fetch) -> Verdict {
        self.reads += 1;
        let shard = self.number(&fetch.shard);
        let fault = self.faults.read_fault(&mut self.random);
        let tenure = self.model.serial(shard);
        self.ask(
            fetch.op,
            Request::Fetch { shard, tenure },
            Event::Read(fetch, fault),
        )
    }

    pub(crate) fn read(&mut self, fetch: &Fetch, fault: Option<Fault>) -> Verdict {
        let shard = self.number(&fetch.shard);
        let op = fetch.op;
        if let Some(fault) = fault {
            self.fruitless(shard)?;
            return self.feed(Input::Failed { op, fault });
        }
        if !self.stream.shards[shard].listed {
            let fault = Fault::new(FaultKind::NotFound, "the shard does not exist any more");
            return self.feed(Input::Failed { op, fault });
        }
        let first = match self.stream.locate(shard, &fetch.from) {
            Place::At(first) => first,
            Place::Trimmed if self.faults.trimmed_aloud => {
                let fault = Fault::new(FaultKind::Trimmed, "older than the trim horizon");
                return self.feed(Input::Failed { op, fault });
            }
            Place::Trimmed => self.stream.shards[shard].trimmed,
        };
        let len = self.stream.shards[shard].records.len();
        let limit = usize::try_from(fetch.limit).expect("a limit fits");
        let mut count = limit.min(len - first);
        if count > 0 && self.random.chance(self.faults.empty) {
            count = 0;
        } else if self.faults.empty > 0 && count > 1 && self.random.chance(300) {
            count = 1 + self.random.place(count);
        }
        if count == 0 {
            self.fruitless(shard)?;
        }
        self.answer_read(op, shard, first..first + count)
    }

    fn answer_read(&mut self, op: OpId, shard: usize, range: Range<usize>) -> Verdict {
        let source = &self.stream.shards[shard];
        let all = range.end == source.records.len();
        // The end is told together with the last records, or by an empty answer after them.
        let tells = range.is_empty() || self.random.chance(500);
        let ended = source.closed && all && tells;
        let behind = source.records.get(range.end);
        let behind_ms = behind.map_or(0, |next| self.wall().millis_since(next.arrival).max(1));
        let children = if ended && self.faults.names_children {
            self.stream.children(shard)
        } else {
            Vec::new()
        };
        let whole = range.clone();
        let parted = self.faults.parts > 0 && range.len() > 1;
        let cut = match parted && self.random.chance(self.faults.parts) {
            true => range.start + 1 + self.random.place(range.len() - 1),
            false => range.start,
        };
        let range = cut..range.end;
        let page = (!range.is_empty()).then(|| self.stream.page(shard, range.clone()));
        let fetched = Fetched {
            page,
            next: None,
            behind_ms: Some(u64::try_from(behind_ms).expect("not negative")),
            ended,
            children,
        };
        let rest = Input::Fetched { op, fetched };
        if whole.start == range.start {
            return self.hand(shard, range, rest);
        }
        let page = self.stream.page(shard, whole.start..cut);
        self.hand(shard, whole.start..cut, Input::Arrived { op, page })?;
        let rest = match self.faults.broken_off(&mut self.random) {
            Some(fault) => Input::Failed { op, fault },
            None => rest,
        };
        let after = self.random.millis(0, 10);
        self.later(after, Event::Rest(shard, range, rest));
        Ok(())
    }

    /// An answer to a read, or a part of it, reaches the engine, and the model with it.
    pub(crate) fn hand(&mut self, shard: usize, range: Range<usize>, input: Input) -> Verdict {
        let (op, ended) = match &input {
            Input::Fetched { op, fetched } => (*op, fetched.ended),
            Input::Arrived { op, .. } | Input::Failed { op, .. } => (*op, false),
            _ => return self.feed(input),
        };
        let wanted = matches!(self.open.get(&op),
            Some(Request::Fetch { tenure, .. }) if *tenure == self.model.serial(shard)
                && tenure.is_some());
        if wanted {
            let arrives = matches!(input, Input::Arrived { .. });
            let tenure = self.model.tenure_mut(shard);
            if tenure.arriving && !arrives {
                tenure.arrived_at = self.now;
            }
            tenure.arriving = arrives;
            if ended {
                tenure.ended_at = Some(self.now);
            }
            if !matches!(input, Input::Failed { .. }) {
                self.model.handed(shard, range, self.now);
            }
        }
        self.feed(input)
    }

    /// I5: reads that bring nothing are bounded in number.
    fn fruitless(&mut self, shard: usize) -> Verdict {
        let (since, count) = self.fruitless.entry(shard).or_insert((self.now, 0));
        if self.now - *since > Duration::from_secs(1) {
            (*since, *count) = (self.now, 0);
        }
        *count += 1;
        if *count > FRUITLESS_MAX {
            let message = format!("shard {shard} was read in vain {count} times within a second");
            return violated("reads_are_bounded", "I5", message);
        }
        Ok(())
    }
}
