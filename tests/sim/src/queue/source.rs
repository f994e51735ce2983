//! Simulates a queue: visibility, receive counts, redelivery, groups, deduplication, redrive,
//! repeated receive attempts, the limit of messages in flight.
//!
//! Rules: it follows what AWS documents of SQS; each receive of a message has a receipt of its own
//! and only the newest one deletes; a FIFO queue hands out no message of a group while one of the
//! group is hidden; whatever is drawn is drawn from the chances that are handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::RequestId;
use penstock_engine::io::{QueueFacts, Receive};
use penstock_engine::time::{Mono, Wall};

use super::event::Sent;
use super::page::{Content, Delivered};
use crate::page::Ledger;
use crate::random::Random;

/// How long a FIFO queue remembers receive attempts and deduplication.
const REMEMBERED: Duration = Duration::from_secs(300);
/// The longest that one receive can be kept hidden.
const HIDDEN_MAX: Duration = Duration::from_secs(43_200);

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the queue, visible or hidden.
    Waiting,
    /// Deleted by a consumer.
    Deleted,
    /// In the dead-letter queue.
    Dead,
    /// Gone with its queue.
    Lost,
}

/// One message.
#[derive(Debug, Clone)]
pub struct SimMessage {
    /// What was sent.
    pub content: Arc<Content>,
    /// Its group's number.
    pub group: Option<u32>,
    /// Where it is.
    pub standing: Standing,
    /// From when on it can be received.
    pub visible_at: Mono,
    /// How often it has been received.
    pub receives: u32,
    /// Its newest receipt.
    pub receipt: Option<u64>,
    received_at: Mono,
    first_received: Wall,
}

/// One message of a receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// The message.
    pub message: usize,
    /// This receive of it.
    pub receipt: u64,
    /// Whether somebody may still have it: a standard queue's slip, or a repeated attempt.
    pub again: bool,
}

/// How a queue is set up.
#[derive(Debug, Clone)]
pub struct QueueSetup {
    /// Whether it keeps order within groups.
    pub fifo: bool,
    /// How long it hides what is received.
    pub visibility_timeout: Duration,
    /// After so many receives a message goes to the dead-letter queue.
    pub max_receive_count: Option<u32>,
    /// The most messages that can be hidden at a time.
    pub in_flight_max: usize,
    /// How often, per thousand, a standard queue lets a message change places with another.
    pub disorder: u32,
}

/// A queue.
#[derive(Debug)]
pub struct SimQueue {
    /// How it is set up.
    pub setup: QueueSetup,
    /// All messages that were ever sent, by their numbers.
    pub messages: Vec<SimMessage>,
    /// Whether it exists.
    pub exists: bool,
    /// What its pages pin.
    pub ledger: Ledger,
    receipts: Vec<usize>,
    attempts: BTreeMap<RequestId, (Mono, Vec<Handed>)>,
    deduplication: BTreeMap<u32, Mono>,
}

impl SimQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(setup: QueueSetup) -> Self {
        Self {
            setup,
            messages: Vec::new(),
            exists: true,
            ledger: Ledger::default(),
            receipts: Vec::new(),
            attempts: BTreeMap::new(),
            deduplication: BTreeMap::new(),
        }
    }

    /// Takes a message; `None` when it is one that was sent before.
    pub fn send(&mut self, sent: &Sent, now: Mono, wall: Wall) -> Option<usize> {
        let number = self.messages.len();
        let content = Content {
            id: format!("message-{number}"),
            group: sent.group.map(|group| format!("group-{group}")),
            body: "penstock".to_owned(),
            md5_of_body: "0".repeat(32),
            attributes: "{}".to_owned(),
            md5_of_attributes: None,
            more: String::new(),
            sent: wall,
            weight: sent.weight,
            filtered: sent.filtered,
        };
        self.put(content, sent, now)
    }

    /// The same with a content of the caller's.
    pub fn put(&mut self, content: Content, sent: &Sent, now: Mono) -> Option<usize> {
        if !self.exists {
            return None;
        }
        if let Some(word) = sent.deduplication.filter(|_| self.setup.fifo) {
            let before = self.deduplication.insert(word, now);
            if let Some(at) = before.filter(|at| now - *at < REMEMBERED) {
                self.deduplication.insert(word, at);
                return None;
            }
        }
        self.messages.push(SimMessage {
            content: Arc::new(content),
            group: sent.group,
            standing: Standing::Waiting,
            visible_at: now + sent.delay,
            receives: 0,
            receipt: None,
            received_at: now,
            first_received: Wall(0),
        });
        Some(self.messages.len() - 1)
    }

    /// Hands out messages that can be received now.
    ///
    /// # Errors
    /// When there is no queue, or too much of it is hidden.
    pub fn receive(
        &mut self,
        request: &Receive,
        (now, wall): (Mono, Wall),
        random: &mut Random,
        duplicates: u32,
    ) -> Result<Vec<Handed>, Fault> {
        self.must_exist()?;
        if let Some(again) = self.attempted(request, now) {
            return Ok(again);
        }
        if self.in_flight(now) >= self.setup.in_flight_max {
            let kind = FaultKind::Throttled { after: None };
            return Err(Fault::new(kind, "OverLimit"));
        }
        let visibility = request.visibility.unwrap_or(self.setup.visibility_timeout);
        let slip = !self.setup.fifo && random.chance(duplicates);
        let mut handed = Vec::new();
        for message in self.candidates(now, random) {
            if handed.len() >= request.limit as usize {
                break;
            }
            if self.over_received(message) {
                self.messages[message].standing = Standing::Dead;
                continue;
            }
            handed.push(self.hand_out(message, (now, wall), visibility, false));
        }
        if slip {
            handed.extend(self.slip((now, wall), visibility, request, handed.len(), random));
        }
        if let Some(attempt) = request.attempt.filter(|_| !handed.is_empty()) {
            self.attempts.insert(attempt, (now, handed.clone()));
        }
        Ok(handed)
    }

    /// What a page shows of a handed message.
    #[must_use]
    pub fn delivered(&self, handed: Handed) -> Delivered {
        let message = &self.messages[handed.message];
        Delivered {
            content: Arc::clone(&message.content),
            receipt: handed.receipt,
            receives: message.receives,
            first_received: message.first_received,
        }
    }

    /// The message of a receipt.
    #[must_use]
    pub fn message_of(&self, receipt: u64) -> usize {
        self.receipts[usize::try_from(receipt).expect("few receipts")]
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// When there is no queue, or it is a FIFO queue and the receipt has expired.
    pub fn delete(&mut self, receipt: u64, now: Mono) -> Result<(), Fault> {
        self.must_exist()?;
        let fifo = self.setup.fifo;
        let number = self.message_of(receipt);
        let message = &mut self.messages[number];
        if message.standing != Standing::Waiting {
            return Ok(());
        }
        let newest = message.receipt == Some(receipt);
        if fifo && (!newest || message.visible_at <= now) {
            return Err(Fault::new(
                FaultKind::Expired,
                "the receipt handle has expired",
            ));
        }
        // A standard queue takes an older receipt, says that all is well, and may do nothing.
        if newest {
            message.standing = Standing::Deleted;
        }
        Ok(())
    }

    /// Hides a message for so long from now on.
    ///
    /// # Errors
    /// When there is no queue, the message is not hidden by this receipt, or it is for too long.
    pub fn hide(&mut self, receipt: u64, by: Duration, now: Mono) -> Result<(), Fault> {
        self.must_exist()?;
        let number = self.message_of(receipt);
        let message = &mut self.messages[number];
        let hidden = message.standing == Standing::Waiting
            && message.receipt == Some(receipt)
            && message.visible_at > now;
        if !hidden {
            return Err(Fault::new(
                FaultKind::Expired,
                "the message is not in flight",
            ));
        }
        if now + by > message.received_at + HIDDEN_MAX {
            return Err(Fault::new(
                FaultKind::Invalid,
                "hidden for more than 12 hours",
            ));
        }
        message.visible_at = now + by;
        Ok(())
    }

    /// What the queue says of itself.
    ///
    /// # Errors
    /// When there is none.
    pub fn describe(&self, wall: Wall) -> Result<QueueFacts, Fault> {
        self.must_exist()?;
        Ok(QueueFacts {
            visibility_timeout: self.setup.visibility_timeout,
            fifo: self.setup.fifo,
            max_receive_count: self.setup.max_receive_count,
            server_time: wall,
        })
    }

    /// The queue is deleted, and its messages with it.
    pub fn drop_queue(&mut self) {
        self.exists = false;
        for message in &mut self.messages {
            if message.standing == Standing::Waiting {
                message.standing = Standing::Lost;
            }
        }
    }

    /// When the next hidden message becomes visible.
    #[must_use]
    pub fn next_visible(&self, now: Mono) -> Option<Mono> {
        let waiting = self.waiting().map(|(_, message)| message.visible_at);
        waiting.filter(|at| *at > now).min()
    }

    /// Messages that are still in the queue, by their numbers.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, &SimMessage)> {
        let messages = self.messages.iter().enumerate();
        messages.filter(|(_, message)| message.standing == Standing::Waiting)
    }

    fn must_exist(&self) -> Result<(), Fault> {
        match self.exists {
            true => Ok(()),
            false => Err(Fault::new(FaultKind::NotFound, "the queue does not exist")),
        }
    }

    fn in_flight(&self, now: Mono) -> usize {
        let hidden = |(_, message): &(usize, &SimMessage)| message.hidden(now);
        self.waiting().filter(hidden).count()
    }

    fn over_received(&self, message: usize) -> bool {
        let most = self.setup.max_receive_count;
        most.is_some_and(|most| self.messages[message].receives >= most)
    }

    /// A receive that is tried again under its old name brings what it brought.
    fn attempted(&mut self, request: &Receive, now: Mono) -> Option<Vec<Handed>> {
        let (at, handed) = self.attempts.get(request.attempt.as_ref()?)?.clone();
        let visibility = request.visibility.unwrap_or(self.setup.visibility_timeout);
        let unchanged = |one: &&Handed| {
            let message = &self.messages[one.message];
            message.standing == Standing::Waiting
                && message.receipt == Some(one.receipt)
                && message.hidden(now)
        };
        let unchanged: Vec<Handed> = handed.iter().filter(unchanged).copied().collect();
        if now - at >= REMEMBERED || unchanged.is_empty() {
            return None;
        }
        for one in &unchanged {
            self.messages[one.message].visible_at = now + visibility;
        }
        let again = unchanged
            .into_iter()
            .map(|one| Handed { again: true, ..one });
        Some(again.collect())
    }

    /// Messages that may be received: a FIFO queue's in order and of groups that have none hidden,
    /// a standard queue's in an order that is drawn.
    fn candidates(&self, now: Mono, random: &mut Random) -> Vec<usize> {
        let open = |message: &SimMessage| message.visible_at <= now;
        if !self.setup.fifo {
            let all = self.waiting().filter(|(_, message)| open(message));
            let mut all: Vec<usize> = all.map(|(number, _)| number).collect();
            for at in (1..all.len()).rev() {
                if random.chance(self.setup.disorder) {
                    all.swap(at, random.place(at + 1));
                }
            }
            return all;
        }
        let mut blocked: BTreeSet<Option<u32>> = BTreeSet::new();
        let hidden = self.waiting().filter(|(_, message)| message.hidden(now));
        blocked.extend(hidden.map(|(_, message)| message.group));
        let mut found = Vec::new();
        for (number, message) in self.waiting() {
            if !open(message) {
                blocked.insert(message.group);
            } else if !blocked.contains(&message.group) {
                found.push(number);
            }
        }
        found
    }

    fn hand_out(
        &mut self,
        number: usize,
        (now, wall): (Mono, Wall),
        visibility: Duration,
        again: bool,
    ) -> Handed {
        let receipt = self.receipts.len() as u64;
        self.receipts.push(number);
        let message = &mut self.messages[number];
        if message.receives == 0 {
            message.first_received = wall;
        }
        message.receives += 1;
        message.receipt = Some(receipt);
        message.received_at = now;
        message.visible_at = now + visibility;
        Handed {
            message: number,
            receipt,
            again,
        }
    }

    /// A standard queue hands out a message that somebody has.
    fn slip(
        &mut self,
        times: (Mono, Wall),
        visibility: Duration,
        request: &Receive,
        count: usize,
        random: &mut Random,
    ) -> Option<Handed> {
        let hidden = self
            .waiting()
            .filter(|(_, message)| message.hidden(times.0));
        let hidden: Vec<usize> = hidden.map(|(number, _)| number).collect();
        if hidden.is_empty() || count >= request.limit as usize {
            return None;
        }
        let number = random.pick(&hidden);
        Some(self.hand_out(number, times, visibility, true))
    }
}

impl SimMessage {
    /// Whether somebody has received it and its visibility has not ended.
    #[must_use]
    pub fn hidden(&self, now: Mono) -> bool {
        self.receives > 0 && self.visible_at > now
    }
}
