//! Defines what crosses the engine's edge for queues alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::ids::{OpId, RequestId};
use crate::time::Wall;

/// One receive from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// The request.
    pub op: OpId,
    /// At most so many messages.
    pub limit: u32,
    /// How long the queue may wait for a first message, if it can wait at all.
    pub wait: Duration,
    /// How long what comes is hidden, in whole seconds; `None` is as long as the queue says.
    pub visibility: Option<Duration>,
    /// Names the receive of a FIFO queue, the same again after an answer that was lost: the queue
    /// then gives the same messages once more, where a new name would find their groups blocked.
    pub attempt: Option<RequestId>,
    /// What messages of this queue have been weighing: to be reserved in the process's ledger.
    pub reserve_bytes: u64,
}

/// What a queue says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueFacts {
    /// How long a received message is hidden unless the receive says otherwise.
    pub visibility_timeout: Duration,
    /// Whether it keeps order within message groups.
    pub fifo: bool,
    /// After so many receives a message goes to the dead-letter queue, if the queue has one.
    pub max_receive_count: Option<u32>,
    /// The queue's own clock at that moment.
    pub server_time: Wall,
}

/// One message of a request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its place in the request's batch.
    pub index: u32,
    /// Why. `Expired` and `Invalid` say that the receipt is worth nothing any more, `NotFound`
    /// that the message or its queue is gone; other kinds may work next time.
    pub fault: Fault,
}
