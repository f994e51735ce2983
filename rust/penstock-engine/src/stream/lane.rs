//! Holds one lane: an ordered queue, the segments at its head, its one invocation.
//!
//! Rules: no operation reorders the queue; a retry or a bisection puts lengths (units) onto the
//! front, never records; at most one invocation is in flight; a lane settles from the front.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::failure::FailureDocument;
use crate::fault::Fault;
use crate::ids::{InvocationId, OpId, RequestId, SequenceNumber};
use crate::io::{FrontUnit, TumblingWindow};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::time::{Mono, Wall};

/// One waiting record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queued {
    pub ordinal: u64,
    /// Bytes in the event, the comma before it included.
    pub bytes: u32,
}

/// A length at the head of a lane that is, or is to be, one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub records: u32,
    /// Completed attempts that were charged.
    pub attempts: u32,
    /// Refusals in a row that were not charged.
    pub rejections: u32,
    pub request_id: RequestId,
    /// Not to be tried before.
    pub not_before: Option<Mono>,
    /// What the handler did last.
    pub error: Option<String>,
    /// Whether a checkpoint must remember it: it was attempted, or cut from an attempted one.
    pub segment: bool,
}

impl Unit {
    pub fn new(records: u32, request_id: RequestId, segment: bool) -> Self {
        Self {
            records,
            attempts: 0,
            rejections: 0,
            request_id,
            not_before: None,
            error: None,
            segment,
        }
    }

    /// Whether this is the final invocation of a tumbling window, which has no records.
    pub fn closes(&self) -> bool {
        self.records == 0
    }
}

/// The invocation of a lane's front unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub invocation: InvocationId,
    pub attempt: u32,
    pub deadline: Mono,
}

/// How far a lane is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub ordinal: u64,
    pub sequence: SequenceNumber,
}

/// Records that were given up and whose document is not acknowledged yet.
#[derive(Debug, Clone)]
pub(crate) struct Undelivered {
    pub document: Arc<FailureDocument>,
    pub op: Option<OpId>,
    pub failures: u32,
    pub retry_at: Mono,
    pub fault: Option<Fault>,
    pub since: Wall,
    pub first_ordinal: u64,
    pub records: u32,
    /// The first and the last record; `None` for the final invocation of a tumbling window.
    pub span: Option<(SequenceNumber, SequenceNumber)>,
    pub arrival: Wall,
    /// The shard's and the lane's positions just before the first record.
    pub before_shard: Option<SequenceNumber>,
    pub before_lane: Option<Settled>,
    /// The tumbling window that was open then.
    pub window: Option<TumblingWindow>,
    pub done: bool,
}

impl Undelivered {
    /// Tells it from the lane's other documents: the final invocation of a tumbling window, which
    /// has no records, may be given up just before the records behind it.
    pub fn key(&self) -> (u64, u32) {
        (self.first_ordinal, self.records)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub queue: VecDeque<Queued>,
    pub units: VecDeque<Unit>,
    pub running: Option<Running>,
    pub documents: VecDeque<Undelivered>,
    /// The last record of the lane that left the queue settled.
    pub settled: Option<Settled>,
    /// A batch of an earlier life that must come first.
    pub expected: Option<FrontUnit>,
    /// When the window of the next fresh batch opened.
    pub window_opened: Option<Mono>,
    /// Fresh records up to this ordinal do not wait for the window.
    pub flush_through: Option<u64>,
    /// Whether it stands in the machine's list of ready lanes.
    pub ready: bool,
    /// Since when the lane is as it is.
    pub since: Wall,
    fresh_bytes: u64,
    unit_records: usize,
}

impl Lane {
    pub fn new(now: Wall) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    pub fn push(&mut self, queued: Queued) {
        self.fresh_bytes += u64::from(queued.bytes);
        self.queue.push_back(queued);
    }

    /// Whether records of a batch of an earlier life are still to be read.
    pub fn lacks_expected(&self) -> bool {
        let front = self.expected.as_ref();
        front.is_some_and(|front| self.queue.len() < front.records as usize)
    }

    /// Records behind the units.
    pub fn fresh(&self) -> usize {
        self.queue.len() - self.unit_records
    }

    /// Whether the final invocation of a tumbling window comes first.
    pub fn closes(&self) -> bool {
        self.units.front().is_some_and(Unit::closes)
    }

    /// Event bytes of the records behind the units.
    pub fn fresh_bytes(&self) -> u64 {
        self.fresh_bytes
    }

    /// The least unsettled ordinal: of the queue or of a document that is not delivered.
    pub fn front(&self) -> Option<u64> {
        let queued = self.queue.front().map(|queued| queued.ordinal);
        let document = self.holding().map(|document| document.first_ordinal);
        queued.into_iter().chain(document).min()
    }

    /// How far the lane is done without a hole.
    pub fn done(&self) -> Option<&Settled> {
        match self.holding() {
            Some(document) => document.before_lane.as_ref(),
            None => self.settled.as_ref(),
        }
    }

    /// Whether so many documents, or so much of them, wait for the destination that the lane
    /// waits too.
    pub fn holds_enough(&self) -> bool {
        let bytes = || self.documents.iter().map(|each| each.document.body.len());
        self.documents.len() >= limits::UNDELIVERED_DOCUMENTS_MAX as usize
            || bytes().sum::<usize>() >= limits::UNDELIVERED_BYTES_MAX
    }

    /// The document that holds the lane's position back.
    fn holding(&self) -> Option<&Undelivered> {
        let ignored = mutants::active(Mutant::CheckpointBeforeDelivery);
        self.documents.front().filter(|_| !ignored)
    }

    /// Turns the first `records` fresh records into a unit behind the others.
    pub fn form(&mut self, unit: Unit) {
        let start = self.unit_records;
        let end = start + unit.records as usize;
        self.fresh_bytes -= self.bytes_between(start, end);
        self.unit_records = end;
        self.units.push_back(unit);
    }

    /// Replaces the front unit by two, the first of `first` records.
    pub fn split_front(&mut self, first: Unit, second: Unit) {
        let whole = self.units.pop_front().expect("only a unit can be split");
        debug_assert_eq!(whole.records, first.records + second.records);
        if mutants::active(Mutant::RightHalfFirst) {
            let (split, whole) = (first.records as usize, whole.records as usize);
            self.queue.make_contiguous()[..whole].rotate_left(split);
            self.units.push_front(first);
            self.units.push_front(second);
            return;
        }
        if !mutants::active(Mutant::SegmentLost) {
            self.units.push_front(second);
        }
        self.units.push_front(first);
    }

    /// Takes `records` off the front of the queue and of the front unit; the unit goes when
    /// nothing of it is left.
    pub fn take_front(&mut self, records: usize) -> Vec<Queued> {
        let unit = self.units.front_mut().expect("records leave from a unit");
        unit.records -= u32::try_from(records).expect("a unit holds at most 10,000 records");
        if unit.records == 0 {
            self.units.pop_front();
        }
        self.unit_records -= records;
        self.queue.drain(..records).collect()
    }

    /// Gives all queued records up, in order, with the units.
    pub fn drain_all(&mut self) -> Vec<Queued> {
        self.units.clear();
        self.unit_records = 0;
        self.fresh_bytes = 0;
        self.window_opened = None;
        self.flush_through = None;
        self.expected = None;
        self.queue.drain(..).collect()
    }

    fn bytes_between(&self, start: usize, end: usize) -> u64 {
        self.queue
            .range(start..end)
            .map(|queued| u64::from(queued.bytes))
            .sum()
    }
}
