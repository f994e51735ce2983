//! Keeps batches from the moment they are formed until their last message is settled, and the
//! order of message groups among them.
//!
//! Rules: a batch waits behind every earlier one that has a message of a group of its own, so a
//! group has one batch at a time and keeps its order; batches that wait for nothing stand in one
//! line, oldest first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::inflight::Place;
use crate::config::MappingConfig;
use crate::ids::{InvocationId, RequestId};
use crate::mutants::{self, Mutant};
use crate::time::{Mono, Wall};

/// Names a batch.
pub(crate) type WorkId = u64;

/// Where a batch is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Behind another batch of one of its groups.
    Blocked,
    /// In line for a worker since then.
    Ready { since: Mono },
    /// Refused by a worker, tried again then.
    Resting { until: Mono },
    /// With a handler.
    Running(Running),
    /// Handled; its messages are being deleted.
    Settling,
}

/// A batch with its handler.
#[derive(Debug)]
pub(crate) struct Running {
    pub invocation: InvocationId,
    pub deadline: Mono,
    /// The options that it began under.
    pub config: Arc<MappingConfig>,
}

/// One batch.
#[derive(Debug)]
pub(crate) struct Work {
    pub messages: Vec<Place>,
    /// Its message groups, none of a standard queue.
    pub groups: Vec<u64>,
    pub request_id: RequestId,
    pub stage: Stage,
    pub since: Wall,
    /// Refusals before the handler started, one after the other, and what the last one said.
    pub rejections: u32,
    pub refused: String,
    /// Messages that are not settled.
    pub open: u32,
    /// Groups in which an earlier batch stands before it.
    blocks: u32,
}

/// All batches.
#[derive(Debug, Default)]
pub(crate) struct Works {
    works: BTreeMap<WorkId, Work>,
    ready: VecDeque<WorkId>,
    resting: BTreeSet<(Mono, WorkId)>,
    groups: BTreeMap<u64, VecDeque<WorkId>>,
    running: BTreeMap<InvocationId, WorkId>,
    settling: u32,
    next: WorkId,
}

impl Works {
    /// Takes a batch; it stands in line at once, unless an earlier one has a group of its own.
    pub fn add(
        &mut self,
        messages: Vec<Place>,
        groups: Vec<u64>,
        request_id: RequestId,
        now: crate::time::Now,
    ) {
        let id = self.next;
        self.next += 1;
        let mut blocks = 0;
        for group in &groups {
            let line = self.groups.entry(*group).or_default();
            blocks += u32::from(!line.is_empty());
            line.push_back(id);
        }
        if mutants::active(Mutant::GroupOvertaken) {
            blocks = 0;
        }
        let work = Work {
            open: messages.len() as u32,
            messages,
            groups,
            request_id,
            stage: Stage::Blocked,
            since: now.wall,
            rejections: 0,
            refused: String::new(),
            blocks,
        };
        self.works.insert(id, work);
        if blocks == 0 {
            self.line_up(id, now.mono);
        }
    }

    pub fn find(&self, id: WorkId) -> Option<&Work> {
        self.works.get(&id)
    }

    pub fn find_mut(&mut self, id: WorkId) -> Option<&mut Work> {
        self.works.get_mut(&id)
    }

    /// The oldest batch in line, taken out of it.
    pub fn take_ready(&mut self) -> Option<WorkId> {
        self.ready.pop_front()
    }

    /// The oldest batch in line, and since when it has stood there.
    pub fn first_ready(&self) -> Option<(WorkId, Mono)> {
        let id = *self.ready.front()?;
        match self.works[&id].stage {
            Stage::Ready { since } => Some((id, since)),
            _ => None,
        }
    }

    /// A batch goes to its handler.
    pub fn start(&mut self, id: WorkId, running: Running, now: Wall) {
        if let Some(work) = self.works.get_mut(&id) {
            self.running.insert(running.invocation, id);
            work.since = now;
            work.stage = Stage::Running(running);
        }
    }

    /// A handler has ended; gives its batch and the options that it began under.
    pub fn ended(&mut self, invocation: InvocationId) -> Option<(WorkId, Arc<MappingConfig>)> {
        let id = self.running.remove(&invocation)?;
        let work = self.works.get_mut(&id)?;
        let Stage::Running(running) = std::mem::replace(&mut work.stage, Stage::Settling) else {
            unreachable!("what is among the running runs");
        };
        self.settling += 1;
        Some((id, running.config))
    }

    /// A batch that was refused rests and is tried again then.
    pub fn rest(&mut self, id: WorkId, until: Mono) {
        if let Some(work) = self.works.get_mut(&id) {
            self.settling -= 1;
            work.stage = Stage::Resting { until };
            self.resting.insert((until, id));
        }
    }

    /// Batches that have rested stand in line again; gives when the next one will.
    pub fn wake(&mut self, now: Mono) -> Option<Mono> {
        while let Some(&(until, id)) = self.resting.first() {
            if until > now {
                return Some(until);
            }
            self.resting.remove(&(until, id));
            self.line_up(id, now);
        }
        None
    }

    /// A message of a batch is settled; with the last one the batch is over.
    pub fn settle(&mut self, id: WorkId, messages: u32, now: Mono) {
        let Some(work) = self.works.get_mut(&id) else {
            return;
        };
        work.open -= messages;
        if work.open == 0 {
            self.remove(id, now);
        }
    }

    /// Batches that stand behind this one in a group, nearest first.
    pub fn followers(&self, id: WorkId, group: u64) -> Vec<WorkId> {
        let line = self.groups.get(&group);
        let behind =
            |line: &VecDeque<WorkId>| line.iter().copied().filter(|other| *other != id).collect();
        line.map(behind).unwrap_or_default()
    }

    /// Batches that have not been handed out.
    pub fn waiting(&self) -> u32 {
        self.works.len() as u32 - self.running.len() as u32 - self.settling
    }

    /// Batches that have not been handed out, by name.
    pub fn waiting_ids(&self) -> Vec<WorkId> {
        let waits = |work: &Work| !matches!(work.stage, Stage::Running(_) | Stage::Settling);
        let all = self.works.iter();
        all.filter(|(_, work)| waits(work))
            .map(|(id, _)| *id)
            .collect()
    }

    pub fn running(&self) -> u32 {
        self.running.len() as u32
    }

    /// The batch whose handler has run longest.
    pub fn oldest_running(&self) -> Option<&Work> {
        self.running.values().next().map(|id| &self.works[id])
    }

    /// The batch that rests least long from now.
    pub fn first_resting(&self) -> Option<&Work> {
        self.resting.first().map(|(_, id)| &self.works[id])
    }

    /// Message groups that have a batch.
    pub fn groups(&self) -> impl Iterator<Item = u64> + '_ {
        self.groups.keys().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        *self = Self {
            next: self.next,
            ..Self::default()
        };
    }

    fn line_up(&mut self, id: WorkId, now: Mono) {
        if let Some(work) = self.works.get_mut(&id) {
            work.stage = Stage::Ready { since: now };
            self.ready.push_back(id);
        }
    }

    fn remove(&mut self, id: WorkId, now: Mono) {
        let Some(work) = self.works.remove(&id) else {
            return;
        };
        match work.stage {
            Stage::Settling => self.settling -= 1,
            Stage::Resting { until } => _ = self.resting.remove(&(until, id)),
            Stage::Ready { .. } => self.ready.retain(|other| *other != id),
            Stage::Blocked => {}
            Stage::Running(_) => unreachable!("a batch with a handler is not over"),
        }
        for group in work.groups {
            let Some(line) = self.groups.get_mut(&group) else {
                continue;
            };
            let first = line.front() == Some(&id);
            line.retain(|other| *other != id);
            let next = line.front().copied();
            if line.is_empty() {
                self.groups.remove(&group);
            }
            if let Some(next) = next.filter(|_| first) {
                self.unblock(next, now);
            }
        }
    }

    fn unblock(&mut self, id: WorkId, now: Mono) {
        let Some(work) = self.works.get_mut(&id) else {
            return;
        };
        work.blocks = work.blocks.saturating_sub(1);
        if work.blocks == 0 && matches!(work.stage, Stage::Blocked) {
            self.line_up(id, now);
        }
    }
}
