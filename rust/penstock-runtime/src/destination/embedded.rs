//! Puts failure documents into a stream of the state directory.
//!
//! Rules: the stream is created when there is none; documents of one shard keep their order.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::FaultKind;

use crate::error::{DestinationError, StreamError};
use crate::ports::Destination;
use crate::state::State;
use crate::state::streams::NewRecord;

/// An embedded stream, as a destination.
pub struct EmbeddedDestination {
    state: Arc<State>,
    name: Arc<str>,
}

impl EmbeddedDestination {
    /// The stream of this name, which is created with one shard when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn open(state: Arc<State>, name: &str) -> Result<Arc<dyn Destination>, DestinationError> {
        match state.streams().create(name, 1) {
            Ok(()) | Err(StreamError::Exists(_)) => Ok(Arc::new(Self {
                state,
                name: name.into(),
            })),
            Err(error) => Err(error.fault().into()),
        }
    }

    async fn put(&self, document: &FailureDocument) -> Result<(), StreamError> {
        let record = || NewRecord {
            partition_key: document.shard.to_string(),
            data: document.body.clone().into_bytes(),
            hash_key: None,
        };
        let streams = self.state.streams();
        match streams.put_from_task(&self.name, vec![record()]).await {
            // Somebody deleted it meanwhile.
            Err(StreamError::NotFound(_)) => {
                streams.create_from_task(&self.name, 1).await?;
                streams
                    .put_from_task(&self.name, vec![record()])
                    .await
                    .map(|_| ())
            }
            put => put.map(|_| ()),
        }
    }
}

impl Destination for EmbeddedDestination {
    fn deliver(
        &self,
        document: Arc<FailureDocument>,
    ) -> BoxFuture<'_, Result<(), DestinationError>> {
        Box::pin(async move {
            self.put(&document).await.map_err(|error| match error {
                // Two deliveries created it at once: the next attempt finds it.
                StreamError::Exists(_) => {
                    DestinationError::new(FaultKind::Transient, error.to_string())
                }
                error => error.fault().into(),
            })
        })
    }
}
