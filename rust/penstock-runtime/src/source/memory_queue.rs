//! Keeps a standard queue in the process, for tests: messages, visibility, and failures on command.
//!
//! Rules: it behaves as a source must, and fails only when told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{QueueFacts, Refused};
use penstock_engine::record::{Batch, Page, RecordView};
use penstock_engine::time::{Mono, Wall};
use tokio::sync::watch;

use super::EmbeddedQueue;
use crate::clock::Clock;
use crate::error::SourceError;
use crate::messages::{MessagePage, SliceMessage};
use crate::page::Slice;
use crate::ports::{QueueSource, ReceiveRequest};

/// The MD5 of nothing in particular: nobody looks at it.
const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// A queue in the process.
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    visibility: Duration,
    content: Mutex<Content>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Content {
    messages: Vec<Message>,
    sent: u64,
    receives: u64,
    faults: VecDeque<Fault>,
}

struct Message {
    number: u64,
    body: String,
    sent: Wall,
    visible: Mono,
    receives: u32,
}

impl MemoryQueue {
    /// An empty queue that hides what is received for `visibility`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, visibility: Duration) -> Arc<Self> {
        Arc::new(Self {
            clock,
            visibility,
            content: Mutex::default(),
            changed: watch::Sender::new(()),
        })
    }

    /// Adds a message.
    pub fn send(&self, body: &str) {
        let now = self.clock.now();
        let mut content = self.content();
        content.sent += 1;
        let number = content.sent;
        content.messages.push(Message {
            number,
            body: body.to_owned(),
            sent: now.wall,
            visible: now.mono,
            receives: 0,
        });
        drop(content);
        self.changed.send_replace(());
    }

    /// The next receive fails so.
    pub fn fail_next_receive(&self, kind: FaultKind, message: &str) {
        self.content().faults.push_back(Fault::new(kind, message));
        self.changed.send_replace(());
    }

    /// How many receives have come.
    #[must_use]
    pub fn receives(&self) -> u64 {
        self.content().receives
    }

    /// Bodies of the messages that are not deleted, each with the number of its receives.
    #[must_use]
    pub fn left(&self) -> Vec<(String, u32)> {
        let content = self.content();
        let left = content.messages.iter();
        left.map(|one| (one.body.clone(), one.receives)).collect()
    }

    /// How many messages can be received now.
    #[must_use]
    pub fn visible(&self) -> usize {
        let now = self.clock.now().mono;
        let content = self.content();
        let visible = content.messages.iter().filter(|one| one.visible <= now);
        visible.count()
    }

    fn take(&self, request: &ReceiveRequest) -> Result<Option<Arc<dyn Page>>, Fault> {
        let now = self.clock.now().mono;
        let mut content = self.content();
        content.receives += 1;
        if let Some(fault) = content.faults.pop_front() {
            return Err(fault);
        }
        let mut text = MD5.to_owned() + "{}";
        let mut taken = Vec::new();
        let visible = content.messages.iter_mut();
        for message in visible
            .filter(|message| message.visible <= now)
            .take(request.limit as usize)
        {
            message.receives += 1;
            message.visible = now + request.visibility.unwrap_or(self.visibility);
            taken.extend(placed(&mut text, message));
        }
        if taken.is_empty() {
            return Ok(None);
        }
        let page = MessagePage::new(text, String::new(), taken);
        let page = page.map_err(|error| Fault::new(FaultKind::Fatal, error.to_string()))?;
        Ok(Some(Arc::new(page)))
    }

    /// Does something with each message whose receipt is still good.
    fn settle(&self, batch: &Batch, mut deed: impl FnMut(&mut Content, usize)) -> Vec<Refused> {
        let mut content = self.content();
        let mut refused = Vec::new();
        for index in 0..batch.len() {
            let RecordView::Sqs(message) = batch.view(index) else {
                continue;
            };
            let good = |one: &Message| receipt(one) == message.receipt_handle;
            match content.messages.iter().position(good) {
                Some(place) => deed(&mut content, place),
                None => refused.push(Refused {
                    index: index as u32,
                    fault: Fault::new(FaultKind::Expired, "the receipt is not the newest"),
                }),
            }
        }
        drop(content);
        self.changed.send_replace(());
        refused
    }

    /// When something is there to receive, if anything ever.
    fn next(&self) -> Option<Mono> {
        let content = self.content();
        if content.faults.is_empty() {
            content.messages.iter().map(|one| one.visible).min()
        } else {
            Some(Mono(0))
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn receipt(message: &Message) -> String {
    format!("{}-{}", message.number, message.receives)
}

/// Appends a message's parts to a text that begins with its MD5 and empty attributes.
fn placed(text: &mut String, message: &Message) -> Option<SliceMessage> {
    let empty = Slice::of_body(MD5.len()..MD5.len() + 2)?;
    let mut add = |part: &str| {
        let start = text.len();
        text.push_str(part);
        Slice::of_body(start..text.len())
    };
    let count = message.receives;
    let attributes = format!("{{\"ApproximateReceiveCount\":\"{count}\"}}");
    Some(SliceMessage {
        message_id: add(&format!("message-{}", message.number))?,
        receipt_handle: add(&receipt(message))?,
        body: add(&message.body)?,
        md5_of_body: Slice::of_body(0..MD5.len())?,
        attributes: add(&attributes)?,
        message_attributes: empty,
        md5_of_message_attributes: None,
        group: None,
        receive_count: count,
        sent: message.sent,
    })
}

impl QueueSource for MemoryQueue {
    fn profile(&self) -> SourceProfile {
        EmbeddedQueue::profile_of_all()
    }

    fn describe(&self) -> BoxFuture<'_, Result<QueueFacts, SourceError>> {
        Box::pin(async move {
            Ok(QueueFacts {
                visibility_timeout: self.visibility,
                fifo: false,
                max_receive_count: None,
                server_time: self.clock.now().wall,
            })
        })
    }

    fn ready<'a>(&'a self, request: &'a ReceiveRequest) -> BoxFuture<'a, Duration> {
        Box::pin(async move {
            let until = self.clock.now().mono + request.wait;
            let mut changes = self.changed.subscribe();
            loop {
                let (now, next) = (self.clock.now().mono, self.next());
                if now >= until || next.is_some_and(|next| next <= now) {
                    return Duration::ZERO;
                }
                let wake = next.map_or(until, |next| next.min(until));
                tokio::select! {
                    _ = changes.changed() => {}
                    () = self.clock.sleep_until(wake) => {}
                }
            }
        })
    }

    fn receive(
        &self,
        request: ReceiveRequest,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn Page>>, SourceError>> {
        Box::pin(async move {
            self.ready(&request).await;
            self.take(&request).map_err(SourceError::from)
        })
    }

    fn acknowledge(&self, messages: Batch) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>> {
        let deed = |content: &mut Content, place| drop(content.messages.remove(place));
        Box::pin(async move { Ok(self.settle(&messages, deed)) })
    }

    fn extend(
        &self,
        messages: Batch,
        by: Duration,
    ) -> BoxFuture<'_, Result<Vec<Refused>, SourceError>> {
        Box::pin(async move {
            let visible = self.clock.now().mono + by;
            Ok(self.settle(&messages, |content, place| {
                content.messages[place].visible = visible;
            }))
        })
    }
}
