//! Defines what a source, a store and a destination must do.
//!
//! Rules for an implementer: do the one thing asked; do not retry, sleep or cache beyond iterators
//! and connections; bound the request in time; classify the failure; survive being dropped
//! half-way; log at debug only. A push subscription is presented as a fetch that waits, so that
//! not asking is backpressure.

mod shared;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::failure::FailureDocument;
use penstock_engine::ids::{Fence, MappingId, Position, RequestId, ShardId};
use penstock_engine::io::{Checkpoint, Fetched, QueueFacts, Refused, Resume, ShardListing};
use penstock_engine::record::{Batch, Page};

use crate::error::{DestinationError, SourceError, StoreError};

pub use shared::{Answer, NewRow, Save, SharedStore};

/// One read from a shard, as the engine asked for it.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The shard.
    pub shard: ShardId,
    /// Where to read from.
    pub from: Position,
    /// At most so many records.
    pub limit: u32,
    /// How long to wait for a first record, if the source can wait.
    pub wait: Duration,
    /// Takes what comes of the answer before its end.
    pub parts: Parts,
}

/// Takes parts of an answer while the rest is on its way; the default wants it whole.
///
/// A part has at least one record and is final: a read that fails behind it is asked again from
/// behind it. What follows the last part is the answer itself.
#[derive(Clone, Default)]
pub struct Parts(Option<Arc<Taker>>);

type Taker = dyn Fn(Arc<dyn Page>) + Send + Sync;

impl Parts {
    /// Parts that go to `taker`.
    pub fn to(taker: impl Fn(Arc<dyn Page>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(taker)))
    }

    /// Whether there is somebody to take parts.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a part over.
    ///
    /// # Panics
    ///
    /// When parts are not wanted: its records would be lost.
    pub fn take(&self, page: Arc<dyn Page>) {
        match &self.0 {
            Some(taker) => taker(page),
            None => panic!("a source asks whether parts are wanted before it makes any"),
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Parts").field(&self.are_wanted()).finish()
    }
}

/// A stream that keeps order and positions.
pub trait StreamSource: Send + Sync {
    /// What reading this source asks for.
    fn profile(&self) -> SourceProfile;

    /// Lists all shards, every page of the listing.
    fn list_shards(&self) -> BoxFuture<'_, Result<ShardListing, SourceError>>;

    /// Returns when a `fetch` of the same request would answer without waiting, or when
    /// `request.wait` is over. Room for the answer is taken after this, so that a shard where
    /// nothing comes holds none; a source that cannot tell returns at once.
    fn ready<'a>(&'a self, request: &'a FetchRequest) -> BoxFuture<'a, ()> {
        let _ = request;
        Box::pin(std::future::ready(()))
    }

    /// Reads once. A stale iterator is renewed by the source on the next call: the answer to a
    /// read that met one is a fault of kind `Expired`.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, SourceError>>;
}

/// One receive from a queue, as the engine asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveRequest {
    /// At most so many messages.
    pub limit: u32,
    /// How long to wait for a first message, if the queue can wait.
    pub wait: Duration,
    /// How long what comes is hidden; `None` is as long as the queue says.
    pub visibility: Option<Duration>,
    /// Names the receive of a FIFO queue: the same name again gets the same messages again.
    pub attempt: Option<RequestId>,
}

/// A queue that hands messages out and wants them acknowledged.
pub trait QueueSource: Send + Sync {
    /// What receiving from this source asks for.
    fn profile(&self) -> SourceProfile;

    /// Asks the queue what it is.
    fn describe(&self) -> BoxFuture<'_, Result<QueueFacts, SourceError>>;

    /// Waits until a `receive` of the same request may have something to give, or `request.wait`
    /// is over, and tells how much of that wait is left for the receive itself. Room for the
    /// answer is taken after this, so that a long poll where nothing comes holds none; a source
    /// that cannot tell returns at once, with the whole of it.
    fn ready<'a>(&'a self, request: &'a ReceiveRequest) -> BoxFuture<'a, Duration> {
        Box::pin(std::future::ready(request.wait))
    }

    /// How long a `receive` that waits and is not wanted any more may still bring something. What
    /// the queue hands out at that moment would else be hidden from everybody for as long as the
    /// queue hides messages. Zero where a receive that is dropped was handed nothing.
    fn last_moment(&self) -> Duration {
        Duration::ZERO
    }

    /// Receives once; `None` when nothing came. It is dropped while it waits when it is not
    /// wanted any more and its last moment has passed.
    fn receive(
        &self,
        request: ReceiveRequest,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn Page>>, SourceError>>;

    /// Deletes messages, in as many requests as that takes; gives those that were refused.
    fn acknowledge(&self, messages: Batch) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>>;

    /// Hides messages for so long from now on, zero being not at all, in as many requests as that
    /// takes; gives those that were refused.
    fn extend(
        &self,
        messages: Batch,
        by: Duration,
    ) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>>;
}

/// What a mapping reads.
#[derive(Clone)]
pub enum Source {
    /// A stream.
    Stream(Arc<dyn StreamSource>),
    /// A queue.
    Queue(Arc<dyn QueueSource>),
}

impl From<Arc<dyn StreamSource>> for Source {
    fn from(source: Arc<dyn StreamSource>) -> Self {
        Self::Stream(source)
    }
}

impl From<Arc<dyn QueueSource>> for Source {
    fn from(source: Arc<dyn QueueSource>) -> Self {
        Self::Queue(source)
    }
}

/// Where checkpoints are kept.
pub trait CheckpointStore: Send + Sync {
    /// Reads every row of a mapping, ended shards included.
    fn load(&self, mapping: MappingId) -> BoxFuture<'_, Result<Resume, StoreError>>;

    /// Inserts rows for shards that have none yet, all in one transaction.
    fn register(
        &self,
        mapping: MappingId,
        rows: Vec<(ShardId, Checkpoint)>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Saves if `fence` is the shard's newest; otherwise a fault of kind `Fenced`.
    fn save(
        &self,
        mapping: MappingId,
        shard: ShardId,
        checkpoint: Checkpoint,
        fence: Fence,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Who may read which shard.
pub trait LeaseStore: Send + Sync {
    /// Takes the shard: raises its fence durably, then reads its checkpoint.
    fn take(
        &self,
        mapping: MappingId,
        shard: ShardId,
    ) -> BoxFuture<'_, Result<(Fence, Option<Checkpoint>), StoreError>>;

    /// Gives the shard up, if `fence` is still its newest.
    fn release(
        &self,
        mapping: MappingId,
        shard: ShardId,
        fence: Fence,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Where failure documents go.
pub trait Destination: Send + Sync {
    /// Hands the document over; returns when the destination has it for good. A document may
    /// come again with the same id.
    fn deliver(
        &self,
        document: Arc<FailureDocument>,
    ) -> BoxFuture<'_, Result<(), DestinationError>>;
}
