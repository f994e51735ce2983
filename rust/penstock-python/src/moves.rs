//! Carries out an operator's moves of checkpoints, as JSON documents say them.
//!
//! Rules: one command, one answer; a checkpoint that could not have been saved is refused before
//! anything is changed.

use penstock_engine::ids::{MappingId, Position, ShardId};
use penstock_engine::io::{Checkpoint, LanePositions};
use penstock_engine::limits::LANES_MAX;
use penstock_runtime::runtime::Runtime;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents::{Document, write};
use crate::errors::Failure;

/// The most digits of a sequence number.
const DIGITS_MAX: usize = 129;

/// The longest command: checkpoints of some ten thousand shards.
const COMMAND_BYTES_MAX: usize = 32 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    shard: ShardId,
    checkpoint: Checkpoint,
}

/// Does what the command says and gives its answer.
pub(crate) fn run(runtime: &Runtime, command: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut document = Document::parse_up_to(command, COMMAND_BYTES_MAX)?;
    let mapping = MappingId::new(document.need::<String>("mapping")?);
    let answer = match document.need::<String>("op")?.as_str() {
        "set" => set(runtime, &mapping, document)?,
        "skip" => skip(runtime, &mapping, document)?,
        "import" => import(runtime, &mapping, document)?,
        other => {
            let message = format!("{other:?} is none of set, skip and import");
            return Err(Failure::argument("op", message));
        }
    };
    write(&answer)
}

fn set(runtime: &Runtime, mapping: &MappingId, mut document: Document) -> Result<Value, Failure> {
    let shard = ShardId::new(document.need::<String>("shard")?);
    let position: Position = document.need("position")?;
    document.finish()?;
    let saved = runtime.state().checkpoints(mapping)?;
    let Some(row) = saved.into_iter().find(|row| row.shard == shard) else {
        return Err(Failure::argument("shard", format!("there is no {shard}")));
    };
    let checkpoint = Checkpoint::starting_at(position, row.checkpoint.incarnation);
    check(&checkpoint)?;
    let moved = runtime.move_checkpoints(mapping, vec![(shard, checkpoint)])?;
    Ok(json!({ "moved": moved }))
}

fn skip(runtime: &Runtime, mapping: &MappingId, mut document: Document) -> Result<Value, Failure> {
    let shard = ShardId::new(document.need::<String>("shard")?);
    document.finish()?;
    let (skipped, moved) = runtime.skip(mapping, &shard)?;
    Ok(json!({ "skipped": skipped, "moved": moved }))
}

fn import(
    runtime: &Runtime,
    mapping: &MappingId,
    mut document: Document,
) -> Result<Value, Failure> {
    let rows = document.need::<Vec<Row>>("rows")?;
    document.finish()?;
    for row in &rows {
        check(&row.checkpoint)?;
    }
    let rows = rows.into_iter().map(|row| (row.shard, row.checkpoint));
    let moved = runtime.move_checkpoints(mapping, rows.collect())?;
    Ok(json!({ "moved": moved }))
}

/// Refuses what no version of penstock could have saved.
fn check(checkpoint: &Checkpoint) -> Result<(), Failure> {
    let refused = |message: &str| Err(Failure::argument("checkpoint", message));
    let sound = |lanes: &LanePositions| {
        (1..=LANES_MAX).contains(&lanes.count) && lanes.settled.len() == usize::from(lanes.count)
    };
    if !checkpoint.lanes.iter().all(sound) {
        return refused("has lanes that do not agree with their number");
    }
    let count = checkpoint.lanes.last().map_or(0, |lanes| lanes.count);
    let front = |lane: u8, records: u32| lane < count && records > 0;
    let mut fronts = checkpoint.fronts.iter();
    if !fronts.all(|unit| front(unit.lane, unit.records)) {
        return refused("has a batch of a lane that is not there, or one without records");
    }
    let lanes = checkpoint.lanes.iter();
    let settled = lanes.flat_map(|lanes| lanes.settled.iter().flatten());
    let firsts = checkpoint.fronts.iter().map(|front| &front.first);
    let position = match &checkpoint.position {
        Position::After { sequence, .. } => Some(sequence),
        _ => None,
    };
    let is_number = |text: &str| {
        (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut numbers = settled.chain(firsts).chain(position);
    if !numbers.all(|number| is_number(number.as_str())) {
        return refused("has a sequence number that is not one");
    }
    Ok(())
}
