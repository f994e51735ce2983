//! Hands batches out, and settles what comes back.
//!
//! Rules (AWS Lambda Developer Guide, SQS): what succeeded is deleted; what failed is left to come
//! back when its visibility ends, and nothing is made visible at once; a refusal before the handler
//! started is tried again with a growing wait and costs no receive; a group with a failed message
//! waits for it alone.

use super::QueueMachine;
use super::core::{Alarm, Deletion, Once};
use super::inflight::{Place, State};
use super::verdict;
use super::work::{Running, Stage, WorkId};
use crate::backoff;
use crate::config::MappingConfig;
use crate::fault::Fault;
use crate::ids::{Fence, InvocationId};
use crate::io::{Invocation, NoticeLevel, Outcome};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::record::Batch;
use crate::stream::describe;
use crate::time::Now;

impl QueueMachine {
    /// Starts the next batch for a free worker; `None` when it turns out that none is due.
    pub(super) fn start(&mut self, now: Now) -> Option<Invocation> {
        while self.has_due_batch() {
            let Some(id) = self.works.take_ready() else {
                self.close(now);
                continue;
            };
            if let Some(invocation) = self.hand_out(id, now) {
                return Some(invocation);
            }
        }
        None
    }

    fn hand_out(&mut self, id: WorkId, now: Now) -> Option<Invocation> {
        let messages = self.still_hidden(id, now)?;
        let config = std::sync::Arc::clone(&self.core.config);
        let invocation = self.core.desk.new_invocation_id();
        let deadline = now.mono + config.function.timeout;
        for place in &messages {
            self.inflight.set(*place, State::Running);
            if let Some(held) = self.inflight.page_mut(place.page) {
                held.deadline = held.deadline.max(deadline);
            }
        }
        let batch = self.inflight.batch(&messages);
        let running = Running {
            invocation,
            deadline,
            config,
        };
        self.works.start(id, running, now.wall);
        let request_id = self.works.find(id)?.request_id;
        let (count, counters) = (messages.len() as u64, &mut self.core.counters);
        counters.buffered -= count;
        counters.in_flight += count;
        counters.invoked += count;
        counters.invocations += 1;
        self.core.transition("batch:started");
        Some(Invocation {
            id: invocation,
            shard: self.core.name.clone(),
            lane: 0,
            attempt: 1,
            request_id,
            fence: Fence::default(),
            deadline,
            window: None,
            batch,
        })
    }

    /// The messages of a batch that nobody else can have received by now; a batch without any is
    /// over.
    fn still_hidden(&mut self, id: WorkId, now: Now) -> Option<Vec<Place>> {
        let work = self.works.find_mut(id)?;
        let (mut kept, all) = (Vec::new(), std::mem::take(&mut work.messages));
        for place in &all {
            if self.inflight.state(*place) != State::Waiting {
                continue;
            }
            let held = self.inflight.page(place.page);
            let hidden = held.is_some_and(|held| held.hidden_until > now.mono);
            if hidden || mutants::active(Mutant::StartedTooLate) {
                kept.push(*place);
            } else {
                self.core.transition("message:too_late");
                self.leave(*place);
            }
        }
        if let Some(work) = self.works.find_mut(id) {
            work.messages.clone_from(&kept);
        }
        self.works
            .settle(id, (all.len() - kept.len()) as u32, now.mono);
        (!kept.is_empty()).then_some(kept)
    }

    /// A handler has ended.
    pub(super) fn completed(&mut self, invocation: InvocationId, outcome: &Outcome, now: Now) {
        assert!(
            self.core.desk.knows_invocation(invocation),
            "completion of invocation {} that was never handed out",
            invocation.0
        );
        let Some((id, config)) = self.works.ended(invocation) else {
            self.core.desk.stale_answers += 1;
            return;
        };
        let messages = self
            .works
            .find(id)
            .map_or(Vec::new(), |work| work.messages.clone());
        if let Outcome::Rejected(fault) = outcome {
            return self.rejected(id, &messages, fault, &config, now);
        }
        let groups: Vec<u64> = messages
            .iter()
            .map(|place| self.inflight.facts(*place).key_hash)
            .collect();
        let verdict = verdict::of(outcome, &config, &groups);
        self.note(&verdict, outcome, &config, now);
        let (mut failed, mut failed_groups) = (Vec::new(), std::collections::BTreeSet::new());
        for ((place, group), did_fail) in messages.iter().zip(&groups).zip(&verdict.failed) {
            self.core.counters.in_flight -= 1;
            if *did_fail {
                failed.push(*place);
                failed_groups.insert(*group);
            } else {
                self.core.counters.acknowledging += 1;
                self.inflight.set(*place, State::Deleting);
                let (place, work) = (*place, Some(id));
                self.deletions.push_back(Deletion { place, work });
            }
        }
        if self.core.rules.fifo {
            for group in failed_groups {
                self.remember_failed(group, &failed);
                self.fail_group(id, group, now);
            }
        }
        self.leave_failed(&failed, now);
        self.works.settle(id, failed.len() as u32, now.mono);
    }

    /// Leaves failed messages to come back, after at most the queue's own timeout.
    fn leave_failed(&mut self, failed: &[Place], now: Now) {
        let own = self
            .core
            .facts
            .as_ref()
            .map_or_else(Default::default, |facts| facts.visibility_timeout);
        let own = own.max(std::time::Duration::from_secs(1));
        let late = |place: &&Place| {
            let held = self.inflight.page(place.page);
            held.is_some_and(|held| held.hidden_until.since(now.mono) > own)
                && self.inflight.state(**place) == State::Running
        };
        let late: Vec<Place> = failed.iter().filter(late).copied().collect();
        let until = self.hidden_until(&late);
        let late: Batch = self.inflight.batch(&late);
        let at_once = mutants::active(Mutant::FailedGivenBackAtOnce);
        let back = at_once.then(|| self.inflight.batch(failed));
        for place in failed {
            self.core.counters.returned += 1;
            self.inflight.set(*place, State::Gone);
        }
        if let Some(back) = back.filter(|back| !back.is_empty()) {
            self.release(back, std::time::Duration::ZERO, until);
        } else if !late.is_empty() {
            self.core.transition("visibility:shortened");
            self.release(late, own, until);
        }
    }

    /// A message of a group is left to come back: what waits of the group must not overtake it.
    pub(super) fn fail_group(&mut self, id: WorkId, group: u64, now: Now) {
        if mutants::active(Mutant::GroupOvertaken) {
            return;
        }
        for follower in self.works.followers(id, group) {
            let Some(work) = self.works.find_mut(follower) else {
                continue;
            };
            if matches!(work.stage, Stage::Running(_) | Stage::Settling) {
                continue;
            }
            let all = std::mem::take(&mut work.messages);
            let stays = |place: &Place| {
                self.inflight.state(*place) == State::Waiting
                    && self.inflight.facts(*place).key_hash != group
            };
            let (stay, go): (Vec<Place>, Vec<Place>) = all.into_iter().partition(stays);
            self.core.transition("group:followers_given_back");
            self.give_back(&go);
            if let Some(work) = self.works.find_mut(follower) {
                work.messages = stay;
            }
            self.works.settle(follower, go.len() as u32, now.mono);
        }
    }

    fn remember_failed(&mut self, group: u64, failed: &[Place]) {
        let until = failed
            .iter()
            .filter_map(|place| self.inflight.page(place.page))
            .map(|held| held.hidden_until)
            .max();
        if let Some(until) = until
            && self.failed_groups.len() < limits::FAILED_GROUPS_MAX
        {
            self.failed_groups.insert(group, until);
        }
    }

    /// The handler was never started: the same batch is tried again, while it is hidden.
    fn rejected(
        &mut self,
        id: WorkId,
        messages: &[Place],
        fault: &Fault,
        config: &MappingConfig,
        now: Now,
    ) {
        self.core.transition("batch:rejected");
        let (count, counters) = (messages.len() as u64, &mut self.core.counters);
        counters.in_flight -= count;
        counters.buffered += count;
        counters.failed += count;
        counters.failed_invocations += 1;
        counters.retries += 1;
        for place in messages {
            let lost = self.inflight.state(*place) == State::Lost;
            self.inflight.set(*place, State::Waiting);
            if lost {
                self.leave(*place);
            }
        }
        self.core.last_result = "PROBLEM: Function call failed";
        self.scaling.failed();
        self.rescale(now);
        let Some(work) = self.works.find_mut(id) else {
            return;
        };
        work.rejections += 1;
        work.since = now.wall;
        work.refused.clone_from(&fault.message);
        let jitter = &mut self.core.desk.jitter;
        let until = now.mono + backoff::delay(&config.backoff, work.rejections, jitter);
        self.works.rest(id, until);
        self.core.arm(Alarm::Retry, until);
    }

    /// Keeps the books, and sees whether the mapping should slow down.
    fn note(
        &mut self,
        verdict: &verdict::Verdict,
        outcome: &Outcome,
        config: &MappingConfig,
        now: Now,
    ) {
        let failed = verdict.failed.iter().filter(|failed| **failed).count();
        let all = verdict.failed.len();
        self.core.counters.failed += failed as u64;
        self.core.counters.failed_invocations += u64::from(failed > 0);
        if failed < all {
            self.scaling.succeeded();
        } else if !config.partial_response {
            self.scaling.failed();
        }
        self.rescale(now);
        self.core.transition(match failed {
            0 => "batch:succeeded",
            some if some < all => "batch:partial",
            _ => "batch:failed",
        });
        self.core.last_result = match outcome {
            Outcome::Returned(crate::io::Report::Unusable) => {
                "PROBLEM: The function's response is invalid"
            }
            Outcome::Returned(_) => "OK",
            _ => "PROBLEM: Function call failed",
        };
        if verdict.gap {
            self.core.warn_once(Once::Gap, "group_gap", || {
                "a handler reported a message and not those that follow it in its message group: \
                 Lambda deletes these, and so it is done here unless StrictGroups is set"
                    .to_owned()
            });
        }
        if let Some(error) = describe(outcome) {
            let message = format!(
                "a batch of {all} messages of queue {} {error}",
                self.core.name
            );
            self.core
                .notify(NoticeLevel::Debug, "batch_failed", message);
        }
    }
}
