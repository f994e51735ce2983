//! Lives drawn from seeds: a queue that hides, redelivers and refuses, handlers that fail.
//!
//! What must hold in each: a message is deleted only after its handler succeeded; a message is
//! with one handler at a time while it is hidden; a group has one batch at a time; counts add up;
//! in the end everything is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{Input, Invocation, Outcome, Refused, Report};
use penstock_engine::snapshot::MappingState;
use penstock_engine::time::Mono;

use crate::bench::{Life, SECOND, Sent, ids_of, page, raised};

const MESSAGES: usize = 60;
const VISIBILITY_S: u64 = 30;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone)]
struct Message {
    sent: Sent,
    hidden_until: Mono,
    deleted: bool,
}

struct World {
    life: Life,
    random: Random,
    messages: Vec<Message>,
    running: Vec<(Mono, Invocation)>,
    /// Messages whose handler succeeded, or that a filter dropped.
    done: BTreeSet<String>,
    /// Messages that were handed out since they were last received.
    begun: BTreeSet<String>,
    fifo: bool,
    strict: bool,
    /// `MaximumConcurrency`, where there is one.
    most: usize,
    calm: bool,
}

fn names() -> Vec<Sent> {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    (0..MESSAGES)
        .map(|number| (leak(format!("m{number}")), leak(format!("g{}", number % 7))))
        .collect()
}

impl World {
    fn new(seed: u64, names: &[Sent]) -> Self {
        let mut random = Random(seed);
        let fifo = random.chance(50);
        let mut options = vec![r#""FunctionResponseTypes":["ReportBatchItemFailures"]"#.to_owned()];
        let most = if random.chance(50) { 3 } else { 1_250 };
        if most == 3 {
            options.push(r#""ScalingConfig":{"MaximumConcurrency":3}"#.to_owned());
        }
        let mut strict = false;
        if random.chance(50) {
            strict = fifo && random.chance(50);
            let own = format!(r#""Penstock":{{"PayloadBytesMax":1024,"StrictGroups":{strict}}}"#);
            options.push(own);
        }
        if !fifo && random.chance(50) {
            options.push(r#""BatchSize":25,"MaximumBatchingWindowInSeconds":5"#.to_owned());
        }
        let life = Life::on(
            if fifo { "q.fifo" } else { "q" },
            VISIBILITY_S,
            &options.join(","),
        );
        let message = |sent: &Sent| Message {
            sent: *sent,
            hidden_until: Mono(0),
            deleted: false,
        };
        Self {
            life,
            random,
            messages: names.iter().map(message).collect(),
            running: Vec::new(),
            done: BTreeSet::new(),
            begun: BTreeSet::new(),
            fifo,
            strict,
            most,
            calm: false,
        }
    }

    fn fails(&mut self, percent: u64) -> bool {
        !self.calm && self.random.chance(percent)
    }

    fn find(&mut self, id: &str) -> &mut Message {
        let found = self
            .messages
            .iter_mut()
            .find(|message| message.sent.0 == id);
        found.expect("the engine knows only messages of the queue")
    }

    fn answer_receive(&mut self, place: usize) {
        let receive = self.life.receives.remove(place);
        if self.fails(10) {
            return self.life.fail(receive.op, FaultKind::Transient);
        }
        let now = self.life.now.mono;
        let span = receive
            .visibility
            .unwrap_or(Duration::from_secs(VISIBILITY_S));
        let mut blocked = BTreeSet::new();
        let mut taken = Vec::new();
        for message in &mut self.messages {
            let gone = message.deleted || (self.fifo && blocked.contains(message.sent.1));
            if gone || taken.len() as u32 >= receive.limit {
                continue;
            }
            if message.hidden_until > now {
                blocked.insert(message.sent.1);
                continue;
            }
            message.hidden_until = now + span;
            self.begun.remove(message.sent.0);
            taken.push(message.sent);
        }
        let filtered = self.random.chance(5);
        if filtered {
            self.done.extend(taken.iter().map(|sent| sent.0.to_owned()));
        }
        self.life.bring_to(receive.op, page(&taken, filtered));
    }

    fn answer_delete(&mut self) {
        let (op, batch) = self.life.deletes.remove(0);
        if self.fails(10) {
            return self.life.fail(op, FaultKind::Transient);
        }
        let mut refused = Vec::new();
        for (index, id) in (0..).zip(ids_of(&batch)) {
            assert!(
                self.done.contains(&id),
                "{id} is deleted before its success"
            );
            let kind = match self.random.below(10) {
                0 if !self.calm => FaultKind::Expired,
                1 if !self.calm => FaultKind::Transient,
                _ => {
                    self.find(&id).deleted = true;
                    continue;
                }
            };
            let fault = Fault::new(kind, "drawn");
            refused.push(Refused { index, fault });
        }
        self.life.input(Input::Acknowledged { op, refused });
    }

    fn answer_extension(&mut self) {
        let (op, batch, by) = self.life.extensions.remove(0);
        if self.fails(20) {
            return self.life.fail(op, FaultKind::Transient);
        }
        let now = self.life.now.mono;
        for id in ids_of(&batch) {
            if by.is_zero() {
                assert!(
                    !self.begun.contains(&id),
                    "{id} was begun and is given back"
                );
                // A resume after it may have begun to receive again.
                let state = self.life.engine.snapshot(self.life.now).state;
                let receiving =
                    state != MappingState::Running && !self.fifo && !self.life.receives.is_empty();
                assert!(
                    !receiving,
                    "{id} is given back while a receive is under way"
                );
            }
            self.find(&id).hidden_until = now + by;
        }
        let refused = Vec::new();
        self.life.input(Input::Extended { op, refused });
    }

    fn offer(&mut self) {
        let Some(invocation) = self.life.offer() else {
            return;
        };
        assert!(
            self.running.len() < self.most,
            "more than MaximumConcurrency"
        );
        let now = self.life.now.mono;
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        let mut held: BTreeSet<String> = BTreeSet::new();
        for (place, (_, other)) in self.running.iter().enumerate() {
            for id in ids_of(&other.batch) {
                let message = self.messages.iter().find(|message| message.sent.0 == id);
                groups.insert(message.expect("it was sent").sent.1, place);
                held.insert(id);
            }
        }
        for id in ids_of(&invocation.batch) {
            let message = self.find(&id).clone();
            assert!(
                message.hidden_until > now,
                "{id} is handed out though others can have it"
            );
            assert!(!held.contains(&id), "{id} is with two handlers");
            if self.fifo {
                assert!(
                    !groups.contains_key(message.sent.1),
                    "{} has two batches",
                    message.sent.1
                );
            }
        }
        self.begun.extend(ids_of(&invocation.batch));
        let span = Duration::from_millis(self.random.below(70_000));
        self.running.push((now + span, invocation));
    }

    fn finish(&mut self, place: usize) {
        let (_, invocation) = self.running.remove(place);
        let ids = ids_of(&invocation.batch);
        let outcome = match self.random.below(10) {
            0..=2 if !self.calm => raised(),
            3 if !self.calm => {
                for id in &ids {
                    self.begun.remove(id);
                }
                let fault = Fault::new(FaultKind::Transient, "busy");
                Outcome::Rejected(fault)
            }
            4..=6 if !self.calm => {
                let (mut failed, mut stopped) = (Vec::new(), BTreeSet::new());
                for (place, id) in (0..).zip(ids) {
                    let group = self.find(&id).sent.1;
                    if self.random.chance(40) {
                        failed.push(place);
                        stopped.insert(group);
                    } else if !(self.strict && stopped.contains(group)) {
                        self.done.insert(id);
                    }
                }
                Outcome::Returned(Report::Failed(failed.into()))
            }
            _ => {
                self.done.extend(ids);
                Outcome::Returned(Report::AllSucceeded)
            }
        };
        self.life.complete(&invocation, outcome);
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0 | 1 if !self.life.receives.is_empty() => {
                let place = self.random.below(self.life.receives.len() as u64) as usize;
                self.answer_receive(place);
            }
            2 | 3 if !self.life.deletes.is_empty() => self.answer_delete(),
            4 | 5 if !self.life.extensions.is_empty() => self.answer_extension(),
            6 | 7 => self.offer(),
            8 if !self.calm && self.random.chance(5) => self.life.input(Input::Paused),
            8 => self.life.input(Input::Resumed),
            _ => {
                let span = Duration::from_millis(self.random.below(500));
                self.life.pass(span);
            }
        }
        // Requests are answered within their time, as a driver bounds it.
        while !self.life.extensions.is_empty() && self.random.chance(50) {
            self.answer_extension();
        }
        let now = self.life.now.mono;
        if let Some(place) = self.running.iter().position(|(until, _)| *until <= now) {
            self.finish(place);
        }
        assert!(self.life.engine.counters().conserved());
        let taken = self.life.receives.len() + self.running.len();
        // One receive is one batch, but where it fills several.
        let config = self.life.engine.config();
        let several = !config.batch_window.is_zero() || config.payload_bytes_max == 1_024;
        assert!(
            several || taken <= self.most,
            "no batch is free for a receive"
        );
    }

    fn lives(mut self) {
        for _ in 0..3_000 {
            self.step();
        }
        self.calm = true;
        let mut steps = 0;
        while self.messages.iter().any(|message| !message.deleted) {
            self.step();
            self.life.pass(SECOND / 20);
            steps += 1;
            assert!(
                steps < 60_000,
                "not everything is handled: {:?}",
                self.life.queue()
            );
        }
        self.drained();
    }

    fn drained(mut self) {
        let by = self.life.now.mono + 600 * SECOND;
        self.life.input(Input::Drain { by });
        let mut steps = 0;
        while !self.life.stopped {
            self.running
                .iter_mut()
                .for_each(|(until, _)| *until = Mono(0));
            self.step();
            steps += 1;
            assert!(steps < 20_000, "the drain does not end");
        }
        let counters = self.life.engine.counters();
        assert!(counters.conserved());
        assert_eq!(
            (counters.abandoned, counters.buffered, counters.in_flight),
            (0, 0, 0)
        );
    }
}

#[test]
fn drawn_lives_keep_every_rule_and_end_with_an_empty_queue() {
    let names = names();
    for seed in 0..40 {
        World::new(seed, &names).lives();
    }
}
