//! Watches lanes and the workers that keep their state.
//!
//! Rules: a lane stays with its slot while that is of the crew; only a slot that joins, a new
//! number of lanes and a new process may move it.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_engine::ids::SlotId;
use penstock_engine::io::Input;

use crate::event::Act;
use crate::oracles::{Verdict, violated};
use crate::random::Random;
use crate::units::Start;
use crate::world::World;

/// Who keeps lanes, and where each ran last: by shard, number of lanes and lane.
#[derive(Default)]
pub(crate) struct Crew {
    slots: Vec<SlotId>,
    homes: BTreeMap<(usize, u8, u8), usize>,
}

impl Crew {
    /// Whether workers keep lanes at all: then one may be free and a batch wait for another.
    pub(crate) fn keeps(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Nothing is known of any lane: a new process, other options.
    pub(crate) fn forget(&mut self) {
        self.homes.clear();
    }

    /// What a new engine must be told.
    pub(crate) fn told(&self) -> Option<Input> {
        let slots = self.slots.clone();
        self.keeps().then_some(Input::Crew { slots })
    }
}

/// In a third of the worlds workers keep lanes, and now and then one cannot be started for a while.
pub(crate) fn plan(world: &mut World, seed: u64, moment: fn(&mut Random) -> Duration) {
    let mut random = Random::new(seed ^ 0xc4e3);
    if random.below(3) > 0 {
        return;
    }
    let all: Vec<u32> = (0..world.slots.len() as u32).collect();
    world.plan(Duration::ZERO, Act::Crew(all.clone()));
    for _ in 0..random.below(3) {
        let mut left = all.clone();
        if left.len() > 1 {
            left.remove(random.place(left.len()));
        }
        let at = moment(&mut random);
        world.plan(at, Act::Crew(left));
        world.plan(at + random.millis(50, 12_000), Act::Crew(all.clone()));
    }
}

impl World {
    /// Other slots keep lanes.
    pub(crate) fn set_crew(&mut self, slots: &[u32]) -> Verdict {
        let slots: Vec<SlotId> = slots.iter().copied().map(SlotId).collect();
        let before = std::mem::replace(&mut self.crew.slots, slots);
        let crew = &mut self.crew;
        if crew.slots.iter().any(|slot| !before.contains(slot)) {
            crew.homes.clear();
        }
        let stays = |home: usize| crew.slots.iter().any(|slot| slot.0 as usize == home);
        crew.homes.retain(|_, home| stays(*home));
        match self.crew.told() {
            Some(input) if self.alive() => self.feed(input),
            _ => Ok(()),
        }
    }

    /// A batch of a lane runs in this slot now.
    pub(crate) fn lane_stays(&mut self, start: &Start, slot: usize) -> Verdict {
        if !self.crew.keeps() {
            return Ok(());
        }
        let lanes = self.model.tenure(start.shard).lane_count;
        let key = (start.shard, lanes, start.lane);
        let home = *self.crew.homes.entry(key).or_insert(slot);
        if home == slot {
            return Ok(());
        }
        let message = format!(
            "lane {} of {} ran in slot {home} and goes on in slot {slot}",
            start.lane, self.model.shards[start.shard].id
        );
        violated("lane_stays", "I17", message)
    }
}
