//! Draws whole lives from seeds and lives them.
//!
//! Rules: a seed gives a configuration and a schedule of faults and acts; faults end, then
//! everything must settle within a bound of virtual time; then the mapping is drained and started
//! again, and nothing that was settled may come again.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use crate::event::{Act, Put};
use crate::faults::Faults;
use crate::oracles::{Verdict, Violation, violated};
use crate::queue::swarm as queues;
use crate::queue::world::QueueWorld;
use crate::random::Random;
use crate::workers::Moody;
use crate::world::{Plan, World};
use crate::{crew, moves, options, sharing};

/// How a life is lived again.
pub const AGAIN: &str = "PENSTOCK_SEED";
/// How long faults go on.
const FAULTY: Duration = Duration::from_secs(40);
/// Within what span everything must settle after that.
const SETTLES_WITHIN: Duration = Duration::from_secs(900);
/// Within what span of its birth a process has listed all shards: once at once, and once more.
const KNOWS_ALL_WITHIN: Duration = Duration::from_secs(65);
/// What a drain in a calm world gets.
const DRAINS_WITHIN: Duration = Duration::from_secs(120);
/// How many lines of the trace a failure shows.
const LINES: usize = 60;

/// What a life came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The same for the same seed and build.
    pub fingerprint: u64,
    /// Transitions of the engine that were reached.
    pub transitions: BTreeSet<&'static str>,
    /// Calls of the handler.
    pub calls: usize,
    /// Documents that the destination holds.
    pub documents: usize,
    /// Engines that lived.
    pub lives: u32,
}

/// A life that went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The variable that lives it again.
    pub again: &'static str,
    /// What was seen.
    pub violation: Violation,
    /// What happened last.
    pub lines: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.lines {
            writeln!(f, "  {line}")?;
        }
        let Violation {
            oracle,
            invariant,
            message,
        } = &self.violation;
        writeln!(f, "seed {}: {oracle} ({invariant}): {message}", self.seed)?;
        write!(f, "again: {}={} cargo sim", self.again, self.seed)
    }
}

/// Whether a seed's life is that of a mapping on a queue: one in four.
#[must_use]
pub fn is_of_queue(seed: u64) -> bool {
    seed % 4 == 3
}

/// Lives the life of a seed; when it goes wrong, lives it again to tell what happened.
///
/// # Errors
/// What went wrong.
pub fn live(seed: u64, hashing: bool) -> Result<Report, Box<Failure>> {
    let violation = match attempt(seed, hashing, false) {
        Ok(report) => return Ok(report),
        Err((violation, _)) => violation,
    };
    let lines = match attempt(seed, hashing, true) {
        Ok(_) => vec!["the same seed went well the second time".to_owned()],
        Err((_, lines)) => lines,
    };
    Err(Box::new(Failure {
        seed,
        again: AGAIN,
        violation,
        lines,
    }))
}

/// Lives the life of a seed and tells it as it goes.
///
/// # Errors
/// What went wrong.
pub fn tell(seed: u64) -> (Vec<String>, Result<(), Violation>) {
    let mut life = Life::of(seed, true, true);
    let outcome = guarded(|| life.live(seed));
    (life.last_lines(usize::MAX), outcome)
}

/// The world that a seed's life goes on in.
enum Life {
    Stream(Box<World>),
    Queue(Box<QueueWorld>),
}

impl Life {
    fn of(seed: u64, hashing: bool, tracing: bool) -> Self {
        if is_of_queue(seed) {
            return Self::Queue(Box::new(queues::world_of(seed, hashing, tracing)));
        }
        Self::Stream(Box::new(world_of(seed, hashing, tracing)))
    }

    fn live(&mut self, seed: u64) -> Verdict {
        match self {
            Self::Stream(world) => whole_life(world, seed),
            Self::Queue(world) => queues::whole_life(world, seed),
        }
    }

    fn last_lines(&self, count: usize) -> Vec<String> {
        match self {
            Self::Stream(world) => world.last_lines(count),
            Self::Queue(world) => world.last_lines(count),
        }
    }

    fn report(self) -> Report {
        match self {
            Self::Stream(world) => Report {
                fingerprint: world.fingerprint(),
                calls: world.calls.len(),
                documents: world.documents.len(),
                lives: world.life,
                transitions: world.transitions,
            },
            Self::Queue(world) => Report {
                fingerprint: world.fingerprint(),
                calls: world.calls.len(),
                documents: 0,
                lives: world.life,
                transitions: world.transitions,
            },
        }
    }
}

fn attempt(seed: u64, hashing: bool, tracing: bool) -> Result<Report, (Violation, Vec<String>)> {
    let mut life = Life::of(seed, hashing, tracing);
    match guarded(|| life.live(seed)) {
        Ok(()) => Ok(life.report()),
        Err(violation) => Err((violation, life.last_lines(LINES))),
    }
}

/// A panic of the engine is one of its own assertions.
pub(crate) fn guarded(life: impl FnOnce() -> Verdict) -> Verdict {
    let lived = quietly(|| catch_unwind(AssertUnwindSafe(life)));
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("a panic without a text").to_owned();
        violated("engine_assertion", "I2", text)
    })
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Panics of this thread are caught and judged: the usual message would only be noise.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    QUIET.set(true);
    let done = work();
    QUIET.set(false);
    done
}

fn whole_life(world: &mut World, seed: u64) -> Verdict {
    schedule(world, seed);
    world.pass(FAULTY)?;
    calm_down(world)?;
    // A process that has just begun knows of no shard, and only seems to be at rest.
    let rests = |world: &World| world.at_rest() && world.now - world.born >= KNOWS_ALL_WITHIN;
    if !world.run(SETTLES_WITHIN, rests)? {
        return violated("settles_in_time", "I20", unsettled(world));
    }
    if !world.model.windowless {
        world.model.every_record_in_a_chain()?;
    }
    restart_repeats_nothing(world)
}

/// After faults: everything works, and whoever is away comes back.
fn calm_down(world: &mut World) -> Verdict {
    world.faults = Faults {
        names_children: world.faults.names_children,
        ..Faults::calm()
    };
    if let Some(sharing) = &mut world.sharing {
        sharing.fails = 0;
    }
    world.plan(Duration::ZERO, Act::Heal);
    world.plan(Duration::ZERO, Act::Resume);
    if !world.run(DRAINS_WITHIN, |world| world.idle_or_running())? {
        return violated(
            "drains_in_time",
            "I12",
            "a drain goes on past its time".to_owned(),
        );
    }
    world.plan(Duration::ZERO, Act::Start(None));
    Ok(())
}

/// I12, I1: a clean drain and a restart repeat nothing, and lose nothing.
fn restart_repeats_nothing(world: &mut World) -> Verdict {
    let clean = world.clean_drains;
    world.plan(Duration::ZERO, Act::Drain(DRAINS_WITHIN));
    if !world.run(DRAINS_WITHIN, |world| !world.alive() && world.life > 0)? {
        return violated(
            "drains_in_time",
            "I12",
            "an idle mapping does not stop".to_owned(),
        );
    }
    if world.clean_drains == clean {
        return violated(
            "drains_in_time",
            "I12",
            "an idle mapping stops late".to_owned(),
        );
    }
    let calls = world.calls.len();
    world.plan(Duration::ZERO, Act::Start(None));
    if !world.run(Duration::from_secs(60), World::at_rest)? {
        return violated(
            "settles_in_time",
            "I20",
            format!("after a restart: {}", unsettled(world)),
        );
    }
    if world.calls.len() > calls {
        let again = &world.calls[calls];
        return violated(
            "settled_records_rest",
            "I12",
            format!("{again:?} after a clean drain"),
        );
    }
    Ok(())
}

fn unsettled(world: &World) -> String {
    let mut told = Vec::new();
    for (number, shard) in world.model.shards.iter().enumerate() {
        let first = world.model.first_unsettled(number, world.wall());
        if let Some(record) = shard.records.get(first) {
            told.push(format!(
                "{} stands at record {first}: {:?}",
                shard.id, record.stage
            ));
        } else if shard.start.is_none() && !shard.unlisted {
            told.push(format!("{} was never begun", shard.id));
        }
    }
    if told.is_empty() {
        let snapshot = world.snapshot();
        return format!("all is settled, and the engine is not idle: {snapshot:?}");
    }
    told.join("; ")
}

fn world_of(seed: u64, hashing: bool, tracing: bool) -> World {
    let mut random = Random::new(seed);
    let config = options::drawn(&mut random);
    let bounded = config.maximum_retry_attempts.is_some();
    let poison_stays = bounded && random.chance(700);
    let handler = Moody {
        poison_per_mille: random.pick(&[0, 0, 20, 100, 300]),
        poison_stays,
        fails: random.pick(&[0, 20, 200]),
        rejects: random.pick(&[0, 0, 100]),
        stalls: random.pick(&[0, 0, 20]),
        takes_ms: random.pick(&[(0, 0), (1, 50), (50, 500)]),
        cuts_off: random.chance(500),
        poison_seed: random.draw(),
        random: random.fork(),
        healed: false,
        poisoned: BTreeSet::new(),
    };
    World::new(Plan {
        seed,
        config,
        slots: random.pick(&[1, 2, 4, 12]),
        shards: random.pick(&[1, 1, 2, 4]),
        faults: weather(&mut random),
        handler: Box::new(handler),
        tracing,
        hashing,
    })
}

/// How the world behaves for a while.
fn weather(random: &mut Random) -> Faults {
    let mut rate = |most: u64| -> u32 {
        let bad = random.chance(400);
        if bad {
            u32::try_from(random.below(most)).expect("a small rate")
        } else {
            0
        }
    };
    Faults {
        latency_ms: (1, 40),
        slow: rate(200),
        slow_ms: (500, 8_000),
        list: rate(500),
        throttled: rate(300),
        read: rate(200),
        expired: rate(300),
        too_large: rate(100),
        empty: rate(500),
        lease: rate(500),
        store: rate(500),
        store_lost: rate(300),
        destination: rate(900),
        destination_lost: rate(300),
        trimmed_aloud: rate(2) == 0,
        names_children: rate(2) == 0,
        parts: rate(600),
        broken_off: rate(300),
    }
}

/// Puts, reshards, troubles and operations over the faulty span.
fn schedule(world: &mut World, seed: u64) {
    let mut random = Random::new(seed ^ 0xac75);
    let heavy = world.config.payload_bytes_max < 1_000_000;
    let bounded = world.config.maximum_retry_attempts.is_some();
    let keys = random.pick(&[2, 5, 20]);
    let early = random.below(60);
    for number in 0..early + random.between(20, 120) {
        let at = if number < early {
            Duration::ZERO
        } else {
            moment(&mut random)
        };
        let put = draw_put(&mut random, keys, number < early, heavy, bounded);
        world.plan(at, Act::Put(put));
    }
    crew::plan(world, seed, moment);
    sharing::plan(world, seed, moment);
    world.plan(random.millis(0, 2_000), Act::Start(None));
    for _ in 0..random.below(4) {
        let shown_after = random.pick(&[0, 0, 3_000, 10_000]);
        let (which, at) = (random.place(8), moment(&mut random));
        let shown_after = Duration::from_millis(shown_after);
        let split = random.chance(500);
        let act = if split {
            Act::Split(which, shown_after)
        } else {
            Act::Merge(which, shown_after)
        };
        world.plan(at, act);
    }
    for _ in 0..random.below(3) {
        let at = moment(&mut random);
        world.plan(at, Act::Behave(Box::new(weather(&mut random))));
    }
    for _ in 0..random.below(4) {
        operate(world, &mut random);
    }
    for _ in 0..random.below(3) {
        let act = moves::draw(&mut random);
        world.plan(moment(&mut random), act);
    }
    for _ in 0..random.below(3) {
        let shown_after = Duration::from_millis(random.pick(&[0, 0, 5_000]));
        world.plan(moment(&mut random), Act::Roll(random.place(8), shown_after));
    }
}

fn draw_put(random: &mut Random, keys: u64, early: bool, heavy: bool, bounded: bool) -> Put {
    let weight = match random.below(40) {
        0 if heavy && bounded => 5_000,
        0..=9 if heavy => 900,
        _ => 120,
    };
    let age = if early {
        random.millis(0, 70_000)
    } else {
        Duration::ZERO
    };
    Put {
        key: u32::try_from(random.below(keys)).expect("few keys"),
        weight,
        filtered: random.chance(100),
        age,
        gap: u32::try_from(random.below(9)).expect("a small gap"),
    }
}

/// Something that people, machines or other processes do.
fn operate(world: &mut World, random: &mut Random) {
    let at = moment(random);
    let later = at + random.millis(50, 12_000);
    match random.below(12) {
        0 => {
            world.plan(at, Act::Pause);
            world.plan(later, Act::Resume);
        }
        1 | 2 => {
            world.plan(at, Act::Reconfigure(Box::new(changed(world, random))));
        }
        3 | 4 => {
            world.plan(at, Act::Drain(random.millis(100, 20_000)));
            world.plan(later, Act::Start(lanes(random)));
        }
        5 | 6 => {
            world.plan(at, Act::Crash);
            world.plan(later, Act::Start(lanes(random)));
        }
        7 | 10 | 11 => {
            let told = random.chance(700).then(|| random.millis(0, 2_000));
            let settled = random.place(6);
            world.plan(
                at,
                Act::Steal(random.place(6), random.millis(20, 6_000), told, settled),
            );
        }
        8 => {
            let mut config = changed(world, random);
            config.on_failure = None;
            world.plan(at, Act::Reconfigure(Box::new(config)));
        }
        _ => world.plan(at, Act::Trim(random.place(4), random.place(30))),
    }
}

fn lanes(random: &mut Random) -> Option<u8> {
    random.chance(300).then(|| random.pick(&[1, 2, 5]))
}

fn changed(world: &World, random: &mut Random) -> penstock_engine::config::MappingConfig {
    let mut config = world.config.clone();
    config.lanes = random.pick(&[config.lanes, 1, 2, 4]);
    config.batch_size = random.pick(&[config.batch_size, 1, 7]);
    if config.tumbling_window.is_some() {
        config.lanes = 1;
        let seconds = random.pick(&[2, 7, 60]);
        config.tumbling_window = Some(Duration::from_secs(seconds));
    }
    config.batch_window = Duration::from_secs(random.pick(&[0, 2]));
    config.bisect = random.chance(500);
    let two_batches = 2 * u32::from(config.lanes) * config.batch_size;
    config.ahead_records_max = config.ahead_records_max.max(two_batches);
    config
}

fn moment(random: &mut Random) -> Duration {
    random.millis(0, 38_000)
}

/// I18: a seed that was lived twice, and differently.
#[must_use]
pub fn not_the_same(seed: u64, again: &'static str) -> Failure {
    let message = "two lives of one seed asked for different things".to_owned();
    Failure {
        seed,
        again,
        violation: Violation::new("deterministic", "I18", message),
        lines: Vec::new(),
    }
}
