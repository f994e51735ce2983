//! Receives from a queue of the state directory.
//!
//! Rules: waiting costs no reading; what was handed out is on disk as such before anybody sees it;
//! a receive that is dropped after that gives its messages back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::fault::FaultKind;
use penstock_engine::io::{QueueFacts, Refused};
use penstock_engine::record::{Batch, Page, RecordView};
use tokio::sync::oneshot;

use crate::error::{QueueError, SourceError};
use crate::messages::{MessagePage, SliceMessage};
use crate::page::Slice;
use crate::ports::{QueueSource, ReceiveRequest};
use crate::state::State;
use crate::state::queues::{
    QueueDescription, RECEIVE_BYTES_MAX, RECEIVE_MESSAGES_MAX, ReceiveOrder, ReceivedMessage,
};

/// An embedded queue, as a source.
pub struct EmbeddedQueue {
    state: Arc<State>,
    name: Arc<str>,
}

impl EmbeddedQueue {
    /// The queue of this name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn open(state: Arc<State>, name: &str) -> Result<Arc<dyn QueueSource>, SourceError> {
        state.queues().describe(name).map_err(source_error)?;
        Ok(Arc::new(Self {
            state,
            name: name.into(),
        }))
    }

    /// What receiving from an embedded queue asks for.
    #[must_use]
    pub fn profile_of_all() -> SourceProfile {
        SourceProfile {
            // A wait ends with the next message, so that nothing is gained by pausing between two.
            idle_interval: Duration::ZERO,
            fetch_wait: Duration::from_secs(20),
            fetch_records_max: RECEIVE_MESSAGES_MAX,
            // The bodies, and what else a page holds of ten messages.
            fetch_bytes_max: RECEIVE_BYTES_MAX as u64 + (1 << 20),
            tip_reads_per_second: None,
            list_interval: Duration::from_secs(300),
        }
    }

    async fn facts(&self) -> Result<QueueFacts, SourceError> {
        let (state, name) = (self.state.clone(), self.name.clone());
        let looked = tokio::task::spawn_blocking(move || state.queues().describe(&name)).await;
        let described = looked.map_err(|ended| {
            let message = format!("describing queue {} did not end: {ended}", self.name);
            SourceError::new(FaultKind::Transient, message)
        })?;
        let QueueDescription {
            visibility_timeout_s,
            fifo,
            redrive,
            ..
        } = described.map_err(source_error)?;
        Ok(QueueFacts {
            visibility_timeout: Duration::from_secs(visibility_timeout_s),
            fifo,
            max_receive_count: redrive.map(|redrive| redrive.max_receive_count),
            server_time: self.state.now().wall,
        })
    }
}

impl QueueSource for EmbeddedQueue {
    fn profile(&self) -> SourceProfile {
        Self::profile_of_all()
    }

    fn describe(&self) -> BoxFuture<'_, Result<QueueFacts, SourceError>> {
        Box::pin(self.facts())
    }

    fn ready<'a>(&'a self, request: &'a ReceiveRequest) -> BoxFuture<'a, Duration> {
        Box::pin(async move {
            let queues = self.state.queues();
            queues.receivable(&self.name, request.wait).await;
            Duration::ZERO
        })
    }

    fn receive(
        &self,
        request: ReceiveRequest,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn Page>>, SourceError>> {
        Box::pin(async move {
            self.ready(&request).await;
            let order = ReceiveOrder {
                limit: request.limit.min(RECEIVE_MESSAGES_MAX),
                visibility: request.visibility,
                attempt: request.attempt.map(|attempt| attempt.to_string()),
            };
            let (wanted, received) = oneshot::channel();
            tokio::spawn(hand_out(
                self.state.clone(),
                self.name.clone(),
                order,
                wanted,
            ));
            let received = received.await.unwrap_or_else(|_| {
                let message = "the runtime ended before the queue answered";
                Err(SourceError::new(FaultKind::Transient, message))
            });
            page_of(received?)
        })
    }

    fn acknowledge(&self, messages: Batch) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>> {
        Box::pin(async move {
            let removed = self
                .state
                .queues()
                .remove_from_task(&self.name, receipts(&messages));
            removed.await.map(refused).map_err(source_error)
        })
    }

    fn extend(
        &self,
        messages: Batch,
        by: Duration,
    ) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>> {
        Box::pin(async move {
            let hidden = self
                .state
                .queues()
                .hide_from_task(&self.name, receipts(&messages), by);
            hidden.await.map(refused).map_err(source_error)
        })
    }
}

/// Receives, and gives back what nobody waits for any more.
async fn hand_out(
    state: Arc<State>,
    name: Arc<str>,
    order: ReceiveOrder,
    wanted: oneshot::Sender<Result<Vec<ReceivedMessage>, SourceError>>,
) {
    let received = state.queues().receive_from_task(&name, order).await;
    let Err(Ok(unwanted)) = wanted.send(received.map_err(source_error)) else {
        return;
    };
    let receipts = unwanted.into_iter().map(|message| message.receipt_handle);
    let given_back = state
        .queues()
        .hide_from_task(&name, receipts.collect(), Duration::ZERO);
    if let Err(error) = given_back.await {
        // They come back when their visibility ends.
        tracing::debug!(error = %error, "messages were not given back");
    }
}

fn source_error(error: QueueError) -> SourceError {
    error.fault().into()
}

fn receipts(messages: &Batch) -> Vec<String> {
    let receipt = |index| match messages.view(index) {
        RecordView::Sqs(message) => message.receipt_handle.to_owned(),
        // No receipt: the queue refuses it as such.
        RecordView::Kinesis { .. } | RecordView::DynamoDb(_) => String::new(),
    };
    (0..messages.len()).map(receipt).collect()
}

fn refused(answers: Vec<Result<(), QueueError>>) -> Vec<Refused> {
    let refused = |(index, answer): (u32, Result<(), QueueError>)| {
        let fault = answer.err()?.fault();
        Some(Refused { index, fault })
    };
    (0..).zip(answers).filter_map(refused).collect()
}

fn page_of(received: Vec<ReceivedMessage>) -> Result<Option<Arc<dyn Page>>, SourceError> {
    if received.is_empty() {
        return Ok(None);
    }
    let mut text = String::new();
    let messages = received
        .iter()
        .map(|message| placed(&mut text, message))
        .collect::<Option<Vec<_>>>();
    let page = messages.and_then(|messages| MessagePage::new(text, String::new(), messages).ok());
    let page = page.ok_or_else(|| {
        SourceError::new(
            FaultKind::Fatal,
            "the state file: a message does not add up",
        )
    })?;
    Ok(Some(Arc::new(page)))
}

/// Appends a message's parts to the text and says where they lie.
fn placed(text: &mut String, message: &ReceivedMessage) -> Option<SliceMessage> {
    let mut add = |part: &str| {
        let start = text.len();
        text.push_str(part);
        Slice::of_body(start..text.len())
    };
    Some(SliceMessage {
        message_id: add(&message.message_id)?,
        receipt_handle: add(&message.receipt_handle)?,
        body: add(&message.body)?,
        md5_of_body: add(&message.md5_of_body)?,
        attributes: add(&message.attributes)?,
        message_attributes: add(&message.message_attributes)?,
        md5_of_message_attributes: match &message.md5_of_message_attributes {
            Some(md5) => Some(add(md5)?),
            None => None,
        },
        group: match &message.group {
            Some(group) => Some(add(group)?),
            None => None,
        },
        receive_count: message.receive_count,
        sent: message.sent,
    })
}
