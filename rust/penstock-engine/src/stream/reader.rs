//! Decides when to read a shard, and takes in what comes.
//!
//! Rules: positions are the truth, the source's iterators are its own affair; one read at a time;
//! no read without room (records, bytes, distance from the watermark); a source that goes backwards
//! is at fault; parts of an answer are taken in as they come, and a read that fails behind them
//! goes on behind them. How much is read and how often says `pace.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::assembler::Inflow;
use super::core::{Core, Pending, Timer};
use super::lane::{Lane, Queued};
use super::router::lane_of;
use super::shard::{Shard, State};
use crate::backoff;
use crate::config::MappingConfig;
use crate::fault::{Fault, FaultKind};
use crate::ids::{OpId, Position, SequenceNumber, compare_sequence_numbers};
use crate::io::{Fetch, Fetched, NoticeLevel, Output};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::record::Page;
use crate::time::{Mono, Now, Wall};

/// What a read record is guessed to weigh before any has come.
const RECORD_BYTES_GUESS: u64 = 1_024;
/// Stale positions are asked again at once so many times before it is done slowly.
const EXPIRED_AT_ONCE: u32 = 2;

#[derive(Debug)]
pub(crate) struct Reader {
    pub position: Position,
    pub last_read: Option<SequenceNumber>,
    pub op: Option<OpId>,
    pub reserved: u64,
    pub next_at: Mono,
    pub armed: Option<Mono>,
    pub failures: u32,
    pub fault: Option<Trouble>,
    pub limit: u32,
    /// Empty answers at the tip in a row.
    pub empty_reads: u32,
    pub behind_ms: Option<u64>,
    pub ended: bool,
    /// Whether parts of the answer have come and the rest is on its way.
    pub arriving: bool,
    pub starved: bool,
    pub full_since: Option<Wall>,
    pub started: Mono,
    pub bytes_per_record: u64,
}

/// A fault of the source that is being waited out.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub fault: Fault,
    pub since: Wall,
    pub until: Wall,
}

impl Reader {
    pub fn new(position: Position, config: &MappingConfig) -> Self {
        let last_read = match &position {
            Position::After { sequence, .. } => Some(sequence.clone()),
            _ => None,
        };
        Self {
            position,
            last_read,
            op: None,
            reserved: 0,
            next_at: Mono(0),
            armed: None,
            failures: 0,
            fault: None,
            limit: config.source.fetch_records_max,
            empty_reads: 0,
            behind_ms: None,
            ended: false,
            arriving: false,
            starved: false,
            full_since: None,
            started: Mono(0),
            bytes_per_record: RECORD_BYTES_GUESS,
        }
    }

    /// Whether everything that the source had was read, as far as it can be told.
    pub fn at_tip(&self, config: &MappingConfig) -> bool {
        // A source that waits for records says more by coming back empty than one that does not.
        let enough = if config.source.fetch_wait > Duration::ZERO {
            1
        } else {
            2
        };
        self.empty_reads >= enough
    }

    /// What is to be expected of the shard's records.
    pub fn inflow(&self) -> Inflow {
        match (self.ended, self.op) {
            (true, _) => Inflow::Ended,
            (false, Some(_)) if self.arriving => Inflow::Arriving,
            _ => Inflow::Open,
        }
    }
}

impl Shard {
    /// Reads if that is wanted and there is room.
    pub fn read(&mut self, core: &mut Core, now: Now) {
        let asked = self.reader.op.is_some();
        if self.state != State::Reading || asked || !core.reads() || self.leaves() {
            return;
        }
        if self.reader.next_at > now.mono {
            if self.reader.armed != Some(self.reader.next_at) {
                self.reader.armed = Some(self.reader.next_at);
                core.arm(self.reader.next_at, Timer::Reader(self.place));
            }
            return;
        }
        if !self.hungry(&core.config) {
            self.reader.full_since.get_or_insert(now.wall);
            return;
        }
        self.reader.full_since = None;
        let freed = self
            .buffer
            .compact(|from, to| Shard::queued_between(&self.lanes, from, to));
        core.held_bytes -= freed;
        let limit = self.reader.asks_for(&core.config);
        let reserve = self.reader.expects(limit, &core.config);
        let room = core
            .config
            .buffered_bytes_max
            .saturating_sub(core.held_bytes);
        // A batch of an earlier life that has come in part runs only when the rest is there: to
        // wait for room would be to wait for itself.
        let torn = self.lanes.iter().any(|lane| lane.expected.is_some());
        if core.held_bytes > 0 && reserve > room && !torn {
            if !self.reader.starved {
                self.reader.starved = true;
                core.starved.push_back(self.place);
            }
            return;
        }
        self.reader.starved = false;
        self.reader.reserved = reserve;
        core.held_bytes += reserve;
        self.reader.started = now.mono;
        let op = core.open(Pending::Fetch {
            shard: self.place,
            epoch: self.epoch,
        });
        self.reader.op = Some(op);
        self.reader.arriving = false;
        core.emit(Output::Fetch(Fetch {
            op,
            shard: self.id.clone(),
            from: self.reader.position.clone(),
            limit,
            wait: core.config.source.fetch_wait,
            reserve_bytes: reserve,
        }));
    }

    /// Whether some lane lacks a full batch and no bound is reached.
    fn hungry(&self, config: &MappingConfig) -> bool {
        let buffered: usize = self.lanes.iter().map(|lane| lane.queue.len()).sum();
        let ahead = self.buffer.next_ordinal() - self.watermark();
        let lacking = self.lanes.iter().any(|lane| {
            lane.fresh() < config.batch_size as usize
                && lane.fresh_bytes() < config.payload_bytes_max
        });
        // A batch of an earlier life may reach further than this life would read by itself.
        let owed = self.lanes.iter().any(Lane::lacks_expected);
        (lacking || owed)
            && buffered + self.reader.limit as usize <= limits::SHARD_BUFFERED_RECORDS_MAX as usize
            && (ahead < u64::from(config.ahead_records_max) || buffered == 0 || owed)
    }

    /// An answer of the source, or what is left of one.
    pub fn fetched(&mut self, fetched: Fetched, core: &mut Core, now: Now) {
        self.close_read(core);
        self.reader.behind_ms = fetched.behind_ms;
        let came = self.reader.arriving;
        let page = fetched.page.filter(|page| !page.facts().is_empty());
        if let Some(page) = &page
            && let Some(fault) = self.backwards(page.as_ref())
        {
            self.read_failed(fault, core, now);
            return;
        }
        self.recovered(core, now);
        self.reader.limit = core.config.source.fetch_records_max;
        let got_records = came || page.is_some();
        if let Some(page) = page {
            self.append(page, core, now);
        } else if !came && fetched.behind_ms.unwrap_or(0) == 0 {
            self.reader.empty_reads = self.reader.empty_reads.saturating_add(1);
        }
        if let Some(next) = fetched.next.filter(|next| *next != self.reader.position) {
            self.reader.position = next;
            self.saver.mark(now.wall);
        }
        if fetched.ended {
            core.transition("read:ended");
            self.read_to_end(core, now);
            return;
        }
        let config = Arc::clone(&core.config);
        self.reader.pace(&config, got_records, now);
        self.read(core, now);
        self.step_lanes(core, now);
        self.advance(core, now);
    }

    fn close_read(&mut self, core: &mut Core) {
        self.reader.op = None;
        core.held_bytes -= std::mem::take(&mut self.reader.reserved);
    }

    fn recovered(&mut self, core: &mut Core, now: Now) {
        self.reader.failures = 0;
        if let Some(trouble) = self.reader.fault.take() {
            core.transition("read:recovered");
            core.failing = None;
            core.notify(
                NoticeLevel::Info,
                "source_recovered",
                Some(&self.id),
                format!(
                    "reading shard {} works again after {:.1} s",
                    self.id,
                    now.wall.millis_since(trouble.since) as f64 / 1_000.0
                ),
            );
        }
    }

    pub(super) fn backwards(&self, page: &dyn Page) -> Option<Fault> {
        let first = page.sequence_number(0);
        let last = page.sequence_number(page.facts().len() - 1);
        let before = self.reader.last_read.as_ref().map(SequenceNumber::as_str);
        let returns = before.is_some_and(|read| compare_sequence_numbers(first, read).is_le());
        if !returns && compare_sequence_numbers(first, last).is_le() {
            return None;
        }
        Some(Fault::new(
            FaultKind::Transient,
            format!(
                "the source went backwards in shard {}: {first} after {before:?}",
                self.id
            ),
        ))
    }

    /// Sends the records of a page to their lanes.
    pub(super) fn take_in(&mut self, page: Arc<dyn Page>, core: &mut Core, now: Now) {
        let lanes = self.lanes.len() as u8;
        if lanes > 1 && page.aggregated() {
            self.warn_of_aggregates(core);
        }
        let base = self.buffer.next_ordinal();
        let (mut live, mut filtered) = (0, 0);
        for (index, facts) in page.facts().iter().enumerate() {
            let ordinal = base + index as u64;
            if self.settled_before(page.as_ref(), index, ordinal) {
                continue;
            }
            core.counters.polled += 1;
            if facts.filtered && !mutants::active(Mutant::FilteredInvoked) {
                filtered += 1;
                continue;
            }
            live += 1;
            let bytes = facts.weight.saturating_add(self.constant_bytes);
            let moved = mutants::active(Mutant::LaneHashChanged) && base > 0;
            let hash = if moved {
                facts.key_hash.reverse_bits()
            } else {
                facts.key_hash
            };
            let lane = if lanes == 1 { 0 } else { lane_of(hash, lanes) };
            self.lanes[usize::from(lane)].push(Queued { ordinal, bytes });
        }
        core.counters.filtered += filtered;
        core.counters.buffered += live as u64;
        let newest = page.facts().iter().map(|facts| facts.arrival).max();
        self.reader
            .weigh(page.pinned_bytes() as u64, page.facts().len());
        let held = self.buffer.bytes();
        self.buffer.push(page, live);
        core.held_bytes += self.buffer.bytes() - held;
        for lane in &mut self.lanes {
            if lane.fresh() > 0 && lane.window_opened.is_none() {
                lane.window_opened = Some(now.mono);
            }
        }
        if live > 0 {
            self.stir(now.mono);
        } else {
            // Nothing to invoke, and yet the shard has moved.
            newest
                .into_iter()
                .for_each(|newest| self.note_arrival(newest));
            self.saver.mark(now.wall);
        }
        self.pass_generations();
    }

    /// Says, once a mapping, what lanes cannot do for aggregated records.
    fn warn_of_aggregates(&self, core: &mut Core) {
        if std::mem::replace(&mut core.aggregates_told, true) {
            return;
        }
        core.notify(
            NoticeLevel::Warn,
            "aggregated_records",
            Some(&self.id),
            format!(
                "records of shard {} are aggregates of the Kinesis Producer Library, which are \
                 handed out as they are; with ParallelizationFactor {} the order of the keys \
                 inside them is not kept: set it to 1",
                self.id, core.config.lanes
            ),
        );
    }

    /// Whether an earlier life has settled this record beyond its watermark.
    fn settled_before(&mut self, page: &dyn Page, index: usize, ordinal: u64) -> bool {
        if self.generations.is_empty() {
            return false;
        }
        let hash = page.facts()[index].key_hash;
        let digits = page.sequence_number(index);
        let mut settled = false;
        for generation in &mut self.generations {
            settled |= generation.covers(hash, digits, ordinal);
        }
        settled
    }

    /// A read that failed.
    pub fn read_failed(&mut self, fault: Fault, core: &mut Core, now: Now) {
        self.close_read(core);
        self.reader.failures += 1;
        let failures = self.reader.failures;
        let wait = match fault.kind {
            FaultKind::Expired if mutants::active(Mutant::ExpiredEndsShard) => {
                return self.read_to_end(core, now);
            }
            FaultKind::Fenced => return self.lose(core, now),
            FaultKind::NotFound if !self.listed => {
                core.transition("read:vanished");
                return self.read_to_end(core, now);
            }
            FaultKind::Trimmed => {
                core.transition("read:trimmed");
                self.gap(&fault.message, core, now);
                self.reader.position = Position::TrimHorizon;
                if mutants::active(Mutant::GapSkipsToNow) {
                    self.reader.position = Position::AtTimestamp(now.wall);
                }
                self.reader.last_read = None;
                Duration::ZERO
            }
            FaultKind::Expired if failures <= EXPIRED_AT_ONCE => {
                core.transition("read:expired");
                Duration::ZERO
            }
            FaultKind::Throttled { after } => {
                core.transition("read:throttled");
                backoff::throttled(failures, after, &mut core.jitter)
            }
            FaultKind::TooLarge => {
                core.transition("read:too_large");
                self.reader.limit = (self.reader.asks_for(&core.config) / 2).max(1);
                backoff::slow(failures, &mut core.jitter)
            }
            FaultKind::Fatal => {
                core.fatal = true;
                self.source_fails(&fault, None, core, now);
                return;
            }
            _ => backoff::slow(failures, &mut core.jitter),
        };
        if wait > Duration::ZERO {
            self.source_fails(&fault, Some(wait), core, now);
        }
        self.reader.next_at = now.mono + wait;
        self.read(core, now);
    }

    fn source_fails(&mut self, fault: &Fault, wait: Option<Duration>, core: &mut Core, now: Now) {
        let until = wait.map_or(now.wall, |wait| now.wall.plus(wait));
        let since = self
            .reader
            .fault
            .as_ref()
            .map_or(now.wall, |trouble| trouble.since);
        if self.reader.fault.is_none() {
            core.transition("read:failing");
            core.notify(
                NoticeLevel::Warn,
                "source_fault",
                Some(&self.id),
                format!("reading shard {} fails: {fault}", self.id),
            );
        }
        self.reader.fault = Some(Trouble {
            fault: fault.clone(),
            since,
            until,
        });
        let throttled = matches!(fault.kind, FaultKind::Throttled { .. });
        if !throttled {
            core.last_result = format!("PROBLEM: {fault}");
        }
        let stops = matches!(
            fault.kind,
            FaultKind::NotFound | FaultKind::Denied | FaultKind::Invalid | FaultKind::Fatal
        );
        if stops {
            let until = wait.map(|wait| now.wall.plus(wait));
            core.failing = Some(super::core::Failing {
                fault: fault.clone(),
                since,
                until,
            });
        }
    }

    /// Records expired unread: says so, with the span of time that is missing.
    pub fn gap(&mut self, why: &str, core: &mut Core, now: Now) {
        core.counters.gaps += 1;
        let since = self.settled_arrival.map_or_else(
            || "the start".to_owned(),
            |at| format!("{:.0} s ago", now.wall.millis_since(at) as f64 / 1_000.0),
        );
        core.notify(
            NoticeLevel::Error,
            "gap",
            Some(&self.id),
            format!(
                "records of shard {} that arrived after {since} expired at the source before they \
                 were read; reading goes on at the oldest record ({why})",
                self.id
            ),
        );
    }
}
