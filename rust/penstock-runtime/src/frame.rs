//! Writes a delivery as one run of bytes and reads it back in another process.
//!
//! Rules: what is read back makes the same event as what was written; a frame that does not fit
//! is not written by half; a frame that is damaged is refused, never read beyond its end; the
//! payloads are copied once on each side and nothing is encoded.
//!
//! Layout, little endian: a head of five numbers (mark, bytes of the header, records, bytes of the
//! texts, shape), the header as JSON, one row of numbers for each record, and the texts of all
//! records one after the other.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::ids::{Fence, InvocationId, MappingId, RequestId, ShardId};
use penstock_engine::io::{Invocation, TumblingCall};
use penstock_engine::record::{Batch, RecordRef};
use penstock_engine::time::Mono;
use serde::{Deserialize, Serialize};

use crate::exchange::Delivery;
use crate::frame::rows::{FramePage, Row, Shape};

mod rows;

/// Why something is no frame, or cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the frame is damaged: {0}")]
pub struct BadFrame(&'static str);

/// Begins every frame: a frame of another version is refused.
const MARK: u32 = 0x3146_5350;
const HEAD_BYTES: usize = 20;

/// What a frame says besides the records.
#[derive(Serialize, Deserialize)]
struct Header {
    mapping: MappingId,
    /// Left out where the reader has it from an earlier frame.
    config: Option<MappingConfig>,
    id: InvocationId,
    shard: ShardId,
    lane: u8,
    attempt: u32,
    request_id: RequestId,
    fence: Fence,
    /// What a tumbling window adds to the event.
    window: Option<TumblingCall>,
    /// Until the deadline: clocks of processes do not begin together.
    left: Duration,
}

/// A delivery, measured and ready to be written.
pub struct Frame<'a> {
    header: Vec<u8>,
    batch: &'a Batch,
    shape: Shape,
    text_bytes: usize,
}

impl<'a> Frame<'a> {
    /// Measures a delivery; `known` says that the reader has its configuration already.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be written as JSON.
    pub fn of(delivery: &'a Delivery, known: bool, now: Mono) -> Result<Self, BadFrame> {
        let invocation = &delivery.invocation;
        let header = Header {
            mapping: delivery.mapping.clone(),
            config: (!known).then(|| (*delivery.config).clone()),
            id: invocation.id,
            shard: invocation.shard.clone(),
            lane: invocation.lane,
            attempt: invocation.attempt,
            request_id: invocation.request_id,
            fence: invocation.fence,
            window: invocation.window.clone(),
            left: invocation.deadline.since(now),
        };
        let batch = &invocation.batch;
        let shape = Shape::of(delivery.config.shape);
        let rows = (0..batch.len()).map(|index| Row::of(&batch.view(index)));
        let header =
            serde_json::to_vec(&header).map_err(|_| BadFrame("its header cannot be written"))?;
        Ok(Self {
            header,
            batch,
            shape,
            text_bytes: rows.map(|row| row.text_bytes()).sum(),
        })
    }

    /// Bytes of the frame.
    #[must_use]
    pub fn len(&self) -> usize {
        HEAD_BYTES + self.header.len() + self.batch.len() * self.shape.row_bytes() + self.text_bytes
    }

    /// Whether there is nothing to write; a frame always has its head.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the frame at the start of `place`; `None`, and nothing written, when it is too
    /// small.
    #[must_use]
    pub fn write(&self, place: &mut [u8]) -> Option<usize> {
        let length = self.len();
        let place = place.get_mut(..length)?;
        let numbers = [
            MARK,
            u32::try_from(self.header.len()).ok()?,
            u32::try_from(self.batch.len()).ok()?,
            u32::try_from(self.text_bytes).ok()?,
            self.shape as u32,
        ];
        let (head, rest) = place.split_at_mut(HEAD_BYTES);
        for (number, place) in numbers.iter().zip(head.chunks_exact_mut(4)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let (header, rest) = rest.split_at_mut(self.header.len());
        header.copy_from_slice(&self.header);
        let (table, mut texts) = rest.split_at_mut(self.batch.len() * self.shape.row_bytes());
        for (index, place) in table.chunks_exact_mut(self.shape.row_bytes()).enumerate() {
            let view = self.batch.view(index);
            let row = Row::of(&view);
            row.write(&self.batch.facts(index), place);
            texts = row.write_texts(texts);
        }
        Some(length)
    }
}

/// What a frame holds, with the configuration if the frame brings one.
pub struct Received {
    /// The mapping.
    pub mapping: MappingId,
    /// Its configuration, where the writer did not say that it is known.
    pub config: Option<Arc<MappingConfig>>,
    /// The call to make; its deadline is by the reader's clock.
    pub invocation: Invocation,
}

/// Reads a frame.
///
/// # Errors
///
/// When the bytes are no whole frame of this version.
pub fn read(bytes: &[u8], now: Mono) -> Result<Received, BadFrame> {
    let (head, rest) = bytes
        .split_at_checked(HEAD_BYTES)
        .ok_or(BadFrame("it is shorter than its head"))?;
    let mut numbers = head.chunks_exact(4).map(|number| {
        let number: [u8; 4] = number.try_into().unwrap_or_default();
        u32::from_le_bytes(number)
    });
    let mut next = || numbers.next().unwrap_or_default();
    if next() != MARK {
        return Err(BadFrame("it does not begin with the mark of this version"));
    }
    let (header_bytes, records, text_bytes) = (next() as usize, next() as usize, next() as usize);
    let shape = Shape::numbered(next()).ok_or(BadFrame("its records are of no known shape"))?;
    let (header, rest) = rest
        .split_at_checked(header_bytes)
        .ok_or(BadFrame("it ends within its header"))?;
    let (table, texts) = records
        .checked_mul(shape.row_bytes())
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(BadFrame("it ends within its table"))?;
    let texts = texts
        .get(..text_bytes)
        .ok_or(BadFrame("it ends within its texts"))?;
    let header: Header =
        serde_json::from_slice(header).map_err(|_| BadFrame("its header cannot be read"))?;
    let page = FramePage::new(shape, table, texts)?;
    let records = (0..records as u32).map(|index| RecordRef { page: 0, index });
    let batch = Batch {
        records: records.collect(),
        pages: vec![Arc::new(page)],
    };
    Ok(Received {
        mapping: header.mapping,
        config: header.config.map(Arc::new),
        invocation: Invocation {
            id: header.id,
            shard: header.shard,
            lane: header.lane,
            attempt: header.attempt,
            request_id: header.request_id,
            fence: header.fence,
            deadline: now + header.left,
            window: header.window,
            batch,
        },
    })
}
