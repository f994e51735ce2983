//! Defines the store that several processes share: the leases and checkpoints of one stream.
//!
//! Rules for an implementer, beyond those of every port: each call is one look or one conditional
//! write, and a write that is refused changes nothing; a call that fails or is dropped may have
//! taken effect, and may still take effect later, except where an answer says otherwise; what is
//! read is no older than the call.

use futures_util::future::BoxFuture;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Fence, Owner, ShardId};
use penstock_engine::io::{Checkpoint, Resume};
use penstock_engine::lease::{Place, Row, Write};

use crate::error::StoreError;

/// Where the processes that share one stream keep who reads which shard, and how far it has come.
///
/// It performs what [`LeaseMachine`](penstock_engine::lease::LeaseMachine) asks for. Whoever calls
/// bounds the calls made for it by [`patience`](penstock_engine::lease::LeaseConfig::patience).
pub trait SharedStore: Send + Sync {
    /// Makes the store ready: finds it, or creates it where there is none, and makes sure that it
    /// is fit and belongs to nobody else. Before this has succeeded nothing else is called.
    ///
    /// A fault of kind `Invalid` says that it is something else or somebody else's, and that
    /// nothing in it was touched; one of kind `Transient` may say that it is being made.
    fn open(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Reads every row: `Output::Scan`, to be answered by `Input::Scanned`.
    fn scan(&self) -> BoxFuture<'_, Result<Vec<Row>, StoreError>>;

    /// Reads one row: `Output::Read`, to be answered by `Input::Read`.
    fn read(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Row>, StoreError>>;

    /// Changes one row if the write's condition holds: `Output::Write`, to be answered by
    /// `Input::Written` or `Input::Refused`. A write whose answer was lost is looked up, and
    /// `Written` when the row shows it; otherwise it has failed and nothing is known of it.
    fn write(&self, shard: ShardId, write: Write) -> BoxFuture<'_, Result<Answer, StoreError>>;

    /// Puts rows for shards that have none, one after the other in this order, and leaves those
    /// that are there alone. Parents come before their children. When it fails, some of the first
    /// may be there.
    fn register(&self, rows: Vec<NewRow>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Reads every shard's checkpoint, ended shards included.
    fn resume(&self) -> BoxFuture<'_, Result<Resume, StoreError>>;

    /// Reads one shard's checkpoint. Called after its lease was granted, so that nobody else can
    /// change it.
    fn load(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>>;

    /// Saves a checkpoint under a lease: a fault of kind `Fenced` when somebody else has the shard
    /// now, or a later save of the same lease has been accepted.
    fn save(&self, save: Save) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The answer to a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has taken effect; the row as it left it.
    Written(Row),
    /// Its condition does not hold; the row that stood against it, if there is one.
    Refused(Option<Row>),
}

/// The first row of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// The shard.
    pub shard: ShardId,
    /// The shards that it came from.
    pub parents: Vec<ShardId>,
    /// Where reading begins.
    pub checkpoint: Checkpoint,
}

/// One save under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Save {
    /// The shard.
    pub shard: ShardId,
    /// The holder.
    pub owner: Owner,
    /// Its fence.
    pub fence: Fence,
    /// Counts the saves of this lease from one, those that failed too: a save that is tried again
    /// has a new number.
    pub number: u64,
    /// How far the shard has come.
    pub checkpoint: Checkpoint,
}

impl Save {
    /// The conditional write that this is.
    #[must_use]
    pub fn write(&self) -> Write {
        Write::Save {
            owner: self.owner.clone(),
            fence: self.fence,
            number: self.number,
            place: Place::of(&self.checkpoint.position),
        }
    }

    /// What whoever saves is told when a row, or the lack of one, stood against it.
    #[must_use]
    pub fn refused(&self, row: Option<&Row>) -> StoreError {
        let shard = &self.shard;
        let message = match row {
            None => format!("shard {shard} has no row any more: somebody has deleted it"),
            Some(row) if row.is_held(&self.owner, self.fence) => format!(
                "save {} of shard {shard} came after save {} of the same lease",
                self.number, row.saves
            ),
            Some(row) => format!(
                "shard {shard} is not held under fence {} any more: {}",
                self.fence.0,
                match &row.owner {
                    Some(owner) => format!("{owner} has it now"),
                    None => "it has been given up".to_owned(),
                }
            ),
        };
        StoreError::new(FaultKind::Fenced, message)
    }
}
