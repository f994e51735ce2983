//! Lets a case happen: an engine, its stream, its store, its handler, in virtual time.
//!
//! Rules: nothing takes time but what the case says takes time, so that moments can be compared to
//! the millisecond; what is asked is answered in the order in which it was asked; a stage that
//! turns without end is an error.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use penstock_engine::config::{MappingConfig, SourceProfile, document};
use penstock_engine::engine::Engine;
use penstock_engine::event::{EventContext, json::JsonSink, walk_window};
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::Fault;
use penstock_engine::ids::{InvocationId, SlotId};
use penstock_engine::io::{Fetch, Input, Invocation, Outcome, Output};
use penstock_engine::snapshot::MappingSnapshot;
use penstock_engine::time::{Mono, Now, Wall};
use penstock_sim::store::SimStore;
use serde_json::{Map, Value, json};

use crate::case::{Case, Put, Step};
use crate::queue::{self, Queue};
use crate::stream::Stream;

/// What the wall clock shows when a case begins.
pub const BEGINNING: Wall = Wall(1_700_000_000_250);
/// The longest that a case may take to come to rest.
const REST_MAX: Duration = Duration::from_secs(3 * 3_600);
/// Turns at one moment that nothing but a busy loop takes.
const TURNS_MAX: u32 = 100_000;

/// One call of the handler.
#[derive(Debug)]
pub struct Called {
    /// The records' numbers.
    pub records: Vec<usize>,
    /// The attempt.
    pub attempt: u32,
    /// The id that the handler saw.
    pub request: String,
    /// When it began.
    pub from: Mono,
    /// When it ended, once it has.
    pub until: Option<Mono>,
    /// Its place among all that happened.
    pub began: usize,
    /// The place of its end.
    pub ended: Option<usize>,
    /// The event.
    pub event: Value,
}

/// A read that waits for its first record.
pub(crate) struct Parked {
    pub(crate) fetch: Fetch,
    pub(crate) until: Mono,
}

/// A call that is going on.
pub(crate) struct Running {
    call: usize,
    id: InvocationId,
    until: Mono,
    outcome: Outcome,
}

/// A case at work.
pub struct Stage {
    /// The case.
    pub case: Case,
    /// The moment.
    pub now: Mono,
    /// When the mapping first started.
    pub started: Option<Mono>,
    /// The stream.
    pub stream: Stream,
    /// The queue, when it is read instead.
    pub queue: Option<Queue>,
    /// The store.
    pub store: SimStore,
    /// The calls, in order.
    pub calls: Vec<Called>,
    /// What the destination took.
    pub documents: Vec<FailureDocument>,
    /// The codes of what people were told.
    pub notices: Vec<String>,
    /// The last picture.
    pub last: Option<MappingSnapshot>,
    /// Whether the last drain ended in time.
    pub drained: Option<bool>,
    pub(crate) document: Value,
    pub(crate) config: MappingConfig,
    pub(crate) engine: Option<Engine>,
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) parked: Vec<Parked>,
    pub(crate) faults: BTreeMap<String, VecDeque<(Fault, bool)>>,
    pub(crate) stopped: bool,
    running: Vec<Running>,
    born: Mono,
    wall_shift: i64,
    moments: usize,
    lives: u64,
}

/// What went wrong, for people.
pub type Mishap = String;

impl Stage {
    /// The stage of a case, before anything has happened.
    pub fn new(case: &Case) -> Result<Self, Mishap> {
        let mut whole = base(case);
        merge(&mut whole, &dated(&case.config));
        let mut stage = Self {
            now: Mono(0),
            started: None,
            stream: Stream::new(case.shards, Wall(BEGINNING.0 - 3_600_000)),
            queue: case.queue.as_ref().map(Queue::new),
            store: SimStore::default(),
            calls: Vec::new(),
            documents: Vec::new(),
            notices: Vec::new(),
            last: None,
            drained: None,
            config: parse(&whole)?,
            document: whole,
            engine: None,
            inputs: VecDeque::new(),
            parked: Vec::new(),
            faults: BTreeMap::new(),
            stopped: false,
            running: Vec::new(),
            born: Mono(0),
            wall_shift: 0,
            moments: 0,
            lives: 0,
            case: case.clone(),
        };
        stage.put(&case.records);
        Ok(stage)
    }

    /// The wall clock.
    pub fn wall(&self) -> Wall {
        Wall(BEGINNING.plus(Duration::from_nanos(self.now.0)).0 + self.wall_shift)
    }

    /// Lets one step happen; what it expects is for others to judge.
    pub fn step(&mut self, step: &Step) -> Result<(), Mishap> {
        match step {
            Step::Start(changes) => self.start(changes)?,
            Step::Settle => return self.settle(),
            Step::WaitMs(span) => return self.wait(Duration::from_millis(*span)),
            Step::Put(puts) => self.put(puts),
            Step::Split(shard) => self.stream.split(*shard),
            Step::Merge(pair) => self.stream.merge(*pair),
            Step::Pause => self.inputs.push_back(Input::Paused),
            Step::Resume => self.inputs.push_back(Input::Resumed),
            Step::Update(changes) => {
                merge(&mut self.document, &dated(changes));
                self.config = parse(&self.document)?;
                self.inputs
                    .push_back(Input::Reconfigured(Box::new(self.config.clone())));
            }
            Step::DrainMs(span) => return self.drain(Duration::from_millis(*span)),
            Step::Stop => return self.end_with(Input::Stop, Duration::ZERO),
            Step::Crash => self.end_life(),
            Step::Fail(fail) => self.plan_faults(fail),
            Step::Trim(trim) => self.stream.trim(trim.shard, trim.count),
            Step::Hide(shard) => self.stream.shards[*shard].listed = false,
            Step::Steal(shard) => {
                let shard = self.stream.name(*shard).clone();
                self.store.steal(&shard);
                self.inputs.push_back(Input::LeaseLost { shard });
            }
            Step::GiveBack(shard) => self.store.give_back(self.stream.name(*shard)),
            Step::JumpMs(span) => self.wall_shift += span,
            Step::Expect(_) => {}
        }
        self.turn()
    }

    fn put(&mut self, puts: &[Put]) {
        let (now, wall) = (self.now, self.wall());
        for put in puts {
            match &mut self.queue {
                Some(queue) => queue.put(put, now, wall),
                None => self.stream.put(put, wall),
            }
        }
    }

    fn start(&mut self, changes: &Map<String, Value>) -> Result<(), Mishap> {
        merge(&mut self.document, &dated(changes));
        self.config = parse(&self.document)?;
        self.lives += 1;
        self.born = self.now;
        self.started.get_or_insert(self.now);
        self.stopped = false;
        let resume = self.store.resume();
        let engine = Engine::new(self.config.clone(), resume, self.lives, self.engine_now());
        self.engine = Some(engine);
        Ok(())
    }

    fn drain(&mut self, span: Duration) -> Result<(), Mishap> {
        let by = Mono((self.now + span).0 - self.born.0);
        let limit = self.now + span;
        self.end_with(Input::Drain { by }, span)?;
        self.drained = Some(self.now < limit);
        Ok(())
    }

    fn end_with(&mut self, input: Input, span: Duration) -> Result<(), Mishap> {
        self.inputs.push_back(input);
        let limit = self.now + span;
        self.turn()?;
        while !self.stopped {
            if !self.tick(limit)? {
                return Err(format!("the engine has not stopped after {span:?}"));
            }
        }
        self.end_life();
        Ok(())
    }

    fn end_life(&mut self) {
        self.picture();
        self.engine = None;
        self.inputs.clear();
        self.parked.clear();
        if let Some(queue) = &mut self.queue {
            queue.forget();
        }
        self.running.clear();
    }

    fn settle(&mut self) -> Result<(), Mishap> {
        let limit = self.now + REST_MAX;
        self.turn()?;
        loop {
            self.picture();
            let idle = self.last.as_ref().is_some_and(|picture| picture.idle)
                && self.queue.as_ref().is_none_or(Queue::is_empty);
            if idle && self.running.is_empty() && self.inputs.is_empty() {
                return Ok(());
            }
            if !self.tick(limit)? {
                return Err(format!("the case does not come to rest: {:?}", self.last));
            }
        }
    }

    fn wait(&mut self, span: Duration) -> Result<(), Mishap> {
        let limit = self.now + span;
        self.turn()?;
        while self.tick(limit)? {}
        Ok(())
    }

    /// Goes to the next moment at which something happens. False: the limit came first.
    fn tick(&mut self, limit: Mono) -> Result<bool, Mishap> {
        let deadline = self.engine.as_ref().and_then(Engine::poll_timeout);
        let deadline = deadline.map(|deadline| Mono(self.born.0.saturating_add(deadline.at.0)));
        let parked = self.parked.iter().map(|parked| parked.until);
        let running = self.running.iter().map(|running| running.until);
        let queue = self
            .queue
            .as_ref()
            .and_then(|queue| queue.deadline(self.now));
        let next = parked.chain(running).chain(deadline).chain(queue).min();
        let Some(next) = next.filter(|next| *next <= limit) else {
            self.now = limit;
            return Ok(false);
        };
        self.now = self.now.max(next);
        let now = self.engine_now();
        if let Some(engine) = &mut self.engine {
            engine.handle_timeout(now);
        }
        self.turn()?;
        Ok(true)
    }

    /// Does everything that can be done at this moment.
    fn turn(&mut self) -> Result<(), Mishap> {
        for _ in 0..TURNS_MAX {
            self.drain_outputs()?;
            self.answer_parked();
            self.answer_receives();
            if let Some(input) = self.inputs.pop_front() {
                let now = self.engine_now();
                if let Some(engine) = &mut self.engine {
                    engine.handle_input(input, now);
                }
            } else if !self.offer()? && !self.finish_one() {
                self.picture();
                return Ok(());
            }
        }
        Err(format!("{TURNS_MAX} turns at one moment"))
    }

    fn drain_outputs(&mut self) -> Result<(), Mishap> {
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            match output {
                Output::Stopped => self.stopped = true,
                output => self.perform(output)?,
            }
        }
        Ok(())
    }

    fn offer(&mut self) -> Result<bool, Mishap> {
        let now = self.engine_now();
        if self.running.len() >= self.case.workers {
            return Ok(false);
        }
        let Some(engine) = &mut self.engine else {
            return Ok(false);
        };
        if !engine.has_due_batch() {
            return Ok(false);
        }
        let Some(invocation) = engine.poll_invocation(SlotId(0), now) else {
            return Ok(true);
        };
        self.begin(&invocation)?;
        Ok(true)
    }

    fn begin(&mut self, invocation: &Invocation) -> Result<(), Mishap> {
        let (batch, window) = (&invocation.batch, invocation.window.as_ref());
        let context = EventContext {
            shard: &invocation.shard,
            config: &self.config,
        };
        let mut sink = JsonSink::default();
        let Ok(()) = walk_window(&context, batch, window, &mut sink);
        let text = sink.into_bytes();
        let bytes = text.len() as u64;
        if bytes > self.config.payload_bytes_max {
            return Err(format!("an event of {bytes} bytes is handed out"));
        }
        let records: Vec<usize> = (0..batch.len())
            .map(|at| self.number_of(batch.sequence_number(at)))
            .collect();
        let outcome = self.answer(&records, invocation);
        self.moments += 1;
        self.running.push(Running {
            call: self.calls.len(),
            id: invocation.id,
            until: self.now + Duration::from_millis(self.case.handler.takes_ms),
            outcome,
        });
        self.calls.push(Called {
            records,
            attempt: invocation.attempt,
            request: invocation.request_id.to_string(),
            from: self.now,
            until: None,
            began: self.moments,
            ended: None,
            event: serde_json::from_slice(&text).map_err(|error| error.to_string())?,
        });
        Ok(())
    }

    fn finish_one(&mut self) -> bool {
        let Some(at) = self
            .running
            .iter()
            .position(|running| running.until <= self.now)
        else {
            return false;
        };
        let running = self.running.remove(at);
        self.moments += 1;
        self.calls[running.call].until = Some(self.now);
        self.calls[running.call].ended = Some(self.moments);
        let (invocation, outcome) = (running.id, running.outcome);
        self.inputs.push_back(Input::Completed {
            invocation,
            outcome,
        });
        true
    }

    fn picture(&mut self) {
        let now = self.engine_now();
        if let Some(engine) = &self.engine {
            self.last = Some(engine.snapshot(now));
        }
    }

    fn engine_now(&self) -> Now {
        Now {
            mono: Mono(self.now.0 - self.born.0),
            wall: self.wall(),
        }
    }

    /// The number of the record with this sequence number, or of the message with this id.
    pub fn number_of(&self, sequence: &str) -> usize {
        if let Some(queue) = &self.queue {
            return queue.number_of(sequence);
        }
        let number = self.stream.number_of(sequence);
        let record = &self.stream.records[number - 1];
        assert_eq!(
            record.sequence, sequence,
            "the engine hands out what the stream holds"
        );
        number
    }
}

/// The document that cases change.
pub fn base(case: &Case) -> Value {
    if let Some(queue) = &case.queue {
        let name = if queue.fifo { "orders.fifo" } else { "orders" };
        return json!({
            "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
            "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:orders",
            "Penstock": {
                "Source": format!("queue:{name}"),
                "FunctionTimeoutMs": 5_000,
                "BackoffJitter": 0.0,
            },
        });
    }
    json!({
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:orders",
        "StartingPosition": "TRIM_HORIZON",
        "Penstock": {
            "Source": "stream:orders",
            "RoleArn": "arn:aws:iam::123456789012:role/lambda-role",
            "BackoffJitter": 0.0,
        },
    })
}

/// Puts the members of `changes` over those of `whole`, objects within objects.
pub fn merge(whole: &mut Value, changes: &Map<String, Value>) {
    let members = whole.as_object_mut().expect("documents are objects");
    for (name, value) in changes {
        match (members.get_mut(name), value) {
            (Some(Value::Null), _) | (None, _) => _ = members.insert(name.clone(), value.clone()),
            (Some(old @ Value::Object(_)), Value::Object(inner)) => merge(old, inner),
            (Some(_), Value::Null) => _ = members.remove(name),
            (Some(old), _) => *old = value.clone(),
        }
    }
}

/// The members with moments in the place of `$at_ms:N`, counted from the beginning.
fn dated(changes: &Map<String, Value>) -> Map<String, Value> {
    let moment = |value: &Value| {
        let span = value
            .as_str()?
            .strip_prefix("$at_ms:")?
            .parse::<i64>()
            .ok()?;
        Some(json!((BEGINNING.0 + span) as f64 / 1_000.0))
    };
    let dated = |(name, value): (&String, &Value)| {
        (name.clone(), moment(value).unwrap_or_else(|| value.clone()))
    };
    changes.iter().map(dated).collect()
}

fn parse(whole: &Value) -> Result<MappingConfig, Mishap> {
    let queue = whole["Penstock"]["Source"].as_str();
    let profile = match queue.is_some_and(|source| source.starts_with("queue:")) {
        true => queue::profile(),
        false => profile(),
    };
    document::parse(whole.to_string().as_bytes(), profile).map_err(|error| {
        format!(
            "the document is refused at {}: {}",
            error.path, error.message
        )
    })
}

/// What an embedded stream asks for, so that both runners see the same.
pub fn profile() -> SourceProfile {
    SourceProfile {
        idle_interval: Duration::from_millis(250),
        fetch_wait: Duration::from_secs(1),
        fetch_records_max: 10_000,
        fetch_bytes_max: 12 << 20,
        tip_reads_per_second: None,
        list_interval: Duration::from_secs(60),
    }
}
