//! Carries the failures of ports, each with the fault that the engine sees, and what the runtime
//! refuses, each with a stable code.

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::MappingId;

macro_rules! port_error {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error("{fault}")]
        pub struct $name {
            fault: Fault,
        }

        impl $name {
            /// A failure of `kind` with its sentence: what happened, to what. No secrets, no
            /// payloads.
            #[must_use]
            pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
                Self { fault: Fault::new(kind, message) }
            }

            /// The failure as the engine sees it.
            #[must_use]
            pub fn fault(&self) -> &Fault {
                &self.fault
            }
        }

        impl From<Fault> for $name {
            fn from(fault: Fault) -> $name {
                $name { fault }
            }
        }

        impl From<$name> for Fault {
            fn from(error: $name) -> Fault {
                error.fault
            }
        }
    };
}

port_error!(
    /// A source did not do what it was asked.
    SourceError
);
port_error!(
    /// A checkpoint or lease store did not do what it was asked.
    StoreError
);
port_error!(
    /// A destination did not take a document.
    DestinationError
);

/// What the runtime refuses or cannot do, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// `close` was called.
    #[error("the runtime is closed")]
    Closed,
    /// The process was forked after the runtime started; its threads live in the parent only.
    #[error("the runtime was started in process {parent} and cannot be used in its fork {child}")]
    Forked {
        /// The process that started it.
        parent: u32,
        /// The process that called.
        child: u32,
    },
    /// No mapping has this id.
    #[error("there is no mapping {0}")]
    UnknownMapping(MappingId),
    /// A mapping has this id already.
    #[error("there is a mapping {0} already")]
    MappingExists(MappingId),
    /// Nobody runs this invocation: it was answered before, or never made.
    #[error("invocation {invocation} of mapping {mapping} is not out")]
    UnknownInvocation {
        /// The mapping.
        mapping: MappingId,
        /// The invocation.
        invocation: u64,
    },
    /// Workers wait in a pool that was not configured.
    #[error("there is no pool {0:?}")]
    UnknownPool(String),
    /// `advance` needs a manual clock.
    #[error("the clock is the system's and cannot be moved")]
    ClockNotManual,
    /// Another process owns the state directory.
    #[error("the state directory {dir} is in use by process {pid}")]
    StateInUse {
        /// The directory.
        dir: String,
        /// The owner, as far as it can be told.
        pid: String,
    },
    /// The state file cannot be trusted.
    #[error("the state file {file} is damaged: {detail}")]
    StateCorrupt {
        /// The file.
        file: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The state file was written by a later version.
    #[error("the state file {file} has format {found}, this version reads up to {known}")]
    StateTooNew {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The last format that this version knows.
        known: u32,
    },
    /// Nothing can be written to the state directory.
    #[error("the state directory {dir} cannot be written: {detail}")]
    StateReadOnly {
        /// The directory.
        dir: String,
        /// What was tried, and what the system said.
        detail: String,
    },
    /// The state directory is not one that state may be kept in.
    #[error("the state directory {dir} cannot be used: {detail}")]
    StateUnfit {
        /// The directory.
        dir: String,
        /// Why.
        detail: String,
    },
    /// The system refused something else.
    #[error("{action}: {detail}")]
    Io {
        /// What was tried, to what.
        action: String,
        /// What the system said.
        detail: String,
    },
}

impl RuntimeError {
    /// A failure of the system while doing `action`.
    #[must_use]
    pub fn io(action: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Io {
            action: action.into(),
            detail: detail.to_string(),
        }
    }

    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MappingExists(_) => "PS110",
            Self::UnknownMapping(_) => "PS111",
            Self::StateInUse { .. } => "PS301",
            Self::StateCorrupt { .. } => "PS302",
            Self::StateTooNew { .. } => "PS303",
            Self::StateReadOnly { .. } => "PS304",
            Self::StateUnfit { .. } => "PS305",
            Self::Io { .. } => "PS300",
            Self::Closed => "PS600",
            Self::Forked { .. } => "PS601",
            Self::UnknownPool(_) => "PS602",
            Self::ClockNotManual => "PS603",
            Self::UnknownInvocation { .. } => "PS604",
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Forked { .. } => {
                "start penstock after forking, or start child processes with spawn"
            }
            Self::UnknownPool(_) => "name it with its slots when the runtime is started",
            Self::ClockNotManual => "start the runtime with a manual clock",
            Self::StateInUse { .. } => "stop that process, or choose another state directory",
            Self::StateCorrupt { .. } => {
                "nothing was changed; copy the directory, then put back a backup, or try \
                 `sqlite3 penstock.db .recover | sqlite3 recovered.db`; to begin anew on purpose, \
                 choose an empty directory"
            }
            Self::StateTooNew { .. } => "run the version of penstock that wrote it, or a later one",
            Self::StateReadOnly { .. } => {
                "give the user that runs penstock write access, or choose another state directory"
            }
            Self::StateUnfit { .. } => "choose a directory of your own on a local disk",
            _ => return None,
        })
    }
}

/// What the embedded streams refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Not a name that a stream can have.
    #[error("{0:?} is not a stream name: 1 to 128 of a-z, A-Z, 0-9, '_', '.' and '-'")]
    InvalidName(String),
    /// The name is taken.
    #[error("there is a stream {0} already")]
    Exists(String),
    /// No stream has this name.
    #[error("there is no stream {0}")]
    NotFound(String),
    /// The stream has no shard of this name.
    #[error("stream {stream} has no shard {shard}")]
    ShardNotFound {
        /// The stream.
        stream: String,
        /// The shard.
        shard: String,
    },
    /// The shard was split or merged before.
    #[error("shard {shard} of stream {stream} is closed already")]
    ShardClosed {
        /// The stream.
        stream: String,
        /// The shard.
        shard: String,
    },
    /// An argument is out of its range.
    #[error("{0}")]
    Invalid(String),
    /// There is no room for more records.
    #[error("the embedded streams are full: {held} of {cap} bytes are held by unexpired records")]
    Full {
        /// Bytes held.
        held: u64,
        /// Bytes allowed.
        cap: u64,
    },
    /// The state file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StreamError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "PS203",
            Self::InvalidName(_) | Self::Invalid(_) => "PS210",
            Self::Exists(_) => "PS211",
            Self::ShardNotFound { .. } | Self::ShardClosed { .. } => "PS212",
            Self::Full { .. } => "PS213",
            Self::Store(_) => "PS300",
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound(_) => Some("create it first"),
            Self::Full { .. } => {
                Some("wait for records to expire, shorten the retention, or raise the cap")
            }
            _ => None,
        }
    }

    /// What the engine is told when it was a source or destination that met this.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let kind = match self {
            Self::NotFound(_) | Self::ShardNotFound { .. } => FaultKind::NotFound,
            Self::Full { .. } => FaultKind::Throttled { after: None },
            Self::Store(error) => return error.fault().clone(),
            Self::InvalidName(_)
            | Self::Exists(_)
            | Self::ShardClosed { .. }
            | Self::Invalid(_) => FaultKind::Invalid,
        };
        Fault::new(kind, self.to_string())
    }
}

/// What the embedded queues refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Not a name that a queue can have.
    #[error(
        "{0:?} is not a queue name: 1 to 80 of a-z, A-Z, 0-9, '_' and '-', with .fifo at the end \
         for a FIFO queue"
    )]
    InvalidName(String),
    /// The name is taken.
    #[error("there is a queue {0} already")]
    Exists(String),
    /// No queue has this name.
    #[error("there is no queue {0}")]
    NotFound(String),
    /// An argument is out of its range.
    #[error("{0}")]
    Invalid(String),
    /// The message was received again since, or is visible again.
    #[error("a receipt of queue {0} has expired: its message is visible again or somebody else's")]
    StaleReceipt(String),
    /// There is no room for more messages.
    #[error("the embedded queues are full: {held} of {cap} bytes are held by unexpired messages")]
    Full {
        /// Bytes held.
        held: u64,
        /// Bytes allowed.
        cap: u64,
    },
    /// The state file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl QueueError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "PS203",
            Self::InvalidName(_) | Self::Invalid(_) | Self::StaleReceipt(_) => "PS210",
            Self::Exists(_) => "PS211",
            Self::Full { .. } => "PS213",
            Self::Store(_) => "PS300",
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound(_) => Some("create it first"),
            Self::Full { .. } => Some("let messages be handled or expire, or raise the cap"),
            _ => None,
        }
    }

    /// What the engine is told when it was a source or destination that met this.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let kind = match self {
            Self::NotFound(_) => FaultKind::NotFound,
            Self::Full { .. } => FaultKind::Throttled { after: None },
            Self::StaleReceipt(_) => FaultKind::Expired,
            Self::Store(error) => return error.fault().clone(),
            Self::InvalidName(_) | Self::Exists(_) | Self::Invalid(_) => FaultKind::Invalid,
        };
        Fault::new(kind, self.to_string())
    }
}
