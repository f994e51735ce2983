//! Keeps an engine's inputs as a trace does, and makes inputs of them again.
//!
//! Rules: no payload: of a page only the facts; members that came later have a default.

use serde::{Deserialize, Serialize};

use super::page::FactsPage;
use crate::config::MappingConfig;
use crate::fault::Fault;
use crate::ids::{Fence, InvocationId, OpId, Position, ShardId, SlotId};
use crate::io::{
    Checkpoint, Fetched, Input, Outcome, QueueFacts, Refused, ShardInfo, ShardListing,
};
use crate::time::Mono;

/// An input as a trace keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is the input of the same name")]
pub enum TracedInput {
    Reconfigured(Box<MappingConfig>),
    Paused,
    Resumed,
    Drain {
        by: Mono,
    },
    Stop,
    Crew {
        slots: Vec<SlotId>,
    },
    ShardsListed {
        op: OpId,
        listing: ShardListing,
    },
    Registered {
        op: OpId,
    },
    LeaseGranted {
        op: OpId,
        fence: Fence,
        #[serde(default)]
        until: Option<Mono>,
        checkpoint: Option<Box<Checkpoint>>,
    },
    LeaseRenewed {
        shard: ShardId,
        fence: Fence,
        until: Mono,
    },
    LeaseDrains {
        shard: ShardId,
    },
    EndedElsewhere {
        shard: ShardId,
    },
    LeaseLost {
        shard: ShardId,
    },
    Moved {
        shard: ShardId,
        checkpoint: Box<Checkpoint>,
    },
    Skip {
        shard: ShardId,
    },
    Arrived {
        op: OpId,
        page: Box<FactsPage>,
    },
    Fetched {
        op: OpId,
        fetched: Box<TracedFetch>,
    },
    QueueDescribed {
        op: OpId,
        queue: QueueFacts,
    },
    Received {
        op: OpId,
        page: Option<FactsPage>,
    },
    Acknowledged {
        op: OpId,
        refused: Vec<Refused>,
    },
    Extended {
        op: OpId,
        refused: Vec<Refused>,
    },
    Completed {
        invocation: InvocationId,
        outcome: Outcome,
    },
    CheckpointSaved {
        op: OpId,
    },
    Delivered {
        op: OpId,
    },
    Failed {
        op: OpId,
        fault: Fault,
    },
}

/// The answer to one read as a trace keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "each is the member of `Fetched` of the same name"
)]
pub struct TracedFetch {
    pub page: Option<FactsPage>,
    pub next: Option<Position>,
    pub behind_ms: Option<u64>,
    pub ended: bool,
    pub children: Vec<ShardInfo>,
}

impl From<Fetched> for TracedFetch {
    fn from(fetched: Fetched) -> Self {
        Self {
            page: fetched.page.as_deref().map(FactsPage::of),
            next: fetched.next,
            behind_ms: fetched.behind_ms,
            ended: fetched.ended,
            children: fetched.children,
        }
    }
}

impl From<TracedFetch> for Fetched {
    fn from(fetched: TracedFetch) -> Self {
        Self {
            page: fetched.page.map(FactsPage::shared),
            next: fetched.next,
            behind_ms: fetched.behind_ms,
            ended: fetched.ended,
            children: fetched.children,
        }
    }
}

impl From<&Input> for TracedInput {
    fn from(input: &Input) -> Self {
        match input.clone() {
            Input::Reconfigured(config) => Self::Reconfigured(config),
            Input::Paused => Self::Paused,
            Input::Resumed => Self::Resumed,
            Input::Drain { by } => Self::Drain { by },
            Input::Stop => Self::Stop,
            Input::Crew { slots } => Self::Crew { slots },
            Input::ShardsListed { op, listing } => Self::ShardsListed { op, listing },
            Input::Registered { op } => Self::Registered { op },
            Input::LeaseGranted {
                op,
                fence,
                until,
                checkpoint,
            } => Self::LeaseGranted {
                op,
                fence,
                until,
                checkpoint: checkpoint.map(Box::new),
            },
            Input::LeaseRenewed {
                shard,
                fence,
                until,
            } => Self::LeaseRenewed {
                shard,
                fence,
                until,
            },
            Input::LeaseDrains { shard } => Self::LeaseDrains { shard },
            Input::EndedElsewhere { shard } => Self::EndedElsewhere { shard },
            Input::LeaseLost { shard } => Self::LeaseLost { shard },
            Input::Moved { shard, checkpoint } => Self::Moved { shard, checkpoint },
            Input::Skip { shard } => Self::Skip { shard },
            Input::Arrived { op, page } => Self::Arrived {
                op,
                page: Box::new(FactsPage::of(page.as_ref())),
            },
            Input::Fetched { op, fetched } => Self::Fetched {
                op,
                fetched: Box::new(fetched.into()),
            },
            Input::QueueDescribed { op, queue } => Self::QueueDescribed { op, queue },
            Input::Received { op, page } => Self::Received {
                op,
                page: page.as_deref().map(FactsPage::of),
            },
            Input::Acknowledged { op, refused } => Self::Acknowledged { op, refused },
            Input::Extended { op, refused } => Self::Extended { op, refused },
            Input::Completed {
                invocation,
                outcome,
            } => Self::Completed {
                invocation,
                outcome,
            },
            Input::CheckpointSaved { op } => Self::CheckpointSaved { op },
            Input::Delivered { op } => Self::Delivered { op },
            Input::Failed { op, fault } => Self::Failed { op, fault },
        }
    }
}

impl From<TracedInput> for Input {
    fn from(input: TracedInput) -> Self {
        match input {
            TracedInput::Reconfigured(config) => Self::Reconfigured(config),
            TracedInput::Paused => Self::Paused,
            TracedInput::Resumed => Self::Resumed,
            TracedInput::Drain { by } => Self::Drain { by },
            TracedInput::Stop => Self::Stop,
            TracedInput::Crew { slots } => Self::Crew { slots },
            TracedInput::ShardsListed { op, listing } => Self::ShardsListed { op, listing },
            TracedInput::Registered { op } => Self::Registered { op },
            TracedInput::LeaseGranted {
                op,
                fence,
                until,
                checkpoint,
            } => Self::LeaseGranted {
                op,
                fence,
                until,
                checkpoint: checkpoint.map(|saved| *saved),
            },
            TracedInput::LeaseRenewed {
                shard,
                fence,
                until,
            } => Self::LeaseRenewed {
                shard,
                fence,
                until,
            },
            TracedInput::LeaseDrains { shard } => Self::LeaseDrains { shard },
            TracedInput::EndedElsewhere { shard } => Self::EndedElsewhere { shard },
            TracedInput::LeaseLost { shard } => Self::LeaseLost { shard },
            TracedInput::Moved { shard, checkpoint } => Self::Moved { shard, checkpoint },
            TracedInput::Skip { shard } => Self::Skip { shard },
            TracedInput::Arrived { op, page } => Self::Arrived {
                op,
                page: page.shared(),
            },
            TracedInput::Fetched { op, fetched } => Self::Fetched {
                op,
                fetched: (*fetched).into(),
            },
            TracedInput::QueueDescribed { op, queue } => Self::QueueDescribed { op, queue },
            TracedInput::Received { op, page } => Self::Received {
                op,
                page: page.map(FactsPage::shared),
            },
            TracedInput::Acknowledged { op, refused } => Self::Acknowledged { op, refused },
            TracedInput::Extended { op, refused } => Self::Extended { op, refused },
            TracedInput::Completed {
                invocation,
                outcome,
            } => Self::Completed {
                invocation,
                outcome,
            },
            TracedInput::CheckpointSaved { op } => Self::CheckpointSaved { op },
            TracedInput::Delivered { op } => Self::Delivered { op },
            TracedInput::Failed { op, fault } => Self::Failed { op, fault },
        }
    }
}
