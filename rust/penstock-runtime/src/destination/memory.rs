//! Keeps failure documents in the process, for tests: it fails when told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::FaultKind;

use crate::error::DestinationError;
use crate::ports::Destination;

/// Failure documents in the order in which they came.
#[derive(Default)]
pub struct MemoryDestination {
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    documents: Vec<Arc<FailureDocument>>,
    failures: VecDeque<DestinationError>,
}

impl MemoryDestination {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What has come so far.
    #[must_use]
    pub fn documents(&self) -> Vec<Arc<FailureDocument>> {
        self.content().documents.clone()
    }

    /// The next delivery fails so.
    pub fn fail_next(&self, kind: FaultKind, message: &str) {
        self.content()
            .failures
            .push_back(DestinationError::new(kind, message));
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination for MemoryDestination {
    fn deliver(
        &self,
        document: Arc<FailureDocument>,
    ) -> BoxFuture<'_, Result<(), DestinationError>> {
        Box::pin(async move {
            let mut content = self.content();
            if let Some(failure) = content.failures.pop_front() {
                return Err(failure);
            }
            content.documents.push(document);
            Ok(())
        })
    }
}
