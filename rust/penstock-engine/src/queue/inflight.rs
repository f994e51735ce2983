//! Keeps received messages by page, and when each page's visibility ends.
//!
//! Rules: a page is held until its last message is let go of; the messages of one page were hidden
//! at once and are hidden longer together; a message is in one state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::record::{Batch, Page, RecordFacts, RecordRef};
use crate::time::Mono;

/// A message's place: the number of its page, and its place in the page.
pub(crate) type Place = RecordRef;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Received, not handed out.
    Waiting,
    /// With a handler.
    Running,
    /// With a handler, and visible to others all the same: its receipt is worth nothing.
    Lost,
    /// Handled or filtered; being deleted.
    Deleting,
    /// Not ours any more.
    Gone,
}

/// One receive's messages.
#[derive(Debug)]
pub(crate) struct Held {
    pub page: Arc<dyn Page>,
    pub received: Mono,
    /// Until when the queue hides them from others.
    pub hidden_until: Mono,
    /// Until when a handler may run that has one of them.
    pub deadline: Mono,
    /// Requests for longer visibility that failed one after the other.
    pub failures: u32,
    states: Vec<State>,
    live: u32,
    bytes: u64,
    extend_at: Option<Mono>,
}

impl Held {
    pub fn states(&self) -> &[State] {
        &self.states
    }
}

/// All messages that are held.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    held: BTreeMap<u32, Held>,
    due: BTreeSet<(Mono, u32)>,
    bytes: u64,
    next: u32,
}

impl Inflight {
    /// Takes a page whose messages are hidden until then, and gives its number.
    pub fn add(&mut self, page: Arc<dyn Page>, received: Mono, hidden_until: Mono) -> u32 {
        while self.held.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let (number, messages) = (self.next, page.facts().len());
        self.next = self.next.wrapping_add(1);
        let bytes = page.pinned_bytes() as u64;
        self.bytes += bytes;
        let held = Held {
            page,
            received,
            hidden_until,
            deadline: received,
            failures: 0,
            states: vec![State::Waiting; messages],
            live: messages as u32,
            bytes,
            extend_at: None,
        };
        self.held.insert(number, held);
        number
    }

    /// Bytes of all pages held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The page of this number, if it is still held.
    pub fn page(&self, number: u32) -> Option<&Held> {
        self.held.get(&number)
    }

    /// The same, to change.
    pub fn page_mut(&mut self, number: u32) -> Option<&mut Held> {
        self.held.get_mut(&number)
    }

    pub fn state(&self, place: Place) -> State {
        let held = self.held.get(&place.page);
        held.map_or(State::Gone, |held| held.states[place.index as usize])
    }

    pub fn facts(&self, place: Place) -> RecordFacts {
        self.held[&place.page].page.facts()[place.index as usize]
    }

    /// Moves a message on; with the last one that is gone its page is let go of.
    pub fn set(&mut self, place: Place, state: State) {
        let Some(held) = self.held.get_mut(&place.page) else {
            return;
        };
        let old = std::mem::replace(&mut held.states[place.index as usize], state);
        debug_assert!(old != State::Gone, "a message that is gone does not move");
        if state != State::Gone {
            return;
        }
        held.live -= 1;
        if held.live == 0 {
            if let Some(at) = held.extend_at {
                self.due.remove(&(at, place.page));
            }
            self.bytes -= held.bytes;
            self.held.remove(&place.page);
        }
    }

    /// The batch of these messages.
    pub fn batch(&self, places: &[Place]) -> Batch {
        let mut batch = Batch::default();
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
        for place in places {
            let page = *numbers.entry(place.page).or_insert_with(|| {
                batch.pages.push(Arc::clone(&self.held[&place.page].page));
                batch.pages.len() as u32 - 1
            });
            let index = place.index;
            batch.records.push(RecordRef { page, index });
        }
        batch
    }

    /// When a page's visibility is to be made longer next; `None` for never.
    pub fn extend_at(&mut self, number: u32, at: Option<Mono>) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut held.extend_at, at) {
            self.due.remove(&(old, number));
        }
        if let Some(at) = at {
            self.due.insert((at, number));
        }
    }

    /// When the first page's visibility is to be made longer.
    pub fn first_due(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A page whose visibility is to be made longer by now.
    pub fn take_due(&mut self, now: Mono) -> Option<u32> {
        let &(at, number) = self.due.first()?;
        if at > now {
            return None;
        }
        self.extend_at(number, None);
        Some(number)
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        self.held.clear();
        self.due.clear();
        self.bytes = 0;
    }
}
