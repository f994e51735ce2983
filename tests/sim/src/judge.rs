//! Watches everything that crosses the engine's edge, keeps the model and asks the oracles.
//!
//! Rules: an output is judged when the engine gives it, an invocation when a worker takes it, and
//! the model learns of an input just before the engine does.

use penstock_engine::failure::FailureDocument;
use penstock_engine::ids::ShardId;
use penstock_engine::io::{Checkpoint, Fetch, Invocation, Output};
use penstock_engine::time::Now;
use serde_json::Value;

use crate::model::{Document, How, Model, Stage};
use crate::oracles::{self, Verdict, Violation, violated};
use crate::store::SimStore;
use crate::units::Start;
use crate::windows::WindowModel;

/// Judges what the engine asks the world for.
///
/// # Errors
/// What an oracle has seen.
pub fn output(model: &mut Model, store: &SimStore, output: &Output, now: Now) -> Verdict {
    match output {
        Output::Register { rows, .. } => first_rows(model, store, rows),
        Output::Fetch(fetch) => read(model, fetch, now),
        Output::SaveCheckpoint {
            shard, checkpoint, ..
        } => {
            let number = known(model, shard)?;
            if model.shards[number].tenure.is_some() {
                model.tenure_mut(number).save_asked = Some(now.mono);
            }
            if model.shards[number].start.is_none() {
                // The row of an older stream is replaced: a first row like any other.
                return first_rows(model, store, &[(shard.clone(), (**checkpoint).clone())]);
            }
            oracles::checkpoint_covers_settled_only(model, number, checkpoint, now.wall)?;
            save_is_forward(model, number, checkpoint)?;
            model.dropped_by(number, checkpoint, now);
            model.window_with_its_position(number, checkpoint)
        }
        Output::Deliver { document, .. } => deliver(model, document, now),
        Output::Released { shard } => released(model, shard),
        _ => Ok(()),
    }
}

/// Judges an invocation and lets the model follow it.
///
/// # Errors
/// What an oracle has seen.
pub fn invocation(
    model: &mut Model,
    invocation: &Invocation,
    now: Now,
) -> Result<Start, Violation> {
    let start = resolve(model, invocation)?;
    oracles::quiet_when_told(model, &start)?;
    oracles::lease_is_held(model, &start, now)?;
    oracles::batch_of_one_lane(model, &start)?;
    if start.records.is_empty() {
        model.final_of_window(&start, invocation, now)?;
        model.started(&start, now)?;
        return Ok(start);
    }
    model.give_up_in_silence(&start, now);
    let count = Some(start.records.len());
    model.resume_front(start.shard, start.lane, start.records[0], count);
    let lane = &model.tenure(start.shard).lanes[usize::from(start.lane)];
    let fresh = lane.units.is_empty();
    oracles::batch_within_limits(model, &start, fresh)?;
    oracles::settled_records_rest(model, &start)?;
    oracles::one_invocation_per_key(model, &start)?;
    oracles::parents_first(model, start.shard, now.wall)?;
    oracles::age_respected(model, &start, now)?;
    oracles::window_respected(model, &start, now)?;
    let ahead = oracles::ahead_bounded(model, &start, now);
    model.window_of_batch(&start, invocation)?;
    model.started(&start, now)?;
    oracles::keys_in_order(model, &start)?;
    ahead?;
    Ok(start)
}

fn resolve(model: &Model, invocation: &Invocation) -> Result<Start, Violation> {
    let shard = known(model, &invocation.shard)?;
    let batch = &invocation.batch;
    let mut records = Vec::with_capacity(batch.len());
    for index in 0..batch.len() {
        let digits = batch.sequence_number(index);
        let Some(place) = model.shards[shard].place_of(digits) else {
            return Err(Violation::new(
                "batch_of_one_lane",
                "I3",
                format!("record {digits} does not stand in {}", invocation.shard),
            ));
        };
        records.push(place);
    }
    Ok(Start {
        id: invocation.id,
        shard,
        lane: invocation.lane,
        records,
        attempt: invocation.attempt,
        request: invocation.request_id,
        fence: invocation.fence,
    })
}

fn first_rows(model: &Model, store: &SimStore, rows: &[(ShardId, Checkpoint)]) -> Verdict {
    let of = rows.first().and_then(|(_, row)| row.incarnation);
    let has_row = |id: &ShardId| {
        store
            .checkpoint(id)
            .is_some_and(|row| row.incarnation == of)
    };
    oracles::first_rows(model, rows, !store.has_rows(of), has_row)
}

fn read(model: &Model, fetch: &Fetch, now: Now) -> Verdict {
    let shard = known(model, &fetch.shard)?;
    oracles::quiet_reads(model)?;
    oracles::reads_follow_on(model, shard, fetch)?;
    oracles::parents_first(model, shard, now.wall)
}

/// I11, within the tenure: the engine never asks to save less than it knows to be saved.
fn save_is_forward(model: &Model, shard: usize, checkpoint: &Checkpoint) -> Verdict {
    let Some(tenure) = &model.shards[shard].tenure else {
        return violated(
            "lease_is_held",
            "I10",
            "a checkpoint is saved without one".to_owned(),
        );
    };
    let same_stream = tenure.resume.as_ref().is_none_or(|resume| {
        resume.incarnation.is_none() || resume.incarnation == checkpoint.incarnation
    });
    match &tenure.saved {
        Some(saved) if same_stream && !checkpoint.position.covers(saved) => violated(
            "checkpoint_monotonic",
            "I11",
            format!("{:?} is saved after {saved:?}", checkpoint.position),
        ),
        _ => Ok(()),
    }
}

fn released(model: &Model, shard: &ShardId) -> Verdict {
    let number = known(model, shard)?;
    match model
        .running
        .values()
        .find(|running| running.shard == number)
    {
        Some(running) => violated(
            "released_is_silent",
            "I10",
            format!("{shard} is called quiet while {:?} runs", running.records),
        ),
        None => Ok(()),
    }
}

/// A document must have a cause: a unit whose retries ran out, or a head that is too old.
fn deliver(model: &mut Model, document: &FailureDocument, now: Now) -> Verdict {
    if model.documents.contains_key(&document.id) {
        return Ok(());
    }
    let shard = known(model, &document.shard)?;
    let facts = Facts::read(document)?;
    if document.records == 0 {
        return deliver_final(model, shard, document, &facts);
    }
    let range = (model.shards[shard].place_of(&facts.first), facts.size);
    let (Some(first), size) = range else {
        return no_cause(format!("{} names no record", document.id));
    };
    if size == 0 || size != document.records as usize {
        return no_cause(format!("{} stands for {size} records", document.id));
    }
    let owed = model.discards.iter().position(|discard| {
        discard.shard == shard
            && discard.records.first() == Some(&first)
            && discard.records.len() == size
    });
    let (lane, records, window) = match owed {
        Some(owed) => {
            let discard = model.discards.remove(owed);
            facts.agree(&discard)?;
            (discard.lane, discard.records, discard.window)
        }
        None => {
            let window = model.tenure(shard).window.clone();
            let (lane, records) = given_up_unseen(model, shard, first, &facts, now)?;
            (lane, records, window)
        }
    };
    let last = records[records.len() - 1];
    if model.shards[shard].place_of(&facts.last) != Some(last) {
        return no_cause(format!(
            "{} ends at {}, not at record {last}",
            document.id, facts.last
        ));
    }
    awaiting(model, document, (shard, lane), records, window);
    Ok(())
}

/// The document of a final call that was given up.
fn deliver_final(
    model: &mut Model,
    shard: usize,
    document: &FailureDocument,
    facts: &Facts,
) -> Verdict {
    let owed =
        |discard: &crate::units::Discard| discard.shard == shard && discard.records.is_empty();
    let Some(owed) = model.discards.iter().position(owed) else {
        return no_cause(format!("{} gives no final call up", document.id));
    };
    let discard = model.discards.remove(owed);
    facts.agree(&discard)?;
    awaiting(
        model,
        document,
        (shard, discard.lane),
        Vec::new(),
        discard.window,
    );
    Ok(())
}

fn awaiting(
    model: &mut Model,
    document: &FailureDocument,
    (shard, lane): (usize, u8),
    records: Vec<usize>,
    window: Option<WindowModel>,
) {
    let tenure = model.tenure(shard).serial;
    let waiting = &mut model.tenure_mut(shard).lanes[usize::from(lane)].documents;
    waiting.push_back((document.id.clone(), false));
    let document_model = Document {
        shard,
        lane,
        tenure,
        records,
        window,
        failures: 0,
    };
    model.documents.insert(document.id.clone(), document_model);
}

/// Records that were given up without an invocation: too old, or too large for any event.
fn given_up_unseen(
    model: &mut Model,
    shard: usize,
    first: usize,
    facts: &Facts,
    now: Now,
) -> Result<(u8, Vec<usize>), Violation> {
    let no_cause = |message| Err(no_cause_violation(message));
    let lanes = model.tenure(shard).lane_count;
    let lane = model.lane(shard, first, lanes);
    let waiting = |place: &usize| {
        model.shards[shard].records[*place].stage == Stage::Waiting
            && model.lane(shard, *place, lanes) == lane
    };
    let records: Vec<usize> = (first..model.shards[shard].records.len())
        .filter(waiting)
        .take(facts.size)
        .collect();
    let aged = facts.condition == "RecordAgeExceeded"
        && records
            .iter()
            .all(|place| model.expired(shard, *place, now.wall));
    let large = facts.condition == "RetryAttemptsExhausted"
        && records.len() == 1
        && model.oversize(shard, first)
        && model
            .config
            .maximum_retry_attempts
            .is_some_and(|most| facts.count == most + 1);
    if records.first() != Some(&first) || records.len() != facts.size || !(aged || large) {
        return no_cause(format!("{records:?} are given up by {}", facts.condition));
    }
    if facts.answered {
        return no_cause(format!(
            "{records:?} were not answered, the document says so"
        ));
    }
    let Some(attempts) = model.take_off_head(shard, lane, &records) else {
        return no_cause(format!("{records:?} are given up from behind others"));
    };
    // An oversize record is attempted without a call, so nobody outside has counted.
    let counted = !model.oversize(shard, first);
    if aged && counted && facts.count.abs_diff(attempts.max(1)) > 1 {
        return no_cause(format!("{} attempts are told of {attempts}", facts.count));
    }
    model.head_given_up(shard, lane, large, now.mono);
    for &place in &records {
        model.shards[shard].records[place].stage = Stage::Awaiting;
    }
    Ok((lane, records))
}

/// What a document says.
struct Facts {
    first: String,
    last: String,
    size: usize,
    condition: String,
    count: u32,
    answered: bool,
    function_error: Option<String>,
}

impl Facts {
    fn read(document: &FailureDocument) -> Result<Self, Violation> {
        let broken = |why: &str| no_cause_violation(format!("document {}: {why}", document.id));
        let body: Value =
            serde_json::from_str(&document.body).map_err(|error| broken(&error.to_string()))?;
        let text = |path: &str| {
            let value = body.pointer(path).and_then(Value::as_str);
            value.map(str::to_owned).ok_or_else(|| broken(path))
        };
        let number = |path: &str| {
            body.pointer(path)
                .and_then(Value::as_u64)
                .ok_or_else(|| broken(path))
        };
        let of_batch = |path: &str| match document.records {
            0 => Ok(String::new()),
            _ => text(path),
        };
        let size = match document.records {
            0 => 0,
            _ => number("/KinesisBatchInfo/batchSize")?,
        };
        let count = number("/requestContext/approximateInvokeCount")?;
        let error = body
            .pointer("/responseContext/functionError")
            .and_then(Value::as_str);
        Ok(Self {
            first: of_batch("/KinesisBatchInfo/startSequenceNumber")?,
            last: of_batch("/KinesisBatchInfo/endSequenceNumber")?,
            size: usize::try_from(size).map_err(|_| broken("batchSize"))?,
            condition: text("/requestContext/condition")?,
            count: u32::try_from(count).map_err(|_| broken("approximateInvokeCount"))?,
            answered: body.get("responseContext").is_some(),
            function_error: error.map(str::to_owned),
        })
    }

    fn agree(&self, discard: &crate::units::Discard) -> Verdict {
        let right = self.condition == "RetryAttemptsExhausted"
            && self.count == discard.attempts
            && self.answered
            && self.function_error.as_deref() == discard.function_error;
        if right {
            return Ok(());
        }
        no_cause(format!(
            "{} after {} attempts ({:?}) is told of {discard:?}",
            self.condition, self.count, self.function_error
        ))
    }
}

fn no_cause(message: String) -> Verdict {
    Err(no_cause_violation(message))
}

fn no_cause_violation(message: String) -> Violation {
    Violation::new("discard_has_cause", "I7", message)
}

fn known(model: &Model, shard: &ShardId) -> Result<usize, Violation> {
    let unknown = || Violation::new("known_shards_only", "I3", format!("{shard} does not exist"));
    model.find(shard).ok_or_else(unknown)
}

/// Settles a document that the destination has acknowledged.
pub fn delivered(model: &mut Model, id: &str, now: Now) {
    model.document_closed(id, How::Delivered, now);
}
