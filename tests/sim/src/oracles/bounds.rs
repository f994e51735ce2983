//! Says what must hold at every moment: books that add up, memory within its bound, nothing late.
//!
//! Rules: lateness is judged only where a worker is free and nothing excuses the wait.

use std::time::Duration;

use penstock_engine::limits;
use penstock_engine::snapshot::Counters;
use penstock_engine::time::{Now, Wall};

use super::{Verdict, violated};
use crate::model::{Mode, Model, Stage};

/// I13: each polled record is in exactly one state.
///
/// # Errors
/// When the engine's books do not add up.
pub fn conserved(counters: Counters) -> Verdict {
    if counters.conserved() {
        return Ok(());
    }
    violated("conserved", "I13", format!("{counters:?}"))
}

/// I19: pages pin no more than the mapping may hold, and the answers that are on their way.
///
/// # Errors
/// When they pin more.
pub fn memory_bounded(model: &Model, pinned: u64, reading: u64) -> Verdict {
    let most = model.config.buffered_bytes_max + reading * model.config.source.fetch_bytes_max;
    if pinned <= most {
        return Ok(());
    }
    violated(
        "memory_bounded",
        "I19",
        format!("{pinned} bytes are pinned, {most} allowed"),
    )
}

/// I20: a batch that is due goes out at once when a worker is free. Safety oracles cannot see
/// lateness, and a forgotten timer is nothing else.
///
/// # Errors
/// When a batch waits for nothing.
pub fn nothing_late(model: &Model, now: Now) -> Verdict {
    const SLACK: Duration = Duration::from_millis(2);
    if model.mode != Mode::Running {
        return Ok(());
    }
    for (number, shard) in model.shards.iter().enumerate() {
        let Some(tenure) = &shard.tenure else {
            continue;
        };
        for lane in 0..tenure.lanes.len() {
            let Some(due) = model.lane_due(number, lane) else {
                continue;
            };
            let due = due.max(model.running_since).max(tenure.open_since);
            if tenure.may_start(now.mono)
                && due + SLACK < now.mono
                && !excused(model, number, lane, now.wall)
            {
                return violated(
                    "nothing_late",
                    "I20",
                    format!(
                        "lane {lane} of {} was due {:?} ago",
                        shard.id,
                        now.mono - due
                    ),
                );
            }
        }
    }
    Ok(())
}

/// Whether a lane may wait: for documents, or for others to catch up.
fn excused(model: &Model, number: usize, lane: usize, now: Wall) -> bool {
    let undelivered = model.tenure(number).lanes[lane].documents.len();
    if undelivered >= limits::UNDELIVERED_DOCUMENTS_MAX as usize {
        return true;
    }
    let shard = &model.shards[number];
    let tenure = model.tenure(number);
    let saved = tenure
        .saved
        .as_ref()
        .map_or(0, |saved| shard.covered(saved));
    let waiting = &tenure.lanes[lane];
    let size = model.config.batch_size as usize;
    let batch: Vec<usize> = match waiting.units.front() {
        Some(unit) => unit.records.clone(),
        None => waiting.queue.iter().take(size).copied().collect(),
    };
    let (Some(&first), Some(&last)) = (batch.first(), batch.last()) else {
        return false;
    };
    let read = |place: &usize| shard.records[*place].stage != Stage::Unread;
    (saved..last).filter(read).count() >= model.config.ahead_records_max as usize
        || (model.config.on_failure.is_none() && model.expired(number, first, now))
}
