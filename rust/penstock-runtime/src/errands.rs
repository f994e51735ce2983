//! Lets the runtime ask Python for what is not an invocation.
//!
//! Rules: whoever asks waits for an answer that is bound to come: Python's, or a fault when the
//! runtime closes; whoever stops waiting takes the errand back; nothing here waits without a bound.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use penstock_engine::fault::{Fault, FaultKind};
use tokio::sync::oneshot;

use crate::error::RuntimeError;

/// More errands than this that nobody has taken are refused.
const WAITING_MAX: usize = 1_024;

/// Something for Python to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Names it until it is finished.
    pub id: u64,
    /// Who does it, for example `access`.
    pub kind: String,
    /// What to do, as JSON.
    pub document: Vec<u8>,
}

/// What came of an errand: Python's detail, or a fault.
pub type ErrandOutcome = Result<Vec<u8>, Fault>;

/// Errands of one runtime.
#[derive(Debug, Default)]
pub struct Errands {
    board: Mutex<Board>,
    posted: Condvar,
}

#[derive(Debug, Default)]
struct Board {
    next: u64,
    waiting: VecDeque<Errand>,
    askers: BTreeMap<u64, oneshot::Sender<ErrandOutcome>>,
    closed: bool,
}

impl Errands {
    /// An empty board.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks, and waits for the answer. Dropping the future takes the errand back.
    ///
    /// # Errors
    ///
    /// The fault that Python reports, or one of our own when nobody will do it.
    pub async fn post(self: &Arc<Self>, kind: &str, document: Vec<u8>) -> ErrandOutcome {
        let (sender, answer) = oneshot::channel();
        let asked = {
            let mut board = self.board();
            if board.closed {
                return Err(closed());
            }
            if board.waiting.len() >= WAITING_MAX {
                let message = format!("{WAITING_MAX} errands are waiting already");
                return Err(Fault::new(FaultKind::Transient, message));
            }
            let id = board.next;
            board.next += 1;
            board.waiting.push_back(Errand {
                id,
                kind: kind.to_owned(),
                document,
            });
            board.askers.insert(id, sender);
            Asked {
                errands: self.clone(),
                id,
            }
        };
        self.posted.notify_all();
        let outcome = answer.await.unwrap_or_else(|_| Err(closed()));
        drop(asked);
        outcome
    }

    /// Waits for an errand, as a thread; of one of `kinds`, or of any when there are none given.
    ///
    /// # Errors
    ///
    /// When the runtime was closed.
    pub fn next(&self, kinds: &[&str], timeout: Duration) -> Result<Option<Errand>, RuntimeError> {
        let until = Instant::now() + timeout;
        let mut board = self.board();
        loop {
            if board.closed {
                return Err(RuntimeError::Closed);
            }
            let wanted =
                |errand: &Errand| kinds.is_empty() || kinds.contains(&errand.kind.as_str());
            if let Some(place) = board.waiting.iter().position(wanted) {
                return Ok(board.waiting.remove(place));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let woken = self.posted.wait_timeout(board, left);
            board = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reports what came of an errand. One that was taken back or finished before is ignored.
    pub fn finish(&self, id: u64, outcome: ErrandOutcome) {
        let asker = self.board().askers.remove(&id);
        if let Some(asker) = asker {
            // Whoever asked may have stopped waiting just now.
            let _ = asker.send(outcome);
        }
    }

    /// Errands that nobody has taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.board().waiting.len()
    }

    /// Fails every errand, now and from now on, and sends the threads that wait away.
    pub fn close(&self) {
        let askers = {
            let mut board = self.board();
            board.closed = true;
            board.waiting.clear();
            std::mem::take(&mut board.askers)
        };
        drop(askers);
        self.posted.notify_all();
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An errand that somebody waits for.
struct Asked {
    errands: Arc<Errands>,
    id: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut board = self.errands.board();
        board.waiting.retain(|errand| errand.id != self.id);
        board.askers.remove(&self.id);
    }
}

fn closed() -> Fault {
    Fault::new(FaultKind::Transient, "the runtime is closing")
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_answer_reaches_whoever_asked() {
        let errands = Errands::new();
        let mut asked = Box::pin(errands.post("access", b"{}".to_vec()));
        assert!(poll!(&mut asked).is_pending());
        assert_eq!(errands.next(&["deliver"], Duration::ZERO), Ok(None));
        let errand = errands
            .next(&["access"], SOON)
            .expect("open")
            .expect("one is waiting");
        assert_eq!(
            (errand.kind.as_str(), errand.document),
            ("access", b"{}".to_vec())
        );
        errands.finish(errand.id, Ok(b"done".to_vec()));
        errands.finish(errand.id, Ok(b"twice".to_vec()));
        assert_eq!(asked.await, Ok(b"done".to_vec()));
    }

    #[tokio::test]
    async fn an_errand_is_taken_back_when_nobody_waits_for_it() {
        let errands = Errands::new();
        let mut asked = Box::pin(errands.post("access", Vec::new()));
        assert!(poll!(&mut asked).is_pending());
        drop(asked);
        assert_eq!(errands.next(&[], Duration::ZERO), Ok(None));
    }

    #[tokio::test]
    async fn closing_answers_everybody() {
        let errands = Errands::new();
        let mut asked = Box::pin(errands.post("access", Vec::new()));
        assert!(poll!(&mut asked).is_pending());
        let waiting = std::thread::spawn({
            let errands = errands.clone();
            move || errands.next(&["deliver"], SOON)
        });
        errands.close();
        assert_eq!(
            asked.await.map_err(|fault| fault.kind),
            Err(FaultKind::Transient)
        );
        assert_eq!(waiting.join().expect("no panic"), Err(RuntimeError::Closed));
    }

    #[tokio::test]
    async fn a_full_board_refuses() {
        let errands = Errands::new();
        let mut asked: Vec<_> = (0..=WAITING_MAX)
            .map(|_| Box::pin(errands.post("access", Vec::new())))
            .collect();
        for waiting in &mut asked[..WAITING_MAX] {
            assert!(poll!(waiting).is_pending());
        }
        assert!(poll!(&mut asked[WAITING_MAX]).is_ready());
    }
}
