//! Draws whole lives of mappings on queues from seeds and lives them.
//!
//! Rules: as for streams: faults end, then everything must leave the queue within a bound of
//! virtual time; a drain in calm weather leaves nothing hidden that no handler has seen; an empty
//! queue is asked by long polls only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::{MappingConfig, QueueRules};
use penstock_engine::io::{Outcome, Report};

use super::event::{Act, Sent};
use super::faults::QueueFaults;
use super::options;
use super::world::{QueuePlan, QueueWorld};
use crate::oracles::{Verdict, violated};
use crate::random::Random;
use crate::workers::{Answer, Call, Handler, Moody};

/// How long faults go on.
const FAULTY: Duration = Duration::from_secs(40);
/// How long troubles of the past can reach into the calm: the longest visibility there is.
const ECHOES: Duration = Duration::from_secs(120);
/// Within what span everything must leave the queue after that.
const SETTLES_WITHIN: Duration = Duration::from_secs(14_400);
/// What a drain in a calm world gets.
const DRAINS_WITHIN: Duration = Duration::from_secs(120);
/// How many receives an idle mapping may have under way.
const IDLE_RECEIVES: u64 = 5;

/// A handler of the swarm, on a queue: what it reports is a list, with gaps or without.
struct MoodyOfQueue {
    moody: Moody,
    random: Random,
}

impl Handler for MoodyOfQueue {
    fn call(&mut self, call: &Call) -> Answer {
        let mut answer = self.moody.call(call);
        if let Outcome::Returned(Report::FailedFrom(first)) = answer.outcome {
            let len = u32::try_from(call.records.len()).expect("small batches");
            let all = self.random.chance(500);
            let others = (first + 1..len).filter(|_| all || self.random.chance(300));
            let failed: Vec<u32> = [first].into_iter().chain(others).collect();
            answer.outcome = Outcome::Returned(Report::Failed(Arc::from(failed)));
        }
        answer
    }

    fn heal(&mut self) {
        self.moody.heal();
    }
}

/// The world that a seed begins with.
#[must_use]
pub fn world_of(seed: u64, hashing: bool, tracing: bool) -> QueueWorld {
    let mut random = Random::new(seed);
    let queue = options::drawn_setup(&mut random);
    let config = options::drawn(&mut random, &queue);
    let moody = Moody {
        poison_per_mille: random.pick(&[0, 0, 20, 100, 300]),
        poison_stays: queue.max_receive_count.is_some() && random.chance(700),
        fails: random.pick(&[0, 20, 200]),
        rejects: random.pick(&[0, 0, 100]),
        stalls: random.pick(&[0, 0, 20, 100]),
        takes_ms: random.pick(&[(0, 0), (1, 50), (50, 500), (500, 900)]),
        cuts_off: random.chance(300),
        poison_seed: random.draw(),
        random: random.fork(),
        healed: false,
        poisoned: BTreeSet::new(),
    };
    let handler = MoodyOfQueue {
        moody,
        random: random.fork(),
    };
    QueueWorld::new(QueuePlan {
        seed,
        config,
        queue,
        slots: random.pick(&[1, 2, 4, 12]),
        faults: weather(&mut random),
        handler: Box::new(handler),
        tracing,
        hashing,
    })
}

/// Lives it.
///
/// # Errors
/// What an oracle has seen.
pub fn whole_life(world: &mut QueueWorld, seed: u64) -> Verdict {
    let mut random = Random::new(seed ^ 0xac75);
    schedule(world, &mut random);
    world.pass(FAULTY)?;
    calm_down(world)?;
    if random.chance(500) {
        drain_in_the_middle(world, &mut random)?;
    }
    if !world.run(SETTLES_WITHIN, QueueWorld::at_rest)? {
        return violated("settles_in_time", "I20", unsettled(world));
    }
    empty_queue_is_quiet(world)?;
    drain(world)?;
    let calls = world.calls.len();
    world.plan(Duration::ZERO, Act::Start);
    world.pass(Duration::from_secs(60))?;
    match world.calls.get(calls) {
        None => Ok(()),
        Some(again) => violated(
            "started_once",
            "I12",
            format!("{again:?} after a clean drain"),
        ),
    }
}

/// After faults: everything works, and whoever is away comes back.
fn calm_down(world: &mut QueueWorld) -> Verdict {
    world.faults = QueueFaults::calm();
    world.plan(Duration::ZERO, Act::Heal);
    world.plan(Duration::ZERO, Act::CreateQueue);
    world.plan(Duration::ZERO, Act::Resume);
    if !world.run(DRAINS_WITHIN, QueueWorld::idle_or_running)? {
        let message = "a drain goes on past its time".to_owned();
        return violated("drains_in_time", "I12", message);
    }
    world.plan(Duration::ZERO, Act::Start);
    world.pass(Duration::ZERO)
}

/// A drain with work at hand, in calm weather.
fn drain_in_the_middle(world: &mut QueueWorld, random: &mut Random) -> Verdict {
    world.pass(ECHOES)?;
    world.calm = true;
    let fifo = world.queue.setup.fifo;
    for _ in 0..random.between(5, 40) {
        let group = fifo.then(|| u32::try_from(random.below(5)).expect("few groups"));
        let sent = Sent {
            group,
            weight: Some(200),
            ..Sent::default()
        };
        world.plan(random.millis(0, 2_000), Act::Send(sent));
    }
    world.pass(random.millis(100, 4_000))?;
    world.run(Duration::from_secs(3), |world| world.agenda.acts() == 0)?;
    drain(world)?;
    world.plan(Duration::ZERO, Act::Start);
    world.pass(Duration::ZERO)
}

fn drain(world: &mut QueueWorld) -> Verdict {
    let clean = world.clean_drains;
    world.plan(Duration::ZERO, Act::Drain(DRAINS_WITHIN));
    let ended = world.run(DRAINS_WITHIN, |world| !world.alive() && world.life > 0)?;
    if ended && world.clean_drains > clean {
        return Ok(());
    }
    let message = "a mapping in calm weather does not stop in time".to_owned();
    violated("drains_in_time", "I12", message)
}

/// An empty queue is asked by a few long polls.
fn empty_queue_is_quiet(world: &mut QueueWorld) -> Verdict {
    let wait = world.config.source.fetch_wait;
    world.pass(2 * wait)?;
    let before = world.receives;
    world.pass(10 * wait)?;
    let asked = world.receives - before;
    if asked <= IDLE_RECEIVES * 11 && asked > 0 {
        return Ok(());
    }
    let message = format!("{asked} receives in the time of ten long polls");
    violated("empty_queue_is_quiet", "I5", message)
}

fn unsettled(world: &QueueWorld) -> String {
    let waiting: Vec<usize> = world.queue.waiting().map(|(number, _)| number).collect();
    let snapshot = world.snapshot().and_then(|snapshot| snapshot.queue);
    format!("messages {waiting:?} are left: {snapshot:?}")
}

/// How the queue behaves for a while.
fn weather(random: &mut Random) -> QueueFaults {
    if random.chance(200) {
        return QueueFaults::calm();
    }
    let mut rate = |most: u64| -> u32 {
        let bad = random.chance(400);
        let rate = if bad { random.below(most) } else { 0 };
        u32::try_from(rate).expect("a small rate")
    };
    QueueFaults {
        latency_ms: (1, 40),
        slow: rate(200),
        slow_ms: (500, 8_000),
        throttled: rate(300),
        fails: rate(400),
        lost: rate(300),
        empty: rate(500),
        refused: rate(400),
        duplicates: rate(500),
    }
}

/// Messages, troubles and operations over the faulty span.
fn schedule(world: &mut QueueWorld, random: &mut Random) {
    let fifo = world.queue.setup.fifo;
    let heavy = world.config.payload_bytes_max < 1_000_000;
    let groups = random.pick(&[1, 3, 20]);
    let early = random.below(60);
    for number in 0..early + random.between(10, 100) {
        let at = if number < early {
            Duration::ZERO
        } else {
            random.millis(0, 38_000)
        };
        let sent = Sent {
            group: fifo.then(|| u32::try_from(random.below(groups)).expect("few groups")),
            weight: Some(if heavy && random.chance(300) {
                1_200
            } else {
                150
            }),
            filtered: random.chance(100),
            deduplication: random
                .chance(200)
                .then(|| u32::try_from(random.below(40)).expect("few")),
            delay: Duration::from_secs(random.pick(&[0, 0, 0, 0, 3]))
                .mul_f32(f32::from(u8::from(!fifo))),
        };
        world.plan(at, Act::Send(sent));
    }
    world.plan(random.millis(0, 2_000), Act::Start);
    for _ in 0..random.below(3) {
        let weather = Act::Behave(Box::new(weather(random)));
        world.plan(random.millis(0, 38_000), weather);
    }
    for _ in 0..random.below(4) {
        operate(world, random);
    }
}

/// Something that people, machines or the queue's owner do.
fn operate(world: &mut QueueWorld, random: &mut Random) {
    let at = random.millis(0, 38_000);
    let later = at + random.millis(50, 12_000);
    let (first, second) = match random.below(10) {
        0 | 1 => (Act::Pause, Act::Resume),
        2 | 3 => {
            let changed = Act::Reconfigure(Box::new(changed(&world.config, random)));
            (changed, Act::Start)
        }
        4 | 5 => (Act::Drain(random.millis(100, 20_000)), Act::Start),
        6 | 7 => (Act::Crash, Act::Start),
        8 => (Act::Stop, Act::Start),
        _ => (Act::DeleteQueue, Act::CreateQueue),
    };
    world.plan(at, first);
    world.plan(later, second);
}

fn changed(config: &MappingConfig, random: &mut Random) -> MappingConfig {
    let mut config = config.clone();
    let rules = config.queue.expect("a queue's mapping");
    if rules.fifo {
        config.batch_size = random.pick(&[1, 3, 10]);
    } else {
        config.batch_window = Duration::from_secs(random.pick(&[0, 2]));
        let sizes: &[u32] = if config.batch_window.is_zero() {
            &[1, 10]
        } else {
            &[3, 50]
        };
        config.batch_size = random.pick(sizes);
    }
    config.partial_response = random.chance(500);
    config.queue = Some(QueueRules {
        maximum_concurrency: random.pick(&[None, Some(2), Some(5)]),
        ..rules
    });
    config
}
