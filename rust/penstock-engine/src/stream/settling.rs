//! Settles what comes back from handlers: successes, retries, splits, what is given up.
//!
//! Rules: a lane settles from the front; attempts are charged where they were made; a record that
//! alone is larger than an event may be counts as a failed attempt without a call; what follows
//! from a settled record (reads, the next batch, the checkpoint) follows at once.

use super::attempt::{self, Next};
use super::core::Core;
use super::lane::{Settled, Unit};
use super::shard::{Shard, State};
use super::tumbling;
use crate::backoff;
use crate::failure::{Condition, ResponseFacts};
use crate::io::{NoticeLevel, Outcome, Report};
use crate::mutants::{self, Mutant};
use crate::time::Now;

/// How records leave a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Succeeded,
    Dropped,
    /// Given up; the document is on its way.
    Awaiting,
}

impl Shard {
    /// A record fits no event: a failed attempt without a call.
    pub fn oversize(&mut self, number: u8, core: &mut Core, now: Now) {
        let lane = &mut self.lanes[usize::from(number)];
        let unit = lane
            .units
            .front_mut()
            .expect("an oversize record stands in a unit");
        let next = attempt::failed(unit, &core.config);
        unit.attempts += 1;
        unit.segment = true;
        unit.error = Some("the record alone is larger than an event may be".to_owned());
        core.last_result = "PROBLEM: Function call failed".to_owned();
        match next {
            Next::Discard => {
                let condition = Condition::RetryAttemptsExhausted;
                self.discard(number, 1, condition, None, core, now);
            }
            _ => self.back_off(number, core, now),
        }
        self.after_settling(core, now);
    }

    /// An invocation of this epoch has ended.
    pub fn completed(&mut self, number: u8, outcome: &Outcome, core: &mut Core, now: Now) {
        let lane = &mut self.lanes[usize::from(number)];
        lane.running = None;
        lane.since = now.wall;
        lane.window_opened = (lane.fresh() > 0).then_some(now.mono);
        let unit = lane.units.front_mut().expect("what ran is the front unit");
        let records = unit.records;
        core.counters.in_flight -= u64::from(records);
        core.counters.buffered += u64::from(records);
        if unit.closes() {
            return self.final_completed(outcome, core, now);
        }
        let outcome = &*self.judged(outcome, &core.config);
        let unit = &self.lanes[usize::from(number)].units[0];
        let next = attempt::next(unit, outcome, &core.config);
        self.note(records, next, outcome, core);
        match next {
            Next::Settle => {
                core.transition("lane:succeeded");
                self.settle(number, records as usize, Verdict::Succeeded, core);
                self.carry(outcome, core);
            }
            Next::SettleFirst(first) => {
                core.transition("lane:partial");
                self.settle(number, first as usize, Verdict::Succeeded, core);
                self.renew(number, attempt::describe(outcome), core);
                self.carry_partial(outcome, core);
            }
            Next::Split(first) => {
                core.transition("lane:bisected");
                core.counters.bisections += 1;
                self.split(number, first, attempt::describe(outcome), core);
            }
            Next::Retry { charged } => {
                core.transition(if charged {
                    "lane:failed"
                } else {
                    "lane:rejected"
                });
                self.charge(number, charged, outcome);
                if mutants::active(Mutant::StateOfFailedKept) {
                    self.carry(outcome, core);
                }
                self.back_off(number, core, now);
            }
            Next::Discard => {
                core.transition("lane:exhausted");
                self.charge(number, true, outcome);
                let response = Some(ResponseFacts {
                    function_error: attempt::function_error(outcome),
                });
                let condition = Condition::RetryAttemptsExhausted;
                self.discard(number, records as usize, condition, response, core, now);
            }
        }
        self.after_settling(core, now);
    }

    /// The final invocation of a tumbling window has ended. What it returned does not count.
    fn final_completed(&mut self, outcome: &Outcome, core: &mut Core, now: Now) {
        let outcome = match outcome {
            Outcome::Returned(_) | Outcome::Aggregated { .. } => {
                &Outcome::Returned(Report::AllSucceeded)
            }
            failed => failed,
        };
        let unit = &self.lanes[usize::from(tumbling::LANE)].units[0];
        let next = attempt::next(unit, outcome, &core.config);
        core.counters.failed_invocations += u64::from(next != Next::Settle);
        self.note(0, next, outcome, core);
        match next {
            Next::Retry { charged } => {
                self.charge(tumbling::LANE, charged, outcome);
                self.note_final();
                self.back_off(tumbling::LANE, core, now);
            }
            Next::Discard => {
                self.charge(tumbling::LANE, true, outcome);
                let response = Some(ResponseFacts {
                    function_error: attempt::function_error(outcome),
                });
                let condition = Condition::RetryAttemptsExhausted;
                self.discard_final(condition, response, core, now);
            }
            Next::Settle | Next::SettleFirst(_) | Next::Split(_) => self.window_closed(core),
        }
        self.stir(now.mono);
        self.after_settling(core, now);
    }

    /// Keeps the books and the last result.
    fn note(&self, records: u32, next: Next, outcome: &Outcome, core: &mut Core) {
        let failed = match next {
            Next::Settle => 0,
            Next::SettleFirst(first) => records - first,
            _ => records,
        };
        core.counters.failed += u64::from(failed);
        core.counters.failed_invocations += u64::from(failed > 0);
        core.last_result = match outcome {
            Outcome::Returned(report) | Outcome::Aggregated { report, .. }
                if *report != Report::Unusable =>
            {
                "OK"
            }
            Outcome::Returned(_) | Outcome::Aggregated { .. } => {
                "PROBLEM: Sequence number in function response is invalid. \
                 Please check function implementation."
            }
            _ => "PROBLEM: Function call failed",
        }
        .to_owned();
        if let Some(error) = attempt::describe(outcome) {
            core.notify(
                NoticeLevel::Debug,
                "batch_failed",
                Some(&self.id),
                format!("a batch of {records} records of shard {} {error}", self.id),
            );
        }
    }

    fn charge(&mut self, number: u8, charged: bool, outcome: &Outcome) {
        let lane = &mut self.lanes[usize::from(number)];
        let unit = lane.units.front_mut().expect("what ran is the front unit");
        unit.segment = true;
        unit.error = attempt::describe(outcome);
        if charged {
            unit.attempts += 1;
            unit.rejections = 0;
        } else {
            unit.rejections += 1;
        }
    }

    /// What is left of the front unit after a partial success is a new batch.
    fn renew(&mut self, number: u8, error: Option<String>, core: &mut Core) {
        let request_id = core.new_request_id();
        let lane = &mut self.lanes[usize::from(number)];
        let unit = lane.units.front_mut().expect("some of the batch failed");
        *unit = Unit {
            error,
            ..Unit::new(unit.records, request_id, true)
        };
    }

    /// Cuts the front unit in two, the first of `first` records.
    pub fn split(&mut self, number: u8, first: u32, error: Option<String>, core: &mut Core) {
        let ids = [core.new_request_id(), core.new_request_id()];
        let lane = &mut self.lanes[usize::from(number)];
        let whole = lane
            .units
            .front()
            .expect("what ran is the front unit")
            .records;
        let half = |records, id| Unit {
            error: error.clone(),
            attempts: u32::from(mutants::active(Mutant::SplitCharged)),
            ..Unit::new(records, id, true)
        };
        lane.split_front(half(first, ids[0]), half(whole - first, ids[1]));
    }

    fn back_off(&mut self, number: u8, core: &mut Core, now: Now) {
        let lane = &mut self.lanes[usize::from(number)];
        let unit = lane
            .units
            .front_mut()
            .expect("what failed is the front unit");
        let failures = (unit.attempts + unit.rejections).max(1);
        let wait = backoff::delay(&core.config.backoff, failures, &mut core.jitter);
        unit.not_before = Some(now.mono + wait);
        core.counters.retries += 1;
    }

    /// Takes records off the front of a lane.
    pub fn settle(&mut self, number: u8, records: usize, verdict: Verdict, core: &mut Core) {
        let lane = &mut self.lanes[usize::from(number)];
        let last = lane.queue[records - 1];
        let sequence = self.buffer.sequence(last.ordinal);
        let arrival = self.buffer.facts(last.ordinal).arrival;
        let taken = lane.take_front(records);
        lane.settled = Some(Settled {
            ordinal: last.ordinal,
            sequence,
        });
        let mut at = 0;
        while at < taken.len() {
            let run = self
                .buffer
                .run(taken[at].ordinal, taken[at..].iter().map(|q| q.ordinal));
            core.held_bytes -= self.buffer.release(taken[at].ordinal, run);
            at += run;
        }
        let count = records as u64;
        core.counters.buffered -= count;
        match verdict {
            Verdict::Succeeded => core.counters.succeeded += count,
            Verdict::Dropped => core.counters.dropped += count,
            Verdict::Awaiting => core.counters.awaiting_delivery += count,
        }
        if verdict != Verdict::Awaiting {
            self.note_arrival(arrival);
        }
    }

    /// Does what follows once records were settled or a batch was put back.
    pub fn after_settling(&mut self, core: &mut Core, now: Now) {
        self.saver.mark(now.wall);
        self.recut_when_quiet(core, now);
        self.read(core, now);
        self.step_lanes(core, now);
        self.advance(core, now);
    }

    /// Moves the watermark's consequences on: pages, generations, the checkpoint.
    pub fn advance(&mut self, core: &mut Core, now: Now) {
        if !self.held() {
            return;
        }
        self.buffer.trim(self.watermark());
        self.pass_generations();
        if self.state == State::Draining && self.watermark() == self.buffer.next_ordinal() {
            self.saver.mark(now.wall);
        }
        self.save(core, now);
    }

    /// Changes the number of lanes when nothing is in flight.
    pub fn recut_when_quiet(&mut self, core: &mut Core, now: Now) {
        let Some(lanes) = self.relane else { return };
        let delivering = self.lanes.iter().any(|lane| !lane.documents.is_empty());
        if self.running() || delivering {
            return;
        }
        core.transition("shard:recut");
        core.ready.forget(self.place);
        self.relane = None;
        self.recut(lanes, now.wall);
        self.saver.mark(now.wall);
        for lane in &mut self.lanes {
            lane.window_opened = (lane.fresh() > 0).then_some(now.mono);
        }
        self.step_lanes(core, now);
    }

    /// Whether an invocation stands in this lane.
    pub fn runs(&self, number: u8, invocation: crate::ids::InvocationId) -> bool {
        let lane = self.lanes.get(usize::from(number));
        let running = lane.and_then(|lane| lane.running.as_ref());
        running.is_some_and(|running| running.invocation == invocation)
    }
}
