//! Writes an engine's inputs, timeouts and offers as lines of JSON, and runs them again.
//!
//! Rules: a trace holds everything that an engine's outputs depend on and no payload: of a page
//! only the facts, the sequence numbers and the sizes; the first line is the header; a last line
//! that was cut short by a crash is left out.
//!
//! Where lines are kept is the driver's business.

mod input;
mod page;

use std::io::{BufRead, Read, Write};

use serde::{Deserialize, Serialize};

pub use input::{TracedFetch, TracedInput};
pub use page::FactsPage;

use crate::config::MappingConfig;
use crate::engine::Engine;
use crate::ids::{ShardId, SlotId};
use crate::io::{Checkpoint, Input, Invocation, Output, Resume};
use crate::time::Now;

/// The version of the lines; a trace of another version is refused.
pub const TRACE_VERSION: u32 = 1;
/// Bytes of one line: far more than a page of 10,000 records needs.
const LINE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

/// One line of a trace.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceLine {
    /// The engine's birth; always the first line.
    Header(Box<Header>),
    /// `handle_input`.
    Input {
        /// The time it was given.
        now: Now,
        /// The input.
        input: TracedInput,
    },
    /// `handle_timeout`.
    Timeout {
        /// The time it was given.
        now: Now,
    },
    /// `poll_invocation`, whatever came of it.
    Offer {
        /// The time it was given.
        now: Now,
        /// The slot that was offered.
        slot: SlotId,
    },
}

/// What an engine is born with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the lines.
    pub version: u32,
    /// The time of birth.
    pub now: Now,
    /// The seed of its jitter.
    pub seed: u64,
    /// The mapping.
    pub config: MappingConfig,
    /// The rows that it went on from.
    pub rows: Vec<(ShardId, Checkpoint)>,
}

impl TraceLine {
    /// The header of an engine that is about to be born with these.
    #[must_use]
    pub fn header(config: &MappingConfig, resume: &Resume, seed: u64, now: Now) -> Self {
        Self::Header(Box::new(Header {
            version: TRACE_VERSION,
            now,
            seed,
            config: config.clone(),
            rows: resume.rows.clone(),
        }))
    }

    /// The line of an input that is about to be given.
    #[must_use]
    pub fn input(input: &Input, now: Now) -> Self {
        Self::Input {
            now,
            input: TracedInput::from(input),
        }
    }

    /// Writes the line with its end.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

/// Why a trace cannot be run again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The lines cannot be read.
    #[error("line {line} cannot be read: {message}")]
    Unreadable {
        /// Which line, from 1.
        line: u64,
        /// What the reader said.
        message: String,
    },
    /// A line makes no sense.
    #[error("line {line} is not a line of a trace: {message}")]
    Malformed {
        /// Which line, from 1.
        line: u64,
        /// Why.
        message: String,
    },
    /// Another version wrote it.
    #[error("the trace has version {found}; this build runs version {TRACE_VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
}

/// Something that an engine gave while its trace ran.
#[derive(Debug, Clone)]
pub enum Given {
    /// An output.
    Output(Output),
    /// What came of an offer.
    Invocation(Option<Invocation>),
}

/// Runs a trace and gives the engine as it was after the last whole line.
///
/// # Errors
/// When the trace cannot be read or is not one.
///
/// # Panics
/// Where the engine does: a trace that ends in a broken assertion breaks it again.
pub fn replay<R: BufRead>(reader: R) -> Result<Engine, TraceError> {
    replay_with(reader, |_, _| {})
}

/// Runs a trace and shows what the engine gives, line by line (counted from 1).
///
/// # Errors
/// As [`replay`].
///
/// # Panics
/// As [`replay`].
pub fn replay_with<R: BufRead>(
    reader: R,
    mut observe: impl FnMut(u64, Given),
) -> Result<Engine, TraceError> {
    let mut lines = Lines {
        reader,
        line: 0,
        buffer: Vec::new(),
    };
    let first = lines.next();
    if let Some(found) = lines.version().filter(|found| *found != TRACE_VERSION) {
        return Err(TraceError::Version { found });
    }
    let Some(TraceLine::Header(header)) = first? else {
        return Err(lines.malformed("the first line must be the header"));
    };
    let Header {
        now,
        seed,
        config,
        rows,
        ..
    } = *header;
    let mut engine = Engine::new(config, Resume { rows }, seed, now);
    loop {
        while let Some(output) = engine.poll_output() {
            observe(lines.line, Given::Output(output));
        }
        match lines.next()? {
            None => return Ok(engine),
            Some(TraceLine::Header(_)) => {
                return Err(lines.malformed("a second header"));
            }
            Some(TraceLine::Input { now, input }) => engine.handle_input(input.into(), now),
            Some(TraceLine::Timeout { now }) => engine.handle_timeout(now),
            Some(TraceLine::Offer { now, slot }) => {
                let invocation = engine.poll_invocation(slot, now);
                observe(lines.line, Given::Invocation(invocation));
            }
        }
    }
}

struct Lines<R> {
    reader: R,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<TraceLine>, TraceError> {
        self.line += 1;
        self.buffer.clear();
        let mut bounded = self.reader.by_ref().take(LINE_BYTES_MAX);
        if let Err(error) = bounded.read_until(b'\n', &mut self.buffer) {
            return Err(TraceError::Unreadable {
                line: self.line,
                message: error.to_string(),
            });
        }
        if self.buffer.len() as u64 == LINE_BYTES_MAX {
            return Err(self.malformed("it is too long"));
        }
        match serde_json::from_slice(&self.buffer) {
            Ok(line) => Ok(Some(line)),
            Err(_) if self.buffer.last() != Some(&b'\n') => Ok(None),
            Err(error) => Err(self.malformed(&error.to_string())),
        }
    }

    /// The version that the line just read names: another version's header may have members that
    /// this one cannot read.
    fn version(&self) -> Option<u32> {
        let line: serde_json::Value = serde_json::from_slice(&self.buffer).ok()?;
        u32::try_from(line.get("header")?.get("version")?.as_u64()?).ok()
    }

    fn malformed(&self, message: &str) -> TraceError {
        TraceError::Malformed {
            line: self.line,
            message: message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
