//! Has failure documents delivered by whoever takes errands.
//!
//! Rules: an errand is one line of JSON that says what is to be delivered where, a line break, and
//! the document as it is; nobody waits for an answer longer than a bound, and a delivery that was
//! given up so may have happened: the document comes again with the same id.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::MappingId;
use serde_json::json;

use crate::errands::Errands;
use crate::error::DestinationError;
use crate::ports::Destination;

/// The kind of these errands.
pub const DELIVER: &str = "deliver";

/// How long one delivery may take, the wait for its turn included.
pub const DELIVERY_PATIENCE: Duration = Duration::from_secs(60);

/// A destination that somebody else knows how to reach.
pub struct ErrandDestination {
    errands: Arc<Errands>,
    mapping: MappingId,
}

impl ErrandDestination {
    /// The destination of a mapping.
    #[must_use]
    pub fn open(errands: Arc<Errands>, mapping: MappingId) -> Arc<dyn Destination> {
        Arc::new(Self { errands, mapping })
    }

    fn errand(&self, document: &FailureDocument) -> Vec<u8> {
        let head = json!({
            "mapping": self.mapping.as_str(),
            "destination": document.destination,
            "shard": document.shard.as_str(),
            "id": document.id,
            "timestamp": document.timestamp,
        });
        format!("{head}\n{}", document.body).into_bytes()
    }
}

impl Destination for ErrandDestination {
    fn deliver(
        &self,
        document: Arc<FailureDocument>,
    ) -> BoxFuture<'_, Result<(), DestinationError>> {
        Box::pin(async move {
            let asked = self.errands.post(DELIVER, self.errand(&document));
            match tokio::time::timeout(DELIVERY_PATIENCE, asked).await {
                Ok(answer) => Ok(answer.map(drop)?),
                Err(_) => Err(DestinationError::new(
                    FaultKind::Transient,
                    format!(
                        "{} took no document within {} s",
                        document.destination,
                        DELIVERY_PATIENCE.as_secs()
                    ),
                )),
            }
        })
    }
}
