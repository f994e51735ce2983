//! Tells stories of queues: a world in which everything works unless the story says otherwise.

use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::snapshot::MappingSnapshot;

use super::event::{Act, Sent};
use super::faults::QueueFaults;
use super::options;
use super::source::{QueueSetup, Standing};
use super::world::{QueuePlan, QueueWorld};
use crate::oracles::Violation;
use crate::workers::{Answer, Call, Handler};

/// The longest that a story waits for anything.
const PATIENCE: Duration = Duration::from_secs(36_000);

/// A story.
pub struct QueueStory {
    /// The world that it happens in.
    pub world: QueueWorld,
}

impl QueueStory {
    /// A queue of the mapping's kind, four workers, a handler that succeeds at once.
    #[must_use]
    pub fn of(config: MappingConfig) -> Self {
        Self::with(config, |_: &Call| Answer::success())
    }

    /// The same with another handler.
    #[must_use]
    pub fn with(config: MappingConfig, handler: impl Handler + 'static) -> Self {
        let fifo = config.queue.is_some_and(|rules| rules.fifo);
        Self::on(options::setup(fifo), config, 4, handler)
    }

    /// The same with another queue and another number of workers.
    #[must_use]
    pub fn on(
        queue: QueueSetup,
        config: MappingConfig,
        slots: usize,
        handler: impl Handler + 'static,
    ) -> Self {
        let mut world = QueueWorld::new(QueuePlan {
            seed: 7,
            config,
            queue,
            slots,
            faults: QueueFaults::none(),
            handler: Box::new(handler),
            tracing: true,
            hashing: false,
        });
        world.calm = true;
        Self { world }
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

    /// Sends so many messages.
    pub fn send(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.act(Act::Send(Sent::plain()));
        }
        self
    }

    /// Sends a message to each of these groups, one after the other.
    pub fn send_to(&mut self, groups: impl IntoIterator<Item = u32>) -> &mut Self {
        for group in groups {
            self.act(Act::Send(Sent::group(group)));
        }
        self
    }

    /// Starts a process.
    pub fn start(&mut self) -> &mut Self {
        self.act(Act::Start)
    }

    /// Ends the process as SIGTERM does, with this many seconds for it, and waits for its end.
    pub fn drain(&mut self, seconds: u64) -> &mut Self {
        self.act(Act::Drain(Duration::from_secs(seconds)));
        self.until(|world| !world.alive())
    }

    /// Lets the queue behave like this.
    pub fn behave(&mut self, faults: QueueFaults) -> &mut Self {
        self.world.calm = false;
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
    pub fn until(&mut self, holds: impl FnMut(&QueueWorld) -> bool) -> &mut Self {
        let held = self.world.run(PATIENCE, holds);
        let held = self.judge(held);
        let lines = self.world.last_lines(40).join("\n");
        assert!(held, "it never came:\n{lines}");
        self
    }

    /// Waits until nothing is left in the queue and the engine knows that it has nothing to do.
    pub fn rest(&mut self) -> &mut Self {
        self.until(QueueWorld::at_rest)
    }

    /// The messages of each call, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Vec<usize>> {
        let calls = self.world.calls.iter();
        calls.map(|call| call.messages.clone()).collect()
    }

    /// The calls that held a message.
    #[must_use]
    pub fn calls_with(&self, message: usize) -> usize {
        let calls = self.calls();
        calls.iter().filter(|call| call.contains(&message)).count()
    }

    /// The messages in the dead-letter queue.
    #[must_use]
    pub fn dead(&self) -> Vec<usize> {
        self.world.standing(Standing::Dead)
    }

    /// The engine's picture of itself.
    ///
    /// # Panics
    /// When no process runs.
    #[must_use]
    pub fn snapshot(&self) -> MappingSnapshot {
        self.world.snapshot().expect("a process runs")
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
}
