//! Counts what the state's writer does.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

/// What the writer has done since the state was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StoreStats {
    /// Changes that were answered.
    pub writes: u64,
    /// Groups that were committed.
    pub commits: u64,
    /// Groups that were not.
    pub failed_commits: u64,
    /// How long the last group took, in microseconds.
    pub last_commit_us: u64,
    /// How long the slowest group took, in microseconds.
    pub slowest_commit_us: u64,
}

/// Counts up; read at any time.
#[derive(Debug, Default)]
pub(super) struct Meter {
    writes: AtomicU64,
    commits: AtomicU64,
    failed_commits: AtomicU64,
    last_commit_us: AtomicU64,
    slowest_commit_us: AtomicU64,
}

impl Meter {
    /// A group's commit has ended.
    pub(super) fn committed(&self, changes: usize, took: Duration, succeeded: bool) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.writes.fetch_add(changes as u64, Relaxed);
        let groups = if succeeded {
            &self.commits
        } else {
            &self.failed_commits
        };
        groups.fetch_add(1, Relaxed);
        self.last_commit_us.store(took, Relaxed);
        self.slowest_commit_us.fetch_max(took, Relaxed);
    }

    pub(super) fn read(&self) -> StoreStats {
        StoreStats {
            writes: self.writes.load(Relaxed),
            commits: self.commits.load(Relaxed),
            failed_commits: self.failed_commits.load(Relaxed),
            last_commit_us: self.last_commit_us.load(Relaxed),
            slowest_commit_us: self.slowest_commit_us.load(Relaxed),
        }
    }
}
