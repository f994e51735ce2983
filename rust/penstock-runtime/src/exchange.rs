//! Lets free workers meet due batches; the only structure that mappings and workers share.
//!
//! A worker takes a seat in its pool; a mapping says whether a batch is due. Whichever comes
//! second makes an offer: the slot of the longest waiting worker to the mapping whose turn it is.
//! The mapping claims the offer and answers with a delivery, or declines.
//!
//! Rules: nobody polls; mappings of one pool take turns, by `dispatch`; only a worker that a batch
//! is due for is offered; a worker whose time is up before an offer was claimed leaves for certain,
//! and a claimed offer is answered at once; a delivery reaches exactly one worker or is not made;
//! the pools' lock is taken before a seat's, never after.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use penstock_engine::config::MappingConfig;
use penstock_engine::dispatch::{self, Due, Occupancy};
use penstock_engine::ids::{InvocationId, MappingId, SlotId};
use penstock_engine::io::Invocation;
use tokio::sync::{mpsc, watch};

use crate::error::RuntimeError;
use crate::snapshot::PoolSnapshot;

mod desk;

pub use desk::{Claim, Desk, Offer, Word};

/// An invocation on its way to a worker.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The mapping.
    pub mapping: MappingId,
    /// Its configuration when the batch was formed.
    pub config: Arc<MappingConfig>,
    /// The call to make.
    pub invocation: Invocation,
}

/// All pools of a runtime.
pub struct Exchange {
    hall: Mutex<Hall>,
}

struct Hall {
    pools: BTreeMap<String, Pool>,
    closed: bool,
}

#[derive(Default)]
struct Pool {
    /// How many workers the pool has.
    slots: u32,
    /// The longest waiting first.
    parked: VecDeque<Arc<Seat>>,
    /// Mappings with a due batch and no offer in hand, the next first.
    round: VecDeque<Turn>,
    /// The slots whose workers keep what handlers remember.
    crew: watch::Sender<Vec<SlotId>>,
    busy: BTreeMap<(MappingId, InvocationId), SlotId>,
    /// How many invocations of each mapping that uses the pool run.
    running: BTreeMap<MappingId, usize>,
}

/// A mapping that waits for a worker.
struct Turn {
    mapping: MappingId,
    due: Due,
    sender: mpsc::UnboundedSender<Offer>,
}

/// Where one worker waits, once.
struct Seat {
    slot: SlotId,
    state: Mutex<SeatState>,
    changed: Condvar,
}

enum SeatState {
    Waiting,
    Offered,
    Claimed,
    Filled(Box<Delivery>),
    Closed,
    Gone,
}

impl Exchange {
    /// Pools with so many slots each.
    #[must_use]
    pub fn new(pools: &BTreeMap<String, u32>) -> Arc<Self> {
        let pools = pools
            .iter()
            .map(|(name, &slots)| {
                (
                    name.clone(),
                    Pool {
                        slots,
                        ..Pool::default()
                    },
                )
            })
            .collect();
        Arc::new(Self {
            hall: Mutex::new(Hall {
                pools,
                closed: false,
            }),
        })
    }

    /// Whether there is a pool of this name.
    #[must_use]
    pub fn has_pool(&self, name: &str) -> bool {
        self.hall().pools.contains_key(name)
    }

    /// Waits for an invocation, as a thread; `None` when `timeout` is over.
    ///
    /// # Errors
    ///
    /// When there is no such pool, or the exchange was closed.
    pub fn next_invocation(
        self: &Arc<Self>,
        pool: &str,
        slot: SlotId,
        timeout: Duration,
    ) -> Result<Option<Delivery>, RuntimeError> {
        let until = Instant::now() + timeout;
        let seat = Arc::new(Seat {
            slot,
            state: Mutex::new(SeatState::Waiting),
            changed: Condvar::new(),
        });
        {
            let mut hall = self.hall();
            if hall.closed {
                return Err(RuntimeError::Closed);
            }
            let found = hall.pools.get_mut(pool);
            let found = found.ok_or_else(|| RuntimeError::UnknownPool(pool.to_owned()))?;
            found.parked.push_back(seat.clone());
            found.match_up(pool, self);
        }
        let outcome = seat.wait(until);
        if matches!(outcome, Ok(None)) {
            // It may still be parked; an offer in hand finds the seat gone.
            if let Some(pool) = self.hall().pools.get_mut(pool) {
                pool.parked.retain(|parked| !Arc::ptr_eq(parked, &seat));
            }
        }
        outcome
    }

    /// The workers of these slots, and no others of the pool, keep what handlers remember; every
    /// mapping that uses the pool is told.
    ///
    /// # Errors
    ///
    /// When there is no such pool.
    pub fn set_crew(&self, pool: &str, slots: Vec<SlotId>) -> Result<(), RuntimeError> {
        let hall = self.hall();
        let found = hall.pools.get(pool);
        let found = found.ok_or_else(|| RuntimeError::UnknownPool(pool.to_owned()))?;
        found.crew.send_replace(slots);
        Ok(())
    }

    /// A mapping joins.
    #[must_use]
    pub fn join(self: &Arc<Self>, mapping: MappingId) -> Desk {
        Desk::new(self.clone(), mapping)
    }

    /// An invocation has ended; whether it was out at all.
    pub fn release(self: &Arc<Self>, mapping: &MappingId, invocation: InvocationId) -> bool {
        let key = (mapping.clone(), invocation);
        let mut hall = self.hall();
        for (name, pool) in &mut hall.pools {
            if pool.busy.remove(&key).is_some() {
                if let Some(running) = pool.running.get_mut(mapping) {
                    *running -= 1;
                }
                pool.match_up(name, self);
                return true;
            }
        }
        false
    }

    /// Sends every worker away, now and from now on.
    pub fn close(&self) {
        let mut hall = self.hall();
        hall.closed = true;
        for pool in hall.pools.values_mut() {
            pool.round.clear();
            for seat in pool.parked.drain(..) {
                seat.leave(SeatState::Closed);
            }
        }
    }

    /// Every pool, by name.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, PoolSnapshot> {
        let shown = |pool: &Pool| PoolSnapshot {
            slots: pool.slots,
            waiting: pool.parked.len(),
            busy: pool.busy.len(),
            due_mappings: pool.round.len(),
        };
        self.hall()
            .pools
            .iter()
            .map(|(name, pool)| (name.clone(), shown(pool)))
            .collect()
    }

    /// Lists of seats and turns are whole between statements, whoever panicked.
    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hall {
    /// The worker of an offer that came to nothing waits on, before all others.
    fn park_again(&mut self, seat: Arc<Seat>, pool: &str, exchange: &Arc<Exchange>) {
        if self.closed {
            seat.leave(SeatState::Closed);
        } else if let Some(found) = self.pools.get_mut(pool) {
            found.parked.push_front(seat);
            found.match_up(pool, exchange);
        }
    }

    /// The mapping's workers are those of `pool` from now on.
    fn use_pool(&mut self, mapping: &MappingId, pool: &str) {
        for (name, found) in &mut self.pools {
            let out = found
                .busy
                .keys()
                .filter(|(running, _)| running == mapping)
                .count();
            if name == pool {
                found.running.insert(mapping.clone(), out);
            } else {
                found.running.remove(mapping);
            }
        }
    }

    fn leave_rounds(&mut self, mapping: &MappingId) {
        for pool in self.pools.values_mut() {
            pool.round.retain(|turn| turn.mapping != *mapping);
        }
    }
}

impl Pool {
    /// Makes offers as long as there are both a worker and a due mapping.
    fn match_up(&mut self, name: &str, exchange: &Arc<Exchange>) {
        while let Some((next, place)) = self.next_pair() {
            let Some(seat) = self.parked.remove(place) else {
                return;
            };
            if !seat.turn(
                |state| matches!(state, SeatState::Waiting),
                SeatState::Offered,
            ) {
                continue;
            }
            let Some(turn) = self.round.remove(next) else {
                return;
            };
            // A mapping that is gone drops the offer, and the worker is parked again.
            let offer = Offer::new(exchange, name, seat);
            if let Err(mpsc::error::SendError(mut offer)) = turn.sender.send(offer)
                && let Some(seat) = offer.withdrawn()
            {
                self.parked.push_front(seat);
            }
        }
    }
}

impl Pool {
    /// Whose turn it is, as a place in the round, and the seat for it, as a place among those
    /// parked. Who is due no batch for any of them is passed over.
    fn next_pair(&self) -> Option<(usize, usize)> {
        let seat = |turn: &Turn| {
            self.parked
                .iter()
                .position(|seat| turn.due.covers(seat.slot))
        };
        let fits = self.round.iter().enumerate();
        let fits: Vec<_> = fits
            .filter_map(|(place, turn)| Some((place, seat(turn)?)))
            .collect();
        let occupancy = Occupancy {
            slots: self.slots as usize,
            busy: self.busy.len(),
            mappings: self.running.len(),
            resting: self
                .running
                .values()
                .filter(|running| **running == 0)
                .count(),
        };
        let running = |place: usize| self.running.get(&self.round[place].mapping).copied();
        let line = fits.iter().map(|(place, _)| running(*place).unwrap_or(0));
        dispatch::next(occupancy, line).map(|next| fits[next])
    }
}

impl Seat {
    fn wait(&self, until: Instant) -> Result<Option<Delivery>, RuntimeError> {
        let mut state = self.state();
        loop {
            match &*state {
                SeatState::Filled(_) => {
                    let SeatState::Filled(delivery) =
                        std::mem::replace(&mut *state, SeatState::Gone)
                    else {
                        unreachable!("the state was looked at under the same lock");
                    };
                    return Ok(Some(*delivery));
                }
                SeatState::Closed => return Err(RuntimeError::Closed),
                // The answer is being made on the mapping's thread and does not wait for anything.
                SeatState::Claimed => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                SeatState::Waiting | SeatState::Offered | SeatState::Gone => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        *state = SeatState::Gone;
                        return Ok(None);
                    }
                    let woken = self.changed.wait_timeout(state, left);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Goes to `next` if the present state is as wanted; tells whether it did.
    fn turn(&self, wanted: impl FnOnce(&SeatState) -> bool, next: SeatState) -> bool {
        let mut state = self.state();
        let fits = wanted(&state);
        if fits {
            *state = next;
        }
        fits
    }

    fn leave(&self, last: SeatState) {
        *self.state() = last;
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, SeatState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
