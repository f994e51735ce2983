//! Keeps what the world knows of every record: where it stands in the stream, where it is in the
//! engine, and whether it is settled.
//!
//! Rules: everything here follows from what the source holds, what the engine was handed and what
//! handlers, stores and destinations answered; the engine's own counters are never asked. A
//! *tenure* is one uninterrupted lease; what a tenure was handed is forgotten when it ends, what
//! was settled is not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use penstock_engine::config::MappingConfig;
use penstock_engine::ids::{Fence, InvocationId, Position, RequestId, ShardId};
use penstock_engine::io::{Checkpoint, FrontUnit, LanePositions};
use penstock_engine::stream::router::{HASH_VERSION, hash_key};
use penstock_engine::time::{Mono, Wall};

use crate::page::key_text;
use crate::stream::SimRecord;
use crate::units::{Discard, LaneModel, Unit};
use crate::windows::WindowModel;

/// How a record was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By a handler's success.
    Succeeded,
    /// By a filter.
    Filtered,
    /// By being given up without a document.
    Dropped,
    /// By a document that the destination has acknowledged.
    Delivered,
    /// By whoever held the lease in between.
    Elsewhere,
}

/// Where a record is within the current tenure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not handed to the engine, or only to a tenure that is over.
    Unread,
    /// In the engine, waiting.
    Waiting,
    /// In an invocation.
    Running,
    /// Given up, its document not acknowledged.
    Awaiting,
    /// Done with.
    Done,
}

/// One record.
#[derive(Debug, Clone)]
pub struct RecordModel {
    /// Its sequence number.
    pub sequence: u128,
    /// Its partition key.
    pub key: u32,
    /// The key's hash.
    pub hash: u64,
    /// When it arrived.
    pub arrival: Wall,
    /// What it weighs in an event.
    pub weight: u32,
    /// Whether filters drop it.
    pub filtered: bool,
    /// Whether and how it is settled, in any life.
    pub settled: Option<How>,
    /// How it was settled last: a life that did not save may have to do it again, and what another
    /// process has saved is not ours.
    pub settled_last: Option<How>,
    /// Where it is now.
    pub stage: Stage,
    /// When it was handed to the current tenure.
    pub handed_at: Mono,
    /// Whether it may have been dropped without a word in the current tenure.
    pub perhaps_dropped: bool,
    /// Whether retention took it before it could be read: then it may be missing.
    pub lost: bool,
    /// Whether retention took it before its success was saved: the state that held it is gone with
    /// its tenure, and no later one can read it again.
    pub gone_unsaved: bool,
}

/// One uninterrupted lease.
#[derive(Debug)]
pub struct Tenure {
    /// Tells tenures apart.
    pub serial: u64,
    /// The lease's proof.
    pub fence: Fence,
    /// What the engine was told when it got the lease.
    pub resume: Option<Checkpoint>,
    /// The last checkpoint that the engine knows to be saved, or has resumed from.
    pub saved: Option<Position>,
    /// The first record that has not been handed over.
    pub handed: usize,
    /// When the engine learned that the shard had ended.
    pub ended_at: Option<Mono>,
    /// Whether a part of an answer has come and the rest is on its way.
    pub arriving: bool,
    /// When the rest of an answer came, or was lost.
    pub arrived_at: Mono,
    /// How many lanes records go to.
    pub lane_count: u8,
    /// How many they shall go to once nothing is in flight.
    pub relane: Option<u8>,
    /// When the save that is in flight was asked for.
    pub save_asked: Option<Mono>,
    /// Whether the last save has failed.
    pub save_failed: bool,
    /// When it was given.
    pub began_at: Mono,
    /// From when on nothing may start, where the stream is shared.
    pub until: Mono,
    /// Since when things may start, after they might not.
    pub open_since: Mono,
    /// Whether it is being handed over: for how long, and how many records are settled there.
    pub leaving: Option<(std::time::Duration, usize)>,
    /// The tumbling window that is open.
    pub window: Option<WindowModel>,
    /// Whether it ends before its time.
    pub ends_early: bool,
    /// The lanes.
    pub lanes: Vec<LaneModel>,
}

/// One shard.
#[derive(Debug)]
pub struct ShardModel {
    /// Its name.
    pub id: ShardId,
    /// Where it came from.
    pub parents: Vec<usize>,
    /// Whether it takes no more records.
    pub closed: bool,
    /// How many of its first records the source has dropped.
    pub trimmed: usize,
    /// Whether the listing has dropped it.
    pub unlisted: bool,
    /// Its first durable position: which records are owed.
    pub start: Option<Position>,
    /// Its records.
    pub records: Vec<RecordModel>,
    /// The current lease, if the engine holds one.
    pub tenure: Option<Tenure>,
    /// Places of each key's records.
    pub keys: BTreeMap<u32, Vec<usize>>,
    /// Charged attempts of exact ranges, over all lives: first, last, how many.
    pub charged: BTreeMap<(usize, usize, usize), u32>,
    /// How often a tenure ended without its attempts being saved for sure.
    pub interruptions: u32,
    /// Tumbling windows whose final call was settled, over all lives.
    pub closed_windows: Vec<WindowModel>,
    /// Records that succeeded in a partial report whose state the mapping discards.
    pub in_no_state: BTreeSet<usize>,
    /// All records before it are settled, lost, or not owed.
    pub low: usize,
    /// Where an operator set its checkpoint back to, and under which fence, until a later lease is
    /// given: what lies behind is owed again from then on.
    pub moved: Option<(usize, Fence)>,
}

/// What the mapping was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No engine lives.
    Dead,
    /// It reads and invokes.
    Running,
    /// It starts nothing.
    Paused,
    /// It finishes.
    Draining,
}

/// An invocation that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its shard.
    pub shard: usize,
    /// Its lane.
    pub lane: u8,
    /// The tenure that it belongs to.
    pub tenure: u64,
    /// Its records.
    pub records: Vec<usize>,
}

/// A failure document.
#[derive(Debug, Clone)]
pub struct Document {
    /// The shard.
    pub shard: usize,
    /// The lane.
    pub lane: u8,
    /// The tenure that gave the records up.
    pub tenure: u64,
    /// The records; none for the final call of a window.
    pub records: Vec<usize>,
    /// The tumbling window that was open then.
    pub window: Option<WindowModel>,
    /// How often the destination has failed it.
    pub failures: u32,
}

/// What the world knows.
#[derive(Debug)]
pub struct Model {
    /// The options in force.
    pub config: MappingConfig,
    /// Whether the options have changed in this life.
    pub reconfigured: bool,
    /// The shards.
    pub shards: Vec<ShardModel>,
    /// What the mapping was asked to do.
    pub mode: Mode,
    /// Since when batches may start.
    pub running_since: Mono,
    /// Invocations that run in this life.
    pub running: BTreeMap<InvocationId, Running>,
    /// Documents handed out in this life and not acknowledged.
    pub documents: BTreeMap<String, Document>,
    /// Documents that are owed.
    pub discards: Vec<Discard>,
    /// Request ids seen in this life.
    pub request_ids: BTreeSet<RequestId>,
    /// Shards that the first listing of this life showed.
    pub first_listing: BTreeSet<ShardId>,
    /// Times that listings of this life bore.
    pub listing_times: BTreeSet<Wall>,
    /// Whether a batch has run without a tumbling window.
    pub windowless: bool,
    /// How many leases the engine has had.
    pub tenures: u64,
}

impl Model {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(config: MappingConfig) -> Self {
        Self {
            config,
            reconfigured: false,
            shards: Vec::new(),
            mode: Mode::Dead,
            running_since: Mono(0),
            running: BTreeMap::new(),
            documents: BTreeMap::new(),
            discards: Vec::new(),
            request_ids: BTreeSet::new(),
            first_listing: BTreeSet::new(),
            listing_times: BTreeSet::new(),
            windowless: false,
            tenures: 0,
        }
    }

    // What happens to the stream.

    /// A shard came to be.
    pub fn shard_opened(&mut self, id: ShardId, parents: Vec<usize>) {
        self.shards.push(ShardModel {
            id,
            parents,
            closed: false,
            trimmed: 0,
            unlisted: false,
            start: None,
            records: Vec::new(),
            tenure: None,
            keys: BTreeMap::new(),
            charged: BTreeMap::new(),
            interruptions: 0,
            closed_windows: Vec::new(),
            in_no_state: BTreeSet::new(),
            low: 0,
            moved: None,
        });
    }

    /// A record was appended to a shard.
    pub fn appended(&mut self, shard: usize, record: &SimRecord) {
        let shard = &mut self.shards[shard];
        shard
            .keys
            .entry(record.key)
            .or_default()
            .push(shard.records.len());
        shard.records.push(RecordModel {
            sequence: record.sequence,
            key: record.key,
            hash: hash_key(key_text(record.key).as_bytes()),
            arrival: record.arrival,
            weight: record.weight,
            filtered: record.filtered,
            settled: None,
            settled_last: None,
            stage: Stage::Unread,
            handed_at: Mono(0),
            perhaps_dropped: false,
            lost: false,
            gone_unsaved: false,
        });
    }

    /// The first records of a shard are gone from the source.
    pub fn trimmed(&mut self, shard: usize, count: usize) {
        self.shards[shard].trimmed = count;
        for record in &mut self.shards[shard].records[..count] {
            record.lost |= record.stage == Stage::Unread && record.settled.is_none();
        }
        self.note_gone(shard);
    }

    /// What the tenure neither resumed behind nor has read, and the source has dropped, is in no
    /// state that it carries: state is saved with the position, never apart.
    fn note_gone(&mut self, shard: usize) {
        let model = &mut self.shards[shard];
        let Some(tenure) = &model.tenure else { return };
        for record in model.records[..model.trimmed]
            .iter_mut()
            .skip(tenure.handed)
        {
            record.gone_unsaved |= record.stage == Stage::Unread;
        }
    }

    // What happens to the engine.

    /// A new engine is born.
    pub fn life_began(&mut self, now: Mono) {
        self.mode = Mode::Running;
        self.running_since = now;
        self.reconfigured = false;
        self.request_ids.clear();
        self.listing_times.clear();
    }

    /// The engine is gone.
    pub fn life_ended(&mut self) {
        self.mode = Mode::Dead;
        self.running.clear();
        for shard in 0..self.shards.len() {
            self.tenure_ended(shard);
        }
        self.documents.clear();
        self.discards.clear();
    }

    /// First rows are durable.
    pub fn registered(&mut self, rows: &[(ShardId, Checkpoint)]) {
        for (id, checkpoint) in rows {
            if let Some(shard) = self.find(id) {
                let start = &mut self.shards[shard].start;
                start.get_or_insert_with(|| checkpoint.position.clone());
            }
        }
    }

    /// The engine got a lease.
    pub fn granted(
        &mut self,
        shard: usize,
        fence: Fence,
        checkpoint: Option<&Checkpoint>,
        now: Mono,
    ) {
        self.follow_move(shard, fence);
        self.tenures += 1;
        let lane_count = self.config.lanes;
        let mut lanes: Vec<LaneModel> = (0..lane_count).map(|_| LaneModel::default()).collect();
        for front in fronts(checkpoint, lane_count) {
            lanes[usize::from(front.lane)].expected = Some(front.clone());
        }
        let window = checkpoint.and_then(|checkpoint| checkpoint.window.as_ref());
        if let Some(closing) = window.and_then(|window| window.closing) {
            lanes[0].units.push_front(Unit {
                records: Vec::new(),
                attempts: closing.attempts,
                rejections: 0,
                request: Some(closing.request_id),
                due: Mono(u64::MAX / 2),
            });
        }
        let model = &mut self.shards[shard];
        let position = checkpoint.map(|checkpoint| &checkpoint.position);
        let handed = position.map_or(0, |position| model.covered(position));
        model.tenure = Some(Tenure {
            serial: self.tenures,
            fence,
            resume: checkpoint.cloned(),
            saved: position.cloned(),
            handed,
            ended_at: None,
            arriving: false,
            arrived_at: Mono(0),
            lane_count,
            relane: None,
            save_asked: None,
            save_failed: false,
            began_at: now,
            until: Mono(u64::MAX),
            open_since: now,
            leaving: None,
            window: window.map(WindowModel::saved),
            ends_early: window
                .and_then(|window| window.closing)
                .is_some_and(|closing| closing.early),
            lanes,
        });
        self.note_gone(shard);
    }

    /// The engine was told, or has said, that a lease is over.
    pub fn tenure_ended(&mut self, shard: usize) {
        if self.shards[shard].tenure.take().is_none() {
            return;
        }
        self.documents.retain(|_, document| document.shard != shard);
        self.discards.retain(|discard| discard.shard != shard);
        let shard = &mut self.shards[shard];
        shard.interruptions += 1;
        let trimmed = shard.trimmed;
        for (place, record) in shard.records.iter_mut().enumerate() {
            record.stage = Stage::Unread;
            record.perhaps_dropped = false;
            record.lost |= place < trimmed && record.settled.is_none();
        }
    }

    /// A lease is given: what an operator set the checkpoint back behind is owed again.
    fn follow_move(&mut self, shard: usize, fence: Fence) {
        let model = &mut self.shards[shard];
        let Some((to, _)) = model.moved.take_if(|(_, moved)| *moved < fence) else {
            return;
        };
        let trimmed = model.trimmed;
        model.low = model.low.min(to);
        model.charged.clear();
        for (place, record) in model.records.iter_mut().enumerate().skip(to) {
            record.settled = None;
            record.settled_last = None;
            record.lost |= place < trimmed;
        }
    }

    /// The engine was handed these records of a shard.
    pub fn handed(&mut self, shard: usize, range: Range<usize>, now: Mono) {
        let lane_count = self.tenure(shard).lane_count;
        for place in range.clone() {
            let covered = self.resume_covers(shard, place);
            let lane = usize::from(self.lane(shard, place, lane_count));
            let shard = &mut self.shards[shard];
            let record = &mut shard.records[place];
            record.handed_at = now;
            record.gone_unsaved = false;
            if record.filtered && !covered {
                record.settled.get_or_insert(How::Filtered);
            }
            record.stage = if record.filtered || covered {
                Stage::Done
            } else {
                Stage::Waiting
            };
            if record.stage == Stage::Waiting {
                shard.tenure.as_mut().expect("handed to a tenure").lanes[lane]
                    .queue
                    .push_back(place);
            }
        }
        let tenure = self.tenure_mut(shard);
        tenure.handed = tenure.handed.max(range.end);
    }
}

/// The batches that a resumed tenure owes first, where lanes are still the same.
fn fronts(checkpoint: Option<&Checkpoint>, lane_count: u8) -> VecDeque<FrontUnit> {
    let Some(checkpoint) = checkpoint else {
        return VecDeque::new();
    };
    let same =
        |lanes: &LanePositions| lanes.count == lane_count && lanes.hash_version == HASH_VERSION;
    if !checkpoint.lanes.last().is_some_and(same) {
        return VecDeque::new();
    }
    let fits = |front: &&FrontUnit| front.lane < lane_count;
    checkpoint.fronts.iter().filter(fits).cloned().collect()
}
