//! Drives one engine on a queue by hand: every request is looked at and answered by the test.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::{MappingConfig, SourceProfile, document};
use penstock_engine::engine::Engine;
use penstock_engine::event::sqs;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::{OpId, SlotId};
use penstock_engine::io::{
    HandlerError, Input, Invocation, Outcome, Output, QueueFacts, Receive, Refused, Report, Resume,
};
use penstock_engine::record::{Batch, MessageView, Page, RecordFacts, RecordView};
use penstock_engine::snapshot::QueueSnapshot;
use penstock_engine::stream::router::hash_key;
use penstock_engine::time::{Mono, Now, Wall};

/// An engine, the moment it lives in, and what it asked for and has not been answered.
pub struct Life {
    pub engine: Engine,
    pub now: Now,
    pub receives: Vec<Receive>,
    pub deletes: Vec<(OpId, Batch)>,
    pub extensions: Vec<(OpId, Batch, Duration)>,
    pub abandoned: Vec<OpId>,
    pub notices: Vec<&'static str>,
    pub described: Vec<OpId>,
    pub stopped: bool,
}

/// A message of the queue: its id and its group.
pub type Sent = (&'static str, &'static str);

pub const SECOND: Duration = Duration::from_secs(1);

impl Life {
    /// A mapping on the queue `name` with these options, and the queue not yet described.
    pub fn born(name: &str, options: &str) -> Self {
        let now = Now {
            mono: Mono(0),
            wall: Wall(1_700_000_000_000),
        };
        let mut life = Self {
            engine: Engine::new(config(name, options), Resume::default(), 7, now),
            now,
            receives: Vec::new(),
            deletes: Vec::new(),
            extensions: Vec::new(),
            abandoned: Vec::new(),
            notices: Vec::new(),
            described: Vec::new(),
            stopped: false,
        };
        life.drain_outputs();
        life
    }

    /// The same, with a queue that hides messages for so many seconds.
    pub fn on(name: &str, visibility_s: u64, options: &str) -> Self {
        let mut life = Self::born(name, options);
        life.describe(visibility_s);
        life
    }

    pub fn describe(&mut self, visibility_s: u64) {
        let op = self.described.remove(0);
        let fifo = self.engine.config().queue.is_some_and(|rules| rules.fifo);
        let queue = QueueFacts {
            visibility_timeout: Duration::from_secs(visibility_s),
            fifo,
            max_receive_count: Some(3),
            server_time: self.now.wall,
        };
        self.input(Input::QueueDescribed { op, queue });
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle_input(input, self.now);
        self.drain_outputs();
    }

    /// Answers the oldest receive.
    pub fn bring(&mut self, messages: &[Sent]) {
        let op = self.receives.remove(0).op;
        self.bring_to(op, page(messages, false));
    }

    pub fn bring_filtered(&mut self, messages: &[Sent]) {
        let op = self.receives.remove(0).op;
        self.bring_to(op, page(messages, true));
    }

    pub fn bring_to(&mut self, op: OpId, page: Option<Arc<dyn Page>>) {
        self.receives.retain(|receive| receive.op != op);
        self.input(Input::Received { op, page });
    }

    pub fn refuse_receive(&mut self, kind: FaultKind) {
        let op = self.receives.remove(0).op;
        self.fail(op, kind);
    }

    pub fn fail(&mut self, op: OpId, kind: FaultKind) {
        let fault = Fault::new(kind, "the test says so");
        self.input(Input::Failed { op, fault });
    }

    /// Offers a worker.
    pub fn offer(&mut self) -> Option<Invocation> {
        let invocation = self.engine.poll_invocation(SlotId(0), self.now);
        self.drain_outputs();
        invocation
    }

    pub fn start(&mut self) -> Invocation {
        self.offer().expect("a batch is due")
    }

    pub fn complete(&mut self, invocation: &Invocation, outcome: Outcome) {
        let invocation = invocation.id;
        self.input(Input::Completed {
            invocation,
            outcome,
        });
    }

    pub fn succeed(&mut self, invocation: &Invocation) {
        self.complete(invocation, Outcome::Returned(Report::AllSucceeded));
    }

    /// Grants every delete; gives the ids of the messages.
    pub fn delete_all(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        while !self.deletes.is_empty() {
            let (op, batch) = self.deletes.remove(0);
            ids.extend(ids_of(&batch));
            self.input(Input::Acknowledged {
                op,
                refused: Vec::new(),
            });
        }
        ids
    }

    /// Refuses all messages of the oldest delete.
    pub fn refuse_delete(&mut self, kind: FaultKind) {
        let (op, batch) = self.deletes.remove(0);
        let refused = (0..batch.len() as u32)
            .map(|index| Refused {
                index,
                fault: Fault::new(kind, "the test says so"),
            })
            .collect();
        self.input(Input::Acknowledged { op, refused });
    }

    /// Grants every change of visibility; gives ids and seconds.
    pub fn extend_all(&mut self) -> Vec<(Vec<String>, u64)> {
        let mut seen = Vec::new();
        while !self.extensions.is_empty() {
            let (op, batch, by) = self.extensions.remove(0);
            seen.push((ids_of(&batch), by.as_secs()));
            self.input(Input::Extended {
                op,
                refused: Vec::new(),
            });
        }
        seen
    }

    /// Time passes; every timer rings at its moment.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now.mono + span;
        while let Some(deadline) = self.engine.poll_timeout().filter(|next| next.at <= end) {
            self.move_to(deadline.at.max(self.now.mono));
            self.engine.handle_timeout(self.now);
            self.drain_outputs();
        }
        self.move_to(end);
    }

    pub fn queue(&self) -> QueueSnapshot {
        let snapshot = self.engine.snapshot(self.now);
        assert!(snapshot.counters.conserved(), "{:?}", snapshot.counters);
        snapshot.queue.expect("the mapping is on a queue")
    }

    fn move_to(&mut self, at: Mono) {
        let span = at.since(self.now.mono);
        self.now = Now {
            mono: at,
            wall: self.now.wall.plus(span),
        };
    }

    fn drain_outputs(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::DescribeQueue { op } => self.described.push(op),
                Output::Receive(receive) => self.receives.push(receive),
                Output::Acknowledge { op, messages } => self.deletes.push((op, messages)),
                Output::ExtendVisibility { op, messages, by } => {
                    self.extensions.push((op, messages, by));
                }
                Output::Abandon { op } => self.abandoned.push(op),
                Output::Notify(notice) => self.notices.push(notice.code),
                Output::Stopped => self.stopped = true,
                other => panic!("{other:?} is not for a queue"),
            }
        }
    }
}

pub fn raised() -> Outcome {
    Outcome::Raised(HandlerError {
        kind: "ValueError".into(),
        message: "no".into(),
    })
}

pub fn listed(places: &[u32]) -> Outcome {
    Outcome::Returned(Report::Failed(places.into()))
}

pub fn ids_of(batch: &Batch) -> Vec<String> {
    let ids = (0..batch.len()).map(|index| batch.sequence_number(index).to_owned());
    ids.collect()
}

pub fn config(name: &str, options: &str) -> MappingConfig {
    let comma = if options.is_empty() { "" } else { "," };
    let document = format!(
        r#"{{"UUID":"14e0db71-5d35-4eb5-b481-8945cf9d10c2",
            "EventSourceArn":"arn:aws:sqs:us-east-1:123456789012:{name}",
            "FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f"{comma}{options}}}"#
    );
    let profile = SourceProfile {
        idle_interval: SECOND,
        fetch_wait: 20 * SECOND,
        fetch_records_max: 10,
        fetch_bytes_max: 11 * 1_024 * 1_024,
        tip_reads_per_second: None,
        list_interval: 60 * SECOND,
    };
    document::parse(document.as_bytes(), profile).expect("a good document")
}

/// The page of these messages; `None` when there are none.
pub fn page(messages: &[Sent], filtered: bool) -> Option<Arc<dyn Page>> {
    let messages = messages.to_vec();
    (!messages.is_empty()).then(|| Arc::new(Messages::new(messages, filtered)) as Arc<dyn Page>)
}

#[derive(Debug)]
struct Messages {
    messages: Vec<Sent>,
    facts: Vec<RecordFacts>,
}

impl Messages {
    fn new(messages: Vec<Sent>, filtered: bool) -> Self {
        let facts = messages.iter().map(|message| RecordFacts {
            key_hash: hash_key(message.1.as_bytes()),
            arrival: Wall(0),
            weight: sqs::weight(&view(*message)),
            filtered,
        });
        Self {
            facts: facts.collect(),
            messages,
        }
    }
}

/// So long that two messages fit an event of 1 KiB.
const BODY: &str = "\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab";

fn view(message: Sent) -> MessageView<'static> {
    MessageView {
        message_id: message.0,
        receipt_handle: "receipt",
        body: BODY,
        md5_of_body: "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0",
        attributes: r#"{"ApproximateReceiveCount":"1"}"#,
        message_attributes: "{}",
        md5_of_message_attributes: None,
        group: Some(message.1),
        receive_count: 1,
    }
}

impl Page for Messages {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        self.messages[index].0
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Sqs(view(self.messages[index]))
    }

    fn pinned_bytes(&self) -> usize {
        1_024 * self.messages.len()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let chosen = indices.iter().map(|index| self.messages[*index as usize]);
        Arc::new(Self::new(chosen.collect(), false))
    }
}
