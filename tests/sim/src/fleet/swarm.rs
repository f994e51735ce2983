//! Draws whole lives of fleets from seeds and lives them.
//!
//! Rules: faults and acts first, then a calm world in which every shard must have a holder soon,
//! shares must become even and then rest; then the streams end, and everything must be settled;
//! then everybody leaves.

use std::time::Duration;

use penstock_engine::ids::ShardId;
use penstock_engine::lease::LeaseConfig;

use super::acts::Act;
use super::network::Network;
use super::oracles;
use super::world::FleetWorld;
use crate::oracles::{Verdict, Violation, violated};
use crate::random::Random;
use crate::swarm::{Failure, guarded};

/// How long faults and acts go on, in leases.
const FAULTY: u32 = 10;
/// Within how many leases a calm fleet shares evenly.
const EVEN_WITHIN: u32 = 12;
/// For how many leases it must rest then.
const RESTS: u32 = 4;
/// Within how many leases a stream that has ended is settled: each generation may wait for one.
const SETTLES_WITHIN: u32 = 12;
/// Within how many leases everybody can leave a calm world.
const LEAVES_WITHIN: u32 = 2;
/// How many lines of the trace a failure shows.
const LINES: usize = 60;

/// What a life came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// The same for the same seed and build.
    pub fingerprint: u64,
    /// Leases that were handed over as planned.
    pub moves: u64,
    /// Records that were handed out again.
    pub repeats: u64,
}

/// Lives the life of a seed; when it goes wrong, lives it again to tell what happened.
///
/// # Errors
/// What went wrong.
pub fn live(seed: u64, hashing: bool) -> Result<Report, Box<Failure>> {
    let mut world = world_of(seed, hashing, false);
    let outcome = guarded(|| whole_life(&mut world, seed));
    outcome.map_err(|violation| {
        let (mut lines, _) = tell(seed);
        lines.drain(..lines.len().saturating_sub(LINES));
        Box::new(Failure {
            seed,
            again: AGAIN,
            violation,
            lines,
        })
    })?;
    Ok(Report {
        fingerprint: world.fingerprint(),
        moves: world.truth.moves,
        repeats: world.truth.repeats,
    })
}

/// How a life is lived again.
pub const AGAIN: &str = "PENSTOCK_FLEET";

/// Lives the life of a seed and tells it as it goes.
///
/// # Errors
/// What went wrong.
pub fn tell(seed: u64) -> (Vec<String>, Result<(), Violation>) {
    let mut world = world_of(seed, true, true);
    let outcome = guarded(|| whole_life(&mut world, seed));
    (world.last_lines(usize::MAX), outcome)
}

fn world_of(seed: u64, hashing: bool, tracing: bool) -> FleetWorld {
    let mut random = Random::new(seed);
    let lease = Duration::from_secs(random.pick(&[10, 10, 20]));
    let mut world = FleetWorld::new(random.draw(), LeaseConfig { lease }, hashing, tracing);
    world.network = Network::drawn(&mut random);
    world.takes_ms = (random.pick(&[20, 500]), random.pick(&[500, 5_000, 25_000]));
    // A shard that ended long ago and was never tracked, and one whose rows are being written.
    if random.chance(300) {
        let gone = world.open_shard(Vec::new(), None);
        world.truth.change(&gone).closed = true;
        world.truth.change(&gone).ended = true;
        world.open_shard(vec![gone], Some(random.millis(0, 500)));
    }
    for _ in 0..random.between(1, 3) {
        let parent = random.millis(0, 4_000);
        let root = world.open_shard(Vec::new(), Some(parent));
        if random.chance(400) {
            let records = usize::try_from(random.below(9)).expect("a few");
            world.truth.change(&root).settled = vec![None; records];
            world.truth.change(&root).closed = true;
            for _ in 0..2 {
                let child = parent + random.millis(1, 500);
                world.open_shard(vec![root.clone()], Some(child));
            }
        }
    }
    schedule(&mut world, &mut random);
    world
}

/// Who comes and goes, and what happens to the stream.
fn schedule(world: &mut FleetWorld, random: &mut Random) {
    let faulty = world.config.lease * FAULTY;
    let millis = u64::try_from(faulty.as_millis()).expect("a short while");
    for _ in 0..3 {
        let after = random.pick(&[0, 0, 500, millis / 3]);
        world.plan(random.millis(after, after), Act::Join);
    }
    let acts = random.between(0, 9);
    for _ in 0..acts {
        let after = random.millis(1, millis);
        if random.chance(400) {
            world.plan(after, Act::Join);
        }
        let who = usize::try_from(random.below(3)).expect("a few");
        let span = world
            .config
            .lease
            .mul_f64(random.between(1, 40) as f64 / 10.0);
        let act = match random.below(6) {
            0 => Act::Crash(who),
            1 => Act::Leave(who),
            2 | 3 => Act::Pause(who, span),
            _ => Act::Cut(who, span),
        };
        // Whoever it happens to must have come.
        world.plan(after.max(faulty / 3 + Duration::from_millis(1)), act);
    }
    if random.chance(250) {
        let span = world.config.lease * 5;
        world.plan(random.millis(0, millis / 5), Act::Library(span));
    }
    for _ in 0..random.between(20, 80) {
        let after = random.millis(0, millis + millis / 2);
        let shard = number(random.below(8));
        let count = usize::try_from(random.between(1, 5)).expect("a few");
        world.plan(after, Act::Put(shard, count));
    }
    for _ in 0..random.between(0, 3) {
        let after = random.millis(1, millis);
        let (a, b) = (number(random.below(6)), number(random.below(6)));
        let act = if random.chance(600) {
            Act::Split(a)
        } else {
            Act::Merge(a, b)
        };
        world.plan(after, act);
    }
}

fn number(number: u64) -> ShardId {
    ShardId::new(format!("shardId-{number:012}"))
}

fn whole_life(world: &mut FleetWorld, seed: u64) -> Verdict {
    let lease = world.config.lease;
    world.pass(lease * FAULTY)?;
    world.calm_down();
    if world.staying().is_empty() {
        world.plan(Duration::ZERO, Act::Join);
    }
    if seed.is_multiple_of(2) {
        world.plan(lease, Act::Join);
    }
    world.pass(lease * EVEN_WITHIN)?;
    let takes = world.truth.takes;
    world.pass(lease * RESTS)?;
    let counts = shares(world);
    oracles::shares_are_even(&counts)?;
    if world.truth.takes != takes {
        let message = format!("leases move in a calm fleet with shares of {counts:?}");
        return violated("even_shares_rest", "I20", message);
    }
    world.plan(Duration::ZERO, Act::Close);
    let done = |world: &FleetWorld| world.truth.shards.values().all(|shard| shard.ended);
    if !world.run(lease * SETTLES_WITHIN, done)? {
        let open = world.truth.shards.iter().filter(|(_, shard)| !shard.ended);
        let message = format!("{:?}", open.collect::<Vec<_>>());
        return violated("settles_in_time", "I20", message);
    }
    for member in world.staying() {
        world.plan(Duration::ZERO, Act::Leave(member));
    }
    let gone = |world: &FleetWorld| world.members.iter().all(|member| !member.alive);
    if !world.run(lease * LEAVES_WITHIN, gone)? {
        let message = "somebody was asked to leave and is still there".to_owned();
        return violated("leaves_in_time", "I12", message);
    }
    Ok(())
}

/// How many shards each process has.
fn shares(world: &FleetWorld) -> Vec<usize> {
    let staying = world.staying();
    let count = |place: &usize| world.members[*place].machine.held().count();
    staying.iter().map(count).collect()
}
