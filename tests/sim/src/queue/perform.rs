//! Performs what the engine asks of a queue, and lets happen what is going to happen.
//!
//! Rules: each request is answered once, as its fate says; what the queue has done stays done,
//! whatever the engine is told and whether it lives to hear it; an abandoned receive ends soon and
//! is answered; the model learns of an answer together with the engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::{InvocationId, OpId};
use penstock_engine::io::{Input, Outcome, Output, Receive, Refused};
use penstock_engine::record::Page;
use penstock_engine::time::Mono;

use super::event::{Act, Event, Fate};
use super::judge::{self, receipts};
use super::model::Attempt;
use super::oracles;
use super::page::MessagePage;
use super::source::Handed;
use super::world::{Parked, QueueWorld, Request};
use crate::model::Mode;
use crate::oracles::{Verdict, violated};

/// A request that takes longer may be too late for what it was to keep hidden.
const LATE: Duration = Duration::from_secs(1);

impl QueueWorld {
    /// Does what the engine asks for, or sees to it that it happens later.
    pub(crate) fn perform(&mut self, output: Output) -> Verdict {
        if !matches!(output, Output::Notify(_)) {
            self.note(&output);
        }
        self.mix(&output);
        let receiving = self.receiving();
        judge::output(&mut self.model, &self.queue, &output, &receiving, self.now)?;
        match output {
            Output::DescribeQueue { op } => {
                let (_, said) = self.faults.fate(&mut self.random);
                self.ask(op, Request::Describe, Event::Describe(op, said))?;
            }
            Output::Receive(request) => {
                self.receives += 1;
                let fate = self.fate();
                let op = request.op;
                let event = Event::Receive(request.clone(), fate);
                self.ask(op, Request::Receive(request), event)?;
            }
            Output::Acknowledge { op, messages } => {
                let fate = self.fate();
                let event = Event::Acknowledge(op, receipts(&messages), fate);
                self.ask(op, Request::Acknowledge, event)?;
            }
            Output::ExtendVisibility { op, messages, by } => {
                let fate = self.fate();
                let event = Event::Extend(op, receipts(&messages), by, fate);
                self.ask(op, Request::Extend, event)?;
            }
            Output::Abandon { op } => self.abandon(op),
            Output::Notify(notice) => self.notices.push(notice),
            Output::Stopped => self.stopped()?,
            other => {
                let message = format!("a queue's mapping asks for {other:?}");
                return violated("queue_outputs_only", "I20", message);
            }
        }
        Ok(())
    }

    /// Lets an event happen.
    pub(crate) fn happen(&mut self, life: Option<u32>, event: Event) -> Verdict {
        let current = life.is_none_or(|life| life == self.life && self.alive());
        match event {
            Event::Act(act) => return self.act(act),
            Event::Finish(slot, id, outcome) => {
                if self.slots[slot] == life.map(|life| (life, id)) {
                    self.slots[slot] = None;
                }
                if current {
                    return self.finish(id, outcome);
                }
            }
            Event::Answer(input) if current => return self.feed(input),
            // What was on its way when the process died arrives or does not.
            Event::Answer(_) | Event::Describe(..) if !current => {}
            _ if !current && self.random.chance(500) => {}
            Event::Describe(op, fault) => {
                let answer = match fault {
                    Some(fault) => Err(fault),
                    None => self.queue.describe(self.wall()),
                };
                return self.feed(match answer {
                    Ok(queue) => Input::QueueDescribed { op, queue },
                    Err(fault) => Input::Failed { op, fault },
                });
            }
            Event::Receive(request, fate) => self.receive(life, request, fate),
            Event::Acknowledge(op, receipts, fate) => self.acknowledge(life, op, &receipts, fate),
            Event::Extend(op, receipts, by, fate) => self.extend(life, op, &receipts, by, fate),
            Event::Answer(_) => {}
        }
        Ok(())
    }

    /// Tells the engine, and the model just before it.
    pub(crate) fn feed(&mut self, input: Input) -> Verdict {
        if !self.alive() {
            return Ok(());
        }
        if let Some(op) = op_of(&input) {
            self.abandoned.remove(&op);
            if let Some(request) = self.open.remove(&op) {
                self.learn(&request, &input);
            }
        }
        self.note(&input);
        let now = self.engine_now();
        if let Some(engine) = &mut self.engine {
            engine.handle_input(input, now);
            let reached = engine.take_transitions();
            self.transitions.extend(reached);
        }
        Ok(())
    }

    fn learn(&mut self, request: &Request, input: &Input) {
        match (request, input) {
            (Request::Describe, Input::QueueDescribed { queue, .. }) => {
                self.model.facts = Some(queue.clone());
            }
            (Request::Receive(request), answer) => self.learn_receive(request, answer),
            (Request::Acknowledge, Input::Acknowledged { refused, .. }) if refused.is_empty() => {}
            (Request::Acknowledge, _) => self.model.delete_trouble = Some(self.now),
            _ => {}
        }
    }

    fn learn_receive(&mut self, request: &Receive, answer: &Input) {
        if let Input::Received {
            page: Some(page), ..
        } = answer
        {
            for receipt in receipts_of(page) {
                self.model.handed(receipt, self.now);
            }
        }
        let became = match answer {
            Input::Failed { fault, .. } if fault.kind == FaultKind::Transient => {
                Attempt::Lost(self.now)
            }
            Input::Failed { .. } => Attempt::Refused,
            _ => Attempt::Answered,
        };
        if let Some(name) = &request.attempt {
            self.model.attempts.insert(*name, became);
        }
    }

    /// A request becomes an event.
    fn ask(&mut self, op: OpId, request: Request, event: Event) -> Verdict {
        if self.open.insert(op, request).is_some() {
            return violated("one_answer_each", "I20", format!("{op:?} was used twice"));
        }
        let latency = self.faults.latency(&mut self.random);
        if let Event::Extend(_, receipts, ..) = &event
            && latency > LATE
        {
            self.excuse(receipts);
        }
        self.later(latency, event);
        Ok(())
    }

    fn later(&mut self, after: Duration, event: Event) {
        let tie = self.random.draw();
        self.agenda
            .add(self.now + after, tie, Some(self.life), event);
    }

    fn reply(&mut self, life: Option<u32>, fate: &Fate, op: OpId, done: Result<Input, Fault>) {
        let input = match (&fate.said, done) {
            (Some(fault), _) => Input::Failed {
                op,
                fault: fault.clone(),
            },
            (None, Ok(input)) => input,
            (None, Err(fault)) => Input::Failed { op, fault },
        };
        let tie = self.random.draw();
        self.agenda
            .add(self.now + fate.reply_after, tie, life, Event::Answer(input));
    }

    fn fate(&mut self) -> Fate {
        let (done, said) = self.faults.fate(&mut self.random);
        let reply_after = self.faults.latency(&mut self.random);
        Fate {
            done,
            said,
            reply_after,
        }
    }

    /// A receive arrives: it is answered at once, or waits at the queue for a first message.
    fn receive(&mut self, life: Option<u32>, request: Receive, fate: Fate) {
        let op = request.op;
        let abandoned = life == Some(self.life) && self.abandoned.contains(&op);
        if !fate.done || (abandoned && self.random.chance(700)) {
            let cancelled = Fault::new(FaultKind::Transient, "the receive was cancelled");
            return self.reply(life, &fate, op, Err(cancelled));
        }
        if self.random.chance(self.faults.empty) {
            return self.reply(life, &fate, op, Ok(Input::Received { op, page: None }));
        }
        let wait = if abandoned {
            Duration::ZERO
        } else {
            request.wait
        };
        self.parked.push(Parked {
            until: self.now + wait,
            life: life.unwrap_or_default(),
            request,
            fate,
        });
    }

    /// Answers the receives for which there is something, and those that have waited long enough.
    pub(crate) fn answer_parked(&mut self) -> Verdict {
        for parked in std::mem::take(&mut self.parked) {
            let times = (self.now, self.wall());
            let slips = self.faults.duplicates;
            let request = &parked.request;
            let found = self.queue.receive(request, times, &mut self.random, slips);
            let life = Some(parked.life);
            let op = request.op;
            match found {
                Err(fault) => self.reply(life, &parked.fate, op, Err(fault)),
                Ok(handed) if !handed.is_empty() => {
                    let page = self.page(&handed)?;
                    let received = Input::Received {
                        op,
                        page: Some(page),
                    };
                    self.reply(life, &parked.fate, op, Ok(received));
                }
                Ok(_) if parked.until <= self.now => {
                    self.reply(
                        life,
                        &parked.fate,
                        op,
                        Ok(Input::Received { op, page: None }),
                    );
                }
                Ok(_) => self.parked.push(parked),
            }
        }
        Ok(())
    }

    fn page(&mut self, handed: &[Handed]) -> Result<Arc<dyn Page>, crate::oracles::Violation> {
        let delivered = handed.iter().map(|one| self.queue.delivered(*one));
        let page = MessagePage::new(delivered.collect(), &self.queue.ledger);
        for (one, facts) in handed.iter().zip(page.facts()) {
            oracles::kept_hidden(&self.model, one)?;
            let message = &self.queue.messages[one.message];
            self.model.received(one, message, facts.weight, self.now);
            if one.again {
                self.excuse_message(one.message);
            }
        }
        Ok(Arc::new(page))
    }

    fn acknowledge(&mut self, life: Option<u32>, op: OpId, receipts: &[u64], fate: Fate) {
        let mut refused = Vec::new();
        if fate.done {
            refused = self.each(receipts, |world, receipt| {
                world.queue.delete(receipt, world.now)
            });
        }
        self.reply(life, &fate, op, Ok(Input::Acknowledged { op, refused }));
    }

    fn extend(&mut self, life: Option<u32>, op: OpId, receipts: &[u64], by: Duration, fate: Fate) {
        let mut refused = Vec::new();
        if fate.done {
            refused = self.each(receipts, |world, receipt| {
                world.queue.hide(receipt, by, world.now)
            });
        }
        let failed = refused.iter().map(|one| receipts[one.index as usize]);
        let failed: Vec<u64> = failed.collect();
        self.excuse(&failed);
        if !fate.done || fate.said.is_some() {
            self.excuse(receipts);
        }
        self.reply(life, &fate, op, Ok(Input::Extended { op, refused }));
    }

    /// Does something with each message of a request; some are refused for no reason.
    fn each(
        &mut self,
        receipts: &[u64],
        mut deed: impl FnMut(&mut Self, u64) -> Result<(), Fault>,
    ) -> Vec<Refused> {
        let mut refused = Vec::new();
        for (index, receipt) in receipts.iter().enumerate() {
            let by_chance = self.random.chance(self.faults.refused);
            let done = if by_chance {
                Err(Fault::new(FaultKind::Transient, "InternalError"))
            } else {
                deed(self, *receipt)
            };
            if let Err(fault) = done {
                let index = u32::try_from(index).expect("small batches");
                refused.push(Refused { index, fault });
            }
        }
        refused
    }

    /// The engine cannot help it if these come again, nor what waits behind them in their groups.
    fn excuse(&mut self, receipts: &[u64]) {
        let groups = receipts
            .iter()
            .map(|receipt| self.model.copies[receipt].group);
        let groups: BTreeSet<Option<u32>> = groups.filter(Option::is_some).collect();
        let held = self.model.held.iter().copied();
        let behind = held.filter(|other| groups.contains(&self.model.copies[other].group));
        let all: Vec<u64> = behind.chain(receipts.iter().copied()).collect();
        for receipt in all {
            self.model.copy_mut(receipt).excused = true;
        }
    }

    fn excuse_message(&mut self, message: usize) {
        let copies = self.model.copies.values_mut();
        for copy in copies.filter(|copy| copy.message == message) {
            copy.excused = true;
            copy.unknowable = true;
        }
    }

    /// A receive is to end soon: what waits at the queue is answered, with nothing or a failure.
    fn abandon(&mut self, op: OpId) {
        self.abandoned.insert(op);
        let life = self.life;
        let ours = |parked: &&Parked| parked.request.op == op && parked.life == life;
        let Some(parked) = self.parked.iter().find(ours).cloned() else {
            return;
        };
        self.parked
            .retain(|parked| parked.request.op != op || parked.life != life);
        let empty = self.random.chance(500);
        let done = match empty {
            true => Ok(Input::Received { op, page: None }),
            false => Err(Fault::new(
                FaultKind::Transient,
                "the receive was cancelled",
            )),
        };
        self.reply(Some(life), &parked.fate, op, done);
    }

    fn finish(&mut self, id: InvocationId, outcome: Outcome) -> Verdict {
        if let Some(call) = self.places.remove(&id) {
            self.calls[call].ended = Some((self.now, outcome.clone()));
        }
        self.model.completed(id, &outcome, self.now);
        self.feed(Input::Completed {
            invocation: id,
            outcome,
        })
    }

    /// The engine says that it is over.
    fn stopped(&mut self) -> Verdict {
        let clean = self.drain_by.is_some_and(|by| self.now < by);
        if clean {
            if !self.receiving().is_empty() {
                let message = "a drain ends before its receives".to_owned();
                return violated("receives_end_first", "I12", message);
            }
            self.clean_drains += 1;
            if self.calm {
                oracles::drained(&self.model, &self.queue, self.now)?;
            }
        }
        self.end_life();
        Ok(())
    }

    fn act(&mut self, act: Act) -> Verdict {
        self.note(&act);
        match act {
            Act::Send(sent) => {
                let (now, wall) = (self.now, self.wall());
                self.queue.send(&sent, now, wall);
            }
            Act::Pause if self.model.mode == Mode::Running => {
                self.model.mode = Mode::Paused;
                return self.feed(Input::Paused);
            }
            Act::Resume if self.model.mode == Mode::Paused => {
                self.model.mode = Mode::Running;
                self.model.running_since = self.now;
                return self.feed(Input::Resumed);
            }
            Act::Reconfigure(config) => {
                self.config = *config;
                if self.alive() && self.model.mode != Mode::Draining {
                    self.model.config = self.config.clone();
                    self.model.reconfigured = Some(self.now);
                    let config = Box::new(self.config.clone());
                    return self.feed(Input::Reconfigured(config));
                }
            }
            Act::Drain(within) if self.alive() && self.model.mode != Mode::Draining => {
                self.model.mode = Mode::Draining;
                self.drain_by = Some(self.now + within);
                let by = Mono((self.now + within).0 - self.born.0);
                return self.feed(Input::Drain { by });
            }
            Act::Stop if self.alive() => {
                self.model.mode = Mode::Draining;
                // It ends at once: a drain that was under way has no clean end any more.
                self.drain_by = None;
                return self.feed(Input::Stop);
            }
            Act::Crash if self.alive() => {
                self.slots.fill(None);
                self.parked.retain(|_| self.random.chance(300));
                self.end_life();
            }
            Act::Start if !self.alive() => self.begin_life(),
            Act::DeleteQueue => self.queue.drop_queue(),
            Act::CreateQueue => self.queue.exists = true,
            Act::Behave(faults) => self.faults = *faults,
            Act::Heal => self.handler.heal(),
            _ => {}
        }
        Ok(())
    }
}

fn receipts_of(page: &Arc<dyn Page>) -> Vec<u64> {
    let records = 0..u32::try_from(page.facts().len()).expect("small pages");
    let records = records.map(|index| penstock_engine::record::RecordRef { page: 0, index });
    receipts(&penstock_engine::record::Batch {
        pages: vec![Arc::clone(page)],
        records: records.collect(),
    })
}

fn op_of(input: &Input) -> Option<OpId> {
    match input {
        Input::QueueDescribed { op, .. }
        | Input::Received { op, .. }
        | Input::Acknowledged { op, .. }
        | Input::Extended { op, .. }
        | Input::Failed { op, .. } => Some(*op),
        _ => None,
    }
}
