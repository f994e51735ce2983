//! Says what must hold of leases: one function for each property.

use std::time::Duration;

use penstock_engine::ids::{Fence, Owner, ShardId};
use penstock_engine::lease::{LeaseConfig, Row};
use penstock_engine::time::Mono;

use super::table::SimTable;
use super::truth::{Shard, Truth};
use crate::oracles::{Verdict, violated};

/// I10: whoever starts something has the shard at that moment, and nobody else.
///
/// # Errors
/// When another has it, or nobody.
pub fn lease_is_exclusive(row: Option<&Row>, owner: &Owner, fence: Fence) -> Verdict {
    let holds = |row: &Row| row.owner.as_ref() == Some(owner) && row.fence == Some(fence);
    if row.is_some_and(holds) {
        return Ok(());
    }
    let message = format!("{owner} starts a batch under {fence:?}, and the row is {row:?}");
    violated("lease_is_exclusive", "I10", message)
}

/// I10: a lease that is given has a higher fence than every one before.
///
/// # Errors
/// When it has not.
pub fn fences_grow(shard: &Shard, row: &Row) -> Verdict {
    if row.fence > Some(shard.fence) {
        return Ok(());
    }
    let message = format!(
        "{} was held under {:?}; now {row:?}",
        row.shard, shard.fence
    );
    violated("fences_grow", "I10", message)
}

/// I10: what is accepted was written under the newest lease.
///
/// # Errors
/// When it was not.
pub fn writes_are_fenced(shard: &Shard, owner: &Owner, fence: Fence) -> Verdict {
    let newest = shard.fence == fence && shard.taken.as_ref().is_some_and(|(o, _)| o == owner);
    if newest {
        return Ok(());
    }
    let message = format!(
        "{owner} saves under {fence:?}; the newest lease is {:?} of {:?}",
        shard.fence, shard.taken
    );
    violated("writes_are_fenced", "I10", message)
}

/// I2, I11: a checkpoint covers settled records only and never goes back.
///
/// # Errors
/// When it does.
pub fn checkpoint_holds(shard: &Shard, saved: usize, end: bool) -> Verdict {
    if end && !shard.done() {
        let message = "the end of a shard is saved before all of it is settled".to_owned();
        return violated("checkpoint_covers_settled_only", "I2", message);
    }
    if saved < shard.saved || (shard.ended && !end) {
        let message = format!("a checkpoint goes from {} back to {saved}", shard.saved);
        return violated("checkpoint_monotonic", "I11", message);
    }
    match shard.settled[..saved].iter().position(Option::is_none) {
        Some(place) => violated(
            "checkpoint_covers_settled_only",
            "I2",
            format!("a checkpoint behind record {saved} covers {place}, which is not settled"),
        ),
        None => Ok(()),
    }
}

/// I3: a child is read when all its parents are settled to their ends.
///
/// # Errors
/// When one is not.
pub fn parents_first(truth: &Truth, shard: &ShardId) -> Verdict {
    let parents = &truth.of(shard).parents;
    let open = |parent: &&ShardId| truth.shards.get(*parent).is_some_and(|shard| !shard.done());
    match parents.iter().find(open) {
        Some(parent) => {
            let message = format!("{shard} is read before {parent} has ended");
            violated("parents_first", "I3", message)
        }
        None => Ok(()),
    }
}

/// I12: what the holder before finished and gave up does not run again.
///
/// # Errors
/// When it does.
pub fn moves_repeat_nothing(shard: &Shard, fence: Fence, record: usize) -> Verdict {
    let before = shard.given_up;
    if shard.fence != fence || before.is_none() || shard.settled[record] != before {
        return Ok(());
    }
    let message = format!("record {record} runs again under {fence:?} after a planned move");
    violated("moves_repeat_nothing", "I12", message)
}

/// Fault class I: a shard that has just been taken is not asked for. Clocks may run apart.
///
/// # Errors
/// When it is.
pub fn moves_are_rare(shard: &Shard, config: LeaseConfig, now: Mono) -> Verdict {
    let held = shard.taken.as_ref().map(|(_, at)| now.since(*at));
    if held.is_none_or(|held| held >= config.settle_after() * 5 / 6) {
        return Ok(());
    }
    let message = format!("a shard is asked for after {held:?}");
    violated("moves_are_rare", "I20", message)
}

/// Fault class I: another program's row is left to it; asking it for one is of no use.
///
/// # Errors
/// When it is asked.
pub fn others_are_left_alone(row: &Row, is_ours: impl Fn(&Owner) -> bool) -> Verdict {
    if row.owner.as_ref().is_none_or(is_ours) {
        return Ok(());
    }
    let message = format!("another program was asked for its row: {row:?}");
    violated("others_are_left_alone", "I10", message)
}

/// I20: in a calm world no shard that can be read is without a holder for two leases.
///
/// # Errors
/// When one is.
pub fn nothing_is_left_alone(
    truth: &Truth,
    table: &SimTable,
    config: LeaseConfig,
    calm_since: Mono,
    now: Mono,
) -> Verdict {
    let longest: Duration = config.lease * 2;
    for id in truth.readable() {
        let alone = truth.of(id).unheld_since.map(|since| since.max(calm_since));
        if alone.is_some_and(|since| now.since(since) > longest) {
            let message = format!("nobody holds {id} for {longest:?}: {:?}", table.row(id));
            return violated("nothing_is_left_alone", "I20", message);
        }
    }
    Ok(())
}

/// I20: a calm fleet shares evenly.
///
/// # Errors
/// When one has two more than another.
pub fn shares_are_even(counts: &[usize]) -> Verdict {
    let (least, most) = (counts.iter().min(), counts.iter().max());
    match least.zip(most) {
        Some((least, most)) if most - least > 1 => {
            let message = format!("shares of a calm fleet: {counts:?}");
            violated("shares_are_even", "I20", message)
        }
        _ => Ok(()),
    }
}
