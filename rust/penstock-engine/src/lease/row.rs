//! Describes one shard's row in the table of leases.
//!
//! Rules: a row says what the Kinesis Client Library would read from it, and what the fencing
//! needs beyond: the fence of a lease that penstock took, the last save under it, and who has asked
//! for the next one.

use crate::ids::{Fence, Owner, Position, SequenceNumber, ShardId};

/// How far a shard has come, in the words of the Kinesis Client Library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing is done; begins at the oldest record.
    TrimHorizon,
    /// Nothing is done; begins with what comes after the start.
    Latest,
    /// Nothing is done; begins at the application's moment.
    AtTimestamp,
    /// This record is done, or the user records inside it up to `sub`.
    After {
        /// The record.
        sequence: SequenceNumber,
        /// The last user record of an aggregated one; zero otherwise.
        sub: u64,
    },
    /// All of the shard is done.
    ShardEnd,
}

impl Place {
    /// A position in the library's words. The moment of `AtTimestamp` is the application's there,
    /// and a whole record is its first user record: of an aggregated one the library reads the
    /// rest again.
    #[must_use]
    pub fn of(position: &Position) -> Self {
        match position {
            Position::TrimHorizon => Self::TrimHorizon,
            Position::AtTimestamp(_) => Self::AtTimestamp,
            Position::After { sequence, sub } => Self::After {
                sequence: sequence.clone(),
                sub: sub.unwrap_or_default(),
            },
            Position::ShardEnd => Self::ShardEnd,
        }
    }

    /// Where reading begins that leaves nothing out, when this is all that is known: LATEST and a
    /// moment are the application's and not told here, and of a record that is done there may be
    /// user records that are not.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::TrimHorizon | Self::Latest | Self::AtTimestamp => Position::TrimHorizon,
            Self::After { sequence, sub } => Position::After {
                sequence: sequence.clone(),
                sub: Some(*sub),
            },
            Self::ShardEnd => Position::ShardEnd,
        }
    }
}

/// One shard's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The shard.
    pub shard: ShardId,
    /// Who holds it.
    pub owner: Option<Owner>,
    /// Grows with every lease, renewal and hand-over: the only clock between machines.
    pub counter: u64,
    /// The fence of the holder's lease; `None` when nobody holds it, or another program does.
    pub fence: Option<Fence>,
    /// The number of the last save under that fence.
    pub saves: u64,
    /// Whom the holder hands it over to when it has finished what runs.
    pub wanted_by: Option<Owner>,
    /// How far it has come.
    pub place: Place,
    /// Changes of owner since the last checkpoint.
    pub switches: u64,
    /// The shards that it came from.
    pub parents: Vec<ShardId>,
    /// The shards that came from it, when it has ended.
    pub children: Vec<ShardId>,
    /// The first and last hash key, in decimal.
    pub hash_keys: Option<(String, String)>,
}

impl Row {
    /// The first row of a shard that nobody has held.
    #[must_use]
    pub fn new(shard: ShardId, place: Place, parents: Vec<ShardId>) -> Self {
        Self {
            shard,
            owner: None,
            counter: 0,
            fence: None,
            saves: 0,
            wanted_by: None,
            place,
            switches: 0,
            parents,
            children: Vec::new(),
            hash_keys: None,
        }
    }

    /// Whether it is held under this lease.
    #[must_use]
    pub fn is_held(&self, owner: &Owner, fence: Fence) -> bool {
        self.owner.as_ref() == Some(owner) && self.fence == Some(fence)
    }

    /// Whether all of the shard is done.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.place == Place::ShardEnd
    }
}
