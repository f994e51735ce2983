//! Counts the bytes of pages that the whole process holds, and makes reads wait for room.
//!
//! Rules: a read reserves what it expects before it starts; what really came is counted in its
//! place, even past the bound, since it is there; a page gives its bytes back when nobody holds
//! it any more; those who wait are served in their order, but a mapping that holds nothing may
//! always read, so that others that are stuck cannot starve it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use penstock_engine::record::{Page, RecordFacts, RecordView};
use tokio::sync::oneshot;

/// The bytes of a process.
#[derive(Debug)]
pub struct Ledger {
    bytes_max: u64,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    held: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    account: Account,
    bytes: u64,
    granted: oneshot::Sender<Reservation>,
}

/// One mapping's part of the ledger.
#[derive(Debug, Clone)]
pub struct Account {
    ledger: Arc<Ledger>,
    /// Changed only while the ledger's book is open.
    held: Arc<AtomicU64>,
}

impl Ledger {
    /// A ledger that lets reads start while less than `bytes_max` is held.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            book: Mutex::default(),
        })
    }

    /// Opens an account that holds nothing.
    #[must_use]
    pub fn account(self: &Arc<Self>) -> Account {
        Account {
            ledger: self.clone(),
            held: Arc::default(),
        }
    }

    /// Bytes from which on reads wait.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Bytes held and reserved.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.book().held
    }

    /// Reads that wait for room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.book().waiting.len()
    }

    fn fits(&self, book: &Book, bytes: u64) -> bool {
        book.held.saturating_add(bytes) <= self.bytes_max
    }

    /// Serves those who wait, as far as there is room.
    fn serve(&self) {
        let mut refused = Vec::new();
        let mut book = self.book();
        while let Some(place) = self.next_served(&book) {
            let Some(waiting) = book.waiting.remove(place) else {
                break;
            };
            if waiting.granted.is_closed() {
                continue;
            }
            let reservation = waiting.account.taken(&mut book, waiting.bytes);
            // Whoever stopped waiting just now gives it back, after the book is closed.
            refused.extend(waiting.granted.send(reservation).err());
        }
        drop(book);
        drop(refused);
    }

    fn next_served(&self, book: &Book) -> Option<usize> {
        let first = book.waiting.front()?;
        if first.granted.is_closed() || self.fits(book, first.bytes) {
            return Some(0);
        }
        book.waiting
            .iter()
            .position(|waiting| waiting.account.held() == 0)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Waits until there is room for `bytes`, or this account holds nothing.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let granted = {
            let mut book = self.ledger.book();
            let turn = book.waiting.is_empty() && self.ledger.fits(&book, bytes);
            if turn || self.held() == 0 {
                return self.taken(&mut book, bytes);
            }
            let (sender, granted) = oneshot::channel();
            let account = self.clone();
            book.waiting.push_back(Waiting {
                account,
                bytes,
                granted: sender,
            });
            granted
        };
        match granted.await {
            Ok(reservation) => reservation,
            Err(_) => {
                unreachable!("the ledger lives as long as this account, and keeps the sender")
            }
        }
    }

    fn held(&self) -> u64 {
        self.held.load(SeqCst)
    }

    fn taken(&self, book: &mut Book, bytes: u64) -> Reservation {
        book.held += bytes;
        self.held.fetch_add(bytes, SeqCst);
        Reservation {
            account: self.clone(),
            bytes,
        }
    }
}

/// Bytes that count as held until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    account: Account,
    bytes: u64,
}

impl Reservation {
    /// Counts what the page really pins instead, until nobody holds it any more.
    #[must_use]
    pub fn cover(mut self, page: Arc<dyn Page>) -> Arc<dyn Page> {
        self.become_bytes(page.pinned_bytes() as u64);
        Arc::new(LedgerPage {
            page,
            reservation: self,
        })
    }

    /// Counts a page that is a part of what was reserved, until nobody holds it any more; the
    /// rest stays reserved.
    #[must_use]
    pub fn part(&mut self, page: Arc<dyn Page>) -> Arc<dyn Page> {
        let bytes = self.bytes.min(page.pinned_bytes() as u64);
        self.bytes -= bytes;
        let account = self.account.clone();
        Self { account, bytes }.cover(page)
    }

    fn become_bytes(&mut self, bytes: u64) {
        let ledger = &self.account.ledger;
        let mut book = ledger.book();
        book.held = book.held - self.bytes + bytes;
        let held = self.account.held() - self.bytes + bytes;
        self.account.held.store(held, SeqCst);
        drop(book);
        let freed = bytes < self.bytes;
        self.bytes = bytes;
        if freed {
            ledger.serve();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.become_bytes(0);
    }
}

/// A page that is counted.
#[derive(Debug)]
struct LedgerPage {
    page: Arc<dyn Page>,
    reservation: Reservation,
}

impl Page for LedgerPage {
    fn facts(&self) -> &[RecordFacts] {
        self.page.facts()
    }

    fn sequence_number(&self, index: usize) -> &str {
        self.page.sequence_number(index)
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        self.page.view(index)
    }

    fn aggregated(&self) -> bool {
        self.page.aggregated()
    }

    fn pinned_bytes(&self) -> usize {
        self.page.pinned_bytes()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let account = &self.reservation.account;
        let nothing = account.taken(&mut account.ledger.book(), 0);
        nothing.cover(self.page.extract(indices))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use penstock_engine::time::Wall;

    use super::*;
    use crate::page::{Slice, SlicePage, SliceRecord};

    fn page(bytes: usize) -> Arc<dyn Page> {
        let digit = Slice::of_body(0..1).expect("small");
        let record = SliceRecord {
            partition_key: digit,
            sequence_number: digit,
            data: digit,
            arrival: Wall(0),
        };
        let body = "1".repeat(bytes);
        Arc::new(SlicePage::new(body, String::new(), vec![record]).expect("good slices"))
    }

    #[tokio::test]
    async fn reads_wait_for_room_in_their_order() {
        let ledger = Ledger::new(100);
        let account = ledger.account();
        let first = account.reserve(80).await;
        let kept = account.reserve(10).await;
        let mut large = Box::pin(account.reserve(90));
        let mut small = Box::pin(account.reserve(5));
        assert!(poll!(&mut large).is_pending());
        assert!(
            poll!(&mut small).is_pending(),
            "it fits, but may not overtake"
        );
        drop(first);
        let large = large.await;
        assert!(poll!(&mut small).is_pending());
        drop(kept);
        let small = small.await;
        assert_eq!((ledger.held(), ledger.waiting()), (95, 0));
        drop((large, small));
        assert_eq!(ledger.held(), 0);
    }

    #[tokio::test]
    async fn a_mapping_that_holds_nothing_is_not_starved_by_one_that_is_stuck() {
        let ledger = Ledger::new(10);
        let (stuck, other) = (ledger.account(), ledger.account());
        let hoard = stuck.reserve(1_000).await;
        let mut more = Box::pin(stuck.reserve(1));
        assert!(poll!(&mut more).is_pending());
        let one = other.reserve(1).await;
        let mut two = Box::pin(other.reserve(1));
        assert!(
            poll!(&mut two).is_pending(),
            "only its first read is a right"
        );
        drop(one);
        let two = two.await;
        assert!(poll!(&mut more).is_pending());
        drop(hoard);
        drop((two, more.await));
        assert_eq!(ledger.held(), 0);
    }

    #[tokio::test]
    async fn a_page_is_counted_as_it_is_and_until_the_last_holder_is_gone() {
        let ledger = Ledger::new(1 << 20);
        let page = ledger.account().reserve(100_000).await.cover(page(5_000));
        let pinned = page.pinned_bytes() as u64;
        assert_eq!(ledger.held(), pinned);
        let extract = page.extract(&[0]);
        let (again, both) = (page.clone(), ledger.held());
        drop(page);
        assert_eq!(ledger.held(), both);
        drop(again);
        assert_eq!(ledger.held(), extract.pinned_bytes() as u64);
        drop(extract);
        assert_eq!(ledger.held(), 0);
    }

    #[tokio::test]
    async fn who_stops_waiting_holds_nothing_and_nobody_up() {
        let ledger = Ledger::new(100);
        let account = ledger.account();
        let first = account.reserve(100).await;
        let mut gone = Box::pin(account.reserve(100));
        let mut next = Box::pin(account.reserve(100));
        assert!(poll!(&mut gone).is_pending());
        assert!(poll!(&mut next).is_pending());
        drop(gone);
        drop(first);
        drop(next.await);
        assert_eq!(ledger.held(), 0);
    }
}
