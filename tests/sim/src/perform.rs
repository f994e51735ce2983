//! Performs what the engine asks for, and lets happen what is going to happen.
//!
//! Rules: each request is answered once, as its fate says; what a store or a destination has done
//! stays done, whatever the engine is told and whether it lives to hear it; the model learns of
//! an answer together with the engine.

use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::{Fence, InvocationId, OpId, ShardId};
use penstock_engine::io::{Checkpoint, Input, Outcome, Output};
use penstock_engine::time::Mono;

use crate::event::{Event, Fate};
use crate::judge;
use crate::model::How;
use crate::oracles::{self, Verdict, violated};
use crate::world::{Request, World};

/// What the destination takes: any document without records, and small ones with them.
const DOCUMENT_BYTES_MAX: usize = 2_000;

impl World {
    /// Does what the engine asks for, or sees to it that it happens later.
    pub(crate) fn perform(&mut self, output: Output) -> Verdict {
        if !matches!(output, Output::Notify(_)) {
            self.note(&output);
        }
        self.mix(&output);
        let now = self.world_now();
        judge::output(&mut self.model, &self.store, &output, now)?;
        match output {
            Output::ListShards { op } => {
                let fault = self.faults.list_fault(&mut self.random);
                self.ask(op, Request::List, Event::List(op, fault))?;
            }
            Output::Register { op, rows } => {
                let fate = self.store_fate();
                self.ask(op, Request::Register, Event::Register(op, rows, fate))?;
            }
            Output::TakeLease { op, shard } => self.take_lease(op, shard)?,
            Output::DropLease { shard, fence } => self.drop_lease(&shard, fence)?,
            Output::Fetch(fetch) => self.fetch(fetch)?,
            Output::SaveCheckpoint {
                op,
                shard,
                checkpoint,
                fence,
            } => {
                let number = self.number(&shard);
                let tenure = self.model.serial(number);
                let request = Request::Save {
                    shard: number,
                    tenure,
                    checkpoint: checkpoint.clone(),
                };
                let fate = self.store_fate();
                self.ask(op, request, Event::Save(op, shard, checkpoint, fence, fate))?;
            }
            Output::Deliver { op, document } => {
                let (mut done, mut said) = self.faults.destination_fate(&mut self.random);
                if document.body.len() > DOCUMENT_BYTES_MAX {
                    done = false;
                    said = Some(Fault::new(FaultKind::TooLarge, "the document is too large"));
                }
                let fate = self.fate(done, said);
                let request = Request::Deliver(document.id.clone());
                self.ask(op, request, Event::Deliver(op, document, fate))?;
            }
            Output::Abandon { op } => {
                self.open.remove(&op);
            }
            Output::Released { .. } => {}
            Output::Skipped {
                shard,
                ranges,
                saved,
            } => self.skipped(&shard, &ranges, saved)?,
            Output::DescribeQueue { .. }
            | Output::Receive(_)
            | Output::Acknowledge { .. }
            | Output::ExtendVisibility { .. } => {
                unreachable!("the machine of a stream asks nothing of a queue")
            }
            Output::Notify(notice) => self.notices.push(notice),
            Output::Stopped => self.stopped()?,
        }
        Ok(())
    }

    fn drop_lease(&mut self, shard: &ShardId, fence: Fence) -> Verdict {
        let tenure = self.model.shards[self.number(shard)].tenure.as_ref();
        let to = tenure.and_then(|tenure| tenure.leaving);
        self.lease_given_up(shard)?;
        self.store.drop_lease(shard, fence);
        self.taken_over(shard, to);
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
            // What was on its way when the process died arrives or does not. First rows have no
            // fence: a store must not write a dead process's after its successor has read them.
            Event::Register(..) if !current => {}
            Event::Save(..) | Event::Deliver(..) if !current && self.random.chance(500) => {}
            Event::Register(op, rows, fate) => {
                if fate.done {
                    self.register(&rows);
                }
                self.reply(
                    life,
                    op,
                    fate.said,
                    fate.reply_after,
                    Input::Registered { op },
                );
            }
            Event::Save(_, shard, ..) if self.stream.find(&shard).is_none() => {}
            Event::Save(op, shard, checkpoint, fence, fate) => {
                let kept = self.save(&shard, &checkpoint, fence, fate.done)?;
                let said = kept.err().or(fate.said);
                self.reply(
                    life,
                    op,
                    said,
                    fate.reply_after,
                    Input::CheckpointSaved { op },
                );
            }
            Event::Deliver(op, document, fate) => {
                if fate.done {
                    self.documents.push((*document).clone());
                }
                let input = Input::Delivered { op };
                self.reply(life, op, fate.said, fate.reply_after, input);
            }
            _ if !current => {}
            Event::List(op, Some(fault)) => return self.feed(Input::Failed { op, fault }),
            Event::List(op, None) => {
                let retention = Some(Duration::from_secs(86_400));
                let listing = self.stream.listing(self.wall(), retention);
                return self.feed(Input::ShardsListed { op, listing });
            }
            Event::Lease(op, shard, fault, reply_after) => {
                if fault.is_some() || !self.lease_waits(op, &shard)? {
                    self.lease(op, &shard, fault, reply_after);
                }
            }
            Event::Renew(shard, fence) => return self.renew(shard, fence),
            Event::Read(fetch, fault) => return self.read(&fetch, fault),
            Event::Rest(shard, range, input) => return self.hand(shard, range, input),
            Event::Answer(input) => return self.feed(input),
        }
        Ok(())
    }

    /// Tells the engine, and the model just before it.
    pub(crate) fn feed(&mut self, input: Input) -> Verdict {
        if !self.alive() {
            return Ok(());
        }
        if let Some(op) = op_of(&input) {
            match self.open.remove(&op) {
                Some(request) => self.learn(&request, &input),
                // An answer that is not wanted any more may come all the same.
                None if self.random.chance(500) => return Ok(()),
                None => {}
            }
        }
        if let Input::LeaseLost { shard } | Input::Moved { shard, .. } = &input {
            let shard = self.number(shard);
            self.model.tenure_ended(shard);
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
        let now = self.world_now();
        match (request, input) {
            (Request::List, Input::ShardsListed { listing, .. }) => {
                if self.model.listing_times.is_empty() {
                    let shown = listing.shards.iter().map(|shard| shard.id.clone());
                    self.model.first_listing = shown.collect();
                }
                self.model.listing_times.insert(listing.server_time);
            }
            (
                Request::Lease(shard),
                Input::LeaseGranted {
                    fence,
                    until,
                    checkpoint,
                    ..
                },
            ) => {
                let current = |saved: &&Checkpoint| {
                    saved
                        .incarnation
                        .is_none_or(|of| of == self.stream.incarnation)
                };
                let checkpoint = checkpoint.as_ref().filter(current);
                self.model.granted(*shard, *fence, checkpoint, now.mono);
                self.lease_runs(*shard, *fence, *until);
            }
            (
                Request::Save {
                    shard,
                    tenure,
                    checkpoint,
                },
                answer,
            ) => {
                self.learn_save(*shard, *tenure, checkpoint, answer);
            }
            (Request::Deliver(id), Input::Delivered { .. }) => {
                judge::delivered(&mut self.model, id, now);
            }
            // It was too large with its records, and comes again at once without them.
            (Request::Deliver(_), Input::Failed { fault, .. })
                if fault.kind == FaultKind::TooLarge && self.model.config.on_failure.is_some() => {}
            (Request::Deliver(id), Input::Failed { .. }) => {
                let drops = self.model.config.on_destination_failure
                    == penstock_engine::config::OnDestinationFailure::Drop;
                let removed = self.model.config.on_failure.is_none();
                let Some(document) = self.model.documents.get_mut(id) else {
                    return;
                };
                document.failures += 1;
                if removed || (drops && document.failures >= 3) {
                    self.model.document_closed(id, How::Dropped, now);
                }
            }
            (Request::Fetch { shard, tenure }, Input::Failed { fault, .. }) => {
                let gone = fault.kind == FaultKind::NotFound;
                if gone && self.model.serial(*shard) == *tenure && tenure.is_some() {
                    // When the engine believes it depends on its next listing.
                    self.model
                        .tenure_mut(*shard)
                        .ended_at
                        .get_or_insert(Mono(u64::MAX));
                }
            }
            _ => {}
        }
    }

    fn learn_save(
        &mut self,
        shard: usize,
        tenure: Option<u64>,
        checkpoint: &Checkpoint,
        answer: &Input,
    ) {
        if tenure.is_none() || self.model.serial(shard) != tenure {
            return;
        }
        self.model.tenure_mut(shard).save_asked = None;
        match answer {
            Input::CheckpointSaved { .. } => {
                let tenure = self.model.tenure_mut(shard);
                tenure.saved = Some(checkpoint.position.clone());
                tenure.save_failed = false;
            }
            Input::Failed { fault, .. } if fault.kind == FaultKind::Fenced => {
                self.model.tenure_ended(shard);
            }
            _ => self.model.tenure_mut(shard).save_failed = true,
        }
    }

    /// A request becomes an event.
    pub(crate) fn ask(&mut self, op: OpId, request: Request, event: Event) -> Verdict {
        if self.open.insert(op, request).is_some() {
            return violated("one_answer_each", "I20", format!("{op:?} was used twice"));
        }
        let latency = self.faults.latency(&mut self.random);
        self.later(latency, event);
        Ok(())
    }

    pub(crate) fn later(&mut self, after: Duration, event: Event) {
        let tie = self.random.draw();
        self.agenda
            .add(self.now + after, tie, Some(self.life), event);
    }

    /// Only the process that asked hears the answer.
    fn reply(
        &mut self,
        life: Option<u32>,
        op: OpId,
        said: Option<Fault>,
        after: Duration,
        done: Input,
    ) {
        let input = said.map_or(done, |fault| Input::Failed { op, fault });
        let tie = self.random.draw();
        self.agenda
            .add(self.now + after, tie, life, Event::Answer(input));
    }

    fn store_fate(&mut self) -> Fate {
        let (done, said) = self.faults.store_fate(&mut self.random);
        self.fate(done, said)
    }

    fn fate(&mut self, done: bool, said: Option<Fault>) -> Fate {
        let reply_after = self.faults.latency(&mut self.random);
        Fate {
            done,
            said,
            reply_after,
        }
    }

    fn take_lease(&mut self, op: OpId, shard: ShardId) -> Verdict {
        let fault = self.faults.lease_fault(&mut self.random);
        let after = self.faults.latency(&mut self.random);
        let request = Request::Lease(self.number(&shard));
        self.ask(op, request, Event::Lease(op, shard, fault, after))
    }

    fn lease(&mut self, op: OpId, shard: &ShardId, fault: Option<Fault>, after: Duration) {
        let answer = match fault {
            Some(fault) => Err(fault),
            None => self.store.take(shard),
        };
        let input = match answer {
            Ok((fence, checkpoint)) => Input::LeaseGranted {
                op,
                fence,
                until: self.lease_until(),
                checkpoint,
            },
            Err(fault) => Input::Failed { op, fault },
        };
        self.later(after, Event::Answer(input));
    }

    /// Rows are written where there are none; one of an older stream stays.
    fn register(&mut self, rows: &[(ShardId, Checkpoint)]) {
        self.store.register(rows);
        let current = Some(self.stream.incarnation);
        let written = rows.iter().filter(|(shard, _)| {
            self.store
                .checkpoint(shard)
                .is_some_and(|row| row.incarnation == current)
        });
        let written: Vec<_> = written.cloned().collect();
        self.model.registered(&written);
    }

    /// Documents that the destination has been asked to take and has not answered for.
    pub(crate) fn documents_on_their_way(&self) -> Vec<String> {
        let ids = self.open.values().filter_map(|request| match request {
            Request::Deliver(id) => Some(id.clone()),
            _ => None,
        });
        ids.collect()
    }

    fn save(
        &mut self,
        shard: &ShardId,
        checkpoint: &Checkpoint,
        fence: penstock_engine::ids::Fence,
        done: bool,
    ) -> Result<Result<(), Fault>, oracles::Violation> {
        if !done {
            return Ok(Ok(()));
        }
        let old = self.store.checkpoint(shard).cloned();
        let kept = self.store.save(shard, checkpoint, fence);
        let same = old
            .as_ref()
            .is_some_and(|old| old.incarnation == checkpoint.incarnation);
        let number = self.number(shard);
        if kept.is_ok() && checkpoint.incarnation == Some(self.stream.incarnation) {
            let start = &mut self.model.shards[number].start;
            start.get_or_insert_with(|| checkpoint.position.clone());
        }
        if kept.is_ok() && same {
            oracles::checkpoint_monotonic(&self.model, number, old.as_ref(), checkpoint)?;
        }
        Ok(kept)
    }

    fn finish(&mut self, id: InvocationId, outcome: Outcome) -> Verdict {
        if let Some(call) = self.places.remove(&id) {
            self.calls[call].outcome = Some(outcome.clone());
        }
        let now = self.world_now();
        self.model.completed(id, &outcome, now)?;
        self.feed(Input::Completed {
            invocation: id,
            outcome,
        })
    }

    pub(crate) fn number(&self, shard: &ShardId) -> usize {
        self.stream
            .find(shard)
            .expect("the judge lets only known shards through")
    }

    /// When a draining engine must have stopped.
    pub(crate) fn engine_moment(&self, at: Mono) -> Mono {
        Mono(at.0 - self.born.0)
    }
}

fn op_of(input: &Input) -> Option<OpId> {
    match input {
        Input::ShardsListed { op, .. }
        | Input::Registered { op }
        | Input::LeaseGranted { op, .. }
        | Input::Fetched { op, .. }
        | Input::CheckpointSaved { op }
        | Input::Delivered { op }
        | Input::Failed { op, .. } => Some(*op),
        _ => None,
    }
}
