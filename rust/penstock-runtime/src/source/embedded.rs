//! Reads a stream of the state directory.
//!
//! Rules: waiting costs no reading; the disk is read on threads that may block.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{Fetched, ShardListing};

use crate::error::SourceError;
use crate::ports::{FetchRequest, StreamSource};
use crate::state::State;

/// An embedded stream, as a source.
pub struct EmbeddedSource {
    state: Arc<State>,
    name: Arc<str>,
}

impl EmbeddedSource {
    /// The stream of this name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn open(state: Arc<State>, name: &str) -> Result<Arc<dyn StreamSource>, SourceError> {
        state
            .streams()
            .listing(name)
            .map_err(|error| SourceError::from(error.fault()))?;
        Ok(Arc::new(Self {
            state,
            name: name.into(),
        }))
    }

    /// What reading an embedded stream asks for.
    #[must_use]
    pub fn profile_of_all() -> SourceProfile {
        SourceProfile {
            idle_interval: Duration::from_millis(250),
            // New records end a wait. An answer without records tells that the tip is reached,
            // so that it should not take long.
            fetch_wait: Duration::from_secs(1),
            fetch_records_max: 10_000,
            // The text, and what a page notes of 10,000 records.
            fetch_bytes_max: 12 << 20,
            tip_reads_per_second: None,
            list_interval: Duration::from_secs(60),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State, &str) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (state, name) = (self.state.clone(), self.name.clone());
        match tokio::task::spawn_blocking(move || work(&state, &name)).await {
            Ok(answer) => answer.map_err(SourceError::from),
            Err(ended) => Err(SourceError::new(
                FaultKind::Transient,
                format!("reading stream {} did not end: {ended}", self.name),
            )),
        }
    }
}

impl StreamSource for EmbeddedSource {
    fn profile(&self) -> SourceProfile {
        Self::profile_of_all()
    }

    fn list_shards(&self) -> BoxFuture<'_, Result<ShardListing, SourceError>> {
        Box::pin(
            self.blocking(|state, name| {
                state.streams().listing(name).map_err(|error| error.fault())
            }),
        )
    }

    fn ready<'a>(&'a self, request: &'a FetchRequest) -> BoxFuture<'a, ()> {
        let FetchRequest {
            shard, from, wait, ..
        } = request;
        Box::pin(
            self.state
                .streams()
                .readable(&self.name, shard, from, *wait),
        )
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, SourceError>> {
        Box::pin(async move {
            self.ready(&request).await;
            self.blocking(move |state, name| {
                state
                    .streams()
                    .read(name, &request.shard, &request.from, request.limit)
            })
            .await
        })
    }
}
