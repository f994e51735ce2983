//! Performs what an engine asks for, and brings back the answers.
//!
//! Rules: every request is answered once, with its own answer or a fault, unless it was abandoned:
//! then never, but for a receive, which is ended and answered; parts of an answer come before it;
//! requests end with the set that holds them; nothing is tried twice here.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::event::EventContext;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::filter;
use penstock_engine::ids::{OpId, ShardId};
use penstock_engine::io::{Fetch, Input, Output, Receive};
use penstock_engine::record::Page;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use crate::ledger::Account;
use crate::ports::{
    CheckpointStore, Destination, FetchRequest, LeaseStore, Parts, Source, StreamSource,
};
use crate::receiving;

/// What a mapping's requests go to.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) source: Source,
    pub(crate) checkpoints: Arc<dyn CheckpointStore>,
    pub(crate) leases: Arc<dyn LeaseStore>,
    pub(crate) destination: Option<Arc<dyn Destination>>,
}

/// A part of the answer to a read.
type Part = (OpId, Arc<dyn Page>);

/// How a request's task ended.
type Ended = Result<(Id, Option<Input>), JoinError>;

/// A mapping's requests under way.
pub(crate) struct Requests {
    config: Arc<MappingConfig>,
    ports: Ports,
    account: Account,
    running: JoinSet<Option<Input>>,
    /// Where reads put parts of their answers.
    part_sender: UnboundedSender<Part>,
    parts: UnboundedReceiver<Part>,
    /// A request that has ended, while parts of its answer may still be in the channel.
    ended: Option<Ended>,
    /// Requests that want an answer, by their tasks.
    wanted: HashMap<Id, OpId>,
    /// The shards that are being read; of messages the name of their queue.
    reading: HashMap<OpId, ShardId>,
    /// Receives under way, each with what ends it.
    receiving: HashMap<OpId, oneshot::Sender<()>>,
    handles: HashMap<OpId, AbortHandle>,
}

impl Requests {
    pub(crate) fn new(config: Arc<MappingConfig>, ports: Ports, account: Account) -> Self {
        let (part_sender, parts) = unbounded_channel();
        Self {
            config,
            ports,
            account,
            running: JoinSet::new(),
            part_sender,
            parts,
            ended: None,
            wanted: HashMap::new(),
            reading: HashMap::new(),
            receiving: HashMap::new(),
            handles: HashMap::new(),
        }
    }

    /// Starts a request. Outputs that ask for nothing outside are the mapping's own.
    pub(crate) fn perform(&mut self, output: Output) {
        let ports = self.ports.clone();
        let mapping = self.config.id.clone();
        match output {
            Output::ListShards { op } => self.spawn(op, async move {
                let listing = stream_of(ports.source)?.list_shards().await?;
                Ok(Input::ShardsListed { op, listing })
            }),
            Output::Register { op, rows } => self.spawn(op, async move {
                ports.checkpoints.register(mapping, rows).await?;
                Ok(Input::Registered { op })
            }),
            Output::TakeLease { op, shard } => self.spawn(op, async move {
                let (fence, checkpoint) = ports.leases.take(mapping, shard).await?;
                Ok(Input::LeaseGranted {
                    op,
                    fence,
                    until: None,
                    checkpoint,
                })
            }),
            Output::DropLease { shard, fence } => {
                self.running.spawn(async move {
                    if let Err(error) = ports.leases.release(mapping, shard, fence).await {
                        // It expires or is taken by its next holder.
                        tracing::debug!(error = %error, "a lease was not given up");
                    }
                    None
                });
            }
            Output::Fetch(fetch) => {
                let account = self.account.clone();
                self.reading.insert(fetch.op, fetch.shard.clone());
                let sender = self.part_sender.clone();
                self.spawn(fetch.op, read(ports.source, account, fetch, sender));
            }
            Output::SaveCheckpoint {
                op,
                shard,
                checkpoint,
                fence,
            } => self.spawn(op, async move {
                ports
                    .checkpoints
                    .save(mapping, shard, *checkpoint, fence)
                    .await?;
                Ok(Input::CheckpointSaved { op })
            }),
            Output::Deliver { op, document } => self.spawn(op, async move {
                let missing = "the mapping has no destination to deliver to";
                let destination = ports.destination;
                let destination =
                    destination.ok_or_else(|| Fault::new(FaultKind::Invalid, missing))?;
                destination.deliver(document).await?;
                Ok(Input::Delivered { op })
            }),
            Output::DescribeQueue { op } => self.spawn(op, receiving::describe(ports.source, op)),
            Output::Receive(receive) => self.receive(receive),
            Output::Acknowledge { op, messages } => {
                self.spawn(op, receiving::acknowledge(ports.source, op, messages));
            }
            Output::ExtendVisibility { op, messages, by } => {
                self.spawn(op, receiving::extend(ports.source, op, messages, by));
            }
            Output::Abandon { op } => self.abandon(op),
            Output::Released { .. } | Output::Skipped { .. } => {}
            Output::Notify(_) | Output::Stopped => {}
        }
    }

    /// What is read is filtered by these options from now on.
    pub(crate) fn set_config(&mut self, config: Arc<MappingConfig>) {
        self.config = config;
    }

    /// Failure documents go here from now on.
    pub(crate) fn set_destination(&mut self, destination: Option<Arc<dyn Destination>>) {
        self.ports.destination = destination;
    }

    /// The next answer or part of one; waits for ever when none is to come.
    pub(crate) async fn next(&mut self) -> Input {
        loop {
            while let Ok(part) = self.parts.try_recv() {
                if let Some(input) = self.arrived(part) {
                    return input;
                }
            }
            if let Some(ended) = self.ended.take() {
                if let Some(input) = self.answered(ended) {
                    return input;
                }
                continue;
            }
            tokio::select! {
                biased;
                Some(part) = self.parts.recv() => {
                    if let Some(input) = self.arrived(part) {
                        return input;
                    }
                }
                ended = self.running.join_next_with_id(), if !self.running.is_empty() => {
                    self.ended = ended;
                }
            }
        }
    }

    fn arrived(&self, (op, page): Part) -> Option<Input> {
        let shard = self.reading.get(&op)?;
        let page = self.marked(page, shard);
        Some(Input::Arrived { op, page })
    }

    /// What a request that has ended says; `None` when nobody wants to know.
    fn answered(&mut self, ended: Ended) -> Option<Input> {
        let (task, answer) = match ended {
            Ok((task, answer)) => (task, Ok(answer)),
            Err(error) => (error.id(), Err(error)),
        };
        // Whatever was abandoned has no place here any more.
        let op = self.wanted.remove(&task)?;
        self.handles.remove(&op);
        self.receiving.remove(&op);
        let shard = self.reading.remove(&op);
        match answer {
            Ok(answer) => answer.map(|input| self.filtered(input, shard)),
            Err(error) => {
                let message = format!("a driver did not finish a request: {error}");
                let fault = Fault::new(FaultKind::Fatal, message);
                Some(Input::Failed { op, fault })
            }
        }
    }

    /// Waits for what wants no answer, leases being given up above all; drops the rest.
    pub(crate) async fn finish(&mut self) {
        for handle in self.handles.values() {
            handle.abort();
        }
        while self.running.join_next().await.is_some() {}
    }

    fn spawn(
        &mut self,
        op: OpId,
        request: impl Future<Output = Result<Input, Fault>> + Send + 'static,
    ) {
        let handle = self.running.spawn(async move {
            Some(
                request
                    .await
                    .unwrap_or_else(|fault| Input::Failed { op, fault }),
            )
        });
        self.wanted.insert(handle.id(), op);
        self.handles.insert(op, handle);
    }

    fn filtered(&self, mut input: Input, shard: Option<ShardId>) -> Input {
        let page = match &mut input {
            Input::Fetched { fetched, .. } => &mut fetched.page,
            Input::Received { page, .. } => page,
            _ => return input,
        };
        if let Some(shard) = &shard {
            *page = page.take().map(|page| self.marked(page, shard));
        }
        input
    }

    /// Marks the records of a page that the mapping's filters drop.
    fn marked(&self, page: Arc<dyn Page>, shard: &ShardId) -> Arc<dyn Page> {
        let config = &self.config;
        filter::mark(page, &EventContext { shard, config })
    }

    fn receive(&mut self, receive: Receive) {
        let op = receive.op;
        let (end, ended) = oneshot::channel();
        self.receiving.insert(op, end);
        let name = self.config.source_arn.rsplit([':', '/']).next();
        self.reading
            .insert(op, ShardId::new(name.unwrap_or_default()));
        let (source, account) = (self.ports.source.clone(), self.account.clone());
        self.spawn(op, receiving::receive(source, account, receive, ended));
    }

    fn abandon(&mut self, op: OpId) {
        if let Some(end) = self.receiving.remove(&op) {
            // It may be over already; its answer is on its way then.
            let _ = end.send(());
            return;
        }
        self.reading.remove(&op);
        if let Some(handle) = self.handles.remove(&op) {
            self.wanted.remove(&handle.id());
            handle.abort();
        }
    }
}

/// Reads once. Room is taken only when there is something to read, so that shards where nothing
/// comes hold none of it.
async fn read(
    source: Source,
    account: Account,
    fetch: Fetch,
    sender: UnboundedSender<Part>,
) -> Result<Input, Fault> {
    let source = stream_of(source)?;
    let Fetch {
        op,
        shard,
        from,
        limit,
        wait,
        reserve_bytes,
    } = fetch;
    let mut request = FetchRequest {
        shard,
        from,
        limit,
        wait,
        parts: Parts::default(),
    };
    source.ready(&request).await;
    let reservation = Arc::new(Mutex::new(account.reserve(reserve_bytes).await));
    let covered = move |page| {
        let mut reservation = reservation.lock().unwrap_or_else(PoisonError::into_inner);
        reservation.part(page)
    };
    let cover = covered.clone();
    request.wait = Duration::ZERO;
    request.parts = Parts::to(move |page| {
        // A mapping that has ended wants no more of it.
        let _ = sender.send((op, cover(page)));
    });
    let mut fetched = source.fetch(request).await?;
    fetched.page = fetched.page.map(covered);
    Ok(Input::Fetched { op, fetched })
}

fn stream_of(source: Source) -> Result<Arc<dyn StreamSource>, Fault> {
    match source {
        Source::Stream(stream) => Ok(stream),
        Source::Queue(_) => {
            let message = "the mapping's source is a queue and cannot be read as a stream";
            Err(Fault::new(FaultKind::Invalid, message))
        }
    }
}
