//! Decides when a fresh batch is due, and how many records it takes.
//!
//! Rules (AWS Lambda Developer Guide, "Batching behavior"): a batch goes out as soon as it has
//! `BatchSize` records, or its window has passed, or the event has reached 6 MB. Without a window
//! whatever is there goes out. The window of the next batch opens when the previous invocation
//! ends, the first one when the first record is buffered. What a cut at 6 MB leaves behind, and
//! what is left when a shard ends, does not wait. While an answer arrives in parts only a full
//! batch goes out, or one whose window has passed: what one read brings is handed out together,
//! as if it had come at once.

use std::time::Duration;

use super::lane::Lane;
use crate::config::MappingConfig;
use crate::event::ENVELOPE_BYTES;
use crate::time::Mono;

/// When a lane's next fresh batch is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Mono),
    Never,
}

/// Whether more records are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inflow {
    /// Perhaps, after another read.
    Open,
    /// At once: an answer is coming in.
    Arriving,
    /// No: the shard is at its end, or what follows belongs to another tumbling window.
    Ended,
}

/// When the fresh records of an idle lane are due; `room` is what an event may hold of them.
pub(crate) fn due(
    lane: &Lane,
    config: &MappingConfig,
    room: u64,
    inflow: Inflow,
    now: Mono,
) -> Due {
    let fresh = lane.fresh();
    if fresh == 0 {
        return Due::Never;
    }
    let full = fresh >= config.batch_size as usize || lane.fresh_bytes() >= room;
    let flushed = lane.flush_through.is_some_and(|through| {
        lane.queue
            .get(lane.queue.len() - fresh)
            .is_some_and(|first| first.ordinal <= through)
    });
    let waits = config.batch_window > Duration::ZERO;
    match inflow {
        _ if full => return Due::Now,
        Inflow::Arriving if !waits => return Due::Never,
        Inflow::Arriving => {}
        Inflow::Ended => return Due::Now,
        Inflow::Open if flushed || !waits => return Due::Now,
        Inflow::Open => {}
    }
    let closes = lane.window_opened.unwrap_or(now) + config.batch_window;
    if closes <= now {
        Due::Now
    } else {
        Due::At(closes)
    }
}

/// How many of the first `most` fresh records the next batch takes, and whether their bytes cut it
/// short. Zero records: the first one alone is larger than an event may be.
pub(crate) fn take(lane: &Lane, room: u64, most: usize) -> (usize, bool) {
    let start = lane.queue.len() - lane.fresh();
    let most = lane.fresh().min(most);
    let mut bytes = 0;
    for (count, queued) in lane.queue.range(start..start + most).enumerate() {
        bytes += u64::from(queued.bytes);
        if bytes > room {
            return (count, true);
        }
    }
    (most, false)
}

/// Bytes that records with their commas may fill; the first one has no comma.
pub(crate) fn room(config: &MappingConfig) -> u64 {
    (config.payload_bytes_max + 1).saturating_sub(ENVELOPE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RequestId;
    use crate::stream::lane::{Queued, Unit};
    use crate::stream::testing::config;

    fn lane(records: u64, bytes: u32) -> Lane {
        let mut lane = Lane::default();
        (0..records).for_each(|ordinal| lane.push(Queued { ordinal, bytes }));
        lane
    }

    #[test]
    fn without_a_window_whatever_is_there_goes_out() {
        let config = config("{}");
        assert_eq!(
            due(&lane(1, 100), &config, room(&config), Inflow::Open, Mono(5)),
            Due::Now
        );
        assert_eq!(
            due(&lane(0, 100), &config, room(&config), Inflow::Open, Mono(5)),
            Due::Never
        );
    }

    #[test]
    fn while_an_answer_arrives_only_full_batches_go_out() {
        let config = config(r#"{"BatchSize":10}"#);
        let mut lane = lane(9, 100);
        lane.flush_through = Some(5);
        assert_eq!(
            due(&lane, &config, room(&config), Inflow::Arriving, Mono(5)),
            Due::Never
        );
        assert_eq!(
            due(&lane, &config, room(&config), Inflow::Open, Mono(5)),
            Due::Now
        );
        lane.push(Queued {
            ordinal: 9,
            bytes: 1,
        });
        assert_eq!(
            due(&lane, &config, room(&config), Inflow::Arriving, Mono(5)),
            Due::Now
        );
    }

    #[test]
    fn a_window_holds_a_batch_back_until_it_is_full_or_the_shard_ends() {
        let config = config(r#"{"MaximumBatchingWindowInSeconds":2,"BatchSize":10}"#);
        let mut waiting = lane(9, 100);
        waiting.window_opened = Some(Mono(5));
        let closes = Mono(5) + Duration::from_secs(2);
        assert_eq!(
            due(&waiting, &config, room(&config), Inflow::Open, Mono(5)),
            Due::At(closes)
        );
        assert_eq!(
            due(&waiting, &config, room(&config), Inflow::Open, closes),
            Due::Now
        );
        assert_eq!(
            due(&waiting, &config, room(&config), Inflow::Ended, Mono(5)),
            Due::Now
        );
        assert_eq!(
            due(
                &lane(10, 100),
                &config,
                room(&config),
                Inflow::Open,
                Mono(5)
            ),
            Due::Now
        );
    }

    #[test]
    fn an_event_holds_just_as_many_bytes_as_it_may() {
        let config = config(r#"{"BatchSize":100,"Penstock":{"PayloadBytesMax":1024}}"#);
        let room = u32::try_from(room(&config)).expect("it is small");
        assert_eq!(take(&lane(4, room / 4), room.into(), 100), (4, false));
        assert_eq!(take(&lane(4, room / 4 + 1), room.into(), 100), (3, true));
        assert_eq!(take(&lane(1, room + 1), room.into(), 100), (0, true));
    }

    #[test]
    fn units_at_the_head_are_not_fresh() {
        let config = config(r#"{"BatchSize":100}"#);
        let mut lane = lane(10, 100);
        lane.form(Unit::new(4, RequestId(1), true));
        assert_eq!(take(&lane, room(&config), 100), (6, false));
    }
}
