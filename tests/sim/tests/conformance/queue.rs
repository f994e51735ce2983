//! Keeps the queue of a case, and answers for it.
//!
//! Rules: messages have the numbers of the case, from 1 in the order in which they were sent, and
//! a standard queue hands them out in that order; a duplicate that a FIFO queue drops takes no
//! number; a receive with nothing to give waits as long as it may.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::SourceProfile;
use penstock_engine::event::EventContext;
use penstock_engine::fault::Fault;
use penstock_engine::filter;
use penstock_engine::io::{Input, Output, Receive, Refused};
use penstock_engine::record::{Batch, Page};
use penstock_engine::time::{Mono, Wall};
use penstock_sim::queue::event::Sent;
use penstock_sim::queue::judge::receipts;
use penstock_sim::queue::options;
use penstock_sim::queue::page::{Content, MessagePage};
use penstock_sim::queue::source::{Handed, QueueSetup, SimQueue, Standing};
use penstock_sim::random::Random;
use serde_json::{Map, Value, json};

use crate::case::{FullPut, Put, QueueSpec};
use crate::stage::Stage;

/// A receive that waits for its first message.
struct Waiting {
    request: Receive,
    until: Mono,
}

/// The queue of a case.
pub struct Queue {
    sim: SimQueue,
    waiting: Vec<Waiting>,
    random: Random,
    words: Vec<String>,
}

impl Queue {
    /// An empty queue that is set up so.
    pub fn new(spec: &QueueSpec) -> Self {
        let setup = QueueSetup {
            visibility_timeout: Duration::from_secs(spec.visibility_s),
            max_receive_count: spec.max_receive_count,
            disorder: 0,
            ..options::setup(spec.fifo)
        };
        Self {
            sim: SimQueue::new(setup),
            waiting: Vec::new(),
            random: Random::new(1),
            words: Vec::new(),
        }
    }

    /// Sends what a put says.
    pub fn put(&mut self, put: &Put, now: Mono, wall: Wall) {
        let full = match put {
            Put::Text(text) => FullPut {
                data: Some(text.clone()),
                ..FullPut::default()
            },
            Put::Full(full) => (**full).clone(),
        };
        for _ in 0..full.times.unwrap_or(1) {
            let content = self.content(&full, wall);
            let sent = Sent {
                group: content.group.clone().map(|group| self.word(group)),
                deduplication: full.deduplication.clone().map(|id| self.word(id)),
                delay: Duration::from_secs(full.delay_s),
                ..Sent::plain()
            };
            self.sim.put(content, &sent, now);
        }
    }

    /// The number of the message with this id.
    pub fn number_of(&self, id: &str) -> usize {
        let messages = self.sim.messages.iter();
        let mut ids = messages.map(|message| message.content.id.as_str());
        let place = ids.position(|known| known == id);
        place.expect("the engine hands out what the queue holds") + 1
    }

    /// The id of a message.
    pub fn id_of(&self, number: usize) -> &str {
        &self.sim.messages[number - 1].content.id
    }

    /// What stands in the place of `$WHAT:NUMBER` in a case.
    pub fn known(&self, what: &str, number: usize) -> Option<Value> {
        let message = self.sim.messages.get(number.checked_sub(1)?)?;
        let receipt = message.receipt.unwrap_or_default();
        let handed = Handed {
            message: number - 1,
            receipt,
            again: false,
        };
        let Wall(sent) = message.content.sent;
        match what {
            "id" => Some(json!(message.content.id)),
            "receipt" => Some(json!(format!("receipt-{receipt}"))),
            "sent" | "sequence" => Some(json!(sent.to_string())),
            "first" => {
                let Wall(first) = self.sim.delivered(handed).first_received;
                Some(json!(first.to_string()))
            }
            "sender" => Some(json!("AIDASIMULATED")),
            _ => None,
        }
    }

    /// Whether every message has left it.
    pub fn is_empty(&self) -> bool {
        self.sim.waiting().next().is_none()
    }

    /// When a receive that waits may be answered.
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let until = self.waiting.iter().map(|waiting| waiting.until).min()?;
        let visible = self.sim.next_visible(now);
        Some(visible.map_or(until, |visible| visible.min(until)))
    }

    /// The numbers of the messages that were deleted, moved away, still there, and to be had now.
    pub fn standing(&self, now: Mono) -> [(&'static str, Vec<usize>); 4] {
        let numbers = |wanted: &dyn Fn(&Standing, bool) -> bool| {
            let messages = self.sim.messages.iter().enumerate();
            let such = messages
                .filter(|(_, message)| wanted(&message.standing, message.visible_at <= now));
            such.map(|(place, _)| place + 1).collect()
        };
        let is = |wanted: Standing| move |standing: &Standing, _: bool| *standing == wanted;
        [
            ("deleted", numbers(&is(Standing::Deleted))),
            ("dead", numbers(&is(Standing::Dead))),
            ("left", numbers(&is(Standing::Waiting))),
            (
                "visible",
                numbers(&|standing, visible| *standing == Standing::Waiting && visible),
            ),
        ]
    }

    /// The process is gone: nobody waits any more.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }

    fn content(&self, put: &FullPut, wall: Wall) -> Content {
        let plain = || "x".repeat(put.bytes.unwrap_or(1));
        let group = put
            .group
            .clone()
            .or(self.sim.setup.fifo.then(|| "g".to_owned()));
        let number = self.sim.messages.len() + 1;
        let more = put
            .deduplication
            .as_ref()
            .map(|id| format!(r#""MessageDeduplicationId":{},"#, Value::String(id.clone())));
        Content {
            id: format!("00000000-0000-4000-8000-{number:012}"),
            group,
            body: put.data.clone().unwrap_or_else(plain),
            md5_of_body: put.md5_of_body.clone().unwrap_or_else(|| "0".repeat(32)),
            attributes: event_form(&put.attributes).to_string(),
            md5_of_attributes: put.md5_of_attributes.clone(),
            more: more.unwrap_or_default(),
            sent: wall,
            weight: None,
            filtered: false,
        }
    }

    /// The number that stands for a word.
    fn word(&mut self, word: String) -> u32 {
        let known = self.words.iter().position(|known| *known == word);
        let place = known.unwrap_or_else(|| {
            self.words.push(word);
            self.words.len() - 1
        });
        u32::try_from(place).expect("cases are small")
    }
}

impl Stage {
    /// Does what the engine asks of the queue.
    ///
    /// # Panics
    /// When the case has none.
    pub(crate) fn perform_on_queue(&mut self, output: Output) {
        let (now, wall) = (self.now, self.wall());
        match output {
            Output::DescribeQueue { op } => {
                let said = self.fault("describe").map(|(fault, _)| fault);
                let facts = match said {
                    Some(fault) => Err(fault),
                    None => self.its_queue().sim.describe(wall),
                };
                self.inputs.push_back(match facts {
                    Ok(queue) => Input::QueueDescribed { op, queue },
                    Err(fault) => Input::Failed { op, fault },
                });
            }
            Output::Receive(request) => match self.fault("receive") {
                Some((fault, _)) => {
                    let op = request.op;
                    self.inputs.push_back(Input::Failed { op, fault });
                }
                None => {
                    let until = now + request.wait;
                    self.its_queue().waiting.push(Waiting { request, until });
                }
            },
            Output::Acknowledge { op, messages } => {
                let fault = self.fault("delete");
                let refused = self.each(&messages, &fault, |sim, receipt| sim.delete(receipt, now));
                self.reply(fault, op, Input::Acknowledged { op, refused });
            }
            Output::ExtendVisibility { op, messages, by } => {
                let fault = self.fault("extend");
                let refused =
                    self.each(&messages, &fault, |sim, receipt| sim.hide(receipt, by, now));
                self.reply(fault, op, Input::Extended { op, refused });
            }
            other => unreachable!("{other:?} is asked of a stream"),
        }
    }

    /// Ends a receive that waits: it brings nothing.
    pub(crate) fn abandon_receive(&mut self, op: penstock_engine::ids::OpId) {
        let Some(queue) = &mut self.queue else { return };
        let before = queue.waiting.len();
        queue.waiting.retain(|waiting| waiting.request.op != op);
        if queue.waiting.len() < before {
            self.inputs.push_back(Input::Received { op, page: None });
        }
    }

    /// Answers the receives for which there is something, and those that have waited long enough.
    pub(crate) fn answer_receives(&mut self) {
        let times = (self.now, self.wall());
        let Some(queue) = &mut self.queue else { return };
        for waiting in std::mem::take(&mut queue.waiting) {
            let op = waiting.request.op;
            let handed = queue
                .sim
                .receive(&waiting.request, times, &mut queue.random, 0);
            match handed {
                Err(fault) => self.inputs.push_back(Input::Failed { op, fault }),
                Ok(handed) if handed.is_empty() && waiting.until > self.now => {
                    queue.waiting.push(waiting);
                }
                Ok(handed) => {
                    let all = handed.iter().map(|one| queue.sim.delivered(*one)).collect();
                    let page: Arc<dyn Page> = Arc::new(MessagePage::new(all, &queue.sim.ledger));
                    let shard = penstock_engine::ids::ShardId::new("orders".to_owned());
                    let context = EventContext {
                        shard: &shard,
                        config: &self.config,
                    };
                    let page = (!handed.is_empty()).then(|| filter::mark(page, &context));
                    self.inputs.push_back(Input::Received { op, page });
                }
            }
        }
    }

    fn its_queue(&mut self) -> &mut Queue {
        self.queue
            .as_mut()
            .expect("a queue's mapping reads a queue")
    }

    /// Does something with each message, unless the request fails and is not done all the same.
    fn each(
        &mut self,
        messages: &Batch,
        fault: &Option<(Fault, bool)>,
        deed: impl Fn(&mut SimQueue, u64) -> Result<(), Fault>,
    ) -> Vec<Refused> {
        if fault.as_ref().is_some_and(|(_, done)| !done) {
            return Vec::new();
        }
        let sim = &mut self.its_queue().sim;
        let all = receipts(messages).into_iter().zip(0..);
        let refused = all.filter_map(|(receipt, index)| {
            let fault = deed(sim, receipt).err()?;
            Some(Refused { index, fault })
        });
        refused.collect()
    }

    /// Receipts that handlers of different invocations got: each is of one receive.
    pub(crate) fn shared_receipts(&self) -> Vec<String> {
        let mut seen: BTreeSet<(String, &str)> = BTreeSet::new();
        for call in &self.calls {
            let records = call.event["Records"].as_array().into_iter().flatten();
            let handles = records.filter_map(|record| record["receiptHandle"].as_str());
            seen.extend(handles.map(|handle| (handle.to_owned(), call.request.as_str())));
        }
        let all: Vec<String> = seen.into_iter().map(|(handle, _)| handle).collect();
        let twice = all.windows(2).filter(|pair| pair[0] == pair[1]);
        twice.map(|pair| pair[0].clone()).collect()
    }
}

/// The attributes of a sender as events show them.
fn event_form(attributes: &Map<String, Value>) -> Value {
    let shown = attributes.iter().map(|(name, given)| {
        let mut shown = json!({"stringListValues": [], "binaryListValues": []});
        for (theirs, ours) in [
            ("StringValue", "stringValue"),
            ("BinaryValue", "binaryValue"),
            ("DataType", "dataType"),
        ] {
            if let Some(value) = given.get(theirs) {
                shown[ours] = value.clone();
            }
        }
        (name.clone(), shown)
    });
    Value::Object(shown.collect())
}

/// What an embedded queue asks for, so that both runners see the same.
pub fn profile() -> SourceProfile {
    SourceProfile {
        idle_interval: Duration::ZERO,
        fetch_wait: Duration::from_secs(20),
        fetch_records_max: 10,
        fetch_bytes_max: 11 << 20,
        tip_reads_per_second: None,
        list_interval: Duration::from_secs(300),
    }
}
