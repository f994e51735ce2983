//! Follows the tumbling windows of each shard: what an invocation must get, what its answer makes
//! of the state, and which state a checkpoint must hold.
//!
//! Rules: this is written from the reference, not from the engine. A simulated state lists the
//! records that were added to it, so that a state that is kept, lost or passed on wrongly names
//! them; windows are multiples of their length by the records' arrival, a late record joins the
//! open one, and a final call comes once nothing more can.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::PartialState;
use penstock_engine::io::{Checkpoint, Invocation, Outcome, Report, TumblingCall, TumblingWindow};
use penstock_engine::limits::{TUMBLING_IDLE, WINDOW_STATE_BYTES_MAX};
use penstock_engine::time::{Mono, Now, Wall};

use crate::model::{How, Model, Stage};
use crate::oracles::{Verdict, Violation, violated};
use crate::units::{Start, Unit};

/// A window that has begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowModel {
    /// Its first moment.
    pub start: Wall,
    /// The first moment behind it.
    pub end: Wall,
    /// The records that its state holds.
    pub seen: Vec<usize>,
}

impl WindowModel {
    fn around(moment: Wall, length: Duration) -> Self {
        let length = i64::try_from(length.as_millis()).expect("windows are short");
        let start = moment.0.div_euclid(length) * length;
        Self {
            start: Wall(start),
            end: Wall(start + length),
            seen: Vec::new(),
        }
    }

    /// The window that a checkpoint holds.
    #[must_use]
    pub fn saved(window: &TumblingWindow) -> Self {
        Self {
            start: window.start,
            end: window.end,
            seen: seen(&window.state),
        }
    }
}

/// The records that a simulated state lists.
fn seen(state: &str) -> Vec<usize> {
    let state: serde_json::Value = serde_json::from_str(state).expect("a state is JSON");
    let places = state.get("seen").and_then(serde_json::Value::as_array);
    let places = places
        .into_iter()
        .flatten()
        .filter_map(|place| place.as_u64());
    places
        .map(|place| usize::try_from(place).expect("a place in a shard"))
        .collect()
}

/// The outcome of a handler that adds the records of a call to the state it got, unless it says a
/// state itself; a bulky one ends its window early. A handler that fails has added them too: nobody
/// may see that.
#[must_use]
pub fn aggregated(
    call: Option<&TumblingCall>,
    records: &[usize],
    outcome: Outcome,
    bulky: bool,
) -> Outcome {
    let (Some(call), Outcome::Returned(report)) = (call, &outcome) else {
        return outcome;
    };
    if *report == Report::Unusable || call.is_final {
        return outcome;
    }
    let kept = match report {
        Report::FailedFrom(first) if *first > 0 => *first as usize,
        _ => records.len(),
    };
    let mut places = seen(&call.state);
    places.extend(&records[..kept.min(records.len())]);
    let mut state = serde_json::json!({ "seen": places });
    if bulky {
        state["pad"] = "x".repeat(WINDOW_STATE_BYTES_MAX).into();
    }
    let state = state.to_string();
    Outcome::Aggregated {
        report: report.clone(),
        state: Arc::from(state),
    }
}

impl Model {
    /// I15: an invocation gets the window that its records belong to, with the state that the last
    /// success gave, and a batch stays within one window.
    ///
    /// # Errors
    /// When it gets another one.
    pub fn window_of_batch(&mut self, start: &Start, invocation: &Invocation) -> Verdict {
        let open = self.tenure(start.shard).window.clone();
        let first = self.shards[start.shard].records[start.records[0]].arrival;
        let opened = |length| WindowModel::around(first, length);
        let expected = open.or_else(|| self.config.tumbling_window.map(opened));
        let expected = expected.filter(|_| start.lane == 0);
        let given = invocation.window.as_ref();
        if given.is_some_and(|call| call.is_final || call.terminated_early) {
            return wrong(format!("{:?} is called final", start.records));
        }
        let shown = given.map(shown);
        if shown != expected {
            return wrong(format!(
                "{:?} gets {shown:?}, not {expected:?}",
                start.records
            ));
        }
        let Some(window) = expected else {
            self.windowless = true;
            return Ok(());
        };
        let behind =
            |place: &&usize| self.shards[start.shard].records[**place].arrival >= window.end;
        if let Some(place) = start.records.iter().find(behind) {
            return wrong(format!("record {place} is behind the window {window:?}"));
        }
        self.tenure_mut(start.shard).window = Some(window);
        Ok(())
    }

    /// I15: a final invocation comes when nothing more belongs to its window, with its state, and
    /// makes sure that it is what must come now.
    ///
    /// # Errors
    /// When it has no cause.
    pub fn final_of_window(&mut self, start: &Start, invocation: &Invocation, now: Now) -> Verdict {
        let given = invocation.window.as_ref().filter(|call| call.is_final);
        let expected = self.tenure(start.shard).window.clone();
        if given.map(shown) != expected || start.lane != 0 {
            return wrong(format!("a final call gets {given:?}, not {expected:?}"));
        }
        let Some(window) = expected else {
            return wrong("a final call without a window".to_owned());
        };
        let silent = self.give_up_all_in_silence(start.shard, now);
        let tenure = self.tenure(start.shard);
        let lane = &tenure.lanes[0];
        if lane
            .units
            .front()
            .is_some_and(|unit| unit.records.is_empty())
        {
            return Ok(());
        }
        let records = &self.shards[start.shard].records;
        let next = lane.queue.front().copied().or(silent);
        let later = next.is_some_and(|place| records[place].arrival >= window.end);
        let ended = tenure.ended_at.is_some() && lane.queue.is_empty();
        let off = self.config.tumbling_window.is_none();
        let quiet = lane.queue.is_empty()
            && now.wall >= window.end
            && now.mono - self.last_handed(start.shard) >= TUMBLING_IDLE;
        if !lane.units.is_empty() || !(later || ended || off || quiet) {
            return wrong(format!("{window:?} is closed before its end"));
        }
        self.tenure_mut(start.shard).lanes[0]
            .units
            .push_front(final_unit(now));
        Ok(())
    }

    /// When the shard last brought a record that was new, or was begun.
    fn last_handed(&self, shard: usize) -> Mono {
        let records = self.shards[shard].records.iter().enumerate();
        let new = records.filter(|(place, record)| {
            record.stage != Stage::Unread && !record.filtered && !self.resume_covers(shard, *place)
        });
        let began = self.tenure(shard).began_at;
        new.map(|(_, record)| record.handed_at)
            .fold(began, Mono::max)
    }

    /// What an answer makes of the state.
    pub fn carry(&mut self, shard: usize, lane: u8, added: &[usize], outcome: &Outcome, now: Now) {
        let Outcome::Aggregated { state, .. } = outcome else {
            return;
        };
        let tenure = self.tenure_mut(shard);
        let Some(window) = tenure.window.as_mut().filter(|_| lane == 0) else {
            return;
        };
        window.seen.extend(added);
        if state.len() > WINDOW_STATE_BYTES_MAX {
            tenure.ends_early = true;
            tenure.lanes[0].units.push_front(final_unit(now));
        }
    }

    /// What an answer that names failed items makes of the state.
    pub fn carry_partial(
        &mut self,
        shard: usize,
        lane: u8,
        succeeded: &[usize],
        outcome: &Outcome,
        now: Now,
    ) {
        if self.config.partial_state == PartialState::Keep {
            return self.carry(shard, lane, succeeded, outcome, now);
        }
        if self.tenure(shard).window.is_some() && lane == 0 {
            self.shards[shard].in_no_state.extend(succeeded);
        }
    }

    /// A final call is settled: its window is gone. What an early end left goes on in another one.
    pub fn window_closed(&mut self, shard: usize) {
        let tenure = self.tenure_mut(shard);
        let left = !tenure.lanes[0].units.is_empty() || tenure.lanes[0].expected.is_some();
        let Some(closed) = tenure.window.take() else {
            return;
        };
        if std::mem::take(&mut tenure.ends_early) && left {
            tenure.window = Some(WindowModel {
                seen: Vec::new(),
                ..closed
            });
        }
        self.shards[shard].closed_windows.push(closed);
    }

    /// I15: state and position are saved together: what is saved is the window at the position.
    ///
    /// # Errors
    /// When it is another one.
    pub fn window_with_its_position(&self, shard: usize, checkpoint: &Checkpoint) -> Verdict {
        let Some(tenure) = &self.shards[shard].tenure else {
            return Ok(());
        };
        let document = tenure.lanes.iter().find_map(|lane| lane.documents.front());
        let held = document.and_then(|(id, _)| self.documents.get(id));
        let expected = match held {
            Some(document) => document.window.clone(),
            None => tenure.window.clone(),
        };
        let saved = checkpoint.window.as_ref().map(WindowModel::saved);
        if saved != expected {
            return violated(
                "window_with_its_position",
                "I15",
                format!(
                    "{saved:?} is saved at {:?}, not {expected:?}",
                    checkpoint.position
                ),
            );
        }
        Ok(())
    }

    /// I15: at the end every record that succeeded is in a chain of states whose final call was
    /// settled, unless retention took it before that was saved: aggregation is at least once for
    /// what can be read again, and nothing can read that. A mapping may discard the state beside a
    /// partial report, and with it what succeeded there. A shard that retention took whole while
    /// nobody held it is in no listing any more, so that nobody closes its window.
    ///
    /// # Errors
    /// When one is in none.
    pub fn every_record_in_a_chain(&self) -> Verdict {
        for shard in self.shards.iter().filter(|shard| !shard.unlisted) {
            for (place, record) in shard.records.iter().enumerate() {
                let alone = record.settled_last == Some(How::Succeeded)
                    && !record.lost
                    && !record.gone_unsaved
                    && !shard.in_no_state.contains(&place)
                    && !shard
                        .closed_windows
                        .iter()
                        .any(|window| window.seen.contains(&place));
                if alone {
                    return violated(
                        "every_record_in_a_chain",
                        "I15",
                        format!(
                            "record {place} ({}) of {} is in no final state: {:?}",
                            record.sequence, shard.id, shard.closed_windows
                        ),
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether some shard that is held has an open window.
    #[must_use]
    pub fn window_open(&self) -> bool {
        let mut tenures = self.shards.iter().filter_map(|shard| shard.tenure.as_ref());
        tenures.any(|tenure| tenure.window.is_some())
    }
}

/// The final call of a window, as what must come next.
#[must_use]
pub fn final_unit(now: Now) -> Unit {
    Unit {
        records: Vec::new(),
        attempts: 0,
        rejections: 0,
        request: None,
        due: now.mono,
    }
}

fn shown(call: &TumblingCall) -> WindowModel {
    WindowModel {
        start: call.start,
        end: call.end,
        seen: seen(&call.state),
    }
}

fn wrong(message: String) -> Verdict {
    Err(Violation::new("window_of_the_batch", "I15", message))
}
