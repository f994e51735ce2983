//! Sends failure documents to a queue of the state directory.
//!
//! Rules: the queue is created when there is none; it is a standard queue, as Lambda takes no FIFO
//! queue for failure documents.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::FaultKind;

use crate::error::{DestinationError, QueueError};
use crate::ports::Destination;
use crate::state::State;
use crate::state::queues::{NewMessage, QueueOptions, is_fifo};

/// An embedded queue, as a destination.
pub struct EmbeddedQueueDestination {
    state: Arc<State>,
    name: Arc<str>,
}

impl EmbeddedQueueDestination {
    /// The queue of this name, which is created when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or is a FIFO queue.
    pub fn open(state: Arc<State>, name: &str) -> Result<Arc<dyn Destination>, DestinationError> {
        if is_fifo(name) {
            let message = format!("{name} is a FIFO queue, which takes no failure documents");
            return Err(DestinationError::new(FaultKind::Invalid, message));
        }
        match state.queues().create(name, &QueueOptions::default()) {
            Ok(()) | Err(QueueError::Exists(_)) => Ok(Arc::new(Self {
                state,
                name: name.into(),
            })),
            Err(error) => Err(error.fault().into()),
        }
    }

    async fn send(&self, document: &FailureDocument) -> Result<(), QueueError> {
        let message = || NewMessage {
            body: document.body.clone(),
            ..NewMessage::default()
        };
        let queues = self.state.queues();
        match queues.send_from_task(&self.name, vec![message()]).await {
            // Somebody deleted it meanwhile.
            Err(QueueError::NotFound(_)) => {
                let options = QueueOptions::default();
                queues.create_from_task(&self.name, &options).await?;
                let sent = queues.send_from_task(&self.name, vec![message()]).await;
                sent.map(|_| ())
            }
            sent => sent.map(|_| ()),
        }
    }
}

impl Destination for EmbeddedQueueDestination {
    fn deliver(
        &self,
        document: Arc<FailureDocument>,
    ) -> BoxFuture<'_, Result<(), DestinationError>> {
        Box::pin(async move {
            self.send(&document).await.map_err(|error| match error {
                // Two deliveries created it at once: the next attempt finds it.
                QueueError::Exists(_) => {
                    DestinationError::new(FaultKind::Transient, error.to_string())
                }
                error => error.fault().into(),
            })
        })
    }
}
