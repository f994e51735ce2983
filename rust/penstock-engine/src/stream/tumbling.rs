//! Carries state from one invocation of a tumbling window to the next, and ends windows.
//!
//! Rules (AWS Lambda Developer Guide, "Tumbling windows"): windows are multiples of their length
//! since 1970 by the records' arrival, and each shard has its own; a batch stays within one window;
//! an attempt gets the state that the last success gave, a retry the same again; a window ends when
//! a record of a later one comes, when the shard ends, when nothing has come for a while after its
//! time, or when its state is too large; then one final invocation without records is owed, and
//! nothing else of its lane runs before it is settled. That is the whole shard: AWS allows no other
//! lanes beside windows. Only where windows are switched off and lanes on while one is open does
//! the shard have more, and those go on: their records are of no window.
//!
//! Where an answer names failed items, its state holds what succeeded; a mapping may discard it
//! and goes on with the state before: AWS leaves this open.
//!
//! A late record joins the window that is open. State is saved with the position, never apart.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Timer};
use super::lane::{Lane, Undelivered, Unit};
use super::shard::{Shard, State};
use crate::config::{MappingConfig, PartialState};
use crate::event;
use crate::failure::{Condition, Discard, FailureDocument, ResponseFacts};
use crate::io::{
    Closing, HandlerError, NoticeLevel, Outcome, Report, TumblingCall, TumblingWindow,
};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::record::Batch;
use crate::time::{Mono, Now, Wall};

/// The lane of windows, and the only one while there are windows. A window that outlives a change
/// to several lanes has its final invocation here, and no batch of any lane gets its state.
pub(super) const LANE: u8 = 0;

impl TumblingWindow {
    /// The window of this length that holds a moment.
    fn around(moment: Wall, length: Duration) -> Self {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
        let start = moment.0.saturating_sub(moment.0.rem_euclid(length));
        Self::fresh(Wall(start), Wall(start.saturating_add(length)))
    }

    fn fresh(start: Wall, end: Wall) -> Self {
        Self {
            start,
            end,
            state: Arc::from("{}"),
            closing: None,
        }
    }

    pub(super) fn call(&self) -> TumblingCall {
        TumblingCall {
            start: self.start,
            end: self.end,
            state: Arc::clone(&self.state),
            is_final: self.closing.is_some(),
            terminated_early: self.closing.is_some_and(|closing| closing.early),
        }
    }
}

impl Shard {
    /// The window that a lane's next batch belongs to: the open one, or the one that its first
    /// record opens.
    pub(super) fn window_of(&self, lane: &Lane, config: &MappingConfig) -> Option<TumblingWindow> {
        if self.lanes.len() > 1 || self.window.is_some() {
            return self
                .window
                .clone()
                .filter(|_| lane.closes() || self.lanes.len() == 1);
        }
        let length = config.tumbling_window?;
        let arrival = self.buffer.facts(lane.queue.front()?.ordinal).arrival;
        Some(TumblingWindow::around(arrival, length))
    }

    /// How many of the fresh records of a lane, `most` at the most, belong to the same window as
    /// the first of them or to the open one: late records do.
    pub(super) fn within_window(&self, lane: &Lane, config: &MappingConfig, most: usize) -> usize {
        let start = lane.queue.len() - lane.fresh();
        let most = most.min(lane.fresh());
        if self.lanes.len() > 1 {
            return most;
        }
        let end = match (&self.window, config.tumbling_window, lane.queue.get(start)) {
            (Some(window), ..) => window.end,
            (None, Some(length), Some(first)) => {
                TumblingWindow::around(self.buffer.facts(first.ordinal).arrival, length).end
            }
            _ => return most,
        };
        let fresh = lane.queue.range(start..start + most);
        fresh
            .take_while(|queued| self.buffer.facts(queued.ordinal).arrival < end)
            .count()
    }

    /// Bytes that the window's members take in an event of this shard.
    pub(super) fn window_bytes(&self, lane: &Lane, config: &MappingConfig) -> u64 {
        let window = self.window_of(lane, config);
        window.map_or(0, |window| {
            event::window::bytes(&window.call(), &self.id, config)
        })
    }

    /// Whether a window is open or the document of a final invocation is on its way: the shard has
    /// not ended before that is settled.
    pub(super) fn owes_window(&self) -> bool {
        let documents = self.lanes.iter().flat_map(|lane| &lane.documents);
        self.window.is_some() || documents.into_iter().any(|document| document.records == 0)
    }

    /// The window as it was at the watermark: a document that holds that back holds the state too.
    pub(super) fn window_at_watermark(&self) -> Option<TumblingWindow> {
        let holding = self.lanes.iter().find_map(|lane| lane.documents.front());
        match holding {
            Some(document) if !mutants::active(Mutant::StateAheadOfCheckpoint) => {
                document.window.clone()
            }
            _ => self.window.clone(),
        }
    }

    /// Ends the window if it is over, and makes its final invocation the lane's next unit.
    pub(super) fn close_window(&mut self, number: u8, core: &mut Core, now: Now) {
        if number != LANE
            || self.window.is_none()
            || self.lanes[usize::from(LANE)].running.is_some()
        {
            return;
        }
        if self
            .window
            .as_ref()
            .is_some_and(|window| window.closing.is_none())
        {
            if !self.window_is_over(core, now) {
                return;
            }
            self.begin_closing(false, core);
        }
        self.queue_final();
    }

    /// Puts the final invocation to the head of the lane, unless it stands there.
    pub(super) fn queue_final(&mut self) {
        let closing = self.window.as_ref().and_then(|window| window.closing);
        let lane = &mut self.lanes[usize::from(LANE)];
        let Some(closing) = closing.filter(|_| !lane.closes()) else {
            return;
        };
        let mut unit = Unit::new(0, closing.request_id, true);
        unit.attempts = closing.attempts;
        lane.units.push_front(unit);
    }

    fn begin_closing(&mut self, early: bool, core: &mut Core) {
        let request_id = core.new_request_id();
        core.transition(if early {
            "window:terminated_early"
        } else {
            "window:closing"
        });
        if let Some(window) = &mut self.window {
            window.closing = Some(Closing {
                early,
                attempts: 0,
                request_id,
            });
        }
    }

    /// Whether nothing more belongs to the open window. Arms a timer where time will tell.
    fn window_is_over(&mut self, core: &mut Core, now: Now) -> bool {
        let lane = &self.lanes[usize::from(LANE)];
        let Some(window) = self.window.as_ref().filter(|_| lane.units.is_empty()) else {
            return false;
        };
        if core.config.tumbling_window.is_none() {
            return true;
        }
        if let Some(next) = lane.queue.front() {
            return self.buffer.facts(next.ordinal).arrival >= window.end;
        }
        if self.state == State::Draining {
            return true;
        }
        let left = u64::try_from(window.end.millis_since(now.wall)).unwrap_or(0);
        let over_at = now.mono + Duration::from_millis(left);
        let quiet_at = self.quiet_since + limits::TUMBLING_IDLE;
        let due = over_at.max(quiet_at);
        if due > now.mono {
            if self.window_armed.replace(due) != Some(due) {
                core.arm(due, Timer::Lane(self.place, LANE));
            }
            return false;
        }
        // What cannot be read may still belong to it.
        self.reader.at_tip(&core.config) && self.reader.fault.is_none()
    }

    /// A batch is about to run: opens its window if none is open, and says what the handler gets.
    pub(super) fn open_window(&mut self, number: u8, core: &mut Core) -> Option<TumblingCall> {
        let window = self.window_of(&self.lanes[usize::from(number)], &core.config)?;
        let call = window.call();
        if self.window.is_none() {
            core.transition("window:opened");
            self.window = Some(window);
        }
        Some(call)
    }

    /// An answer in a window without a usable state is a failure.
    pub(super) fn judged<'o>(
        &self,
        outcome: &'o Outcome,
        config: &MappingConfig,
    ) -> Cow<'o, Outcome> {
        let refuse = |kind: &str, message: String| {
            let kind = kind.to_owned();
            Cow::Owned(Outcome::Raised(HandlerError { kind, message }))
        };
        let open = self
            .window
            .as_ref()
            .filter(|window| window.closing.is_none());
        let Some(window) = open.filter(|_| self.lanes.len() == 1) else {
            return Cow::Borrowed(outcome);
        };
        match outcome {
            Outcome::Returned(Report::AllSucceeded | Report::FailedFrom(_)) => refuse(
                "StateMissing",
                "the answer of a tumbling window has no state; return {\"state\": {...}}"
                    .to_owned(),
            ),
            Outcome::Aggregated { state, .. } => {
                let call = TumblingCall {
                    state: Arc::clone(state),
                    ..window.call()
                };
                let event = event::ENVELOPE_BYTES + event::window::bytes(&call, &self.id, config);
                if event <= config.payload_bytes_max {
                    return Cow::Borrowed(outcome);
                }
                let message = format!(
                    "the state has {} bytes, and an event may have {}: no invocation could get it",
                    state.len(),
                    config.payload_bytes_max
                );
                refuse("StateTooLarge", message)
            }
            _ => Cow::Borrowed(outcome),
        }
    }

    /// Takes over the state that a success gave; one that is too large ends its window.
    pub(super) fn carry(&mut self, outcome: &Outcome, core: &mut Core) {
        let Outcome::Aggregated { state, .. } = outcome else {
            return;
        };
        let open = self
            .window
            .as_mut()
            .filter(|window| window.closing.is_none());
        let Some(window) = open.filter(|_| self.lanes.len() == 1) else {
            return;
        };
        window.state = Arc::clone(state);
        let bytes = state.len();
        if bytes <= limits::WINDOW_STATE_BYTES_MAX {
            return;
        }
        core.notify(
            NoticeLevel::Warn,
            "window_state_too_large",
            Some(&self.id),
            format!(
                "the state of a tumbling window of shard {} has {bytes} bytes, more than {}: the \
                 window ends early",
                self.id,
                limits::WINDOW_STATE_BYTES_MAX
            ),
        );
        self.begin_closing(true, core);
        self.queue_final();
    }

    /// Takes over the state that came beside failed items, unless the mapping lets it go.
    pub(super) fn carry_partial(&mut self, outcome: &Outcome, core: &mut Core) {
        let discards = core.config.partial_state == PartialState::Discard;
        if !discards || mutants::active(Mutant::PartialStateKept) {
            self.carry(outcome, core);
        }
    }

    /// The final invocation of a window was charged or refused.
    pub(super) fn note_final(&mut self) {
        let lane = &self.lanes[usize::from(LANE)];
        let Some(unit) = lane.units.front().filter(|unit| unit.closes()) else {
            return;
        };
        if let Some(closing) = self
            .window
            .as_mut()
            .and_then(|window| window.closing.as_mut())
        {
            closing.attempts = unit.attempts;
        }
    }

    /// The final invocation is settled: the window is gone. What it left unfinished because it
    /// ended early goes into another one with the same bounds.
    pub(super) fn window_closed(&mut self, core: &mut Core) {
        core.transition("window:closed");
        let lane = &mut self.lanes[usize::from(LANE)];
        lane.units.pop_front();
        if mutants::active(Mutant::WindowClosedTwice) && self.window.is_some() {
            if let Some(window) = &mut self.window {
                window.closing = None;
            }
            return;
        }
        let left = !lane.units.is_empty() || lane.expected.is_some();
        let closed = self.window.take();
        let early = |window: &TumblingWindow| window.closing.is_some_and(|closing| closing.early);
        let cut_short = closed.filter(|window| left && early(window));
        self.window = cut_short.map(|window| TumblingWindow::fresh(window.start, window.end));
    }

    /// Gives the final invocation of a window up.
    pub(super) fn discard_final(
        &mut self,
        condition: Condition,
        response: Option<ResponseFacts>,
        core: &mut Core,
        now: Now,
    ) {
        let lane = &self.lanes[usize::from(LANE)];
        let (Some(window), Some(unit)) = (self.window.clone(), lane.units.front()) else {
            return;
        };
        core.notify(
            NoticeLevel::Warn,
            "window_discarded",
            Some(&self.id),
            format!(
                "the final invocation of a tumbling window of shard {} is given up ({condition:?} \
                 after {} attempts): its state is lost",
                self.id, unit.attempts
            ),
        );
        if core.config.on_failure.is_none() {
            core.transition("document:none");
            self.window_closed(core);
            return;
        }
        let document = FailureDocument::new(Discard {
            config: &core.config,
            shard: &self.id,
            fence: self.fence,
            condition,
            request_id: unit.request_id,
            attempts: unit.attempts,
            response,
            window: Some(&window.call()),
            batch: &Batch::default(),
            at: now.wall,
        });
        let next = lane.queue.front().map(|queued| queued.ordinal);
        let first = next.unwrap_or(self.buffer.next_ordinal());
        let undelivered = Undelivered {
            document: Arc::new(document),
            op: None,
            failures: 0,
            retry_at: now.mono,
            fault: None,
            since: now.wall,
            first_ordinal: first,
            records: 0,
            span: None,
            arrival: window.start,
            before_shard: self.buffer.before(first),
            before_lane: lane.settled.clone(),
            window: Some(window),
            done: false,
        };
        self.window_closed(core);
        self.lanes[usize::from(LANE)]
            .documents
            .push_back(undelivered);
        self.deliver(LANE, core, now);
    }

    /// Something came, or the shard was begun: a window is not quiet before so long after.
    pub(super) fn stir(&mut self, now: Mono) {
        self.quiet_since = now;
    }
}
