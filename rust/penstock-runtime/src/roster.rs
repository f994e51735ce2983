//! Knows a runtime's mappings: their tasks, and what is left of those that ended.
//!
//! Rules: a task that panics ends its own mapping and no other; its last steps are written out;
//! what has ended stays to be looked at until it is removed or its id is used again.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use penstock_engine::ids::MappingId;
use penstock_engine::io::{Notice, NoticeLevel};
use penstock_engine::snapshot::{MappingSnapshot, MappingState};
use penstock_engine::time::Mono;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Dispatch, Instrument, dispatcher};

use crate::clock::Clock;
use crate::error::RuntimeError;
use crate::mapping::{self, Command, Parts};
use crate::snapshot::MappingStatus;
use crate::telemetry::Telemetry;
use crate::trace::Tail;

/// All mappings of a runtime.
pub(crate) struct Roster {
    entries: Mutex<BTreeMap<MappingId, Entry>>,
    running: Arc<watch::Sender<usize>>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    /// Where spans of mappings go: they are made on threads of the caller's.
    logs: Dispatch,
    /// Where the last steps of a mapping that panicked are written.
    tail_dir: PathBuf,
}

struct Entry {
    commands: mpsc::UnboundedSender<Command>,
    status: Arc<Mutex<Status>>,
}

/// What outlives a mapping's task.
#[derive(Default)]
struct Status {
    last: Option<MappingSnapshot>,
    ended_at: Option<Mono>,
    error: Option<String>,
    /// Whether the mapping leaves the roster when it ends.
    removed: bool,
}

impl Roster {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        logs: Dispatch,
        tail_dir: PathBuf,
    ) -> Arc<Self> {
        let running = Arc::new(watch::Sender::new(0));
        Arc::new(Self {
            entries: Mutex::default(),
            running,
            clock,
            telemetry,
            logs,
            tail_dir,
        })
    }

    /// Starts a mapping's task, which `parts` makes from its commands and its tail.
    pub(crate) fn start(
        self: &Arc<Self>,
        handle: &Handle,
        id: MappingId,
        parts: impl FnOnce(mpsc::UnboundedReceiver<Command>, Arc<Tail>) -> Parts,
    ) -> Result<(), RuntimeError> {
        let mut entries = self.entries();
        if entries
            .get(&id)
            .is_some_and(|entry| status_of(entry).ended_at.is_none())
        {
            return Err(RuntimeError::MappingExists(id));
        }
        let (commands, receiver) = mpsc::unbounded_channel();
        let (status, tail) = (Arc::<Mutex<Status>>::default(), Arc::<Tail>::default());
        let task = mapping::run(parts(receiver, tail.clone()));
        let (roster, name, shared) = (self.clone(), id.clone(), status.clone());
        self.running.send_modify(|running| *running += 1);
        let span =
            dispatcher::with_default(&self.logs, || tracing::info_span!("mapping", mapping = %id));
        let watched = async move {
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            let ended = ended.map_err(|panic| roster.buried(&name, &tail, panic.as_ref()));
            roster.finish(&name, &shared, ended);
        };
        handle.spawn(watched.instrument(span));
        entries.insert(id, Entry { commands, status });
        Ok(())
    }

    /// Whether a mapping's task has not ended.
    pub(crate) fn runs(&self, id: &MappingId) -> bool {
        self.entries()
            .get(id)
            .is_some_and(|entry| status_of(entry).ended_at.is_none())
    }

    /// Sends a command to a mapping's task; whether the task still runs.
    pub(crate) fn send(&self, id: &MappingId, command: Command) -> Result<bool, RuntimeError> {
        let entries = self.entries();
        let entry = entries
            .get(id)
            .ok_or_else(|| RuntimeError::UnknownMapping(id.clone()))?;
        Ok(entry.commands.send(command).is_ok())
    }

    /// Sends a command to every task.
    pub(crate) fn send_all(&self, command: impl Fn() -> Command) {
        for entry in self.entries().values() {
            // A task that has ended needs no telling.
            let _ = entry.commands.send(command());
        }
    }

    /// A mapping leaves as soon as its task has ended.
    pub(crate) fn forget(&self, id: &MappingId) {
        let mut entries = self.entries();
        let over = entries.get(id).is_some_and(|entry| {
            let mut status = status_of(entry);
            status.removed = true;
            status.ended_at.is_some()
        });
        if over {
            entries.remove(id);
        }
    }

    /// Returns when no task runs.
    pub(crate) async fn all_ended(&self) {
        let mut running = self.running.subscribe();
        // The sender lives as long as the roster.
        let _ = running.wait_for(|running| *running == 0).await;
    }

    /// Whether every task ended before `by`, and none by a bug.
    pub(crate) fn ended_in_time(&self, by: Mono) -> bool {
        self.entries().values().all(|entry| {
            let status = status_of(entry);
            status.error.is_none() && status.ended_at.is_some_and(|at| at < by)
        })
    }

    /// Asks every task for a picture.
    pub(crate) fn ask_all(&self) -> Vec<(MappingId, oneshot::Receiver<MappingSnapshot>)> {
        let ask = |(id, entry): (&MappingId, &Entry)| {
            let (sender, receiver) = oneshot::channel();
            // A task that has ended drops the sender, and its status answers for it.
            let _ = entry.commands.send(Command::Snapshot(sender));
            (id.clone(), receiver)
        };
        self.entries().iter().map(ask).collect()
    }

    /// What is known of a mapping now, with the picture that its task gave, if it did.
    pub(crate) fn status(
        &self,
        id: &MappingId,
        picture: Option<MappingSnapshot>,
    ) -> Option<MappingStatus> {
        let entries = self.entries();
        let mut status = status_of(entries.get(id)?);
        let ended = status.ended_at.is_some();
        let answered = ended || picture.is_some();
        if picture.is_some() && !ended {
            status.last = picture;
        }
        let (error, snapshot) = (status.error.clone(), status.last.clone());
        Some(MappingStatus {
            id: id.clone(),
            answered,
            ended,
            error,
            snapshot,
        })
    }

    /// Writes down what is left of a mapping that panicked; gives the sentence that tells it.
    fn buried(&self, id: &MappingId, tail: &Tail, panic: &(dyn Any + Send)) -> String {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let cause = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic");
        let path = match tail.write_out(&self.tail_dir, id, self.clock.now()) {
            Ok(path) => Some(path.display().to_string()),
            Err(error) => {
                tracing::error!(error = %error, "the last steps could not be written down");
                None
            }
        };
        let notice = panic_notice(cause, path.as_deref());
        let sentence = notice.message.clone();
        tracing::error!("{sentence}");
        self.telemetry.notices.push((id.clone(), notice));
        sentence
    }

    fn finish(
        &self,
        id: &MappingId,
        shared: &Arc<Mutex<Status>>,
        ended: Result<Option<MappingSnapshot>, String>,
    ) {
        let removed = {
            let mut status = shared.lock().unwrap_or_else(PoisonError::into_inner);
            status.ended_at = Some(self.clock.now().mono);
            match ended {
                Ok(last) => status.last = last,
                Err(sentence) => {
                    if let Some(last) = &mut status.last {
                        last.state = MappingState::Failing;
                        last.last_processing_result.clone_from(&sentence);
                    }
                    status.error = Some(sentence);
                }
            }
            status.removed
        };
        if removed {
            // The id may be in use again already.
            self.entries()
                .extract_if(.., |name, entry| {
                    name == id && Arc::ptr_eq(&entry.status, shared)
                })
                .for_each(drop);
        }
        self.running.send_modify(|running| *running -= 1);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<MappingId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status_of(entry: &Entry) -> MutexGuard<'_, Status> {
    entry.status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What people are told when a mapping's task has panicked.
fn panic_notice(cause: &str, trace: Option<&str>) -> Notice {
    let trace = trace.map_or(String::new(), |path| {
        format!("; its last steps are in {path}")
    });
    let message =
        format!("InternalError: the mapping has stopped because of a bug: {cause}{trace}");
    Notice {
        level: NoticeLevel::Error,
        code: "internal_error",
        shard: None,
        message,
    }
}
