//! Classifies what can go wrong outside, as the engine sees it.
//!
//! Rules: the set is closed and small; each kind has one meaning for the engine; whoever meets a
//! failure classifies it there, and nobody looks inside a message afterwards.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// Asked to slow down; waits at least `after` when given.
    Throttled {
        /// The shortest wait that the other side asked for.
        after: Option<Duration>,
    },
    /// May work next time; backs off with jitter.
    Transient,
    /// A token went stale (iterator, receipt, credentials); asks again from the same position.
    Expired,
    /// The position is older than what the source still has; goes on at the trim horizon, counts
    /// the gap and says so.
    Trimmed,
    /// The thing asked for does not exist; the mapping stops with the reason and tries slowly.
    NotFound,
    /// Not allowed; as `NotFound`.
    Denied,
    /// The request makes no sense to the other side; as `NotFound`.
    Invalid,
    /// Somebody else holds the shard now; it is dropped here.
    Fenced,
    /// The answer or request is too large; shrinks and asks again.
    TooLarge,
    /// Cannot go on; the mapping stops.
    Fatal,
}

impl FaultKind {
    /// A stable word for logs, metrics and snapshots.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Transient => "transient",
            Self::Expired => "expired",
            Self::Trimmed => "trimmed",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Fenced => "fenced",
            Self::TooLarge => "too_large",
            Self::Fatal => "fatal",
        }
    }
}

/// A classified failure of a request, with a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// What happened, to what; shown to people and never read by the engine. No secrets, no
    /// payloads.
    pub message: String,
}

impl Fault {
    /// A fault of `kind` with its sentence.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
