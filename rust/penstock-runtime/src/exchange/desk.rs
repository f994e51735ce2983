//! Gives a mapping its place at the exchange: it says what is due, hears offers and answers them.
//!
//! Rules: an offer that is dropped goes back to its pool, and so does a claim that was not filled;
//! the crew of a pool is heard before any offer of it.

use std::sync::Arc;

use penstock_engine::config::MappingConfig;
use penstock_engine::dispatch::Due;
use penstock_engine::ids::{MappingId, SlotId};
use penstock_engine::io::Invocation;
use tokio::sync::{mpsc, watch};

use super::{Delivery, Exchange, Seat, SeatState, Turn};

/// A mapping's place at the exchange.
pub struct Desk {
    exchange: Arc<Exchange>,
    mapping: MappingId,
    sender: mpsc::UnboundedSender<Offer>,
    offers: mpsc::UnboundedReceiver<Offer>,
    /// The pool in whose round the mapping stands and for whom, as far as this side knows.
    due_in: Option<(String, Due)>,
    /// The pool whose workers it uses.
    uses: Option<String>,
    /// Whose workers keep what handlers remember, there.
    crew: Option<watch::Receiver<Vec<SlotId>>>,
}

/// What a mapping hears at the exchange.
pub enum Word {
    /// A worker is free.
    Offer(Offer),
    /// From now on these slots of its pool keep lanes.
    Crew(Vec<SlotId>),
}

impl Desk {
    pub(super) fn new(exchange: Arc<Exchange>, mapping: MappingId) -> Self {
        let (sender, offers) = mpsc::unbounded_channel();
        Self {
            exchange,
            mapping,
            sender,
            offers,
            due_in: None,
            uses: None,
            crew: None,
        }
    }

    /// Says for which workers of `pool` a batch is due.
    pub fn mark(&mut self, pool: &str, due: Due) {
        let stays = self.uses.as_deref() == Some(pool);
        let wanted = (due != Due::Nobody).then_some(due);
        let stands = self.due_in.as_ref().filter(|(name, _)| name == pool);
        if stays && stands.map(|(_, due)| due) == wanted.as_ref() {
            return;
        }
        let mut hall = self.exchange.hall();
        if !stays {
            hall.use_pool(&self.mapping, pool);
            self.uses = Some(pool.to_owned());
            let before = self.crew.take();
            self.crew = hall.pools.get(pool).map(|found| found.crew.subscribe());
            if let Some(crew) = &mut self.crew
                && (before.is_some() || !crew.borrow().is_empty())
            {
                crew.mark_changed();
            }
        }
        // For others than before, but in the same place of the round.
        let closed = hall.closed;
        if let Some(due) = &wanted
            && stands.is_some()
            && let Some(found) = hall.pools.get_mut(pool)
            && let Some(turn) = found
                .round
                .iter_mut()
                .find(|turn| turn.mapping == self.mapping)
        {
            turn.due = due.clone();
            found.match_up(pool, &self.exchange);
            self.due_in = wanted.map(|due| (pool.to_owned(), due));
            return;
        }
        hall.leave_rounds(&self.mapping);
        self.due_in = None;
        if let Some(due) = wanted
            && !closed
            && let Some(found) = hall.pools.get_mut(pool)
        {
            self.due_in = Some((pool.to_owned(), due.clone()));
            found.round.push_back(Turn {
                mapping: self.mapping.clone(),
                due,
                sender: self.sender.clone(),
            });
            found.match_up(pool, &self.exchange);
        }
    }

    /// The next word; waits for ever when no batch is due and the crew stays as it is. The crew of
    /// a pool is heard before any offer of it.
    pub async fn listen(&mut self) -> Word {
        let crew = self.crew.as_mut();
        tokio::select! {
            biased;
            Some(slots) = changed(crew) => Word::Crew(slots),
            offer = self.offers.recv() => {
                // The mapping has had its turn and stands in no round until it is marked again.
                self.due_in = None;
                Word::Offer(offer.expect("the desk holds a sender itself"))
            }
        }
    }

    /// Takes the worker of an offer: from here on it must be answered, without waiting. `None`
    /// when the worker has left.
    #[must_use]
    pub fn claim(&self, mut offer: Offer) -> Option<Claim<'_>> {
        let seat = offer.seat.take()?;
        seat.turn(
            |state| matches!(state, SeatState::Offered),
            SeatState::Claimed,
        )
        .then(|| Claim {
            desk: self,
            pool: std::mem::take(&mut offer.pool),
            seat: Some(seat),
        })
    }
}

/// The crew, once it is another; waits for ever where it cannot change.
async fn changed(crew: Option<&mut watch::Receiver<Vec<SlotId>>>) -> Option<Vec<SlotId>> {
    match crew {
        Some(crew) => {
            crew.changed().await.ok()?;
            Some(crew.borrow_and_update().clone())
        }
        None => std::future::pending().await,
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let mut hall = self.exchange.hall();
        // After this nobody sends an offer, and those that came go back as they are dropped.
        hall.leave_rounds(&self.mapping);
        for (name, pool) in &mut hall.pools {
            pool.busy.retain(|(mapping, _), _| *mapping != self.mapping);
            // What was kept free for it is free for all.
            if pool.running.remove(&self.mapping).is_some() {
                pool.match_up(name, &self.exchange);
            }
        }
    }
}

/// A worker's slot, offered to a mapping. Dropping it declines.
pub struct Offer {
    exchange: Arc<Exchange>,
    pool: String,
    /// `None` once it was claimed.
    seat: Option<Arc<Seat>>,
}

impl Offer {
    pub(super) fn new(exchange: &Arc<Exchange>, pool: &str, seat: Arc<Seat>) -> Self {
        Self {
            exchange: exchange.clone(),
            pool: pool.to_owned(),
            seat: Some(seat),
        }
    }

    /// The worker, waiting again; `None` when it was claimed or has left.
    pub(super) fn withdrawn(&mut self) -> Option<Arc<Seat>> {
        let seat = self.seat.take()?;
        seat.turn(
            |state| matches!(state, SeatState::Offered),
            SeatState::Waiting,
        )
        .then_some(seat)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.seat.is_some() {
            let exchange = self.exchange.clone();
            let mut hall = exchange.hall();
            if let Some(seat) = self.withdrawn() {
                hall.park_again(seat, &self.pool, &exchange);
            }
        }
    }
}

/// A worker that waits for this mapping's answer. Dropping it declines.
pub struct Claim<'a> {
    desk: &'a Desk,
    pool: String,
    seat: Option<Arc<Seat>>,
}

impl Claim<'_> {
    /// The worker's slot.
    #[must_use]
    pub fn slot(&self) -> SlotId {
        self.seat
            .as_ref()
            .map_or(SlotId::default(), |seat| seat.slot)
    }

    /// Gives the worker an invocation.
    pub fn fill(mut self, config: Arc<MappingConfig>, invocation: Invocation) {
        let Some(seat) = self.seat.take() else { return };
        let mapping = self.desk.mapping.clone();
        if let Some(pool) = self.desk.exchange.hall().pools.get_mut(&self.pool) {
            pool.busy
                .insert((mapping.clone(), invocation.id), seat.slot);
            *pool.running.entry(mapping.clone()).or_default() += 1;
        }
        seat.leave(SeatState::Filled(Box::new(Delivery {
            mapping,
            config,
            invocation,
        })));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            let exchange = &self.desk.exchange;
            let mut hall = exchange.hall();
            seat.leave(SeatState::Waiting);
            hall.park_again(seat, &self.pool, exchange);
        }
    }
}
