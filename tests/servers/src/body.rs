//! The body of an answer: pieces written one after the other, whole or cut short on purpose.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How long a cut body waits before the cut, so that what came before it has left.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// Pieces of a body, whose length is announced as the whole even when it is cut.
#[derive(Debug)]
pub struct Pieces {
    queue: VecDeque<Bytes>,
    unsent: u64,
    cut: Option<Cut>,
}

#[derive(Debug)]
struct Cut {
    wait: Option<Pin<Box<Sleep>>>,
    reset: Option<Arc<AtomicBool>>,
}

impl Pieces {
    /// A body that is sent whole.
    #[must_use]
    pub fn whole(parts: Vec<Bytes>) -> Self {
        let unsent = parts.iter().map(|part| part.len() as u64).sum();
        Self {
            queue: parts.into_iter().filter(|part| !part.is_empty()).collect(),
            unsent,
            cut: None,
        }
    }

    /// A body that ends after so many bytes: by a reset when a flag is given, which tells the
    /// connection, else by a close.
    #[must_use]
    pub fn cut(parts: Vec<Bytes>, after: usize, reset: Option<Arc<AtomicBool>>) -> Self {
        let mut whole = Self::whole(parts);
        let mut left = after;
        for part in &mut whole.queue {
            part.truncate(left);
            left -= part.len();
        }
        whole.queue.retain(|part| !part.is_empty());
        whole.cut = Some(Cut { wait: None, reset });
        // A body that is all sent would end well: one byte more is announced than there is.
        let sent: u64 = whole.queue.iter().map(|part| part.len() as u64).sum();
        whole.unsent = whole.unsent.max(sent + 1);
        whole
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(part) = self.queue.pop_front() {
            self.unsent -= part.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let Some(cut) = &mut self.cut else {
            return Poll::Ready(None);
        };
        let wait = cut
            .wait
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(BEFORE_CUT)));
        std::task::ready!(wait.as_mut().poll(context));
        if let Some(reset) = &cut.reset {
            reset.store(true, Ordering::Release);
        }
        Poll::Ready(Some(Err(io::Error::other("cut on purpose"))))
    }

    fn is_end_stream(&self) -> bool {
        self.queue.is_empty() && self.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.unsent)
    }
}
