//! Watches everything that crosses the engine's edge on a queue, and asks the oracles.

use penstock_engine::event::{self, EventContext};
use penstock_engine::io::{Invocation, Output};
use penstock_engine::record::{Batch, RecordView};
use penstock_engine::time::Mono;

use super::model::{Attempt, QueueModel};
use super::oracles;
use super::page::receipt_of;
use super::source::SimQueue;
use crate::oracles::{Verdict, Violation};

/// Judges what the engine asks for; `receiving` are the limits of the receives under way.
///
/// # Errors
/// What an oracle has seen.
pub fn output(
    model: &mut QueueModel,
    queue: &SimQueue,
    output: &Output,
    receiving: &[u32],
    now: Mono,
) -> Verdict {
    match output {
        Output::Receive(request) => {
            oracles::quiet_when_told(model, "a receive")?;
            let asked = receiving.iter().copied().chain([request.limit]);
            let asked = asked.map(u64::from).sum();
            oracles::receive_by_the_rules(model, queue, request, (asked, now))?;
            oracles::attempt_by_the_rules(model, request, now)?;
            if let Some(name) = &request.attempt {
                model.attempts.insert(*name, Attempt::Open);
            }
        }
        Output::Acknowledge { messages, .. } => {
            let receipts = receipts(messages);
            oracles::delete_after_success(model, &receipts)?;
            for receipt in receipts {
                model.copy_mut(receipt).delete_asked = true;
            }
        }
        Output::ExtendVisibility { messages, by, .. } => {
            let receipts = receipts(messages);
            oracles::visibility_by_the_rules(model, &receipts, *by)?;
            oracles::receives_end_first(model, *by, receiving.len())?;
            if by.is_zero() {
                for receipt in receipts {
                    model.given_back(receipt);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Judges an invocation and lets the model follow it; returns its copies.
///
/// # Errors
/// What an oracle has seen.
pub fn invocation(
    model: &mut QueueModel,
    queue: &SimQueue,
    invocation: &Invocation,
    now: Mono,
) -> Result<Vec<u64>, Violation> {
    let copies = receipts(&invocation.batch);
    let context = EventContext {
        shard: &invocation.shard,
        config: &model.config,
    };
    let constant = event::constant_bytes(&context);
    oracles::quiet_when_told(model, "an invocation")?;
    oracles::started_once(model, &copies)?;
    oracles::batch_within_limits(model, &copies, constant)?;
    oracles::concurrency_bounded(model)?;
    oracles::group_in_order(model, queue, &copies)?;
    oracles::hidden_when_started(model, queue, &copies, now)?;
    model.started(invocation.id, &copies);
    Ok(copies)
}

/// The receipts of a batch's messages.
#[must_use]
pub fn receipts(batch: &Batch) -> Vec<u64> {
    let receipt = |index| match batch.view(index) {
        RecordView::Sqs(message) => receipt_of(message.receipt_handle),
        _ => unreachable!("a queue has messages"),
    };
    (0..batch.len()).map(receipt).collect()
}
