//! One queue: which messages can be received, which are hidden until when, which are gone.
//!
//! Rules: a message is hidden from its receive until its time is over or it is deleted; in a FIFO
//! queue a group gives its messages in the order in which they were sent, and none while one of
//! them is in flight; a message that was received too often is taken out for the dead-letter queue
//! when it would be received again. Times are of the server's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Notify;

use super::deduplication::{Attempts, Deduplication};
use super::message::{Message, Place};
use super::properties::Properties;
use super::receipt::Receipt;

/// A queue.
#[derive(Debug)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Which of the queues that were ever made.
    pub number: u64,
    /// What CreateQueue and SetQueueAttributes say of it.
    pub properties: Properties,
    /// When it was made.
    pub created_ms: u64,
    /// When its properties were changed last.
    pub modified_ms: u64,
    /// When it was purged last.
    pub purged_ms: Option<u64>,
    /// What was sent lately, in a FIFO queue.
    pub deduplication: Deduplication,
    /// The receives that may be asked again, in a FIFO queue.
    pub attempts: Attempts,
    /// Wakes the receives that wait.
    pub wake: Arc<Notify>,
    /// Receipts of earlier receives are not known any more.
    pub receipts_from: u64,
    messages: BTreeMap<u64, Message>,
    ready: BTreeSet<u64>,
    hidden: BTreeSet<(u64, u64)>,
    groups: BTreeMap<String, Group>,
    in_flight: usize,
}

/// The messages of one group of a FIFO queue.
#[derive(Debug, Default)]
struct Group {
    messages: BTreeSet<u64>,
    in_flight: usize,
    /// The message by which the queue's `ready` lists the group.
    listed: Option<u64>,
}

/// How many messages there are, by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// That can be received.
    pub visible: usize,
    /// In flight.
    pub in_flight: usize,
    /// Delayed.
    pub delayed: usize,
}

/// What one receive took.
#[derive(Debug, Default)]
pub struct Taken {
    /// The messages that were received.
    pub keys: Vec<u64>,
    /// Those that were received too often before.
    pub dead: Vec<Message>,
}

/// Why a receipt does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It is not of this queue, or was forgotten.
    Unknown,
    /// The message is gone.
    Gone,
    /// Another receive came later.
    Older,
    /// The message is not in flight any more.
    Visible,
}

impl Queue {
    /// A queue without messages.
    #[must_use]
    pub fn new(name: &str, number: u64, properties: Properties, now_ms: u64) -> Self {
        Self {
            name: name.to_owned(),
            number,
            properties,
            created_ms: now_ms,
            modified_ms: now_ms,
            purged_ms: None,
            deduplication: Deduplication::default(),
            attempts: Attempts::default(),
            wake: Arc::default(),
            receipts_from: 0,
            messages: BTreeMap::new(),
            ready: BTreeSet::new(),
            hidden: BTreeSet::new(),
            groups: BTreeMap::new(),
            in_flight: 0,
        }
    }

    /// Adds a message under a key above those of all others.
    pub fn add(&mut self, key: u64, message: Message) {
        if self.properties.fifo {
            let group = message.group.clone().unwrap_or_default();
            self.groups.entry(group).or_default().messages.insert(key);
        }
        match message.place {
            Place::Delayed { until_ms } | Place::InFlight { until_ms } => {
                self.hidden.insert((until_ms, key));
                self.messages.insert(key, message);
            }
            Place::Ready => {
                self.messages.insert(key, message);
                self.offer(key);
            }
        }
    }

    /// Lets happen what the clock says is due.
    pub fn settle(&mut self, now_ms: u64) {
        while let Some(&(until_ms, key)) = self.hidden.first() {
            if until_ms > now_ms {
                break;
            }
            self.hidden.pop_first();
            self.shown(key);
        }
        let kept_ms = self.properties.retention_ms();
        while let Some((&key, message)) = self.messages.first_key_value() {
            if message.sent_ms.saturating_add(kept_ms) > now_ms {
                break;
            }
            self.remove(key);
        }
    }

    /// When the next hidden message can be received.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.hidden.first().map(|&(until_ms, _)| until_ms)
    }

    /// Whether a receive would find something.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes up to `limit` messages, hides them until a time, and counts their receives.
    pub fn take(
        &mut self,
        limit: usize,
        until_ms: u64,
        now_ms: u64,
        dead_at: Option<u32>,
    ) -> Taken {
        let mut taken = Taken::default();
        while taken.keys.len() < limit {
            let Some(&first) = self.ready.first() else {
                break;
            };
            for key in self.in_turn(first, limit - taken.keys.len()) {
                let receives = self
                    .messages
                    .get(&key)
                    .map_or(0, |message| message.receives);
                if dead_at.is_some_and(|most| receives >= most) {
                    taken.dead.extend(self.remove(key));
                } else {
                    self.receive(key, until_ms, now_ms);
                    taken.keys.push(key);
                }
            }
        }
        taken
    }

    /// Puts messages back that were just taken: what a fault that duplicates does.
    pub fn show_again(&mut self, keys: &[u64]) {
        for &key in keys {
            if let Some(until_ms) = self.hidden_until(key) {
                self.hidden.remove(&(until_ms, key));
                self.shown(key);
            }
        }
    }

    /// The message of a key.
    #[must_use]
    pub fn message(&self, key: u64) -> Option<&Message> {
        self.messages.get(&key)
    }

    /// Gives a received message the serial of its receive.
    pub fn stamp(&mut self, key: u64, serial: u64) -> Receipt {
        if let Some(message) = self.messages.get_mut(&key) {
            message.receipt = serial;
        }
        Receipt {
            queue: self.number,
            message: key,
            serial,
        }
    }

    /// The key of the message that a handle stands for.
    ///
    /// # Errors
    /// Why it stands for none.
    pub fn received(&self, handle: &str) -> Result<u64, Stale> {
        let receipt = Receipt::decode(handle).filter(|receipt| receipt.queue == self.number);
        let receipt = receipt.ok_or(Stale::Unknown)?;
        if receipt.serial < self.receipts_from {
            return Err(Stale::Unknown);
        }
        let message = self.messages.get(&receipt.message).ok_or(Stale::Gone)?;
        match message.place {
            _ if message.receipt != receipt.serial => Err(Stale::Older),
            Place::InFlight { .. } => Ok(receipt.message),
            Place::Ready | Place::Delayed { .. } => Err(Stale::Visible),
        }
    }

    /// The key that a handle names, whether the message is still in flight or not.
    #[must_use]
    pub fn named(&self, handle: &str) -> Option<u64> {
        Receipt::decode(handle).map(|receipt| receipt.message)
    }

    /// Hides a message that is in flight until another time; a time that is over shows it.
    pub fn hide(&mut self, key: u64, until_ms: u64, now_ms: u64) {
        let Some(before) = self.hidden_until(key) else {
            return;
        };
        self.hidden.remove(&(before, key));
        if until_ms <= now_ms {
            self.shown(key);
        } else if let Some(message) = self.messages.get_mut(&key) {
            message.place = Place::InFlight { until_ms };
            self.hidden.insert((until_ms, key));
        }
    }

    /// Takes a message out for good.
    pub fn remove(&mut self, key: u64) -> Option<Message> {
        let message = self.messages.remove(&key)?;
        self.ready.remove(&key);
        let mut left = false;
        match message.place {
            Place::Ready => {}
            Place::Delayed { until_ms } => drop(self.hidden.remove(&(until_ms, key))),
            Place::InFlight { until_ms } => {
                self.hidden.remove(&(until_ms, key));
                self.in_flight -= 1;
                left = true;
            }
        }
        if let Some(name) = message.group.as_deref().filter(|_| self.properties.fifo) {
            self.leave_group(name, key, left);
        }
        Some(message)
    }

    /// Takes all messages out.
    pub fn purge(&mut self) {
        self.messages.clear();
        self.ready.clear();
        self.hidden.clear();
        self.groups.clear();
        self.in_flight = 0;
    }

    /// How many messages there are.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let delayed = self.hidden.len() - self.in_flight;
        Depth {
            visible: self.messages.len() - self.hidden.len(),
            in_flight: self.in_flight,
            delayed,
        }
    }

    /// The messages that come next, beginning with one that is ready.
    fn in_turn(&self, first: u64, limit: usize) -> Vec<u64> {
        let group = self
            .messages
            .get(&first)
            .filter(|_| self.properties.fifo)
            .and_then(|message| {
                self.groups
                    .get(message.group.as_deref().unwrap_or_default())
            });
        let Some(group) = group else {
            return self.ready.iter().copied().take(limit).collect();
        };
        let is_ready = |key: &u64| self.messages[key].place == Place::Ready;
        let turn = group.messages.iter().copied();
        turn.take_while(is_ready).take(limit).collect()
    }

    fn receive(&mut self, key: u64, until_ms: u64, now_ms: u64) {
        let Some(message) = self.messages.get_mut(&key) else {
            return;
        };
        message.receives += 1;
        message.first_ms.get_or_insert(now_ms);
        message.place = Place::InFlight { until_ms };
        self.hidden.insert((until_ms, key));
        self.in_flight += 1;
        self.ready.remove(&key);
        let name = message.group.clone().filter(|_| self.properties.fifo);
        if let Some(group) = name.and_then(|name| self.groups.get_mut(&name)) {
            group.in_flight += 1;
            if let Some(listed) = group.listed.take() {
                self.ready.remove(&listed);
            }
        }
    }

    /// A hidden message, taken out of `hidden` already, can be received again.
    fn shown(&mut self, key: u64) {
        let Some(message) = self.messages.get_mut(&key) else {
            return;
        };
        let flew = matches!(message.place, Place::InFlight { .. });
        message.place = Place::Ready;
        self.in_flight -= usize::from(flew);
        let name = message.group.clone().filter(|_| self.properties.fifo);
        if let Some(group) = name.and_then(|name| self.groups.get_mut(&name)) {
            group.in_flight -= usize::from(flew);
        }
        self.offer(key);
    }

    /// Lists a ready message, or its group when it is that one's turn.
    fn offer(&mut self, key: u64) {
        let name = self
            .messages
            .get(&key)
            .and_then(|message| message.group.clone());
        match name.filter(|_| self.properties.fifo) {
            Some(name) => self.list_group(&name),
            None => {
                self.ready.insert(key);
            }
        }
        self.wake.notify_waiters();
    }

    fn list_group(&mut self, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if let Some(listed) = group.listed.take() {
            self.ready.remove(&listed);
        }
        let Some(&first) = group.messages.first() else {
            self.groups.remove(name);
            return;
        };
        if group.in_flight == 0 && self.messages[&first].place == Place::Ready {
            group.listed = Some(first);
            self.ready.insert(first);
            self.wake.notify_waiters();
        }
    }

    fn leave_group(&mut self, name: &str, key: u64, flew: bool) {
        if let Some(group) = self.groups.get_mut(name) {
            group.messages.remove(&key);
            group.in_flight -= usize::from(flew);
            self.list_group(name);
        }
    }

    fn hidden_until(&self, key: u64) -> Option<u64> {
        match self.messages.get(&key)?.place {
            Place::InFlight { until_ms } | Place::Delayed { until_ms } => Some(until_ms),
            Place::Ready => None,
        }
    }
}

#[cfg(test)]
mod tests;
