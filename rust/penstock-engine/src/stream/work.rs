//! Hands batches of a shard out.
//!
//! Rules: a batch leaves only when a worker is free for it; age is checked when a batch is formed
//! and again before each retry, and only the expired head is cut off; a batch holds what its event
//! can.

use super::assembler::{self, Due, Inflow};
use super::core::{Core, Timer};
use super::lane::{Lane, Running, Unit};
use super::shard::{Shard, State};
use crate::config::MappingConfig;
use crate::failure::Condition;
use crate::io::Invocation;
use crate::mutants::{self, Mutant};
use crate::time::{Mono, Now};

impl Shard {
    /// Looks again at every lane: after a settled record, an acknowledged document, a resume.
    pub fn step_lanes(&mut self, core: &mut Core, now: Now) {
        for lane in 0..self.lanes.len() {
            self.step(lane as u8, core, now);
        }
    }

    /// Puts a lane among the ready ones if its next batch is due, or arms the timer for it.
    pub fn step(&mut self, number: u8, core: &mut Core, now: Now) {
        let open = matches!(self.state, State::Reading | State::Draining);
        if !open || self.relane.is_some() || !core.invokes() || !self.may_start(now.mono) {
            return;
        }
        let Some(lane) = self.lanes.get(usize::from(number)) else {
            return;
        };
        let runs = lane.running.is_some() && !mutants::active(Mutant::TwoInvocationsForKey);
        if runs || lane.ready || lane.holds_enough() {
            return;
        }
        self.close_window(number, core, now);
        if !self.lanes[usize::from(number)].closes() && !self.take_over(number, core, now) {
            return;
        }
        let lane = &self.lanes[usize::from(number)];
        let due = match lane.units.front() {
            Some(unit) => self.unit_due(lane, unit, &core.config, now),
            None => self.fresh_due(lane, core, now.mono),
        };
        match due {
            Due::Never => {}
            Due::At(_) if forgotten(lane) => {}
            Due::At(at) => core.arm(at, Timer::Lane(self.place, number)),
            Due::Now => {
                if self.within_reach(lane, &core.config, now.mono) {
                    self.lanes[usize::from(number)].ready = true;
                    core.ready.push((self.place, number));
                }
            }
        }
    }

    /// When the next fresh batch of a lane is due.
    pub fn fresh_due(&self, lane: &Lane, core: &Core, now: Mono) -> Due {
        let (config, inflow) = (&core.config, self.reader.inflow());
        let batch = lane.fresh().min(config.batch_size as usize);
        // Without a batch window it goes out as it is, wherever it is cut.
        let waits = config.batch_window > std::time::Duration::ZERO || inflow == Inflow::Arriving;
        let bounded = waits && self.within_window(lane, config, batch) < batch;
        let inflow = if bounded { Inflow::Ended } else { inflow };
        assembler::due(lane, config, self.room(lane, config), inflow, now)
    }

    /// Bytes that the records of a lane's next batch may fill.
    fn room(&self, lane: &Lane, config: &MappingConfig) -> u64 {
        assembler::room(config).saturating_sub(self.window_bytes(lane, config))
    }

    /// When a unit may be tried: after its back-off, or when its first record expires.
    fn unit_due(&self, lane: &Lane, unit: &Unit, config: &MappingConfig, now: Now) -> Due {
        let Some(mut at) = unit.not_before.filter(|at| *at > now.mono) else {
            return Due::Now;
        };
        if let (Some(age), Some(first)) = (config.maximum_record_age, lane.queue.front()) {
            let expiry = self.buffer.facts(first.ordinal).arrival.plus(age);
            let left = u64::try_from(expiry.millis_since(now.wall)).unwrap_or(0);
            at = at.min(now.mono + std::time::Duration::from_millis(left));
        }
        if at <= now.mono {
            Due::Now
        } else {
            Due::At(at)
        }
    }

    /// Whether a lane's next batch stays close enough to the watermark. The lane that holds the
    /// watermark back always does.
    fn within_reach(&self, lane: &Lane, config: &MappingConfig, now: Mono) -> bool {
        if lane.closes() {
            return true;
        }
        let records = match lane.units.front() {
            Some(unit) => unit.records as usize,
            None => lane.fresh().min(config.batch_size as usize),
        };
        let Some(last) = records.checked_sub(1).and_then(|last| lane.queue.get(last)) else {
            return false;
        };
        let from = self.ahead_from(now);
        let holds = lane
            .queue
            .front()
            .is_some_and(|first| first.ordinal == self.watermark());
        (holds && !self.saves_badly(now))
            || last.ordinal.saturating_sub(from) < u64::from(config.ahead_records_max)
    }

    /// Puts the batch of an earlier life back to the head of its lane. False: it has to wait for
    /// its records.
    fn take_over(&mut self, number: u8, core: &mut Core, now: Now) -> bool {
        let lane = &mut self.lanes[usize::from(number)];
        let Some(front) = &lane.expected else {
            return true;
        };
        let Some(first) = lane.queue.front() else {
            return true;
        };
        if self.buffer.sequence(first.ordinal) != front.first {
            core.transition("lane:front_gone");
            lane.expected = None;
            return true;
        }
        let complete = lane.queue.len() >= front.records as usize;
        // Where no more is read, because of the end or of a bound, it goes on with what is there:
        // waiting would be for ever, since its first record holds the watermark back.
        let bounded = self.reader.starved || self.reader.full_since.is_some();
        if !complete && !self.reader.ended && !bounded && !self.reader.at_tip(&core.config) {
            return false;
        }
        let Some(front) = lane.expected.take() else {
            return true;
        };
        core.transition("lane:front_resumed");
        let records = front.records.min(lane.queue.len() as u32);
        let mut unit = Unit::new(records, front.request_id, true);
        if !mutants::active(Mutant::AttemptsForgotten) {
            unit.attempts = front.attempts;
        }
        lane.form(unit);
        lane.window_opened = (lane.fresh() > 0).then_some(now.mono);
        true
    }

    /// Starts a lane's next batch for a free worker; `None` when it turned out to have none.
    pub fn start(&mut self, number: u8, core: &mut Core, now: Now) -> Option<Invocation> {
        // A place in the line that an earlier cut of the lanes left behind means nothing.
        if !std::mem::take(&mut self.lanes.get_mut(usize::from(number))?.ready) {
            return None;
        }
        let open = matches!(self.state, State::Reading | State::Draining);
        if !open || self.relane.is_some() || !core.invokes() || !self.may_start(now.mono) {
            return None;
        }
        // More records may have come since the lane got in line.
        if !self.within_reach(&self.lanes[usize::from(number)], &core.config, now.mono) {
            return None;
        }
        self.form(number, core, now);
        // What follows a unit that has expired as a whole may have expired too.
        while self.expire(number, core, now) {}
        if !self.lanes[usize::from(number)].units.is_empty()
            && !self.within_reach(&self.lanes[usize::from(number)], &core.config, now.mono)
        {
            self.after_settling(core, now);
            return None;
        }
        if !self.fit(number, core) {
            core.transition("lane:oversize");
            self.oversize(number, core, now);
            return None;
        }
        let front = self.lanes[usize::from(number)].units.front();
        let Some(unit) = front else {
            self.after_settling(core, now);
            return None;
        };
        let records = unit.records as usize;
        let (request_id, attempt) = (unit.request_id, unit.attempts + 1);
        let window = self.open_window(number, core);
        let lane = &mut self.lanes[usize::from(number)];
        let invocation = core.new_invocation_id();
        let deadline = now.mono + core.config.function.timeout;
        lane.running = Some(Running {
            invocation,
            attempt,
            deadline,
        });
        lane.since = now.wall;
        lane.window_opened = None;
        let ordinals = lane.queue.range(..records).map(|queued| queued.ordinal);
        let batch = self.buffer.batch(ordinals);
        let count = records as u64;
        core.counters.buffered -= count;
        core.counters.in_flight += count;
        core.counters.invoked += count;
        core.counters.invocations += 1;
        core.transition(if attempt > 1 {
            "lane:retried"
        } else {
            "lane:started"
        });
        self.read(core, now);
        Some(Invocation {
            id: invocation,
            shard: self.id.clone(),
            lane: number,
            attempt,
            request_id,
            fence: self.fence,
            deadline,
            window,
            batch,
        })
    }

    /// Cuts the front unit to what an event can hold, which a window's growing state makes less;
    /// false when not even its first record fits.
    fn fit(&mut self, number: u8, core: &mut Core) -> bool {
        let lane = &self.lanes[usize::from(number)];
        let Some(unit) = lane.units.front() else {
            return true;
        };
        // Only a state can outgrow what a batch was made for.
        if unit.records > 1 && core.config.tumbling_window.is_none() {
            return true;
        }
        let room = self.room(lane, &core.config);
        let mut bytes = 0;
        let queued = lane.queue.range(..unit.records as usize);
        let fits = queued.take_while(|queued| {
            bytes += u64::from(queued.bytes);
            bytes <= room
        });
        let (fits, records, error) = (fits.count() as u32, unit.records, unit.error.clone());
        if fits == records {
            return true;
        }
        if records > 1 {
            self.split(number, fits.max(1), error, core);
        }
        fits > 0
    }

    /// Makes a unit of the next fresh batch, unless a unit stands there already.
    fn form(&mut self, number: u8, core: &mut Core, now: Now) {
        let lane = &mut self.lanes[usize::from(number)];
        if !lane.units.is_empty() || lane.fresh() == 0 {
            return;
        }
        let lane = &self.lanes[usize::from(number)];
        let most = self.within_window(lane, &core.config, core.config.batch_size as usize);
        let (records, cut) = assembler::take(lane, self.room(lane, &core.config), most);
        let lane = &mut self.lanes[usize::from(number)];
        if cut {
            lane.flush_through = lane.queue.back().map(|last| last.ordinal);
        }
        let unit = Unit::new(records.max(1) as u32, core.new_request_id(), false);
        lane.form(unit);
        // Records left behind wait anew, should this batch be given up without an invocation.
        lane.window_opened = (lane.fresh() > 0).then_some(now.mono);
    }

    /// Cuts the expired head off the front unit; says whether there was one.
    fn expire(&mut self, number: u8, core: &mut Core, now: Now) -> bool {
        let Some(age) = core.config.maximum_record_age else {
            return false;
        };
        if mutants::active(Mutant::AgeIgnored) {
            return false;
        }
        let lane = &self.lanes[usize::from(number)];
        let Some(unit) = lane.units.front() else {
            return false;
        };
        let expired = lane
            .queue
            .iter()
            .take(unit.records as usize)
            .take_while(|queued| self.buffer.facts(queued.ordinal).arrival.plus(age) <= now.wall);
        let records = expired.count();
        if records > 0 {
            core.transition("lane:expired");
            let condition = Condition::RecordAgeExceeded;
            self.discard(number, records, condition, None, core, now);
        }
        records > 0
    }
}

/// Whether a planted bug forgets the deadline that this lane waits for.
fn forgotten(lane: &Lane) -> bool {
    mutants::active(match lane.units.front() {
        Some(_) => Mutant::RetryDeadlineForgotten,
        None => Mutant::WindowDeadlineForgotten,
    })
}
