//! Warns before records expire at their source, and tells when a stream has come to its end.
//!
//! Rules: looked at once a listing, never on the way of a record; each crossing is told once, and
//! again only after the shard has recovered; ages are counted by the source's clock where it is
//! known. That records *have* expired is for `reader` to find out.

use std::time::Duration;

use super::StreamMachine;
use super::shard::{Shard, State};
use crate::io::{NoticeLevel, ShardListing};
use crate::time::Wall;

/// Parts of a stream's retention, in hundredths: when the oldest unsettled record of a shard is
/// older, people are told.
const HEADROOM: [u8; 2] = [80, 50];

impl Shard {
    /// When the oldest unsettled record arrived: one that waits in a lane, or one whose document
    /// is not acknowledged.
    pub fn oldest_unsettled(&self) -> Option<Wall> {
        let queued = self.lanes.iter().filter_map(|lane| lane.queue.front());
        let queued = queued.map(|queued| self.buffer.facts(queued.ordinal).arrival);
        let documents = self.lanes.iter().flat_map(|lane| &lane.documents);
        let documents = documents.filter(|document| !document.done);
        queued
            .chain(documents.map(|document| document.arrival))
            .min()
    }
}

impl StreamMachine {
    /// Tells of shards whose oldest unsettled record has used up much of the retention.
    pub(super) fn watch_retention(&mut self, now: Wall) {
        let Some(retention) = self.retention.filter(|span| !span.is_zero()) else {
            return;
        };
        for shard in &mut self.shards {
            let age = shard
                .oldest_unsettled()
                .map_or(0, |at| now.millis_since(at));
            let part = i128::from(age) * 100 / retention.as_millis().cast_signed();
            let crossed = HEADROOM
                .into_iter()
                .find(|mark| part >= i128::from(*mark))
                .unwrap_or(0);
            let told = std::mem::replace(&mut shard.headroom_told, crossed);
            if crossed <= told {
                continue;
            }
            let message = format!(
                "the oldest unsettled record of shard {} is {} old, more than {crossed} % of the \
                 {} for which the stream keeps records; what is older expires unhandled",
                shard.id,
                hours(Duration::from_millis(age.unsigned_abs())),
                hours(retention),
            );
            self.core.notify(
                NoticeLevel::Warn,
                "retention_headroom",
                Some(&shard.id),
                message,
            );
        }
    }

    /// Tells, once, that every shard is closed and settled: the stream was disabled, or its table
    /// was deleted.
    pub(super) fn watch_end(&mut self, listing: &ShardListing) {
        let closed = listing.shards.iter().all(|shard| shard.closed);
        let settled = self.shards.iter().all(|shard| shard.state == State::Ended);
        let ended = closed && settled && !listing.shards.is_empty();
        if std::mem::replace(&mut self.end_told, ended) || !ended {
            return;
        }
        let message = format!(
            "every shard of {} is closed and settled to its end: the stream takes no more records",
            self.core.config.source_arn
        );
        self.core
            .notify(NoticeLevel::Info, "stream_ended", None, message);
    }
}

fn hours(span: Duration) -> String {
    format!("{:.1} h", span.as_secs_f64() / 3_600.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{aggregated, config, page};
    use super::*;
    use crate::ids::{Fence, OpId, ShardId};
    use crate::io::{Fetched, Input, Notice, Output, Resume, ShardInfo};
    use crate::record::Page;
    use crate::time::{Mono, Now};

    const HOUR_MS: i64 = 3_600_000;
    const MINUTE: Duration = Duration::from_secs(60);

    /// A mapping on one shard whose records arrive at time 0 and are kept for ten hours.
    struct Life {
        machine: StreamMachine,
        now: Now,
        closed: bool,
        fetch: Option<OpId>,
        notices: Vec<Notice>,
    }

    impl Life {
        fn begin(options: &str) -> Self {
            let now = Now::default();
            let machine = StreamMachine::new(config(options), Resume::default(), 7, now);
            let mut life = Self {
                machine,
                now,
                closed: false,
                fetch: None,
                notices: Vec::new(),
            };
            life.perform();
            life
        }

        /// Does at once what the machine wants, but for reads.
        fn perform(&mut self) {
            while let Some(output) = self.machine.poll_output() {
                let input = match output {
                    Output::ListShards { op } => Input::ShardsListed {
                        op,
                        listing: self.listing(),
                    },
                    Output::Register { op, .. } => Input::Registered { op },
                    Output::TakeLease { op, .. } => Input::LeaseGranted {
                        op,
                        fence: Fence(1),
                        until: None,
                        checkpoint: None,
                    },
                    Output::SaveCheckpoint { op, .. } => Input::CheckpointSaved { op },
                    Output::Fetch(fetch) => {
                        self.fetch = Some(fetch.op);
                        continue;
                    }
                    Output::Notify(notice) => {
                        self.notices.push(notice);
                        continue;
                    }
                    _ => continue,
                };
                self.machine.handle_input(input, self.now);
            }
        }

        fn listing(&self) -> ShardListing {
            let shard = ShardInfo {
                id: ShardId::new("shard-0"),
                parents: vec![],
                closed: self.closed,
            };
            ShardListing {
                shards: vec![shard],
                server_time: self.now.wall,
                incarnation: None,
                retention: Some(Duration::from_secs(10 * 3_600)),
            }
        }

        fn read(&mut self, page: Option<Arc<dyn Page>>) {
            let op = self.fetch.take().expect("the shard is being read");
            let fetched = Fetched {
                page,
                next: None,
                behind_ms: Some(0),
                ended: self.closed,
                children: vec![],
            };
            self.machine
                .handle_input(Input::Fetched { op, fetched }, self.now);
            self.perform();
        }

        /// Lets the next listing be at this hour of the source's clock; tells what is said then.
        fn at_hour(&mut self, hour: f64) -> Vec<String> {
            self.now = Now {
                mono: Mono(self.now.mono.0) + MINUTE,
                wall: Wall((hour * HOUR_MS as f64) as i64),
            };
            self.machine.handle_timeout(self.now);
            self.perform();
            let told = std::mem::take(&mut self.notices).into_iter();
            told.filter(|notice| {
                notice.code == "retention_headroom" || notice.code == "stream_ended"
            })
            .map(|notice| notice.message)
            .collect()
        }
    }

    #[test]
    fn each_crossing_of_the_retention_is_told_once() {
        let mut life = Life::begin("{}");
        life.read(Some(page(1..4, 100)));
        assert_eq!(life.at_hour(4.99), [] as [&str; 0]);
        let half = life.at_hour(5.0);
        assert!(
            half[0].contains("shard-0 is 5.0 h old, more than 50 % of the 10.0 h"),
            "{half:?}"
        );
        assert_eq!(life.at_hour(7.9), [] as [&str; 0]);
        let most = life.at_hour(8.5);
        assert!(most[0].contains("8.5 h old, more than 80 %"), "{most:?}");
        assert_eq!(life.at_hour(30.0), [] as [&str; 0]);
    }

    #[test]
    fn both_crossings_at_once_are_told_as_the_later_one() {
        let mut life = Life::begin("{}");
        life.read(Some(page(1..4, 100)));
        let told = life.at_hour(9.0);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("80 %"), "{told:?}");
    }

    #[test]
    fn nothing_is_told_of_a_shard_that_waits_for_records() {
        let mut life = Life::begin("{}");
        life.read(None);
        assert_eq!(life.at_hour(9.0), [] as [&str; 0]);
    }

    #[test]
    fn the_end_of_a_stream_is_told_once_its_records_are_settled() {
        let mut life = Life::begin("{}");
        life.closed = true;
        assert_eq!(life.at_hour(1.0), [] as [&str; 0], "it is not read yet");
        life.read(None);
        let told = life.at_hour(1.1);
        assert!(told[0].contains("takes no more records"), "{told:?}");
        assert_eq!(life.at_hour(1.2), [] as [&str; 0]);
    }

    #[test]
    fn aggregates_are_told_once_and_only_where_there_are_lanes() {
        for (options, times) in [("{}", 0), (r#"{"ParallelizationFactor":2}"#, 1)] {
            let mut life = Life::begin(options);
            life.read(Some(aggregated(1..4)));
            life.at_hour(0.1);
            life.read(Some(aggregated(4..5)));
            let told = |life: &Life| {
                life.notices
                    .iter()
                    .filter(|n| n.code == "aggregated_records")
                    .count()
            };
            assert_eq!(told(&life), 0, "the second page says nothing");
            let mut life = Life::begin(options);
            life.read(Some(page(1..4, 100)));
            assert_eq!(told(&life), 0);
            life.at_hour(0.1);
            life.read(Some(aggregated(4..5)));
            assert_eq!(told(&life), times, "{options}");
        }
    }
}
