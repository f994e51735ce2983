//! Says what must hold: one function for each property, with its name and its invariant.
//!
//! Rules: an oracle looks at the model and at what the engine has just asked for, and changes
//! nothing; it never asks the engine for an opinion, except where the engine's own bookkeeping is
//! what is being judged.

mod bounds;
mod saving;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use penstock_engine::event::ENVELOPE_BYTES;
use penstock_engine::limits;
use penstock_engine::time::{Mono, Now, Wall};

pub use bounds::{conserved, memory_bounded, nothing_late};
pub use saving::{
    checkpoint_covers_settled_only, checkpoint_monotonic, first_rows, reads_follow_on,
};

use crate::model::{Mode, Model, Stage};
use crate::units::Start;

/// A property that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The oracle that saw it.
    pub oracle: &'static str,
    /// The invariant that is broken.
    pub invariant: &'static str,
    /// What was seen.
    pub message: String,
}

impl Violation {
    /// What `oracle` has seen.
    #[must_use]
    pub fn new(oracle: &'static str, invariant: &'static str, message: String) -> Self {
        Self {
            oracle,
            invariant,
            message,
        }
    }
}

/// Whether a property holds.
pub type Verdict = Result<(), Violation>;

/// A verdict that something does not hold.
///
/// # Errors
/// Always: that is what it is for.
pub fn violated(oracle: &'static str, invariant: &'static str, message: String) -> Verdict {
    Err(Violation::new(oracle, invariant, message))
}

/// I12, I16: a mapping that is paused, draining or gone starts nothing.
///
/// # Errors
/// When it did.
pub fn quiet_when_told(model: &Model, start: &Start) -> Verdict {
    if model.mode == Mode::Running {
        return Ok(());
    }
    violated(
        "quiet_when_told",
        "I12",
        format!("{:?} while {:?}", start.records, model.mode),
    )
}

/// I12: a mapping that is paused, draining or gone reads nothing.
///
/// # Errors
/// When it does.
pub fn quiet_reads(model: &Model) -> Verdict {
    if model.mode == Mode::Running {
        return Ok(());
    }
    violated(
        "quiet_when_told",
        "I12",
        format!("a read while {:?}", model.mode),
    )
}

/// I10: only the holder of the last lease hands out records, and says under which; none when
/// somebody else may have the shard, or is to have it.
///
/// # Errors
/// When the lease is another one or none, or it is too late.
pub fn lease_is_held(model: &Model, start: &Start, now: Now) -> Verdict {
    let tenure = model.shards[start.shard].tenure.as_ref();
    let held = tenure.map(|tenure| (tenure.fence, tenure.may_start(now.mono)));
    if held == Some((start.fence, true)) {
        return Ok(());
    }
    violated(
        "lease_is_held",
        "I10",
        format!("{:?} started, {held:?} is held", start.fence),
    )
}

/// I4: a batch is within `BatchSize` and the event's bytes.
///
/// # Errors
/// When it is not.
pub fn batch_within_limits(model: &Model, start: &Start, fresh: bool) -> Verdict {
    let count = start.records.len();
    if count == 0 || (fresh && count > model.config.batch_size as usize) {
        return violated(
            "batch_within_limits",
            "I4",
            format!("{count} records in a batch"),
        );
    }
    let records = start.records.iter();
    let bytes: u64 = records
        .map(|place| model.event_bytes(start.shard, *place))
        .sum();
    let bytes = bytes + ENVELOPE_BYTES - 1;
    if bytes > model.config.payload_bytes_max {
        return violated(
            "batch_within_limits",
            "I4",
            format!("an event of {bytes} bytes"),
        );
    }
    Ok(())
}

/// I3, I4: a batch comes from one lane; a lane runs one batch at a time.
///
/// # Errors
/// When it does not.
pub fn batch_of_one_lane(model: &Model, start: &Start) -> Verdict {
    let tenure = model.tenure(start.shard);
    let Some(lane) = tenure.lanes.get(usize::from(start.lane)) else {
        return violated(
            "batch_of_one_lane",
            "I4",
            format!("lane {} does not exist", start.lane),
        );
    };
    if let Some((running, _)) = &lane.running {
        let message = format!("lane {} runs {running:?} already", start.lane);
        return violated("one_batch_per_lane", "I3", message);
    }
    let elsewhere =
        |place: &&usize| model.lane(start.shard, **place, tenure.lane_count) != start.lane;
    match start.records.iter().find(elsewhere) {
        Some(place) => violated(
            "batch_of_one_lane",
            "I3",
            format!("record {place} does not belong to lane {}", start.lane),
        ),
        None => Ok(()),
    }
}

/// I3: no two invocations of one key at a time, in whatever lanes they stand.
///
/// # Errors
/// When there are.
pub fn one_invocation_per_key(model: &Model, start: &Start) -> Verdict {
    let shard = &model.shards[start.shard];
    let serial = model.serial(start.shard);
    let others = model.running.values();
    for other in others.filter(|other| other.shard == start.shard && Some(other.tenure) == serial) {
        let key = |place: &usize| shard.records[*place].key;
        let keys: BTreeSet<u32> = other.records.iter().map(key).collect();
        if let Some(place) = start
            .records
            .iter()
            .find(|place| keys.contains(&key(place)))
        {
            return violated(
                "one_invocation_per_key",
                "I3",
                format!(
                    "key {} of record {place} is in an invocation already",
                    key(place)
                ),
            );
        }
    }
    Ok(())
}

/// I3: a record starts only when all earlier ones of its key are settled, given up, or in the
/// same batch before it; and never after a later one was done in this tenure.
///
/// # Errors
/// When it starts out of order.
pub fn keys_in_order(model: &Model, start: &Start) -> Verdict {
    let shard = &model.shards[start.shard];
    let mut last_of_key: BTreeMap<u32, usize> = BTreeMap::new();
    for &place in &start.records {
        last_of_key.insert(shard.records[place].key, place);
    }
    for (key, last) in last_of_key {
        for &other in &shard.keys[&key] {
            if start.records.binary_search(&other).is_ok() {
                continue;
            }
            let record = &shard.records[other];
            let done = matches!(record.stage, Stage::Done | Stage::Awaiting);
            let may_be_behind = done
                || record.settled.is_some()
                || record.lost
                || record.filtered
                || !shard.owes(other);
            let ran = done && !record.filtered && !model.resume_covers(start.shard, other);
            if (other < last && !may_be_behind) || (other > last && ran) {
                return violated(
                    "keys_in_order",
                    "I3",
                    format!(
                        "record {last} starts, {other} of its key is {:?}",
                        record.stage
                    ),
                );
            }
        }
    }
    Ok(())
}

/// I12, I2: what the tenure resumed from, or has done itself, is not run again.
///
/// # Errors
/// When it is.
pub fn settled_records_rest(model: &Model, start: &Start) -> Verdict {
    let shard = &model.shards[start.shard];
    for &place in &start.records {
        let record = &shard.records[place];
        let stage = record.stage;
        if record.filtered || stage != Stage::Waiting || model.resume_covers(start.shard, place) {
            return violated(
                "settled_records_rest",
                "I12",
                format!(
                    "record {place} starts, it is {stage:?}, filtered: {}",
                    record.filtered
                ),
            );
        }
    }
    Ok(())
}

/// I3: a child starts when all its parents are settled to their ends.
///
/// # Errors
/// When it starts before.
pub fn parents_first(model: &Model, shard: usize, now: Wall) -> Verdict {
    for &parent in &model.shards[shard].parents {
        let known = model.shards[parent].start.is_some() && !model.shards[parent].unlisted;
        if known && !model.settled_to_end(parent, now) {
            let (child, parent) = (&model.shards[shard].id, &model.shards[parent].id);
            return violated(
                "parents_first",
                "I3",
                format!("{child} is read before {parent} ends"),
            );
        }
    }
    Ok(())
}

/// I8: the first record of a batch is not past its age.
///
/// # Errors
/// When it is.
pub fn age_respected(model: &Model, start: &Start, now: Now) -> Verdict {
    let first = start.records[0];
    if model.expired(start.shard, first, now.wall) {
        let arrival = model.shards[start.shard].records[first].arrival;
        let message = format!(
            "record {first} arrived at {arrival:?}, it is {:?}",
            now.wall
        );
        return violated("age_respected", "I8", message);
    }
    Ok(())
}

/// I4: records are handed out only so far beyond what is settled; while saving fails or hangs,
/// only so far beyond what is saved.
///
/// # Errors
/// When they are handed out further.
pub fn ahead_bounded(model: &Model, start: &Start, now: Now) -> Verdict {
    let shard = &model.shards[start.shard];
    let tenure = model.tenure(start.shard);
    let undone = |place: &usize| {
        let record = &shard.records[*place];
        let gone = record.lost || *place < shard.trimmed;
        let unread = record.stage == Stage::Unread && gone;
        let dropped = model.dropped_in_silence(start.shard, *place, now.wall);
        record.stage != Stage::Done && !unread && !dropped
    };
    let from = tenure
        .resume
        .as_ref()
        .map_or(0, |saved| shard.covered(&saved.position));
    let watermark = (from..tenure.handed).find(undone).unwrap_or(tenure.handed);
    let last = start.records[start.records.len() - 1];
    let most = model.config.ahead_records_max as usize;
    let read = |place: &usize| shard.records[*place].stage != Stage::Unread;
    let ahead = (watermark..last).filter(read).count();
    if start.records[0] != watermark && ahead >= most {
        return violated(
            "ahead_bounded",
            "I4",
            format!("{last} starts, {watermark} is unsettled"),
        );
    }
    let saved = tenure
        .saved
        .as_ref()
        .map_or(0, |saved| shard.covered(saved));
    let beyond = (saved..last).filter(read).count();
    let hangs = tenure
        .save_asked
        .is_some_and(|at| now.mono - at > limits::SAVE_PATIENCE);
    if (tenure.save_failed || hangs) && beyond > most {
        return violated(
            "ahead_bounded",
            "I4",
            format!("{last} starts, only {saved} is saved"),
        );
    }
    Ok(())
}

/// Section 2.2 of the streams' rules: a batch that is not full does not go out before its window
/// has passed.
///
/// # Errors
/// When it goes out early.
pub fn window_respected(model: &Model, start: &Start, now: Now) -> Verdict {
    let tenure = model.tenure(start.shard);
    let lane = &tenure.lanes[usize::from(start.lane)];
    let shard = &model.shards[start.shard];
    let window = model.config.batch_window;
    let size = model.config.batch_size as usize;
    let bytes: u64 = lane
        .queue
        .iter()
        .map(|place| model.event_bytes(start.shard, *place))
        .sum();
    let excused = !lane.units.is_empty()
        || lane.expected.is_some()
        || window == Duration::ZERO
        || model.reconfigured
        || tenure.ended_at.is_some()
        || lane.cut_at == Some(now.mono)
        || model.first_behind(start.shard, &lane.queue).is_some()
        || lane.queue.len() >= size
        || bytes + ENVELOPE_BYTES > model.config.payload_bytes_max
        || lane
            .flush_through
            .is_some_and(|through| start.records[0] <= through);
    if excused {
        return Ok(());
    }
    let opened = shard.records[start.records[0]].handed_at;
    let opened = if lane.ended_at == Mono(0) {
        opened
    } else {
        opened.min(lane.ended_at)
    };
    if now.mono < opened + window {
        let left = (opened + window) - now.mono;
        let records = &start.records;
        return violated(
            "window_respected",
            "I4",
            format!("{records:?} goes out {left:?} early"),
        );
    }
    Ok(())
}
