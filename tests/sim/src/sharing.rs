//! Lets other processes share the stream: leases that run out unless they are renewed, shards
//! that are handed over by plan, and shards that end elsewhere.
//!
//! Rules: whoever asks for a shard waits until it is free; a lease counts from when it was given
//! or renewed; a shard that is handed over is another's for a while after it was given up.

use std::time::Duration;

use penstock_engine::ids::{Fence, OpId, Position, ShardId};
use penstock_engine::io::Input;
use penstock_engine::time::Mono;

use crate::event::{Act, Event};
use crate::model::Tenure;
use crate::oracles::{Verdict, Violation};
use crate::random::Random;
use crate::world::World;

/// How long after a renewal nothing starts any more.
const STOPS_AFTER: Duration = Duration::from_millis(6_667);
/// How long after a renewal the next one follows.
const RENEWS_AFTER: Duration = Duration::from_millis(3_000);
/// How long after one that failed.
const AGAIN_AFTER: Duration = Duration::from_millis(1_000);
/// How long between looks at a shard that is another's.
const LOOKS_AFTER: Duration = Duration::from_millis(200);

/// How a stream is shared.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// Renewals that fail, of a thousand.
    pub fails: u32,
}

/// A third of the worlds share their streams.
pub(crate) fn plan(world: &mut World, seed: u64, moment: fn(&mut Random) -> Duration) {
    let mut random = Random::new(seed ^ 0x5a4e_d000);
    if random.below(3) > 0 {
        return;
    }
    let fails = random.pick(&[0, 200, 900]);
    world.sharing = Some(Sharing { fails });
    for _ in 0..random.below(5) {
        let (shard, held) = (random.place(6), random.millis(20, 6_000));
        let act = Act::HandOver(shard, held, random.place(6));
        world.plan(moment(&mut random), act);
    }
    for _ in 0..random.below(4) {
        let (shard, held) = (random.place(6), random.millis(20, 6_000));
        world.plan(moment(&mut random), Act::Steal(shard, held, None, 1_000));
    }
}

impl World {
    /// From when on nothing may start under a lease that is given or renewed now.
    pub(crate) fn lease_until(&self) -> Option<Mono> {
        self.sharing?;
        Some(self.engine_moment(self.now + STOPS_AFTER))
    }

    /// Whether a shard is another's, or has ended there: then whoever asks goes on waiting.
    pub(crate) fn lease_waits(&mut self, op: OpId, id: &ShardId) -> Result<bool, Violation> {
        if self.sharing.is_none() {
            return Ok(false);
        }
        if !self.open.contains_key(&op) {
            return Ok(true);
        }
        let saved = self.store.checkpoint(id);
        let current = Some(self.stream.incarnation);
        if saved.is_some_and(|saved| {
            saved.position == Position::ShardEnd && saved.incarnation == current
        }) {
            self.feed(Input::EndedElsewhere { shard: id.clone() })?;
            return Ok(true);
        }
        let waits = self.store.held_by_other(id);
        if waits {
            let again = Event::Lease(op, id.clone(), None, Duration::ZERO);
            self.later(LOOKS_AFTER, again);
        }
        Ok(waits)
    }

    /// The engine has been given a lease that runs out.
    pub(crate) fn lease_runs(&mut self, shard: usize, fence: Fence, until: Option<Mono>) {
        let Some(until) = until else { return };
        let born = self.born;
        self.model.tenure_mut(shard).until = Mono(born.0 + until.0);
        let id = self.model.shards[shard].id.clone();
        self.later(RENEWS_AFTER, Event::Renew(id, fence));
    }

    /// A lease is renewed, unless that fails or it is another's.
    pub(crate) fn renew(&mut self, id: ShardId, fence: Fence) -> Verdict {
        let shard = self.number(&id);
        let held = self.model.shards[shard].tenure.as_ref();
        if held.map(|tenure| tenure.fence) != Some(fence) {
            return Ok(());
        }
        if self.store.held_by_other(&id) || self.store.fence(&id) != Some(fence) {
            // What was due before it hears of that is still done under the lease.
            let now = self.engine_now();
            if let Some(engine) = &mut self.engine {
                engine.handle_timeout(now);
            }
            self.drain_outputs()?;
            return self.feed(Input::LeaseLost { shard: id });
        }
        let fails = self.sharing.map_or(0, |sharing| sharing.fails);
        if self.random.chance(fails) {
            self.later(AGAIN_AFTER, Event::Renew(id, fence));
            return Ok(());
        }
        let (now, until) = (self.now, self.now + STOPS_AFTER);
        let tenure = self.model.tenure_mut(shard);
        if !tenure.may_start(now) {
            tenure.open_since = now;
        }
        tenure.until = until;
        self.later(RENEWS_AFTER, Event::Renew(id.clone(), fence));
        let until = self.engine_moment(until);
        self.feed(Input::LeaseRenewed {
            shard: id,
            fence,
            until,
        })
    }

    /// Another process is to have a shard.
    pub(crate) fn hand_over(&mut self, shard: usize, held: Duration, settled: usize) -> Verdict {
        let shard = shard % self.stream.shards.len();
        if self.sharing.is_none() || !self.alive() {
            return Ok(());
        }
        let Some(tenure) = &mut self.model.shards[shard].tenure else {
            return Ok(());
        };
        tenure.leaving.get_or_insert((held, settled));
        let shard = self.stream.shards[shard].id.clone();
        self.feed(Input::LeaseDrains { shard })
    }

    /// A shard was given up: whoever has asked for it has it now.
    pub(crate) fn taken_over(&mut self, id: &ShardId, to: Option<(Duration, usize)>) {
        if let Some((held, settled)) = to {
            let shard = self.number(id);
            self.steal(shard, held, None, settled);
        }
    }
}

impl Tenure {
    /// Whether something of the shard may start.
    #[must_use]
    pub fn may_start(&self, now: Mono) -> bool {
        self.leaving.is_none() && now < self.until
    }
}
