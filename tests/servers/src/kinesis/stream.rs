//! One stream: its status, its shards, and how split and merge change them.

use super::model::ACCOUNT;
use super::shard::Shard;
use crate::hash::{HashRange, even_ranges};

/// Where a stream is in its life. The times are when the state ends, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Just created: describable, nothing else.
    Creating(u64),
    /// Usable.
    Active,
    /// Resharded a moment ago: readable and writable, not reshardable.
    Updating(u64),
    /// Deleted a moment ago: describable, nothing else.
    Deleting(u64),
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was created.
    pub created_ms: u64,
    /// How long records are kept.
    pub retention_hours: u64,
    /// `PROVISIONED` or `ON_DEMAND`.
    pub mode: &'static str,
    /// Its state.
    pub state: State,
    /// All its shards, by index.
    pub shards: Vec<Shard>,
}

impl Stream {
    /// A stream with evenly split shards.
    #[must_use]
    pub fn new(name: &str, region: &str, shards: u32, now_ms: u64) -> Self {
        let made = even_ranges(shards).into_iter().zip(0..);
        let born_s = now_ms / 1000;
        Self {
            name: name.to_owned(),
            arn: format!("arn:aws:kinesis:{region}:{ACCOUNT}:stream/{name}"),
            created_ms: now_ms,
            retention_hours: 24,
            mode: "PROVISIONED",
            state: State::Active,
            shards: made
                .map(|(range, index)| Shard::new(index, range, Vec::new(), born_s, now_ms))
                .collect(),
        }
    }

    /// Lets time do its work: states end, records beyond retention go. False when the stream is
    /// gone itself.
    #[must_use]
    pub fn settle(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Deleting(end) if end <= now_ms => return false,
            State::Creating(end) | State::Updating(end) if end <= now_ms => {
                self.state = State::Active;
            }
            _ => {}
        }
        let horizon_ms = self.horizon_ms(now_ms);
        for shard in &mut self.shards {
            let oldest = shard.log.arrived_ms(shard.log.first());
            if oldest.is_some_and(|arrived| arrived < horizon_ms) {
                let below = shard.log.index_at(horizon_ms);
                shard.log.trim(below);
            }
        }
        true
    }

    /// The oldest time whose records are kept.
    #[must_use]
    pub fn horizon_ms(&self, now_ms: u64) -> u64 {
        now_ms
            .saturating_sub(self.retention_hours * 3_600_000)
            .max(self.created_ms)
    }

    /// The state as the API writes it.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.state {
            State::Creating(_) => "CREATING",
            State::Active => "ACTIVE",
            State::Updating(_) => "UPDATING",
            State::Deleting(_) => "DELETING",
        }
    }

    /// The shards that are listed.
    pub fn listed(&self, now_ms: u64) -> impl Iterator<Item = &Shard> {
        let horizon_ms = self.horizon_ms(now_ms);
        self.shards
            .iter()
            .filter(move |shard| !shard.is_gone(horizon_ms))
    }

    /// The position of a shard that is listed.
    #[must_use]
    pub fn find(&self, id: &str, now_ms: u64) -> Option<usize> {
        let horizon_ms = self.horizon_ms(now_ms);
        let found = self.shards.iter().position(|shard| shard.id() == id)?;
        (!self.shards[found].is_gone(horizon_ms)).then_some(found)
    }

    /// The open shard that takes a hash key.
    #[must_use]
    pub fn route(&mut self, hash: u128) -> &mut Shard {
        let open = self
            .shards
            .iter_mut()
            .find(|shard| shard.closed_ms.is_none() && shard.range.contains(hash));
        open.expect("the open shards cover every hash key")
    }

    /// Closes one shard and opens two, cut before a hash key inside its range.
    pub fn split(&mut self, at: usize, second_start: u128, now_ms: u64, end_ms: u64) {
        let (parent, range) = (self.shards[at].index, self.shards[at].range);
        let lower = HashRange {
            start: range.start,
            end: second_start - 1,
        };
        let upper = HashRange {
            start: second_start,
            end: range.end,
        };
        self.reshard(&[at], &[lower, upper], vec![parent], now_ms, end_ms);
    }

    /// Closes two adjacent shards and opens one.
    pub fn merge(&mut self, first: usize, second: usize, now_ms: u64, end_ms: u64) {
        let (one, other) = (&self.shards[first], &self.shards[second]);
        let range = HashRange {
            start: one.range.start.min(other.range.start),
            end: one.range.end.max(other.range.end),
        };
        let parents = vec![one.index, other.index];
        self.reshard(&[first, second], &[range], parents, now_ms, end_ms);
    }

    fn reshard(
        &mut self,
        close: &[usize],
        open: &[HashRange],
        parents: Vec<u32>,
        now_ms: u64,
        end_ms: u64,
    ) {
        // Sequence numbers of children stand above their parents': a later second of birth.
        let mut born_s = now_ms / 1000;
        for at in close {
            self.shards[*at].closed_ms = Some(now_ms);
            born_s = born_s.max(self.shards[*at].born_s + 1);
        }
        for range in open {
            let index = u32::try_from(self.shards.len()).expect("fewer than 2^32 shards");
            self.shards
                .push(Shard::new(index, *range, parents.clone(), born_s, now_ms));
        }
        self.state = State::Updating(end_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(stream: &mut Stream, hash: u128, now_ms: u64) -> (u32, String) {
        let shard = stream.route(hash);
        (shard.index, shard.append("YQ==", "\"k\"", 2, now_ms))
    }

    #[test]
    fn after_a_split_records_go_to_the_children_and_numbers_grow() {
        let mut stream = Stream::new("s", "us-east-1", 1, 1000);
        let (_, before) = put(&mut stream, 5, 1000);
        stream.split(0, 1 << 127, 1000, 1050);
        assert_eq!(stream.status(), "UPDATING");
        let (low, low_number) = put(&mut stream, 5, 1001);
        let (high, high_number) = put(&mut stream, u128::MAX, 1001);
        assert_eq!((low, high), (1, 2));
        let ending = stream.shards[0].describe()["SequenceNumberRange"]["EndingSequenceNumber"]
            .as_str()
            .map(str::to_owned)
            .expect("closed");
        assert!(before < ending && ending < low_number && ending < high_number);
        assert!(stream.settle(1050));
        assert_eq!(stream.status(), "ACTIVE");
    }

    #[test]
    fn a_merge_names_both_parents() {
        let mut stream = Stream::new("s", "us-east-1", 2, 1000);
        stream.merge(1, 0, 2000, 2000);
        let child = stream.shards[2].describe();
        assert_eq!(child["ParentShardId"], "shardId-000000000001");
        assert_eq!(child["AdjacentParentShardId"], "shardId-000000000000");
        assert_eq!(
            stream.shards[2].range,
            HashRange {
                start: 0,
                end: u128::MAX
            }
        );
    }

    #[test]
    fn retention_trims_records_and_then_closed_shards() {
        const HOUR: u64 = 3_600_000;
        let mut stream = Stream::new("s", "us-east-1", 1, 0);
        put(&mut stream, 0, HOUR);
        put(&mut stream, 0, 2 * HOUR);
        stream.split(0, 1 << 127, 3 * HOUR, 3 * HOUR);
        assert!(stream.settle(25 * HOUR + 1));
        assert_eq!(stream.shards[0].log.first(), 2);
        assert_eq!(stream.listed(27 * HOUR).count(), 3);
        assert_eq!(stream.listed(27 * HOUR + 1).count(), 2);
        assert_eq!(stream.find("shardId-000000000000", 27 * HOUR + 1), None);
    }

    #[test]
    fn a_deleted_stream_goes_when_its_time_comes() {
        let mut stream = Stream::new("s", "us-east-1", 1, 0);
        stream.state = State::Deleting(100);
        assert!(stream.settle(99));
        assert!(!stream.settle(100));
    }
}
