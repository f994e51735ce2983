//! Carries requests to the table and answers back, and judges what the table accepts.

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::{OpId, Owner, ShardId};
use penstock_engine::lease::{Input, Place, Row, Write};
use penstock_engine::time::Mono;

use super::member::place_after;
use super::oracles;
use super::world::{Event, FleetWorld, Request, Save};
use crate::oracles::{Verdict, Violation};

impl FleetWorld {
    pub(super) fn send(&mut self, member: usize, request: Request) {
        let sender = &self.members[member];
        let (cut, patience) = (
            sender.cut_until > self.now,
            sender.span(self.config.patience()),
        );
        let fate = self.network.fate(&mut self.random, cut, self.config.lease);
        let answered = fate.answered.filter(|answered| *answered < patience);
        let fails = fate.arrives.is_none() || answered.is_none();
        if fails {
            let after = answered.unwrap_or(patience);
            let event = unanswered(member, &request);
            self.at(self.now + after, event);
        }
        if let Some(arrives) = fate.arrives {
            let answer = answered.map(|answered| self.now + answered);
            let event = Event::Arrives(member, request, answer);
            self.at(self.now + arrives, event);
        }
    }

    /// A request takes effect.
    pub(super) fn arrive(
        &mut self,
        member: usize,
        request: Request,
        answer: Option<Mono>,
    ) -> Verdict {
        let told = match request {
            Request::Scan(op) => {
                let rows = self.table.rows(|place| place % 2 == 0);
                let rest = answer.map_or(self.now, |at| Mono(self.now.0.midpoint(at.0)));
                let event = Event::Arrives(member, Request::ScanRest(op, rows), answer);
                self.at(rest, event);
                return Ok(());
            }
            Request::ScanRest(op, mut rows) => {
                rows.extend(self.table.rows(|place| place % 2 == 1));
                Event::Told(member, Input::Scanned { op, rows })
            }
            Request::Read(op, shard) => {
                let row = self.table.row(&shard);
                Event::Told(member, Input::Read { op, row })
            }
            Request::Write(op, shard, write) => {
                let input = match self.written(&shard, &write)? {
                    (true, Some(row)) => Input::Written { op, row },
                    (_, row) => Input::Refused { op, row },
                };
                Event::Told(member, input)
            }
            Request::Save(save) => {
                let write = Write::Save {
                    owner: self.members[member].owner.clone(),
                    fence: save.fence,
                    number: save.number,
                    place: if save.end {
                        Place::ShardEnd
                    } else {
                        place_after(save.records)
                    },
                };
                let (accepted, _) = self.written(&save.shard, &write)?;
                if accepted {
                    self.judge_save(member, &save)?;
                }
                Event::Saved(member, save, Some(accepted))
            }
        };
        if let Some(at) = answer {
            self.at(at, told);
        }
        Ok(())
    }

    /// Writes to the table, and judges what it has accepted.
    fn written(
        &mut self,
        shard: &ShardId,
        write: &Write,
    ) -> Result<(bool, Option<Row>), Violation> {
        let before = self.table.row(shard);
        let (accepted, row) = self.table.write(shard, write);
        if let (true, Some(row), Some(before)) = (accepted, &row, before) {
            self.judge_write(write, row, &before)?;
        }
        Ok((accepted, row))
    }

    fn judge_write(&mut self, write: &Write, row: &Row, before: &Row) -> Verdict {
        match write {
            Write::Take { owner, .. } => {
                let truth = self.truth.change(&row.shard);
                oracles::fences_grow(truth, row)?;
                // What another program gives up, it has not saved.
                let ours = |holder: &Owner| self.members.iter().any(|m| m.owner == *holder);
                // A take that arrives after its sender has died begins the others' wait anew.
                if !self.members.iter().any(|m| m.owner == *owner && m.alive) {
                    truth.unheld_since = None;
                }
                let last = truth.taken.as_ref();
                let planned = before.owner.is_none() && last.is_some_and(|(it, _)| ours(it));
                truth.given_up = planned.then_some(truth.fence);
                truth.fence = row.fence.unwrap_or(truth.fence);
                truth.taken = Some((owner.clone(), self.now));
                self.truth.takes += 1;
                let asked = before.owner.is_none() && before.wanted_by.as_ref() == Some(owner);
                self.truth.moves += u64::from(asked);
                Ok(())
            }
            Write::Ask { .. } => {
                let ours = |owner: &Owner| self.members.iter().any(|m| m.owner == *owner);
                oracles::others_are_left_alone(before, ours)?;
                oracles::moves_are_rare(self.truth.of(&row.shard), self.config, self.now)
            }
            // One that arrives long after its sender has died looks like life to the others.
            Write::Renew { .. } => {
                self.truth.change(&row.shard).unheld_since = None;
                Ok(())
            }
            Write::Release { .. } | Write::Save { .. } => Ok(()),
        }
    }

    fn judge_save(&mut self, member: usize, save: &Save) -> Verdict {
        let owner = self.members[member].owner.clone();
        let truth = self.truth.change(&save.shard);
        oracles::writes_are_fenced(truth, &owner, save.fence)?;
        oracles::checkpoint_holds(truth, save.records, save.end)?;
        truth.saved = save.records;
        truth.ended |= save.end;
        Ok(())
    }
}

/// What a process hears of a request of which it hears nothing else.
fn unanswered(member: usize, request: &Request) -> Event {
    let failed = |op: &OpId| {
        let fault = Fault::new(FaultKind::Transient, "no answer");
        Event::Told(member, Input::Failed { op: *op, fault })
    };
    match request {
        Request::Scan(op)
        | Request::ScanRest(op, _)
        | Request::Read(op, _)
        | Request::Write(op, _, _) => failed(op),
        Request::Save(save) => Event::Saved(member, save.clone(), None),
    }
}
