//! Defines everything that crosses the lease machine's edge.
//!
//! Rules: a request is answered by exactly one input with its number, and within
//! [`LeaseConfig::patience`](super::LeaseConfig::patience) of its start; a write of which nothing
//! is known `Failed`, and may still take effect at any later time.

use super::row::Row;
use super::write::Write;
use crate::fault::Fault;
use crate::ids::{Fence, OpId, ShardId};
use crate::time::Mono;

/// What happens to the machine.
#[derive(Debug, Clone)]
pub enum Input {
    /// Answers `Scan`: every row, each as it was at some moment after the request.
    Scanned {
        /// The request.
        op: OpId,
        /// The rows.
        rows: Vec<Row>,
    },
    /// Answers `Read`.
    Read {
        /// The request.
        op: OpId,
        /// The row, if there is one.
        row: Option<Row>,
    },
    /// Answers `Write`: it has taken effect.
    Written {
        /// The request.
        op: OpId,
        /// The row as the write left it.
        row: Row,
    },
    /// Answers `Write`: its condition does not hold, and nothing was changed.
    Refused {
        /// The request.
        op: OpId,
        /// The row that stood against it, when the store told.
        row: Option<Row>,
    },
    /// Any request can end so; of a write nothing is known then.
    Failed {
        /// The request.
        op: OpId,
        /// How.
        fault: Fault,
    },
    /// The reader of a lease that was `Revoked`, or of a shard that has ended, has nothing in
    /// flight and has saved all it did.
    Quiet {
        /// The shard.
        shard: ShardId,
        /// The lease.
        fence: Fence,
    },
    /// The reader's checkpoint was refused: somebody else has the shard.
    Fenced {
        /// The shard.
        shard: ShardId,
        /// The lease.
        fence: Fence,
    },
    /// Hand everything over and take nothing more; `Output::Left` says when that is done.
    Leave,
}

/// What the machine wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Read every row, no older than now.
    Scan {
        /// The request.
        op: OpId,
    },
    /// Read one row, no older than now.
    Read {
        /// The request.
        op: OpId,
        /// The row.
        shard: ShardId,
    },
    /// Change one row, if the condition of the write holds.
    Write {
        /// The request.
        op: OpId,
        /// The row.
        shard: ShardId,
        /// The write.
        write: Write,
    },
    /// Begin to read a shard where its row says.
    Granted {
        /// The lease.
        fence: Fence,
        /// The row, as it was when the lease was given.
        row: Box<Row>,
        /// No invocation may start from this moment on, unless `Renewed` says otherwise.
        until: Mono,
    },
    /// Go on until a later moment.
    Renewed {
        /// The shard.
        shard: ShardId,
        /// The lease.
        fence: Fence,
        /// No invocation may start from this moment on.
        until: Mono,
    },
    /// Start nothing more, finish what runs, save, and say `Quiet`.
    Revoked {
        /// The shard.
        shard: ShardId,
        /// The lease.
        fence: Fence,
    },
    /// Stop at once: somebody else has the shard, and nothing that is saved will be accepted.
    Lost {
        /// The shard.
        shard: ShardId,
        /// The lease.
        fence: Fence,
    },
    /// Nothing is held, and nothing will be.
    Left,
}
