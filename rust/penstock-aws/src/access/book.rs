//! Keeps each access under its name and has it renewed.
//!
//! Rules: an access is asked for at most once at a time, however many shards wait for it; who
//! waited uses what came meanwhile; every wait is bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::fault::{Fault, FaultKind};

use super::Access;

/// How long a renewal may take before the request that needs it fails.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(30);

/// Who can have an access resolved again; implemented where Python can be asked.
pub trait AccessRefresh: Send + Sync {
    /// Has the access resolved again and pushed into the book; ends when that is done.
    ///
    /// A failure carries the sentence that the user needs to see.
    fn ask(&self, access: &str, reason: &str) -> BoxFuture<'static, Result<(), Fault>>;
}

/// All accesses of a process, by name.
pub struct AccessBook {
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    refresh: Arc<dyn AccessRefresh>,
}

struct Entry {
    current: Mutex<Option<Arc<Access>>>,
    /// Held by the one request that asks.
    turn: tokio::sync::Mutex<()>,
    /// Renewals that have ended: who waited for its turn sees that one was made meanwhile.
    renewals: AtomicU64,
}

impl AccessBook {
    /// An empty book that asks `refresh` for what it lacks.
    #[must_use]
    pub fn new(refresh: Arc<dyn AccessRefresh>) -> Self {
        Self {
            entries: Mutex::default(),
            refresh,
        }
    }

    /// Replaces the access called `name`; requests that start from now on use it.
    pub fn push(&self, name: &str, access: Access) {
        *self.entry(name).lock() = Some(Arc::new(access));
    }

    /// The access called `name`, if it was ever pushed.
    #[must_use]
    pub fn current(&self, name: &str) -> Option<Arc<Access>> {
        self.entry(name).lock().clone()
    }

    /// An access whose credentials are not those of `rejected`; asks for one when the book has
    /// none.
    pub(crate) async fn renew(
        &self,
        name: &str,
        rejected: Option<&Access>,
        reason: &str,
    ) -> Result<Arc<Access>, Fault> {
        let entry = self.entry(name);
        let before = entry.renewals.load(Ordering::Acquire);
        let renewal = async {
            let _turn = entry.turn.lock().await;
            if let Some(access) = usable(entry.lock().as_ref(), rejected) {
                return Ok(access);
            }
            if entry.renewals.load(Ordering::Acquire) != before {
                return Err(unchanged(name, rejected));
            }
            let outcome = self.refresh.ask(name, reason).await;
            entry.renewals.fetch_add(1, Ordering::AcqRel);
            outcome?;
            usable(entry.lock().as_ref(), rejected).ok_or_else(|| unchanged(name, rejected))
        };
        tokio::time::timeout(RENEWAL_PATIENCE, renewal)
            .await
            .unwrap_or_else(|_| {
                let wait = RENEWAL_PATIENCE.as_secs();
                let message = format!("credentials of {name} did not come within {wait} s");
                Err(Fault::new(FaultKind::Transient, message))
            })
    }

    fn entry(&self, name: &str) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(name) {
            return Arc::clone(entry);
        }
        let entry = Arc::new(Entry {
            current: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            renewals: AtomicU64::new(0),
        });
        entries.insert(name.to_owned(), Arc::clone(&entry));
        entry
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Access>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AccessBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessBook")
    }
}

/// The access, when it has credentials and they are other ones than were rejected.
fn usable(current: Option<&Arc<Access>>, rejected: Option<&Access>) -> Option<Arc<Access>> {
    let access = current?;
    let rejected = rejected.and_then(|access| access.credentials.as_ref());
    let other = access.credentials.is_some() && access.credentials.as_ref() != rejected;
    other.then(|| Arc::clone(access))
}

fn unchanged(name: &str, rejected: Option<&Access>) -> Fault {
    let message = match rejected.and_then(|access| access.credentials.as_ref()) {
        Some(_) => format!("the credentials of {name} were rejected and no other ones were found"),
        None => format!("no AWS credentials were found for {name}"),
    };
    Fault::new(FaultKind::Denied, message)
}
