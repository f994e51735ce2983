//! Performs what an engine asks of a queue.
//!
//! Rules: room for messages is taken when something is there to receive; a receive that is ended
//! is dropped only where it waits, so that what was handed out to it is not forgotten.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::OpId;
use penstock_engine::io::{Input, Receive};
use penstock_engine::record::Batch;
use tokio::sync::oneshot;

use crate::ledger::Account;
use crate::ports::{QueueSource, ReceiveRequest, Source};

/// Asks a queue what it is.
pub(crate) async fn describe(source: Source, op: OpId) -> Result<Input, Fault> {
    let queue = queue_of(source)?.describe().await?;
    Ok(Input::QueueDescribed { op, queue })
}

/// Deletes messages.
pub(crate) async fn acknowledge(source: Source, op: OpId, messages: Batch) -> Result<Input, Fault> {
    let refused = queue_of(source)?.acknowledge(messages).await?;
    Ok(Input::Acknowledged { op, refused })
}

/// Hides messages longer, or no longer.
pub(crate) async fn extend(
    source: Source,
    op: OpId,
    messages: Batch,
    by: Duration,
) -> Result<Input, Fault> {
    let refused = queue_of(source)?.extend(messages, by).await?;
    Ok(Input::Extended { op, refused })
}

/// Receives once; soon over when `ended` says so.
pub(crate) async fn receive(
    source: Source,
    account: Account,
    receive: Receive,
    mut ended: oneshot::Receiver<()>,
) -> Result<Input, Fault> {
    let source = queue_of(source)?;
    let op = receive.op;
    let request = ReceiveRequest {
        limit: receive.limit,
        wait: receive.wait,
        visibility: receive.visibility,
        attempt: receive.attempt,
    };
    let prepared = async {
        let wait = source.ready(&request).await;
        (wait, account.reserve(receive.reserve_bytes).await)
    };
    let (wait, reservation) = tokio::select! {
        biased;
        _ = &mut ended => return Err(not_wanted()),
        prepared = prepared => prepared,
    };
    let received = source.receive(ReceiveRequest { wait, ..request });
    let page = if wait.is_zero() {
        received.await?
    } else {
        let last_moment = source.last_moment();
        let over = async {
            // Whoever wanted it may have left altogether, which ends it too.
            let _ = ended.await;
            if !last_moment.is_zero() {
                tokio::time::sleep(last_moment).await;
            }
        };
        tokio::select! {
            biased;
            page = received => page?,
            () = over => return Err(not_wanted()),
        }
    };
    let page = page.map(|page| reservation.cover(page));
    Ok(Input::Received { op, page })
}

fn queue_of(source: Source) -> Result<Arc<dyn QueueSource>, Fault> {
    match source {
        Source::Queue(queue) => Ok(queue),
        Source::Stream(_) => {
            let message = "the mapping's source is a stream and cannot be received from";
            Err(Fault::new(FaultKind::Invalid, message))
        }
    }
}

fn not_wanted() -> Fault {
    Fault::new(FaultKind::Transient, "the receive was ended")
}
