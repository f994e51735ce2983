//! Performs what the engine of a case asks for, and answers for its handler.
//!
//! Rules: every request is answered once and at once, unless the case lets it fail; a read with
//! nothing to give waits as long as it may.

use std::time::Duration;

use penstock_engine::event::EventContext;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::filter;
use penstock_engine::io::{Fetch, Fetched, HandlerError, Input, Invocation, Outcome, Output};
use penstock_engine::response;
use penstock_engine::time::Wall;
use serde_json::{Value, json};

use crate::case::{Answer, Fail};
use crate::stage::{Mishap, Parked, Stage};
use crate::stream::Found;
use crate::windows;

impl Stage {
    pub(crate) fn perform(&mut self, output: Output) -> Result<(), Mishap> {
        match output {
            Output::ListShards { op } => {
                let listing = self.stream.listing(self.wall());
                let fault = self.fault("list");
                self.inputs.push_back(match fault {
                    Some((fault, _)) => Input::Failed { op, fault },
                    None => Input::ShardsListed { op, listing },
                });
            }
            Output::Register { op, rows } => {
                let fault = self.fault("register");
                if fault.as_ref().is_none_or(|(_, done)| *done) {
                    self.store.register(&rows);
                }
                self.reply(fault, op, Input::Registered { op });
            }
            Output::TakeLease { op, shard } => {
                let taken = match self.fault("lease") {
                    Some((fault, _)) => Err(fault),
                    None => self.store.take(&shard),
                };
                self.inputs.push_back(match taken {
                    Ok((fence, checkpoint)) => Input::LeaseGranted {
                        op,
                        fence,
                        until: None,
                        checkpoint,
                    },
                    Err(fault) => Input::Failed { op, fault },
                });
            }
            Output::DropLease { shard, fence } => self.store.drop_lease(&shard, fence),
            Output::Fetch(fetch) => self.fetch(fetch),
            Output::SaveCheckpoint {
                op,
                shard,
                checkpoint,
                fence,
            } => {
                let mut fault = self.fault("save");
                if fault.as_ref().is_none_or(|(_, done)| *done) {
                    let kept = self.store.save(&shard, &checkpoint, fence);
                    fault = kept.err().map(|fault| (fault, false)).or(fault);
                }
                self.reply(fault, op, Input::CheckpointSaved { op });
            }
            Output::Deliver { op, document } => {
                let fault = self.fault("deliver");
                if fault.as_ref().is_none_or(|(_, done)| *done) {
                    self.documents.push((*document).clone());
                }
                self.reply(fault, op, Input::Delivered { op });
            }
            Output::Abandon { op } => {
                self.parked.retain(|parked| parked.fetch.op != op);
                self.abandon_receive(op);
            }
            Output::Released { .. } | Output::Skipped { .. } => {}
            Output::DescribeQueue { .. }
            | Output::Receive(_)
            | Output::Acknowledge { .. }
            | Output::ExtendVisibility { .. } => self.perform_on_queue(output),
            Output::Notify(notice) => self.notices.push(notice.code.to_owned()),
            Output::Stopped => return Err("a stop is seen to elsewhere".to_owned()),
        }
        Ok(())
    }

    /// Lets requests fail from now on.
    pub(crate) fn plan_faults(&mut self, fail: &Fail) {
        let kind = match fail.fault.as_str() {
            "throttled" => FaultKind::Throttled {
                after: fail.after_ms.map(Duration::from_millis),
            },
            "transient" => FaultKind::Transient,
            "expired" => FaultKind::Expired,
            "trimmed" => FaultKind::Trimmed,
            "not_found" => FaultKind::NotFound,
            "denied" => FaultKind::Denied,
            "invalid" => FaultKind::Invalid,
            "too_large" => FaultKind::TooLarge,
            other => panic!("there is no fault {other}"),
        };
        let fault = Fault::new(kind, format!("the case says {}", fail.fault));
        let planned = self.faults.entry(fail.request.clone()).or_default();
        planned.extend((0..fail.times).map(|_| (fault.clone(), fail.done)));
    }

    pub(crate) fn fault(&mut self, request: &str) -> Option<(Fault, bool)> {
        self.faults.get_mut(request)?.pop_front()
    }

    pub(crate) fn reply(
        &mut self,
        fault: Option<(Fault, bool)>,
        op: penstock_engine::ids::OpId,
        done: Input,
    ) {
        self.inputs.push_back(match fault {
            Some((fault, _)) => Input::Failed { op, fault },
            None => done,
        });
    }

    fn fetch(&mut self, fetch: Fetch) {
        if let Some((fault, _)) = self.fault("fetch") {
            self.inputs.push_back(Input::Failed {
                op: fetch.op,
                fault,
            });
            return;
        }
        let until = self.now + fetch.wait;
        self.parked.push(Parked { fetch, until });
    }

    /// Answers the reads that have something to give, and those that have waited long enough.
    pub(crate) fn answer_parked(&mut self) {
        for parked in std::mem::take(&mut self.parked) {
            let (op, shard) = (parked.fetch.op, self.stream.find(&parked.fetch.shard));
            match self
                .stream
                .read(shard, &parked.fetch.from, parked.fetch.limit)
            {
                None => {
                    let fault = Fault::new(FaultKind::Trimmed, "older than the horizon");
                    self.inputs.push_back(Input::Failed { op, fault });
                }
                Some(found) if found.page.is_some() || found.ended || parked.until <= self.now => {
                    let fetched = self.marked(&parked.fetch, found);
                    self.inputs.push_back(Input::Fetched { op, fetched });
                }
                Some(_) => self.parked.push(parked),
            }
        }
    }

    fn marked(&self, fetch: &Fetch, found: Found) -> Fetched {
        let context = EventContext {
            shard: &fetch.shard,
            config: &self.config,
        };
        Fetched {
            page: found.page.map(|page| filter::mark(page, &context)),
            next: None,
            behind_ms: Some(u64::from(found.more)),
            ended: found.ended,
            children: found.children,
        }
    }

    /// What the handler makes of a batch.
    pub(crate) fn answer(&self, records: &[usize], invocation: &Invocation) -> Outcome {
        let handler = &self.case.handler;
        let poison = handler.poison.iter().find(|poison| {
            let held = |batch: &[usize]| poison.records.iter().any(|one| batch.contains(one));
            let before = self.calls.iter().filter(|call| held(&call.records)).count();
            held(records) && poison.times.is_none_or(|times| before < times)
        });
        let answer = handler
            .answers
            .get(self.calls.len())
            .or(poison.map(|poison| &poison.answer))
            .unwrap_or(&Answer::Ok);
        let error = || HandlerError {
            kind: "ValueError".to_owned(),
            message: "poison".to_owned(),
        };
        let value = match answer {
            Answer::Ok => self.with_state(Value::Null, records, invocation),
            Answer::Raise => return Outcome::Raised(error()),
            Answer::Timeout => return Outcome::TimedOut,
            Answer::Crash => return Outcome::Crashed(error()),
            Answer::Throttle => {
                let kind = FaultKind::Throttled { after: None };
                return Outcome::Rejected(Fault::new(kind, "the case says throttled"));
            }
            Answer::Return(value) => value.clone(),
            Answer::Report(numbers) => {
                let failed = numbers.iter().filter(|number| records.contains(number));
                let what = if self.queue.is_some() { "id" } else { "seq" };
                let items =
                    failed.map(|number| json!({"itemIdentifier": format!("${what}:{number}")}));
                let report = json!({"batchItemFailures": items.collect::<Vec<_>>()});
                let first = records.iter().position(|number| numbers.contains(number));
                self.with_state(
                    report,
                    &records[..first.unwrap_or(records.len())],
                    invocation,
                )
            }
            Answer::StateBytes(bytes) => json!({"state": windows::padded(*bytes)}),
        };
        let text = self.filled_in(&value).to_string();
        response::outcome(text.as_bytes(), &self.config, invocation)
    }

    /// The value with what is known of records in the place of `$seq:N`, `$arrival:N`.
    pub(crate) fn filled_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.filled_in_text(text),
            Value::Array(list) => list.iter().map(|each| self.filled_in(each)).collect(),
            Value::Object(members) => {
                let filled = members
                    .iter()
                    .map(|(key, each)| (key.clone(), self.filled_in(each)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }

    fn filled_in_text(&self, text: &str) -> Value {
        let known = text.strip_prefix('$').and_then(|rest| {
            let (what, number) = rest.split_once(':')?;
            if let Some(queue) = &self.queue {
                return queue.known(what, number.parse().ok()?);
            }
            let record = self.stream.records.get(number.parse::<usize>().ok()? - 1)?;
            let Wall(millis) = record.arrival;
            match what {
                "seq" => Some(json!(record.sequence)),
                "event" => Some(json!(format!(
                    "{}:{}",
                    self.shard_of(record.number),
                    record.sequence
                ))),
                "arrival" => Some(json!(millis as f64 / 1_000.0)),
                "from" => Some(json!(self.window_of(record.number)[0])),
                "to" => Some(json!(self.window_of(record.number)[1])),
                _ => None,
            }
        });
        known.unwrap_or_else(|| Value::String(text.to_owned()))
    }
}
