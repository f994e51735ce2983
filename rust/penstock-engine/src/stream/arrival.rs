//! Takes in what comes of an answer before its end.
//!
//! Rules: a part counts at once, by itself and no longer as what was reserved for the answer; a
//! read that fails behind parts goes on behind them; a part that goes backwards fails the read,
//! since what follows it may not be taken in behind what is missing.

use std::sync::Arc;

use super::core::Core;
use super::shard::Shard;
use crate::ids::{Position, SequenceNumber};
use crate::mutants::{self, Mutant};
use crate::record::Page;
use crate::time::Now;

impl Shard {
    /// A part of an answer of the source.
    pub fn arrived(&mut self, page: Arc<dyn Page>, core: &mut Core, now: Now) {
        if page.facts().is_empty() {
            return;
        }
        if let Some(fault) = self.backwards(page.as_ref()) {
            self.reader.op.into_iter().for_each(|op| core.abandon(op));
            self.read_failed(fault, core, now);
            return;
        }
        // What has come is counted by itself from now on.
        let freed = self.reader.reserved.min(page.pinned_bytes() as u64);
        self.reader.reserved -= freed;
        core.held_bytes -= freed;
        self.reader.arriving = true;
        if mutants::active(Mutant::PartsReadAgain) {
            self.take_in(page, core, now);
        } else {
            self.append(page, core, now);
        }
        self.step_lanes(core, now);
        self.advance(core, now);
    }

    /// Goes on behind the records of a page, and takes them in.
    pub fn append(&mut self, page: Arc<dyn Page>, core: &mut Core, now: Now) {
        self.reader.empty_reads = 0;
        let last = SequenceNumber::new(page.sequence_number(page.facts().len() - 1));
        self.reader.last_read = Some(last.clone());
        self.reader.position = Position::after(last);
        self.take_in(page, core, now);
    }
}
