//! Gives records up: writes their document, sends it, and waits for the destination.
//!
//! Rules: a discarded record is settled when its document is acknowledged, not before; until then
//! it holds the watermark back but not its lane, up to a bound of documents; a document is sent
//! until it is taken, unless the mapping asked for AWS's way: three tries, then dropped and
//! counted; one that is too large with its records is sent without them, and counted. Without a
//! destination records are dropped and counted.

use std::sync::Arc;

use super::core::{Core, Pending, Timer};
use super::lane::Undelivered;
use super::settling::Verdict;
use super::shard::Shard;
use crate::backoff;
use crate::config::OnDestinationFailure;
use crate::failure::{Condition, Discard, FailureDocument, ResponseFacts};
use crate::fault::{Fault, FaultKind};
use crate::ids::{OpId, SequenceNumber};
use crate::io::{NoticeLevel, Output, SkippedRange};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::record::Batch;
use crate::time::Now;

impl Shard {
    /// Gives up the first `records` of the front unit of a lane.
    pub fn discard(
        &mut self,
        number: u8,
        records: usize,
        condition: Condition,
        response: Option<ResponseFacts>,
        core: &mut Core,
        now: Now,
    ) {
        let lane = &self.lanes[usize::from(number)];
        let unit = lane.units.front().expect("records leave from a unit");
        let first = lane.queue.front().expect("a unit has records").ordinal;
        let ordinals = lane.queue.range(..records).map(|queued| queued.ordinal);
        let batch = self.buffer.batch(ordinals);
        core.notify(
            NoticeLevel::Warn,
            "records_discarded",
            Some(&self.id),
            format!(
                "{records} records of shard {} are given up ({condition:?} after {} attempts): \
                 {} to {}",
                self.id,
                unit.attempts,
                batch.sequence_number(0),
                batch.sequence_number(records - 1)
            ),
        );
        if core.config.on_failure.is_none() {
            core.transition("document:none");
            self.settle(number, records, Verdict::Dropped, core);
            return;
        }
        let window = self
            .window_of(lane, &core.config)
            .map(|window| window.call());
        let document = FailureDocument::new(Discard {
            config: &core.config,
            shard: &self.id,
            fence: self.fence,
            condition,
            request_id: unit.request_id,
            attempts: unit.attempts,
            response,
            window: window.as_ref(),
            batch: &batch,
            at: now.wall,
        });
        let undelivered = Undelivered {
            document: Arc::new(document),
            op: None,
            failures: 0,
            retry_at: now.mono,
            fault: None,
            since: now.wall,
            first_ordinal: first,
            records: records as u32,
            span: Some(span(&batch)),
            arrival: batch.facts(records - 1).arrival,
            before_shard: self.buffer.before(first),
            before_lane: lane.settled.clone(),
            window: self.window.clone(),
            done: false,
        };
        self.settle(number, records, Verdict::Awaiting, core);
        self.lanes[usize::from(number)]
            .documents
            .push_back(undelivered);
        self.deliver(number, core, now);
    }

    /// Sends every document of a lane that is due.
    pub fn deliver(&mut self, number: u8, core: &mut Core, now: Now) {
        if !self.held() {
            return;
        }
        let (place, epoch) = (self.place, self.epoch);
        let Some(lane) = self.lanes.get_mut(usize::from(number)) else {
            return;
        };
        let mut redirected = Vec::new();
        for document in &mut lane.documents {
            if document.done || document.op.is_some() {
                continue;
            }
            if core.config.on_failure.is_some() && document.retry_at > now.mono {
                continue;
            }
            // The mapping may have got another destination since.
            match &core.config.on_failure {
                Some(destination) if *destination != document.document.destination => {
                    Arc::make_mut(&mut document.document).redirect(destination);
                }
                Some(_) => {}
                None => {
                    redirected.push(document.key());
                    continue;
                }
            }
            let op = core.open(Pending::Deliver {
                shard: place,
                epoch,
                lane: number,
            });
            document.op = Some(op);
            core.emit(Output::Deliver {
                op,
                document: Arc::clone(&document.document),
            });
        }
        for key in redirected {
            core.transition("document:destination_removed");
            self.close_document(number, key, false, core);
        }
        if let Some(at) = self.delivery_due(number) {
            core.arm(at, Timer::Delivery(place, number));
        }
    }

    /// The mapping has another destination now, or none: documents that wait follow it.
    pub fn redirect(&mut self, core: &mut Core, now: Now) {
        for lane in 0..self.lanes.len() {
            self.deliver(lane as u8, core, now);
        }
        if self.held() {
            self.after_settling(core, now);
        }
    }

    /// The destination has a document.
    pub fn delivered(&mut self, number: u8, op: OpId, core: &mut Core, now: Now) {
        core.transition("document:delivered");
        if let Some(key) = self.document_of(number, op) {
            self.close_document(number, key, true, core);
        }
        self.after_settling(core, now);
    }

    /// The destination did not take a document.
    pub fn delivery_failed(
        &mut self,
        number: u8,
        op: OpId,
        fault: Fault,
        core: &mut Core,
        now: Now,
    ) {
        core.transition("document:failed");
        let id = self.id.clone();
        let lane = &mut self.lanes[usize::from(number)];
        let Some(document) = lane.documents.iter_mut().find(|doc| doc.op == Some(op)) else {
            return;
        };
        document.op = None;
        let key = document.key();
        let removed = core.config.on_failure.is_none();
        if fault.kind == FaultKind::TooLarge
            && !removed
            && Arc::make_mut(&mut document.document).leave_records_out()
        {
            core.transition("document:records_left_out");
            core.counters.documents_without_records += 1;
            let message = format!(
                "destination {}: {fault}; the document is sent without its records",
                document.document.destination
            );
            core.notify(NoticeLevel::Warn, "records_left_out", Some(&id), message);
            document.retry_at = now.mono;
            if mutants::active(Mutant::TooLargeTakenForDelivered) {
                self.close_document(number, key, true, core);
                self.after_settling(core, now);
                return;
            }
            self.deliver(number, core, now);
            return;
        }
        document.failures += 1;
        let tries = document.failures;
        let drops = core.config.on_destination_failure == OnDestinationFailure::Drop;
        if tries == 1 {
            let message = format!("destination {}: {fault}", document.document.destination);
            core.notify(NoticeLevel::Error, "destination_fault", Some(&id), message);
        }
        if removed || (drops && tries >= limits::DELIVERY_TRIES_MAX) {
            core.transition(if removed {
                "document:destination_removed"
            } else {
                "document:dropped"
            });
            self.close_document(number, key, false, core);
            self.after_settling(core, now);
            return;
        }
        let wait = match fault.kind {
            FaultKind::Throttled { after } => backoff::throttled(tries, after, &mut core.jitter),
            _ => backoff::slow(tries, &mut core.jitter),
        };
        core.destination_problem = Some(format!(
            "PROBLEM: destination {}: {fault}",
            document.document.destination
        ));
        document.retry_at = now.mono + wait;
        document.fault = Some(fault);
        core.arm(now.mono + wait, Timer::Delivery(self.place, number));
    }

    /// Drops every document that waits for its destination, and says which those are.
    pub fn drop_documents(&mut self, core: &mut Core) -> Vec<SkippedRange> {
        let mut dropped = Vec::new();
        for number in 0..self.lanes.len() as u8 {
            let documents = &mut self.lanes[usize::from(number)].documents;
            let waiting = documents.iter_mut().filter(|document| !document.done);
            let mut keys = Vec::new();
            for document in waiting {
                if let Some(op) = document.op.take() {
                    core.abandon(op);
                }
                keys.push(document.key());
                dropped.push(SkippedRange {
                    lane: number,
                    span: document.span.clone(),
                    records: document.records,
                    document: document.document.id.clone(),
                });
            }
            for key in keys {
                self.close_document(number, key, false, core);
            }
        }
        dropped
    }

    fn document_of(&self, number: u8, op: OpId) -> Option<(u64, u32)> {
        let lane = self.lanes.get(usize::from(number))?;
        lane.documents
            .iter()
            .find(|doc| doc.op == Some(op))
            .map(Undelivered::key)
    }

    /// Settles a document's records, delivered or dropped.
    fn close_document(&mut self, number: u8, key: (u64, u32), delivered: bool, core: &mut Core) {
        let lane = &mut self.lanes[usize::from(number)];
        let found = lane
            .documents
            .iter_mut()
            .find(|doc| doc.key() == key && !doc.done);
        let Some(document) = found else { return };
        document.done = true;
        document.op = None;
        let (records, arrival) = (u64::from(document.records), document.arrival);
        core.destination_problem = None;
        while lane.documents.front().is_some_and(|document| document.done) {
            lane.documents.pop_front();
        }
        core.counters.awaiting_delivery -= records;
        if delivered {
            core.counters.delivered += records;
        } else {
            core.counters.dropped += records;
        }
        self.note_arrival(arrival);
    }
}

/// The first and the last record of a batch.
fn span(batch: &Batch) -> (SequenceNumber, SequenceNumber) {
    let number = |at| SequenceNumber::new(batch.sequence_number(at));
    (number(0), number(batch.len() - 1))
}
