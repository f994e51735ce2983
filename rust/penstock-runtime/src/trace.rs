//! Keeps what a mapping's engine was told: whole, in a file, when asked; the last of it always.
//!
//! Rules: a trace file replays exactly and holds no payload; a file that cannot be written ends
//! the trace, never the mapping; the tail is there for the one time that something panics.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use penstock_engine::config::MappingConfig;
use penstock_engine::ids::{MappingId, SlotId};
use penstock_engine::io::{Input, Resume};
use penstock_engine::time::Now;
use penstock_engine::trace::TraceLine;

/// Steps that the tail remembers.
const TAIL_STEPS: usize = 256;

/// Bytes after which a trace file ends.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Writes down what one engine is told.
pub(crate) struct Tracer {
    file: Option<Counted>,
    tail: Arc<Tail>,
}

/// The last steps of an engine; outlives the task that owns the engine.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<VecDeque<String>>);

struct Counted {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

impl Tracer {
    /// A tracer into a new file of `directory`, if there is one, and into `tail`.
    pub(crate) fn new(
        directory: Option<&Path>,
        mapping: &MappingId,
        now: Now,
        tail: Arc<Tail>,
    ) -> Self {
        let file = directory.and_then(|directory| {
            let path = directory.join(format!("{mapping}-{}.trace.jsonl", now.wall.0));
            match private_file(directory, &path) {
                Ok(file) => Some(Counted {
                    path,
                    out: BufWriter::new(file),
                    bytes: 0,
                }),
                Err(error) => {
                    tracing::error!(path = %path.display(), error = %error, "no trace is written");
                    None
                }
            }
        });
        Self { file, tail }
    }

    /// The engine is about to be born with these.
    pub(crate) fn header(&mut self, config: &MappingConfig, resume: &Resume, seed: u64, now: Now) {
        let rows = resume.rows.len();
        self.tail.add(format_args!(
            "{} born, seed {seed}, {rows} rows",
            now.mono.0
        ));
        self.write(|| TraceLine::header(config, resume, seed, now));
    }

    /// The engine is about to be given an input.
    pub(crate) fn input(&mut self, input: &Input, now: Now) {
        self.tail.add(format_args!("{} {input:?}", now.mono.0));
        self.write(|| TraceLine::input(input, now));
    }

    /// The engine is about to be told the time.
    pub(crate) fn timeout(&mut self, now: Now) {
        self.tail.add(format_args!("{} timeout", now.mono.0));
        self.write(|| TraceLine::Timeout { now });
    }

    /// The engine is about to be offered a worker.
    pub(crate) fn offer(&mut self, slot: SlotId, now: Now) {
        self.tail
            .add(format_args!("{} offer of slot {}", now.mono.0, slot.0));
        self.write(|| TraceLine::Offer { now, slot });
    }

    /// Hands everything to the system: a good moment is before a wait.
    pub(crate) fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.out.flush()
        {
            self.end(&error.to_string());
        }
    }

    fn write(&mut self, line: impl FnOnce() -> TraceLine) {
        let Some(file) = &mut self.file else { return };
        let mut text = Vec::new();
        let written = line()
            .write(&mut text)
            .and_then(|()| file.out.write_all(&text));
        file.bytes += text.len() as u64;
        match written {
            Err(error) => self.end(&error.to_string()),
            Ok(()) if file.bytes > FILE_BYTES_MAX => self.end("it has reached its largest size"),
            Ok(()) => {}
        }
    }

    fn end(&mut self, reason: &str) {
        if let Some(file) = self.file.take() {
            tracing::error!(path = %file.path.display(), reason, "the trace ends here");
        }
    }
}

impl Tail {
    fn add(&self, step: fmt::Arguments<'_>) {
        let mut steps = self.steps();
        // The text of the oldest step is written over.
        let mut text = match steps.len() {
            TAIL_STEPS => steps.pop_front().unwrap_or_default(),
            _ => String::new(),
        };
        text.clear();
        // Nothing that is shown here fails to show itself.
        let _ = fmt::write(&mut text, step);
        steps.push_back(text);
    }

    /// Writes the last steps into a new file of `directory`; gives its path.
    pub(crate) fn write_out(
        &self,
        directory: &Path,
        mapping: &MappingId,
        now: Now,
    ) -> std::io::Result<PathBuf> {
        let path = directory.join(format!("{mapping}-{}.tail.txt", now.wall.0));
        let mut out = BufWriter::new(private_file(directory, &path)?);
        for step in self.steps().iter() {
            writeln!(out, "{step}")?;
        }
        out.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        Ok(path)
    }

    fn steps(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn private_file(directory: &Path, path: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(directory)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
