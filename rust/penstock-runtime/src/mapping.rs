//! Runs one mapping: owns its engine, feeds it, drains it and arms its timer.
//!
//! Rules: the engine belongs to one task, so there is no lock; an `if` about retries, ages or
//! sizes does not belong here; a fixed number of steps is made before other tasks get their turn.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::engine::Engine;
use penstock_engine::ids::{InvocationId, ShardId};
use penstock_engine::io::{Input, Notice, NoticeLevel, Outcome, Output, Resume, SkippedRange};
use penstock_engine::snapshot::MappingSnapshot;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, Timer};
use crate::error::StoreError;
use crate::exchange::{Desk, Exchange, Offer, Word};
use crate::ledger::Account;
use crate::ports::Destination;
use crate::requests::{Ports, Requests};
use crate::telemetry::Telemetry;
use crate::trace::{Tail, Tracer};

/// Steps between two chances for other tasks.
const STEPS_MAX: u32 = 64;

/// How long to wait before resume rows that could not be read are asked for again.
const LOAD_INTERVAL: Duration = Duration::from_secs(5);

/// What the runtime tells a mapping's task.
pub(crate) enum Command {
    /// Something for the engine.
    Input(Input),
    /// New options, with the destination that they name.
    Reconfigure(Box<MappingConfig>, Option<Arc<dyn Destination>>),
    /// A worker has answered.
    Complete(InvocationId, Outcome),
    /// An operator lets go of what waits for its destination, and wants to know what that was and
    /// whether it is saved.
    Skip(ShardId, oneshot::Sender<Skipped>),
    /// Somebody wants a picture.
    Snapshot(oneshot::Sender<MappingSnapshot>),
}

/// What an operator let go of, and whether that is saved.
pub(crate) type Skipped = (Vec<SkippedRange>, bool);

/// What a mapping's task is made of.
pub(crate) struct Parts {
    pub(crate) config: MappingConfig,
    pub(crate) ports: Ports,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) account: Account,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) seed: u64,
    pub(crate) trace_dir: Option<PathBuf>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
}

/// Runs a mapping until it has stopped; gives the last picture of it, if it was born at all.
pub(crate) async fn run(mut parts: Parts) -> Option<MappingSnapshot> {
    let resume = parts.load().await?;
    let mut task = Task::born(parts, resume);
    task.work().await;
    task.requests.finish().await;
    Some(task.engine.snapshot(task.clock.now()))
}

impl Parts {
    /// Reads the mapping's rows, however long it takes; `None` when it is to stop before that.
    async fn load(&mut self) -> Option<Resume> {
        loop {
            match self.ports.checkpoints.load(self.config.id.clone()).await {
                Ok(resume) => return Some(resume),
                Err(error) => self.tell_not_loaded(&error),
            }
            let mut again = self
                .clock
                .sleep_until(self.clock.now().mono + LOAD_INTERVAL);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    command = self.commands.recv() => match command {
                        None | Some(Command::Input(Input::Drain { .. } | Input::Stop)) => {
                            return None;
                        }
                        // Nothing else has a meaning before birth; a picture is refused by
                        // dropping its sender.
                        Some(_) => {}
                    },
                }
            }
        }
    }

    fn tell_not_loaded(&self, error: &StoreError) {
        let message = format!("the checkpoints cannot be read: {error}");
        let notice = Notice {
            level: NoticeLevel::Error,
            code: "checkpoints_unread",
            shard: None,
            message,
        };
        self.telemetry
            .notices
            .push((self.config.id.clone(), notice));
    }
}

struct Task {
    engine: Engine,
    config: Arc<MappingConfig>,
    desk: Desk,
    requests: Requests,
    timer: Timer,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    tracer: Tracer,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Operators who wait to hear what was skipped, with the shards, oldest first.
    skips: VecDeque<(ShardId, oneshot::Sender<Skipped>)>,
    stopped: bool,
}

enum Event {
    Command(Command),
    Answer(Input),
    Offer(Offer),
    TimeUp,
    /// The runtime is gone.
    Orphaned,
}

impl Task {
    fn born(parts: Parts, resume: Resume) -> Self {
        let Parts {
            config,
            ports,
            clock,
            seed,
            ..
        } = parts;
        let (now, id) = (clock.now(), config.id.clone());
        let mut tracer = Tracer::new(parts.trace_dir.as_deref(), &id, now, parts.tail);
        tracer.header(&config, &resume, seed, now);
        let engine = Engine::new(config.clone(), resume, seed, now);
        let config = Arc::new(config);
        Self {
            engine,
            desk: parts.exchange.join(id),
            requests: Requests::new(config.clone(), ports, parts.account),
            config,
            timer: Timer::new(clock.clone()),
            clock,
            telemetry: parts.telemetry,
            tracer,
            commands: parts.commands,
            skips: VecDeque::new(),
            stopped: false,
        }
    }

    async fn work(&mut self) {
        let mut steps = 0;
        loop {
            self.perform_outputs();
            if self.stopped {
                return;
            }
            self.desk
                .mark(&self.config.function.pool, self.engine.due());
            self.timer
                .set(self.engine.poll_timeout().map(|deadline| deadline.at));
            steps += 1;
            if steps % STEPS_MAX == 0 {
                self.tracer.flush();
                tokio::task::yield_now().await;
            }
            let event = tokio::select! {
                biased;
                command = self.commands.recv() => {
                    command.map_or(Event::Orphaned, Event::Command)
                }
                input = self.requests.next() => Event::Answer(input),
                word = self.desk.listen() => match word {
                    Word::Offer(offer) => Event::Offer(offer),
                    Word::Crew(slots) => Event::Answer(Input::Crew { slots }),
                },
                () = self.timer.elapsed() => Event::TimeUp,
            };
            match event {
                Event::Command(command) => self.obey(command),
                Event::Answer(input) => self.feed(input),
                Event::Offer(offer) => self.answer(offer),
                Event::TimeUp => self.time_up(),
                Event::Orphaned => return,
            }
        }
    }

    fn perform_outputs(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Notify(notice) => {
                    self.telemetry
                        .notices
                        .push((self.config.id.clone(), notice));
                }
                Output::Skipped {
                    shard,
                    ranges,
                    saved,
                } => self.tell_skipped(&shard, ranges, saved),
                Output::Stopped => self.stopped = true,
                request => self.requests.perform(request),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Input(input) => self.feed(input),
            Command::Complete(invocation, outcome) => {
                self.feed(Input::Completed {
                    invocation,
                    outcome,
                });
            }
            Command::Reconfigure(config, destination) => {
                self.requests.set_destination(destination);
                self.feed(Input::Reconfigured(config));
                self.config = Arc::new(self.engine.config().clone());
                self.requests.set_config(self.config.clone());
            }
            Command::Skip(shard, asker) => {
                self.skips.push_back((shard.clone(), asker));
                self.feed(Input::Skip { shard });
            }
            Command::Snapshot(asker) => {
                // Whoever asked may have stopped waiting.
                let _ = asker.send(self.engine.snapshot(self.clock.now()));
            }
        }
    }

    /// One answer is for everybody who asked about the shard before it.
    fn tell_skipped(&mut self, shard: &ShardId, ranges: Vec<SkippedRange>, saved: bool) {
        let mut ranges = Some(ranges);
        for (of, asker) in std::mem::take(&mut self.skips) {
            if of == *shard {
                // What was skipped is told once, or it would be counted twice.
                let _ = asker.send((ranges.take().unwrap_or_default(), saved));
            } else {
                self.skips.push_back((of, asker));
            }
        }
    }

    fn feed(&mut self, input: Input) {
        let now = self.clock.now();
        self.tracer.input(&input, now);
        self.engine.handle_input(input, now);
    }

    fn time_up(&mut self) {
        let now = self.clock.now();
        self.tracer.timeout(now);
        self.engine.handle_timeout(now);
    }

    fn answer(&mut self, offer: Offer) {
        let Some(claim) = self.desk.claim(offer) else {
            return;
        };
        let now = self.clock.now();
        self.tracer.offer(claim.slot(), now);
        if let Some(invocation) = self.engine.poll_invocation(claim.slot(), now) {
            claim.fill(self.config.clone(), invocation);
        }
    }
}
