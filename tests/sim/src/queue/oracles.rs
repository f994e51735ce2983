//! Says what must hold of a mapping on a queue: one function for each property.
//!
//! Rules: an oracle looks at the queue, at the model and at what the engine has just asked for,
//! and changes nothing.

use std::time::Duration;

use penstock_engine::event::ENVELOPE_BYTES;
use penstock_engine::io::Receive;
use penstock_engine::time::Mono;

use super::model::{Attempt, Copied, QueueModel, Stage, VISIBILITY_MIN};
use super::source::{Handed, SimQueue, Standing};
use crate::model::Mode;
use crate::oracles::{Verdict, violated};

/// How late something may be that is due at once.
const SLACK: Duration = Duration::from_millis(2);
/// How long what was handled may wait for others to be deleted with.
const DELETES_WITHIN: Duration = Duration::from_millis(500);
/// How long a failed delete may put others off.
const DELETE_TROUBLE: Duration = Duration::from_secs(90);
/// How long after a drain something may stay hidden that no handler has seen.
const BACK_WITHIN: Duration = Duration::from_secs(1);
/// How long an attempt's name is worth keeping, with some time to get there.
const ATTEMPT_KEPT: Duration = Duration::from_secs(240);

/// I12, I16: a mapping that is paused, draining or gone starts nothing and receives nothing.
///
/// # Errors
/// When it does.
pub fn quiet_when_told(model: &QueueModel, what: &str) -> Verdict {
    if model.mode == Mode::Running {
        return Ok(());
    }
    violated(
        "quiet_when_told",
        "I12",
        format!("{what} while {:?}", model.mode),
    )
}

/// I1: a message is deleted only after a handler's success, or because no filter matches it.
///
/// # Errors
/// When it is deleted before.
pub fn delete_after_success(model: &QueueModel, receipts: &[u64]) -> Verdict {
    for receipt in receipts {
        let copy = &model.copies[receipt];
        let current = copy.life == model.life;
        if !current || !matches!(copy.stage, Stage::Succeeded | Stage::Filtered) {
            let message = format!("message {} is deleted while {:?}", copy.message, copy.stage);
            return violated("delete_after_success", "I1", message);
        }
    }
    Ok(())
}

/// I4: a batch is not empty, not over `BatchSize`, and its event not over the payload limit.
///
/// # Errors
/// When it is.
pub fn batch_within_limits(model: &QueueModel, copies: &[u64], constant: u64) -> Verdict {
    let count = copies.len();
    let weights = copies
        .iter()
        .map(|receipt| u64::from(model.copies[receipt].weight));
    let bytes = weights.map(|weight| weight + constant + 1).sum::<u64>() + ENVELOPE_BYTES - 1;
    // What was formed before the options changed is handed out as it is.
    let formed = |receipt: &u64| {
        let at = model.copies[receipt].handed_at;
        model.reconfigured.is_some_and(|changed| at <= changed)
    };
    let most = model.config.batch_size as usize;
    if count == 0 || (count > most && !copies.iter().any(formed)) {
        let message = format!("{count} messages in a batch");
        return violated("batch_within_limits", "I4", message);
    }
    if bytes > model.config.payload_bytes_max {
        let message = format!("an event of {bytes} bytes");
        return violated("batch_within_limits", "I4", message);
    }
    Ok(())
}

/// I1, I14: what is started waits in the engine, was not started before, is not filtered.
///
/// # Errors
/// When it does not.
pub fn started_once(model: &QueueModel, copies: &[u64]) -> Verdict {
    for (place, receipt) in copies.iter().enumerate() {
        let copy = &model.copies[receipt];
        let twice = copies[..place].contains(receipt);
        if twice || copy.life != model.life || copy.stage != Stage::Waiting {
            let message = format!("message {} starts while {:?}", copy.message, copy.stage);
            return violated("started_once", "I1", message);
        }
    }
    Ok(())
}

/// Nothing starts whose visibility has ended: somebody else may have it.
///
/// # Errors
/// When it does.
pub fn hidden_when_started(
    model: &QueueModel,
    queue: &SimQueue,
    copies: &[u64],
    now: Mono,
) -> Verdict {
    for receipt in copies {
        let copy = &model.copies[receipt];
        let waiting = queue.messages[copy.message].standing == Standing::Waiting;
        if waiting && !still_hidden(queue, *receipt, copy, now) && !copy.unknowable {
            let message = format!("message {} starts after its visibility", copy.message);
            return violated("hidden_when_started", "I3", message);
        }
    }
    Ok(())
}

/// I4: no more invocations than `MaximumConcurrency`.
///
/// # Errors
/// When there are.
pub fn concurrency_bounded(model: &QueueModel) -> Verdict {
    let most = model
        .config
        .queue
        .and_then(|rules| rules.maximum_concurrency);
    let running = model.running.len();
    match most {
        Some(most) if running >= most as usize => {
            let message = format!("one more invocation besides {running} of {most}");
            violated("concurrency_bounded", "I4", message)
        }
        _ => Ok(()),
    }
}

/// I3: within a message group nothing starts before what stands in front of it is done with; and
/// no two invocations hold messages of one group.
///
/// # Errors
/// When something does.
pub fn group_in_order(model: &QueueModel, queue: &SimQueue, copies: &[u64]) -> Verdict {
    if !model.fifo() {
        return Ok(());
    }
    for (place, receipt) in copies.iter().enumerate() {
        let copy = &model.copies[receipt];
        let of_group = |other: &u64| model.copies[other].group == copy.group;
        let mut running = model.running.values();
        if running.any(|other| other.copies.iter().any(of_group)) {
            let message = format!("two invocations of group {:?}", copy.group);
            return violated("one_invocation_per_group", "I3", message);
        }
        let before = |number: &usize| {
            let mut front = copies[..place].iter();
            front.any(|other| model.copies[other].message == *number)
        };
        let open = queue.messages[..copy.message].iter().enumerate();
        let open = open.filter(|(number, message)| {
            message.group == copy.group
                && message.standing == Standing::Waiting
                && !message.content.filtered
                && !model.succeeded.contains(number)
        });
        if let Some((number, _)) = open.into_iter().find(|(number, _)| !before(number)) {
            let message = format!("message {} starts before {number}", copy.message);
            return violated("group_in_order", "I3", message);
        }
    }
    Ok(())
}

/// A receive asks for what the rules say, and only with a place for what it may bring.
///
/// # Errors
/// When it does not.
pub fn receive_by_the_rules(
    model: &QueueModel,
    queue: &SimQueue,
    request: &Receive,
    (asked, now): (u64, Mono),
) -> Verdict {
    let wrong = |message: String| violated("receive_by_the_rules", "I4", message);
    let most = model.config.source.fetch_records_max;
    if request.limit == 0 || request.limit > most {
        return wrong(format!(
            "{} messages are asked for, {most} allowed",
            request.limit
        ));
    }
    let (expected, _) = model.visibility();
    if request.visibility != expected {
        return wrong(format!(
            "hidden for {:?}, not {expected:?}",
            request.visibility
        ));
    }
    if request.attempt.is_some() != model.fifo() {
        return wrong(format!("the attempt's name is {:?}", request.attempt));
    }
    let Some(most) = model
        .config
        .queue
        .and_then(|rules| rules.maximum_concurrency)
    else {
        return Ok(());
    };
    let at_hand = |receipt: &&u64| {
        let copy = &model.copies[*receipt];
        match copy.stage {
            Stage::Running(_) => true,
            Stage::Waiting => !copy.excused && still_hidden(queue, **receipt, copy, now),
            _ => false,
        }
    };
    let held = model.held.iter().filter(at_hand).count() as u64;
    let room = u64::from(most) * u64::from(model.config.batch_size);
    if held + asked > room && model.reconfigured.is_none() {
        let message = format!("{asked} messages are asked for besides {held}, room for {room}");
        return violated("receive_with_room", "I4", message);
    }
    Ok(())
}

/// A FIFO queue's receive whose answer was lost is tried again under its name, or its groups stay
/// blocked; an answered one's name is never used again.
///
/// # Errors
/// When it is not.
pub fn attempt_by_the_rules(model: &QueueModel, request: &Receive, now: Mono) -> Verdict {
    let Some(name) = &request.attempt else {
        return Ok(());
    };
    let lost = |attempt: &Attempt| matches!(attempt, Attempt::Lost(at) if now - *at < ATTEMPT_KEPT);
    match model.attempts.get(name) {
        Some(Attempt::Lost(_) | Attempt::Refused) => Ok(()),
        None if !model.attempts.values().any(lost) => Ok(()),
        found => violated(
            "attempt_by_the_rules",
            "I20",
            format!("{name} is {found:?}"),
        ),
    }
}

/// Only what never started is given back at once; what failed may only be let come back within the
/// queue's own time; nothing is hidden for longer than a receive hides it.
///
/// # Errors
/// When it is not so.
pub fn visibility_by_the_rules(model: &QueueModel, receipts: &[u64], by: Duration) -> Verdict {
    let usual = model.visibility().1.max(VISIBILITY_MIN);
    let own = model.own_visibility().max(Duration::from_secs(1));
    if by > usual || by.subsec_nanos() != 0 {
        let message = format!("hidden for {by:?}, a receive hides for {usual:?}");
        return violated("visibility_by_the_rules", "I12", message);
    }
    for receipt in receipts {
        let copy = &model.copies[receipt];
        let fits = match copy.stage {
            Stage::Waiting => true,
            Stage::Running(_) => !by.is_zero(),
            Stage::GivenBack => by.is_zero(),
            Stage::Failed => !by.is_zero() && by <= own,
            // The receipt must stay good until the message is deleted.
            Stage::Succeeded | Stage::Filtered => !by.is_zero(),
            Stage::Away => false,
        };
        if !fits || copy.life != model.life {
            let message = format!(
                "message {} is hidden for {by:?} while {:?}",
                copy.message, copy.stage
            );
            return violated("visibility_by_the_rules", "I12", message);
        }
    }
    Ok(())
}

/// A message that failed comes back after at most the queue's own timeout, and not before it could
/// have: judged a second later, when the engine has had the time to see to it.
///
/// # Errors
/// When it stays away for longer.
pub fn failed_come_back(
    model: &mut QueueModel,
    queue: &SimQueue,
    now: Mono,
    extending: bool,
) -> Verdict {
    while let Some(receipt) = model.failing.front().copied() {
        let copy = &model.copies[&receipt];
        let Some(at) = copy.done_at.filter(|at| *at + BACK_WITHIN <= now) else {
            break;
        };
        model.failing.pop_front();
        let copy = &model.copies[&receipt];
        let message = &queue.messages[copy.message];
        let mut most = model.own_visibility().max(Duration::from_secs(1));
        if extending {
            most = most.max(VISIBILITY_MIN);
        }
        let ours = message.standing == Standing::Waiting && message.receipt == Some(receipt);
        if ours && !copy.excused && message.visible_at > at + most + BACK_WITHIN {
            let message = format!("message {} has failed and stays hidden", copy.message);
            return violated("failed_come_back", "I20", message);
        }
    }
    Ok(())
}

/// I12: visibility is handed back at a drain or a pause only when no receive is under way: its
/// messages would be hidden with nobody to know them.
///
/// # Errors
/// When one is.
pub fn receives_end_first(model: &QueueModel, by: Duration, receiving: usize) -> Verdict {
    if model.mode == Mode::Running || !by.is_zero() || receiving == 0 {
        return Ok(());
    }
    let message = format!("visibility is handed back during {receiving} receives");
    violated("receives_end_first", "I12", message)
}

/// No message comes again while the engine has it: a handler runs on it, or nobody has taken it
/// yet. Troubles that the engine cannot help excuse it.
///
/// # Errors
/// When one does.
pub fn kept_hidden(model: &QueueModel, handed: &Handed) -> Verdict {
    if handed.again {
        return Ok(());
    }
    let mut held = model.held.iter().map(|receipt| &model.copies[receipt]);
    let kept = |copy: &&Copied| {
        copy.message == handed.message
            && !copy.excused
            && matches!(copy.stage, Stage::Waiting | Stage::Running(_))
    };
    match held.find(kept) {
        Some(copy) => violated(
            "kept_hidden",
            "I1",
            format!(
                "message {} comes again while {:?}",
                copy.message, copy.stage
            ),
        ),
        None => Ok(()),
    }
}

/// I20: what was handled is deleted soon.
///
/// # Errors
/// When nobody asks for it.
pub fn deleted_soon(model: &QueueModel, now: Mono, deleting: bool) -> Verdict {
    let troubled = model
        .delete_trouble
        .is_some_and(|at| now - at < DELETE_TROUBLE);
    if deleting || troubled {
        return Ok(());
    }
    for receipt in &model.held {
        let copy = &model.copies[receipt];
        let waits = copy.done_at.is_some_and(|at| at + DELETES_WITHIN < now);
        if waits && !copy.delete_asked {
            let message = format!("message {} is done and not deleted", copy.message);
            return violated("deleted_soon", "I20", message);
        }
    }
    Ok(())
}

/// I20: with no invocation running and a worker free, what waits in the engine starts when its
/// window has passed.
///
/// # Errors
/// When it does not.
pub fn nothing_late(model: &QueueModel, queue: &SimQueue, now: Mono) -> Verdict {
    if model.mode != Mode::Running || !model.running.is_empty() || rejecting(model, now) {
        return Ok(());
    }
    // A batch of groups waits until what stands before it in any of them is deleted.
    let deleting = |receipt: &u64| model.copies[receipt].stage != Stage::Waiting;
    if model.fifo() && model.held.iter().any(deleting) {
        return Ok(());
    }
    let startable = |receipt: &&u64| {
        let copy = &model.copies[*receipt];
        let alone = group_in_order(model, queue, &[**receipt]).is_ok();
        copy.stage == Stage::Waiting
            && !copy.excused
            && still_hidden(queue, **receipt, copy, now)
            && alone
    };
    let first = model.held.iter().filter(startable);
    let first = first.map(|receipt| model.copies[receipt].handed_at).min();
    let since = [model.running_since, model.last_end];
    let since = since.into_iter().chain(model.reconfigured);
    let Some(first) = first else {
        return Ok(());
    };
    let due = since.fold(first, Mono::max) + model.config.batch_window;
    if due + SLACK < now {
        let message = format!("a message could have started {:?} ago", now - due);
        return violated("nothing_late", "I20", message);
    }
    Ok(())
}

/// I12: a clean drain in calm weather has deleted what was handled, and has given back what no
/// handler has seen.
///
/// # Errors
/// When it has not.
pub fn drained(model: &QueueModel, queue: &SimQueue, now: Mono) -> Verdict {
    for receipt in &model.held {
        let copy = &model.copies[receipt];
        let message = &queue.messages[copy.message];
        if message.standing != Standing::Waiting || message.receipt != Some(*receipt) {
            continue;
        }
        let handled = matches!(copy.stage, Stage::Succeeded | Stage::Filtered);
        let hidden = copy.stage == Stage::Waiting && message.visible_at > now + BACK_WITHIN;
        if (handled || hidden) && !copy.excused {
            let told = format!("message {} is left {:?}", copy.message, copy.stage);
            return violated("drain_leaves_nothing", "I12", told);
        }
    }
    Ok(())
}

/// A worker has refused a batch lately: it is tried again after a while.
fn rejecting(model: &QueueModel, now: Mono) -> bool {
    let backoff = &model.config.backoff;
    let longest = backoff.cap.mul_f64(1.0 + backoff.jitter);
    model
        .last_rejection
        .is_some_and(|at| at + longest + SLACK >= now)
}

fn still_hidden(queue: &SimQueue, receipt: u64, copy: &Copied, now: Mono) -> bool {
    let message = &queue.messages[copy.message];
    message.standing == Standing::Waiting
        && message.visible_at > now
        && message.receipt == Some(receipt)
}
