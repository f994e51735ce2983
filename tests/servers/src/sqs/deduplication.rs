//! What a FIFO queue remembers for five minutes: what was sent, and what a receive was answered.

use std::collections::{HashMap, VecDeque};

/// How long both are remembered.
pub const REMEMBERED_MS: u64 = 5 * 60 * 1000;

/// A message that was sent, as a second send of it is answered.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// Its sequence number.
    pub sequence: String,
}

/// The deduplication ids of late.
#[derive(Debug, Default)]
pub struct Deduplication {
    sent: HashMap<String, Sent>,
    order: VecDeque<(u64, String)>,
}

/// The answers to receives of late, by their attempt ids.
#[derive(Debug, Default)]
pub struct Attempts {
    answers: HashMap<String, Attempt>,
    order: VecDeque<(u64, String)>,
}

/// One answered receive.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it was answered.
    pub at_ms: u64,
    /// The messages, with the serials of their receipts.
    pub messages: Vec<(u64, u64)>,
}

impl Deduplication {
    /// The message that was sent under an id within the last five minutes.
    pub fn known(&mut self, id: &str, now_ms: u64) -> Option<Sent> {
        while let Some((_, old)) = self
            .order
            .pop_front_if(|(at_ms, _)| is_over(*at_ms, now_ms))
        {
            self.sent.remove(&old);
        }
        self.sent.get(id).cloned()
    }

    /// Remembers a message that was sent now.
    pub fn remember(&mut self, id: &str, sent: Sent, now_ms: u64) {
        self.sent.insert(id.to_owned(), sent);
        self.order.push_back((now_ms, id.to_owned()));
    }
}

impl Attempts {
    /// What a receive was answered within the last five minutes.
    pub fn known(&mut self, id: &str, now_ms: u64) -> Option<Attempt> {
        while let Some((at_ms, old)) = self
            .order
            .pop_front_if(|(at_ms, _)| is_over(*at_ms, now_ms))
        {
            if self
                .answers
                .get(&old)
                .is_some_and(|answer| answer.at_ms == at_ms)
            {
                self.answers.remove(&old);
            }
        }
        self.answers.get(id).cloned()
    }

    /// Remembers an answer given now.
    pub fn remember(&mut self, id: &str, attempt: Attempt) {
        self.order.push_back((attempt.at_ms, id.to_owned()));
        self.answers.insert(id.to_owned(), attempt);
    }

    /// Forgets an answer that cannot be given again.
    pub fn forget(&mut self, id: &str) {
        self.answers.remove(id);
    }
}

fn is_over(at_ms: u64, now_ms: u64) -> bool {
    at_ms + REMEMBERED_MS <= now_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_five_minutes() {
        let mut ids = Deduplication::default();
        let sent = Sent {
            id: "m".to_owned(),
            sequence: "1".to_owned(),
        };
        ids.remember("d", sent, 1000);
        assert!(ids.known("d", 1000 + REMEMBERED_MS - 1).is_some());
        assert!(ids.known("other", 1000).is_none());
        assert!(ids.known("d", 1000 + REMEMBERED_MS).is_none());
        assert!(ids.order.is_empty() && ids.sent.is_empty());
    }
}
