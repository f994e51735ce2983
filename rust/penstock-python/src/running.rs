//! Keeps what workers are running, so that an answer is judged by the records it is about.
//!
//! Rules: an invocation stands here from the moment it is handed out until it is completed, once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use penstock_engine::ids::{InvocationId, MappingId};
use penstock_runtime::error::RuntimeError;
use penstock_runtime::exchange::Delivery;

use crate::errors::Failure;

type Key = (MappingId, InvocationId);

/// The invocations that workers have.
#[derive(Default)]
pub(crate) struct Running {
    deliveries: Mutex<BTreeMap<Key, Arc<Delivery>>>,
}

impl Running {
    /// A worker has this one now.
    pub(crate) fn insert(&self, delivery: &Arc<Delivery>) {
        let key = (delivery.mapping.clone(), delivery.invocation.id);
        self.lock().insert(key, Arc::clone(delivery));
    }

    /// The delivery of a running invocation.
    pub(crate) fn find(&self, mapping: &str, id: u64) -> Result<Arc<Delivery>, Failure> {
        let key = (MappingId::new(mapping), InvocationId(id));
        self.lock()
            .get(&key)
            .cloned()
            .ok_or_else(|| unknown(key.0, id))
    }

    /// It was completed; only one caller can say so.
    pub(crate) fn remove(&self, delivery: &Delivery) -> Result<(), Failure> {
        let key = (delivery.mapping.clone(), delivery.invocation.id);
        let removed = self.lock().remove(&key);
        removed.map(drop).ok_or_else(|| unknown(key.0, key.1.0))
    }

    /// Nothing is running any more.
    pub(crate) fn clear(&self) {
        let gone = std::mem::take(&mut *self.lock());
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Delivery>>> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(mapping: MappingId, invocation: u64) -> Failure {
    RuntimeError::UnknownInvocation {
        mapping,
        invocation,
    }
    .into()
}
