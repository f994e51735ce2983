//! Owns the I/O threads, the mappings, the exchange and the state of one engine.
//!
//! Rules: it can be closed, and several may live in one process; every call compares the process
//! id, since threads do not survive a fork; calls that wait have a bound and are for threads of
//! the caller's own, never for the runtime's.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use penstock_engine::config::MappingConfig;
use penstock_engine::ids::{InvocationId, MappingId, SlotId};
use penstock_engine::io::{Input, Notice, Outcome};
use penstock_engine::stream::router::hash_key;
use tracing::dispatcher;

pub use crate::settings::RuntimeConfig;

use crate::clock::{Clock, ManualClock, SystemClock};
use crate::errands::Errands;
use crate::error::RuntimeError;
use crate::exchange::{Delivery, Exchange};
use crate::ledger::Ledger;
use crate::mapping::{Command, Parts};
use crate::ports::{Destination, Source};
use crate::requests::Ports;
use crate::roster::Roster;
use crate::snapshot::RuntimeSnapshot;
use crate::state::queues::QueueLimits;
use crate::state::streams::StreamLimits;
use crate::state::{State, StateLimits};
use crate::subscriber;
use crate::telemetry::{LogLine, Telemetry};

/// How long a mapping that is removed may finish what it does.
const REMOVAL_TIME: Duration = Duration::from_secs(30);

/// How long mappings may take to answer for a snapshot.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(1);

/// How long after the end of a drain its last answers may take.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// How often expired records of embedded streams are removed.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);

/// Threads that may block on the disk at once.
const BLOCKING_THREADS: usize = 8;

/// A running engine room.
pub struct Runtime {
    process: u32,
    seed: u64,
    trace_dir: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    manual: Option<Arc<ManualClock>>,
    state: Arc<State>,
    exchange: Arc<Exchange>,
    ledger: Arc<Ledger>,
    errands: Arc<Errands>,
    telemetry: Arc<Telemetry>,
    pub(crate) roster: Arc<Roster>,
    handle: tokio::runtime::Handle,
    /// `None` once it was shut down.
    threads: Mutex<Option<tokio::runtime::Runtime>>,
    draining: AtomicBool,
    closed: AtomicBool,
}

impl Runtime {
    /// Opens the state and starts the threads.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be used, or threads cannot be started.
    pub fn start(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let telemetry = Telemetry::new(config.log_capacity);
        let dispatch = subscriber::dispatch_to(telemetry.clone(), config.log_level);
        let manual = config
            .manual_clock
            .then(|| Arc::new(ManualClock::at_present()));
        let clock: Arc<dyn Clock> = match &manual {
            Some(manual) => manual.clone(),
            None => Arc::new(SystemClock::new()),
        };
        let limits = StateLimits {
            streams: StreamLimits {
                retention: config.stream_retention,
                bytes_max: config.stream_bytes_max,
            },
            queues: QueueLimits {
                bytes_max: config.queue_bytes_max,
            },
        };
        let state = dispatcher::with_default(&dispatch, || {
            State::open(config.state_dir.as_deref(), clock.clone(), limits)
        })?;
        let logs = dispatch.clone();
        let threads = io_threads(move || subscriber::set_for_thread(&logs))
            .map_err(|error| RuntimeError::io("start the I/O threads", error))?;
        let handle = threads.handle().clone();
        handle.spawn(trim_for_ever(state.clone(), clock.clone()));
        let tail_dir = config.trace_dir.clone().or(config.state_dir);
        let tail_dir = tail_dir.unwrap_or_else(std::env::temp_dir);
        Ok(Self {
            process: std::process::id(),
            seed: config.seed.unwrap_or_else(seed_by_chance),
            trace_dir: config.trace_dir,
            roster: Roster::new(clock.clone(), telemetry.clone(), dispatch, tail_dir),
            clock,
            manual,
            state,
            exchange: Exchange::new(&config.pools),
            ledger: Ledger::new(config.buffered_bytes_max),
            errands: Errands::new(),
            telemetry,
            handle,
            threads: Mutex::new(Some(threads)),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The state: checkpoints, leases and embedded streams.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// What the runtime asks Python to do.
    #[must_use]
    pub fn errands(&self) -> &Arc<Errands> {
        &self.errands
    }

    /// The I/O threads, for drivers that need to be built on them.
    #[must_use]
    pub fn handle(&self) -> tokio::runtime::Handle {
        self.handle.clone()
    }

    /// Starts a mapping and returns at once; its rows are read by its own task.
    ///
    /// # Errors
    ///
    /// When a mapping of this id runs, its pool is not there, or the runtime drains or is closed.
    pub fn add_mapping(
        &self,
        config: MappingConfig,
        source: impl Into<Source>,
        destination: Option<Arc<dyn Destination>>,
    ) -> Result<MappingId, RuntimeError> {
        self.check_open()?;
        self.check_pool(&config)?;
        if self.draining.load(SeqCst) {
            return Err(RuntimeError::Closed);
        }
        let id = config.id.clone();
        let (checkpoints, leases) = (self.state.clone(), self.state.clone());
        let ports = Ports {
            source: source.into(),
            checkpoints,
            leases,
            destination,
        };
        self.roster
            .start(&self.handle, id.clone(), |commands, tail| Parts {
                seed: self.seed ^ hash_key(id.as_str().as_bytes()),
                config,
                ports,
                clock: self.clock.clone(),
                exchange: self.exchange.clone(),
                account: self.ledger.account(),
                telemetry: self.telemetry.clone(),
                trace_dir: self.trace_dir.clone(),
                tail,
                commands,
            })?;
        Ok(id)
    }

    /// Gives a mapping new options, and the destination that they name.
    ///
    /// # Errors
    ///
    /// When there is no such mapping or pool, or the runtime is closed.
    pub fn update_mapping(
        &self,
        config: MappingConfig,
        destination: Option<Arc<dyn Destination>>,
    ) -> Result<(), RuntimeError> {
        self.check_open()?;
        self.check_pool(&config)?;
        let id = config.id.clone();
        self.roster
            .send(&id, Command::Reconfigure(Box::new(config), destination))
            .map(|_| ())
    }

    /// Ends a mapping; it finishes what it does and leaves. Its checkpoints stay.
    ///
    /// # Errors
    ///
    /// When there is no such mapping, or the runtime is closed.
    pub fn remove_mapping(&self, id: &MappingId) -> Result<(), RuntimeError> {
        let by = self.clock.now().mono + REMOVAL_TIME;
        self.tell(id, Input::Drain { by })?;
        self.roster.forget(id);
        Ok(())
    }

    /// Whether a mapping of this id has been started and has not ended.
    #[must_use]
    pub fn runs(&self, id: &MappingId) -> bool {
        self.roster.runs(id)
    }

    /// Stops a mapping from starting anything new.
    ///
    /// # Errors
    ///
    /// When there is no such mapping, or the runtime is closed.
    pub fn pause(&self, id: &MappingId) -> Result<(), RuntimeError> {
        self.tell(id, Input::Paused)
    }

    /// Lets a paused mapping go on.
    ///
    /// # Errors
    ///
    /// When there is no such mapping, or the runtime is closed.
    pub fn resume(&self, id: &MappingId) -> Result<(), RuntimeError> {
        self.tell(id, Input::Resumed)
    }

    /// Says which slots of a pool keep what handlers remember, so that a lane goes on in the slot
    /// where it ran last; none at first.
    ///
    /// # Errors
    ///
    /// When there is no such pool, or the runtime is closed.
    pub fn keep_lanes(&self, pool: &str, slots: Vec<SlotId>) -> Result<(), RuntimeError> {
        self.check_open()?;
        self.exchange.set_crew(pool, slots)
    }

    /// Waits for an invocation, as a thread; `None` when `timeout` is over.
    ///
    /// # Errors
    ///
    /// When there is no such pool, or the runtime is closed.
    pub fn next_invocation(
        &self,
        pool: &str,
        slot: SlotId,
        timeout: Duration,
    ) -> Result<Option<Delivery>, RuntimeError> {
        self.check_open()?;
        self.exchange.next_invocation(pool, slot, timeout)
    }

    /// Reports how an invocation ended; never waits. What a mapping that has ended meanwhile
    /// would have been told counts for nothing.
    ///
    /// # Errors
    ///
    /// When there is no such mapping, the invocation is not out, or the runtime is closed.
    pub fn complete(
        &self,
        mapping: &MappingId,
        invocation: InvocationId,
        outcome: Outcome,
    ) -> Result<(), RuntimeError> {
        self.check_open()?;
        let out = self.exchange.release(mapping, invocation);
        let command = if out {
            Command::Complete(invocation, outcome)
        } else {
            // Finds out whether the mapping is there and runs, and asks nothing of it.
            Command::Snapshot(tokio::sync::oneshot::channel().0)
        };
        let runs = self.roster.send(mapping, command)?;
        if runs && !out {
            return Err(RuntimeError::UnknownInvocation {
                mapping: mapping.clone(),
                invocation: invocation.0,
            });
        }
        Ok(())
    }

    /// A picture of everything. Mappings that do not answer within a second are marked.
    ///
    /// # Errors
    ///
    /// When the runtime is closed.
    pub fn snapshot(&self) -> Result<RuntimeSnapshot, RuntimeError> {
        self.check_open()?;
        let asked = self.roster.ask_all();
        let mappings = self.handle.block_on(async {
            let until = tokio::time::Instant::now() + SNAPSHOT_WAIT;
            let mut mappings = Vec::with_capacity(asked.len());
            for (id, answer) in asked {
                let picture = tokio::time::timeout_at(until, answer).await;
                mappings.extend(self.roster.status(&id, picture.ok().and_then(Result::ok)));
            }
            mappings
        });
        Ok(RuntimeSnapshot {
            now: self.clock.now().wall,
            draining: self.draining.load(SeqCst),
            mappings,
            exchange: self.exchange.snapshot(),
            buffered_bytes: self.ledger.held(),
            buffered_bytes_max: self.ledger.bytes_max(),
            reads_waiting: self.ledger.waiting(),
            store: self.state.stats(),
            errands_waiting: self.errands.waiting(),
            lost_logs: self.telemetry.logs.lost(),
            lost_notices: self.telemetry.notices.lost(),
        })
    }

    /// Takes up to `limit` notices, the oldest first; also after the runtime was closed.
    #[must_use]
    pub fn drain_notices(&self, limit: usize) -> Vec<(MappingId, Notice)> {
        self.telemetry.notices.drain(limit)
    }

    /// Takes up to `limit` log lines, the oldest first; also after the runtime was closed.
    #[must_use]
    pub fn drain_logs(&self, limit: usize) -> Vec<LogLine> {
        self.telemetry.logs.drain(limit)
    }

    /// Moves a manual clock.
    ///
    /// # Errors
    ///
    /// When the clock is the system's, or the runtime is closed.
    pub fn advance(&self, by: Duration) -> Result<(), RuntimeError> {
        self.check_open()?;
        let manual = self.manual.as_ref().ok_or(RuntimeError::ClockNotManual)?;
        manual.advance(by);
        Ok(())
    }

    /// Lets every mapping finish what it does, save and stop, and waits for that. Whether all
    /// did so before the time was up.
    ///
    /// # Errors
    ///
    /// When the runtime is closed.
    pub fn drain(&self, timeout: Duration) -> Result<bool, RuntimeError> {
        self.check_open()?;
        self.draining.store(true, SeqCst);
        let by = self.clock.now().mono + timeout;
        self.roster.send_all(|| Command::Input(Input::Drain { by }));
        self.wait_for_tasks(timeout.saturating_add(DRAIN_GRACE));
        Ok(self.roster.ended_in_time(by))
    }

    /// Stops everything: workers and errands are sent away, mappings stop where they are, the
    /// threads end, the state is committed and given up. Takes about `timeout` at most.
    pub fn close(&self, timeout: Duration) {
        if self.process != std::process::id() || self.closed.swap(true, SeqCst) {
            return;
        }
        let until = Instant::now() + timeout;
        self.exchange.close();
        self.errands.close();
        self.roster.send_all(|| Command::Input(Input::Stop));
        self.wait_for_tasks(timeout);
        let threads = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(threads) = threads {
            threads.shutdown_timeout(until.saturating_duration_since(Instant::now()));
        }
        self.state.close();
    }

    /// Whether `close` was called.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    pub(crate) fn tell(&self, id: &MappingId, input: Input) -> Result<(), RuntimeError> {
        self.check_open()?;
        self.roster.send(id, Command::Input(input)).map(|_| ())
    }

    fn wait_for_tasks(&self, timeout: Duration) {
        // Whether they ended is looked at by whoever asks.
        let _ = self
            .handle
            .block_on(async { tokio::time::timeout(timeout, self.roster.all_ended()).await });
    }

    fn check_pool(&self, config: &MappingConfig) -> Result<(), RuntimeError> {
        let pool = &config.function.pool;
        if self.exchange.has_pool(pool) {
            Ok(())
        } else {
            Err(RuntimeError::UnknownPool(pool.clone()))
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), RuntimeError> {
        let child = std::process::id();
        if child != self.process {
            return Err(RuntimeError::Forked {
                parent: self.process,
                child,
            });
        }
        if self.closed() {
            Err(RuntimeError::Closed)
        } else {
            Ok(())
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            self.close(Duration::from_secs(1));
            return;
        }
        // The threads live in the parent only, and waiting for them here would never end.
        std::mem::forget(self.state.clone());
        let threads = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        std::mem::forget(threads);
    }
}

/// The work is waiting, signing and copying: more threads would only move it about.
fn io_threads(
    at_start: impl Fn() + Send + Sync + 'static,
) -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if cores > 2 { 2 } else { 1 })
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("penstock-io")
        .on_thread_start(at_start)
        .enable_all()
        .build()
}

async fn trim_for_ever(state: Arc<State>, clock: Arc<dyn Clock>) {
    loop {
        if let Err(error) = state.streams().trim().await {
            tracing::warn!(error = %error, "expired records could not be removed");
        }
        if let Err(error) = state.queues().trim().await {
            tracing::warn!(error = %error, "expired messages could not be removed");
        }
        clock.sleep_until(clock.now().mono + TRIM_INTERVAL).await;
    }
}

fn seed_by_chance() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
