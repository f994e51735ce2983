//! Tells one story at a time: a world in which everything works unless the story says otherwise.
//!
//! Rules: a story fails with what an oracle has seen, and every wait in it has a limit.

use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::snapshot::MappingSnapshot;
use serde_json::Value;

use crate::event::{Act, Put};
use crate::faults::Faults;
use crate::oracles::{Verdict, Violation};
use crate::workers::{Answer, Call, Handler};
use crate::world::{Plan, World};

/// The longest that a story waits for anything.
const PATIENCE: Duration = Duration::from_secs(7_200);

/// A story.
pub struct Story {
    /// The world that it happens in.
    pub world: World,
}

impl Story {
    /// A stream of one shard, four workers, a handler that succeeds at once.
    #[must_use]
    pub fn of(config: MappingConfig) -> Self {
        Self::with(config, 1, |_: &Call| Answer::success())
    }

    /// The same with another handler and another number of shards.
    #[must_use]
    pub fn with(config: MappingConfig, shards: u32, handler: impl Handler + 'static) -> Self {
        let plan = Plan {
            seed: 7,
            config,
            slots: 4,
            shards,
            faults: Faults::none(),
            handler: Box::new(handler),
            tracing: true,
            hashing: false,
        };
        Self {
            world: World::new(plan),
        }
    }

    /// The same without lines to show when it fails, for those who tell thousands.
    #[must_use]
    pub fn untold(mut self) -> Self {
        self.world.forget_lines();
        self
    }

    /// Does something now.
    pub fn act(&mut self, act: Act) -> &mut Self {
        self.world.plan(Duration::ZERO, act);
        self.pass(0)
    }

    /// Puts a record for each of these keys.
    pub fn put(&mut self, keys: impl IntoIterator<Item = u32>) -> &mut Self {
        self.act(Act::PutKeys(keys.into_iter().collect()))
    }

    /// Puts one record.
    pub fn put_one(&mut self, put: Put) -> &mut Self {
        self.act(Act::Put(put))
    }

    /// Starts a process.
    pub fn start(&mut self) -> &mut Self {
        self.act(Act::Start(None))
    }

    /// Ends the process as SIGTERM does, with this many seconds for it, and waits for its end.
    pub fn drain(&mut self, seconds: u64) -> &mut Self {
        self.act(Act::Drain(Duration::from_secs(seconds)));
        self.until(|world| !world.alive())
    }

    /// Lets the world behave like this.
    pub fn behave(&mut self, faults: Faults) -> &mut Self {
        self.act(Act::Behave(Box::new(faults)))
    }

    /// Lets so many milliseconds pass.
    pub fn pass(&mut self, millis: u64) -> &mut Self {
        let verdict = self.world.pass(Duration::from_millis(millis));
        self.judge(verdict);
        self
    }

    /// Waits until something holds.
    ///
    /// # Panics
    /// When it never does.
    pub fn until(&mut self, holds: impl FnMut(&World) -> bool) -> &mut Self {
        let held = self.world.run(PATIENCE, holds);
        let held = self.judge(held);
        assert!(
            held,
            "it never came:\n{}",
            self.world.last_lines(40).join("\n")
        );
        self
    }

    /// Waits until everything is settled and the engine knows that it has nothing to do.
    pub fn rest(&mut self) -> &mut Self {
        self.until(World::at_rest)
    }

    /// The places of the records of each call, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Vec<usize>> {
        self.world
            .calls
            .iter()
            .map(|call| call.records.clone())
            .collect()
    }

    /// The documents that the destination holds: condition, count, places, whether answered.
    #[must_use]
    pub fn documents(&self) -> Vec<Discarded> {
        self.world
            .documents
            .iter()
            .map(|document| self.discarded(document))
            .collect()
    }

    /// The engine's picture of itself.
    ///
    /// # Panics
    /// When no process runs.
    #[must_use]
    pub fn snapshot(&self) -> MappingSnapshot {
        self.world.snapshot().expect("a process runs")
    }

    fn discarded(&self, document: &penstock_engine::failure::FailureDocument) -> Discarded {
        let body: Value = serde_json::from_str(&document.body).expect("a document is JSON");
        let text = |path: &str| {
            body.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let shard = self
            .world
            .stream
            .find(&document.shard)
            .expect("a shard of the stream");
        let place = |path: &str| {
            self.world.model.shards[shard]
                .place_of(text(path))
                .expect("a record of the shard")
        };
        let error = body.pointer("/responseContext/functionError");
        Discarded {
            first: place("/KinesisBatchInfo/startSequenceNumber"),
            last: place("/KinesisBatchInfo/endSequenceNumber"),
            count: body
                .pointer("/requestContext/approximateInvokeCount")
                .and_then(Value::as_u64)
                .expect("a count"),
            condition: text("/requestContext/condition").to_owned(),
            function_error: error.map(|error| error.as_str().map(str::to_owned)),
        }
    }

    fn judge<T>(&self, verdict: Result<T, Violation>) -> T {
        match verdict {
            Ok(value) => value,
            Err(Violation {
                oracle,
                invariant,
                message,
            }) => {
                let lines = self.world.last_lines(40).join("\n");
                panic!("{lines}\n{oracle} ({invariant}): {message}")
            }
        }
    }

    /// Checks a verdict of the story's own.
    pub fn must(&self, verdict: Verdict) {
        self.judge(verdict);
    }
}

/// What a failure document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discarded {
    /// The first record's place.
    pub first: usize,
    /// The last record's place.
    pub last: usize,
    /// `approximateInvokeCount`.
    pub count: u64,
    /// Why.
    pub condition: String,
    /// Outside: whether there is a `responseContext`. Inside: its `functionError`.
    pub function_error: Option<Option<String>>,
}
