//! Follows each lane by the reference algorithm: which batch may come next, and what an answer
//! makes of it.
//!
//! Rules: this is written from the reference, not from the engine. A failed batch of several
//! records is split at the middle when bisecting, at once and for free; a report that names a
//! later record settles what is before it; a refusal costs nothing; whatever is retried is
//! retried unchanged; only an expired head is cut off.

use std::collections::VecDeque;
use std::time::Duration;

use penstock_engine::event::ENVELOPE_BYTES;
use penstock_engine::ids::{Fence, InvocationId, RequestId};
use penstock_engine::io::{FrontUnit, Outcome, Report};
use penstock_engine::time::{Mono, Now};

use crate::model::{How, Model, Running, Stage};
use crate::oracles::{Verdict, violated};
use crate::windows::WindowModel;

/// Records that are to be one batch.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Their places in the shard.
    pub records: Vec<usize>,
    /// Charged attempts of exactly these.
    pub attempts: u32,
    /// Refusals in a row.
    pub rejections: u32,
    /// The id of the first attempt.
    pub request: Option<RequestId>,
    /// When it is tried at the latest, a worker being free.
    pub due: Mono,
}

/// One lane.
#[derive(Debug, Default)]
pub struct LaneModel {
    /// Records that no unit holds yet, in order.
    pub queue: VecDeque<usize>,
    /// What must come first.
    pub units: VecDeque<Unit>,
    /// What runs.
    pub running: Option<(InvocationId, Unit)>,
    /// When the last invocation ended.
    pub ended_at: Mono,
    /// When records were last given up.
    pub cut_at: Option<Mono>,
    /// Documents that are not acknowledged, and those behind one that is not.
    pub documents: VecDeque<(String, bool)>,
    /// A batch of an earlier tenure that must come first.
    pub expected: Option<FrontUnit>,
    /// Records up to this one were left behind by a cut at the event's size and need not wait.
    pub flush_through: Option<usize>,
}

/// Records that were given up after their last attempt; their document is owed.
#[derive(Debug, Clone)]
pub struct Discard {
    /// The shard.
    pub shard: usize,
    /// The lane.
    pub lane: u8,
    /// The records.
    pub records: Vec<usize>,
    /// Charged attempts.
    pub attempts: u32,
    /// The tumbling window that was open then.
    pub window: Option<WindowModel>,
    /// Whether the handler answered, and whether its answer was an error.
    pub function_error: Option<&'static str>,
}

/// An invocation, as facts.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its id.
    pub id: InvocationId,
    /// Its shard.
    pub shard: usize,
    /// Its lane.
    pub lane: u8,
    /// Its records.
    pub records: Vec<usize>,
    /// Its attempt.
    pub attempt: u32,
    /// The id that the handler sees.
    pub request: RequestId,
    /// The lease that it claims.
    pub fence: Fence,
}

impl Model {
    /// An invocation starts; it must be the one that the rules ask for.
    ///
    /// # Errors
    /// When it is another one.
    pub fn started(&mut self, start: &Start, now: Now) -> Verdict {
        let mut unit = match self.lane_mut(start).units.pop_front() {
            Some(unit) => self.next_of(unit, start)?,
            None => self.fresh(start, now)?,
        };
        self.check_identity(&unit, start)?;
        unit.request = Some(start.request);
        self.request_ids.insert(start.request);
        let tenure = self.tenure(start.shard).serial;
        for &place in &start.records {
            self.shards[start.shard].records[place].stage = Stage::Running;
        }
        self.lane_mut(start).running = Some((start.id, unit));
        let running = Running {
            shard: start.shard,
            lane: start.lane,
            tenure,
            records: start.records.clone(),
        };
        self.running.insert(start.id, running);
        Ok(())
    }

    /// An invocation of the current tenure has ended.
    ///
    /// # Errors
    /// When retries go on for longer than they may.
    pub fn completed(&mut self, id: InvocationId, outcome: &Outcome, now: Now) -> Verdict {
        let Some(running) = self.running.remove(&id) else {
            return Ok(());
        };
        if self.serial(running.shard) != Some(running.tenure) {
            return Ok(());
        }
        let (shard, lane) = (running.shard, running.lane);
        let ended = &mut self.tenure_mut(shard).lanes[usize::from(lane)];
        ended.ended_at = now.mono;
        let Some((_, unit)) = ended.running.take() else {
            return Ok(());
        };
        for &place in &unit.records {
            self.shards[shard].records[place].stage = Stage::Waiting;
        }
        let windowed = self.tenure(shard).window.is_some() && lane == 0;
        let report = match outcome {
            Outcome::Aggregated { report, .. } => Some(report.clone()),
            // In a window an answer without a state is a failure; after its final call any will do.
            Outcome::Returned(_) if unit.records.is_empty() => Some(Report::AllSucceeded),
            Outcome::Returned(report) if !windowed => Some(report.clone()),
            _ => None,
        };
        match (outcome, report) {
            (_, Some(_)) if unit.records.is_empty() => self.window_closed(shard),
            (_, Some(Report::AllSucceeded)) => {
                self.settle(shard, &unit.records, How::Succeeded);
                self.carry(shard, lane, &unit.records, outcome, now);
            }
            (_, Some(Report::FailedFrom(first))) if first > 0 => {
                let first = usize::try_from(first).expect("a place in a batch");
                self.settle(shard, &unit.records[..first], How::Succeeded);
                self.put_back(shard, lane, fresh_unit(&unit.records[first..], now.mono));
                self.carry_partial(shard, lane, &unit.records[..first], outcome, now);
            }
            (Outcome::Rejected(_), _) => {
                let rejections = unit.rejections + 1;
                self.retry(shard, lane, Unit { rejections, ..unit }, now.mono);
            }
            _ => self.failed(shard, lane, unit, outcome, now)?,
        }
        self.recut_when_quiet(shard, now);
        Ok(())
    }

    /// A document was acknowledged, or dropped for good.
    pub fn document_closed(&mut self, id: &str, how: How, now: Now) {
        let Some(document) = self.documents.remove(id) else {
            return;
        };
        if self.serial(document.shard) == Some(document.tenure) {
            let lane = usize::from(document.lane);
            let waiting = &mut self.tenure_mut(document.shard).lanes[lane].documents;
            if let Some(entry) = waiting.iter_mut().find(|entry| entry.0 == id) {
                entry.1 = true;
            }
            while waiting.front().is_some_and(|entry| entry.1) {
                waiting.pop_front();
            }
            self.settle(document.shard, &document.records, how);
            self.recut_when_quiet(document.shard, now);
        }
    }

    /// Sends what waits to another number of lanes, when nothing is in flight.
    pub fn recut_when_quiet(&mut self, shard: usize, now: Now) {
        let Some(tenure) = &self.shards[shard].tenure else {
            return;
        };
        let Some(count) = tenure.relane else { return };
        let busy = tenure.lanes.iter().any(|lane| lane.running.is_some());
        let owed = self.discards.iter().any(|discard| discard.shard == shard);
        if busy
            || owed
            || self
                .documents
                .values()
                .any(|document| document.shard == shard)
        {
            return;
        }
        let waiting: Vec<usize> = (0..self.shards[shard].records.len())
            .filter(|place| self.shards[shard].records[*place].stage == Stage::Waiting)
            .collect();
        let mut lanes: Vec<LaneModel> = (0..count).map(|_| LaneModel::default()).collect();
        for place in waiting {
            lanes[usize::from(self.lane(shard, place, count))]
                .queue
                .push_back(place);
        }
        for lane in &mut lanes {
            lane.ended_at = now.mono;
        }
        self.shards[shard].interruptions += 1;
        let tenure = self.tenure_mut(shard);
        tenure.relane = None;
        tenure.lane_count = count;
        tenure.lanes = lanes;
    }

    /// Whether and when a lane must have started its next batch, a worker being free.
    #[must_use]
    pub fn lane_due(&self, shard: usize, lane: usize) -> Option<Mono> {
        let tenure = self.tenure(shard);
        let model = &tenure.lanes[lane];
        if model.running.is_some() || model.expected.is_some() || tenure.relane.is_some() {
            return None;
        }
        if let Some(unit) = model.units.front() {
            return Some(unit.due);
        }
        let records = &self.shards[shard].records;
        let idle_since = model
            .cut_at
            .map_or(model.ended_at, |cut| cut.max(model.ended_at));
        let since = |place: usize| records[place].handed_at.max(idle_since);
        let window_end = tenure.window.as_ref().map(|window| window.end);
        let Some(&first) = model.queue.front() else {
            let ended = tenure
                .ended_at
                .filter(|_| window_end.is_some() && lane == 0);
            return ended.map(|at| at.max(idle_since));
        };
        if window_end.is_some_and(|end| records[first].arrival >= end) && lane == 0 {
            return Some(since(first));
        }
        if self.oversize(shard, first) {
            return None;
        }
        let size = usize::try_from(self.config.batch_size).expect("a batch size fits");
        let behind = self.first_behind(shard, &model.queue).map(since);
        // What one answer brings goes out together, unless a window holds records back anyway.
        let window = match self.config.batch_window {
            Duration::ZERO if tenure.arriving => None,
            Duration::ZERO => Some(since(first).max(tenure.arrived_at)),
            span => Some(since(first) + span),
        };
        let full = model.queue.get(size - 1).map(|last| since(*last));
        let ended = tenure.ended_at.map(|at| at.max(since(first)));
        [window, full, ended, behind].into_iter().flatten().min()
    }

    fn failed(
        &mut self,
        shard: usize,
        lane: u8,
        unit: Unit,
        outcome: &Outcome,
        now: Now,
    ) -> Verdict {
        if !unit.records.is_empty() {
            self.charge(shard, &unit)?;
        }
        if self.config.bisect && unit.records.len() > 1 {
            let (left, right) = unit.records.split_at(unit.records.len() / 2);
            self.put_back(shard, lane, fresh_unit(right, now.mono));
            self.put_back(shard, lane, fresh_unit(left, now.mono));
            return Ok(());
        }
        let attempts = unit.attempts + 1;
        match self.config.maximum_retry_attempts {
            Some(retries) if attempts > retries => self.exhaust(shard, lane, unit, outcome),
            _ => self.retry(
                shard,
                lane,
                Unit {
                    attempts,
                    rejections: 0,
                    ..unit
                },
                now.mono,
            ),
        }
        Ok(())
    }

    fn charge(&mut self, shard: usize, unit: &Unit) -> Verdict {
        let (first, last) = (unit.records[0], unit.records[unit.records.len() - 1]);
        let model = &mut self.shards[shard];
        let charged = model
            .charged
            .entry((first, last, unit.records.len()))
            .or_default();
        *charged += 1;
        let Some(retries) = self.config.maximum_retry_attempts else {
            return Ok(());
        };
        let most = (retries + 1) * (1 + model.interruptions);
        if *charged > most && !self.reconfigured {
            return violated(
                "attempts_bounded",
                "I7",
                format!("records {first} to {last} failed {charged} times, at most {most} allowed"),
            );
        }
        Ok(())
    }

    fn exhaust(&mut self, shard: usize, lane: u8, unit: Unit, outcome: &Outcome) {
        let window = self.tenure(shard).window.clone();
        if unit.records.is_empty() {
            self.window_closed(shard);
        }
        if self.config.on_failure.is_none() {
            self.settle(shard, &unit.records, How::Dropped);
            return;
        }
        // The batches of other lanes are in no window: it only waits for its final call, when the
        // mapping has lanes now, and their answers need no state.
        let windowed = window.is_some() && lane == 0;
        let answered = match outcome {
            Outcome::Returned(report) => !windowed || *report == Report::Unusable,
            Outcome::Aggregated { .. } => true,
            _ => false,
        };
        for &place in &unit.records {
            self.shards[shard].records[place].stage = Stage::Awaiting;
        }
        self.discards.push(Discard {
            shard,
            lane,
            records: unit.records,
            attempts: unit.attempts + 1,
            window,
            function_error: (!answered).then_some("Unhandled"),
        });
    }

    fn retry(&mut self, shard: usize, lane: u8, mut unit: Unit, now: Mono) {
        let failures = (unit.attempts + unit.rejections).max(1);
        let backoff = &self.config.backoff;
        let factor = 1u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let longest = backoff.base.saturating_mul(factor).min(backoff.cap);
        unit.due = now + longest.mul_f64(1.0 + backoff.jitter) + Duration::from_micros(1);
        self.put_back(shard, lane, unit);
    }

    fn put_back(&mut self, shard: usize, lane: u8, unit: Unit) {
        self.tenure_mut(shard).lanes[usize::from(lane)]
            .units
            .push_front(unit);
    }

    pub(crate) fn settle(&mut self, shard: usize, records: &[usize], how: How) {
        for &place in records {
            let record = &mut self.shards[shard].records[place];
            record.settled.get_or_insert(how);
            if record.settled_last != Some(How::Elsewhere) {
                record.settled_last = Some(how);
            }
            record.stage = Stage::Done;
        }
        self.advance_low(shard);
    }

    fn next_of(&self, unit: Unit, start: &Start) -> Result<Unit, crate::oracles::Violation> {
        if unit.records == start.records {
            return Ok(unit);
        }
        Err(crate::oracles::Violation::new(
            "unit_by_the_rules",
            "I6",
            format!(
                "{:?} was invoked where {:?} had to come",
                start.records, unit.records
            ),
        ))
    }

    fn fresh(&mut self, start: &Start, now: Now) -> Result<Unit, crate::oracles::Violation> {
        let lane = self.lane_mut(start);
        let count = start.records.len();
        debug_assert!(count > 0, "a final call is a unit");
        if !lane.queue.iter().take(count).eq(&start.records) {
            let waiting: Vec<usize> = lane.queue.iter().take(count + 1).copied().collect();
            return Err(crate::oracles::Violation::new(
                "no_record_skipped",
                "I3",
                format!("{:?} was invoked where {waiting:?} wait", start.records),
            ));
        }
        self.note_cut(start, now.mono);
        self.lane_mut(start).queue.drain(..count);
        Ok(fresh_unit(&start.records, now.mono))
    }

    /// A batch that the event's size cut short leaves records behind that need not wait.
    fn note_cut(&mut self, start: &Start, now: Mono) {
        let lane = &self.tenure(start.shard).lanes[usize::from(start.lane)];
        let Some(last) = lane.queue.back().copied() else {
            return;
        };
        let more = lane.queue.iter().take(start.records.len() + 1);
        let bytes: u64 = more
            .map(|place| self.event_bytes(start.shard, *place))
            .sum();
        let aged = lane.cut_at == Some(now);
        if aged || bytes + ENVELOPE_BYTES - 1 > self.config.payload_bytes_max {
            self.lane_mut(start).flush_through = Some(last);
        }
    }

    /// The first waiting record that is behind the window of the first one.
    #[must_use]
    pub fn first_behind(&self, shard: usize, queue: &VecDeque<usize>) -> Option<usize> {
        let records = &self.shards[shard].records;
        let first = records[*queue.front()?].arrival;
        let length = i64::try_from(self.config.tumbling_window?.as_millis()).ok()?;
        let open = self
            .tenure(shard)
            .window
            .as_ref()
            .map(|window| window.end.0);
        let end = open.unwrap_or((first.0.div_euclid(length) + 1) * length);
        queue
            .iter()
            .copied()
            .find(|place| records[*place].arrival.0 >= end)
    }

    fn check_identity(&self, unit: &Unit, start: &Start) -> Verdict {
        if start.attempt != unit.attempts + 1 {
            let message = format!(
                "attempt {} of {:?} after {} charged ones",
                start.attempt, start.records, unit.attempts
            );
            return violated("attempts_counted", "I7", message);
        }
        let reused = match unit.request {
            Some(request) => request != start.request,
            None => self.request_ids.contains(&start.request),
        };
        if reused {
            return violated(
                "request_id_of_the_batch",
                "I7",
                format!("{:?} runs as {}", start.records, start.request),
            );
        }
        Ok(())
    }

    fn lane_mut(&mut self, start: &Start) -> &mut LaneModel {
        &mut self.tenure_mut(start.shard).lanes[usize::from(start.lane)]
    }
}

fn fresh_unit(records: &[usize], due: Mono) -> Unit {
    Unit {
        records: records.to_vec(),
        attempts: 0,
        rejections: 0,
        request: None,
        due,
    }
}
