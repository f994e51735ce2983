//! Keeps notices and log lines until somebody pulls them.
//!
//! Rules: a full ring drops what comes and counts it; nothing here waits, so that logging never
//! holds an engine up; only our own crates' lines are kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use penstock_engine::ids::MappingId;
use penstock_engine::io::Notice;
use tracing::Level;

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// When, in seconds since 1970.
    pub unix_s: f64,
    /// How loud.
    pub level: Level,
    /// Which module wrote it.
    pub target: String,
    /// The sentence.
    pub message: String,
    /// What belongs to it, the enclosing spans' fields first.
    pub fields: Vec<(String, String)>,
}

/// What people and log handlers pull.
#[derive(Debug)]
pub struct Telemetry {
    /// Notices of the engines.
    pub notices: Ring<(MappingId, Notice)>,
    /// Lines of the log.
    pub logs: Ring<LogLine>,
}

impl Telemetry {
    /// Empty rings of `capacity` each.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            notices: Ring::new(capacity),
            logs: Ring::new(capacity),
        })
    }
}

/// A bounded queue that drops what does not fit.
#[derive(Debug)]
pub struct Ring<T> {
    capacity: usize,
    items: Mutex<VecDeque<T>>,
    lost: AtomicU64,
}

impl<T> Ring<T> {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            items: Mutex::default(),
            lost: AtomicU64::new(0),
        }
    }

    /// Adds an item, or drops and counts it.
    pub fn push(&self, item: T) {
        let mut items = self.items();
        if items.len() < self.capacity {
            items.push_back(item);
        } else {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Takes up to `limit` items, the oldest first.
    pub fn drain(&self, limit: usize) -> Vec<T> {
        let mut items = self.items();
        let count = limit.min(items.len());
        items.drain(..count).collect()
    }

    /// How many were dropped so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    fn items(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_drops_what_comes_and_counts_it() {
        let ring = Ring::new(2);
        (1..=5).for_each(|item| ring.push(item));
        assert_eq!((ring.drain(1), ring.lost()), (vec![1], 3));
        ring.push(6);
        assert_eq!(ring.drain(10), vec![2, 6]);
        assert_eq!(ring.drain(10), Vec::<i32>::new());
    }
}
