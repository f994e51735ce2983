//! One stream of a table: its view, its status, its shards and how they roll and split.
//!
//! Shards roll by the clock. That is seen to whenever the stream is looked at, and every roll has
//! the time at which it was due; but none is dated before the last look, when records may have
//! come in.

use serde_json::{Value, json};

use super::item::Item;
use super::sequence::SERIAL_MAX;
use super::settings::Settings;
use super::shard::{Change, Origin, Shard};
use crate::hash::{HashRange, even_ranges};

/// How long records are kept.
pub const RETENTION_MS: u64 = 24 * 3600 * 1000;

/// Which images of an item its records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// None.
    KeysOnly,
    /// The item after the write.
    NewImage,
    /// The item before the write.
    OldImage,
    /// Both.
    NewAndOldImages,
}

/// A stream, enabled or not.
#[derive(Debug)]
pub struct Stream {
    /// Its ARN.
    pub arn: String,
    /// Its label: when it was enabled.
    pub label: String,
    /// The table's name.
    pub table: String,
    /// The table's key schema, as the API writes it.
    pub key_schema: Value,
    /// What its records show.
    pub view: View,
    /// When it was enabled.
    pub created_ms: u64,
    /// When it was disabled.
    pub disabled_ms: Option<u64>,
    /// Its shards, by age.
    pub shards: Vec<Shard>,
    region: String,
    changing_until_ms: u64,
    shards_made: u32,
    seen_ms: u64,
}

/// What a new stream is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The table's ARN.
    pub table_arn: &'a str,
    /// The table's name.
    pub table: &'a str,
    /// The table's region.
    pub region: &'a str,
    /// Its key schema, as the API writes it.
    pub key_schema: &'a Value,
    /// The view.
    pub view: View,
    /// How many open shards it begins with.
    pub shards: u32,
    /// Until when it is ENABLING.
    pub enabled_ms: u64,
}

impl View {
    /// The view of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "KEYS_ONLY" => Some(Self::KeysOnly),
            "NEW_IMAGE" => Some(Self::NewImage),
            "OLD_IMAGE" => Some(Self::OldImage),
            "NEW_AND_OLD_IMAGES" => Some(Self::NewAndOldImages),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }

    fn has_new(self) -> bool {
        matches!(self, Self::NewImage | Self::NewAndOldImages)
    }

    fn has_old(self) -> bool {
        matches!(self, Self::OldImage | Self::NewAndOldImages)
    }
}

impl Stream {
    /// An enabled stream without records.
    #[must_use]
    pub fn new(plan: Plan<'_>, label: String, now_ms: u64) -> Self {
        let mut stream = Self {
            arn: format!("{}/stream/{label}", plan.table_arn),
            label,
            table: plan.table.to_owned(),
            key_schema: plan.key_schema.clone(),
            view: plan.view,
            created_ms: now_ms,
            disabled_ms: None,
            shards: Vec::new(),
            region: plan.region.to_owned(),
            changing_until_ms: plan.enabled_ms,
            shards_made: 0,
            seen_ms: now_ms,
        };
        for range in even_ranges(plan.shards) {
            stream.open(None, range, now_ms);
        }
        stream
    }

    /// Rolls and trims what is due; `false` when the stream itself is gone.
    #[must_use]
    pub fn settle(&mut self, settings: &Settings, now_ms: u64) -> bool {
        if let Some(roll_ms) = settings.roll_ms {
            self.roll_due(roll_ms.get(), now_ms);
        }
        self.seen_ms = now_ms;
        let horizon_ms = now_ms.saturating_sub(RETENTION_MS);
        self.shards.retain(|shard| !shard.is_gone(horizon_ms));
        for shard in &mut self.shards {
            let below = shard.log.index_at(horizon_ms);
            shard.log.trim(below);
        }
        self.disabled_ms
            .is_none_or(|disabled| disabled >= horizon_ms)
    }

    /// Its status.
    #[must_use]
    pub fn status(&self, now_ms: u64) -> &'static str {
        match (self.disabled_ms.is_some(), now_ms < self.changing_until_ms) {
            (false, true) => "ENABLING",
            (false, false) => "ENABLED",
            (true, true) => "DISABLING",
            (true, false) => "DISABLED",
        }
    }

    /// The position of a shard.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.shards.iter().position(|shard| shard.id == id)
    }

    /// Appends what a write did to an item; a write that changed nothing leaves no record.
    pub fn append(
        &mut self,
        hash: u128,
        key: &Item,
        (old, new): (Option<&Item>, Option<&Item>),
        by_service: bool,
        now_ms: u64,
    ) {
        let name = match (old, new) {
            (None, Some(_)) => "INSERT",
            (Some(_), None) => "REMOVE",
            (Some(old), Some(new)) if old != new => "MODIFY",
            _ => return,
        };
        let change = Change {
            key,
            old: old.filter(|_| self.view.has_old()),
            new: new.filter(|_| self.view.has_new()),
            name,
            by_service,
        };
        let origin = Origin {
            arn: &self.arn,
            region: &self.region,
            view: self.view.name(),
        };
        let shard = self
            .shards
            .iter_mut()
            .find(|shard| shard.closed_ms.is_none() && shard.range.contains(hash))
            .expect("the open shards of an enabled stream cover every hash");
        shard.append(origin, change, now_ms);
    }

    /// Closes one open shard, followed by so many children of equal parts.
    pub fn split(&mut self, at: usize, children: u32, now_ms: u64) {
        self.shards[at].closed_ms = Some(now_ms);
        for range in cut(self.shards[at].range, children) {
            self.open(Some(at), range, now_ms);
        }
    }

    /// Closes all shards; their records stay.
    pub fn disable(&mut self, now_ms: u64, end_ms: u64) {
        for shard in &mut self.shards {
            shard.closed_ms = shard.closed_ms.or(Some(now_ms));
        }
        self.disabled_ms = Some(now_ms);
        self.changing_until_ms = end_ms;
    }

    /// How the API describes it, without its shards.
    #[must_use]
    pub fn describe(&self, now_ms: u64) -> Value {
        json!({
            "StreamArn": self.arn,
            "StreamLabel": self.label,
            "StreamStatus": self.status(now_ms),
            "StreamViewType": self.view.name(),
            "CreationRequestDateTime": self.created_ms as f64 / 1000.0,
            "TableName": self.table,
            "KeySchema": self.key_schema,
        })
    }

    fn roll_due(&mut self, roll_ms: u64, now_ms: u64) {
        loop {
            let due_ms = |shard: &Shard| (shard.created_ms + roll_ms).max(self.seen_ms);
            let open = |shard: &Shard| shard.closed_ms.is_none() && due_ms(shard) <= now_ms;
            let Some(at) = self.shards.iter().position(open) else {
                return;
            };
            let due_ms = due_ms(&self.shards[at]);
            self.split(at, 1, due_ms);
        }
    }

    fn open(&mut self, parent: Option<usize>, range: HashRange, now_ms: u64) {
        let serial = self.shards_made;
        assert!(
            u128::from(serial) < SERIAL_MAX,
            "a stream has at most {SERIAL_MAX} shards in its life"
        );
        self.shards_made += 1;
        let parent = parent.map(|at| &self.shards[at]);
        let shard = Shard::new(&self.arn, serial, parent, range, now_ms);
        self.shards.push(shard);
    }
}

/// Cuts a range into parts of the same size; the last takes the remainder.
fn cut(range: HashRange, parts: u32) -> Vec<HashRange> {
    let parts = u128::from(parts.max(1));
    let step = (range.end - range.start) / parts;
    (0..parts)
        .map(|nth| HashRange {
            start: range.start + nth * step + u128::from(nth > 0),
            end: if nth == parts - 1 {
                range.end
            } else {
                range.start + (nth + 1) * step
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn stream(shards: u32) -> Stream {
        let plan = Plan {
            table_arn: "arn:aws:dynamodb:us-east-1:000000000000:table/t",
            table: "t",
            region: "us-east-1",
            key_schema: &json!([]),
            view: View::NewAndOldImages,
            shards,
            enabled_ms: 0,
        };
        Stream::new(plan, "now".to_owned(), 0)
    }

    fn put(stream: &mut Stream, hash: u128, now_ms: u64) {
        let mut key = Item::default();
        let value = json!({"N": hash.to_string()});
        key.set(
            "id",
            super::super::item::Attribute::read(&value).expect("a number"),
        );
        stream.append(hash, &key, (None, Some(&key)), false, now_ms);
    }

    #[test]
    fn shards_roll_when_it_is_time_and_keep_their_records() {
        let (mut stream, settings) = (stream(2), Settings::default());
        put(&mut stream, 5, 10);
        assert!(stream.settle(&settings, 4 * HOUR_MS - 1));
        assert_eq!(stream.shards.len(), 2);
        assert!(stream.settle(&settings, 9 * HOUR_MS));
        assert_eq!(stream.shards.len(), 6);
        let closed = stream.shards.iter().filter_map(|shard| shard.closed_ms);
        assert_eq!(
            closed.collect::<Vec<_>>(),
            [4, 4, 8, 8].map(|hours| hours * HOUR_MS)
        );
        assert_eq!(stream.shards[2].parent, Some(stream.shards[0].id.clone()));
        assert_eq!(stream.shards[0].log.tip(), 2);
        put(&mut stream, 5, 9 * HOUR_MS);
        assert_eq!(stream.shards[4].log.tip(), 2);
    }

    #[test]
    fn a_shorter_roll_never_dates_back() {
        let (mut stream, mut settings) = (stream(1), Settings::default());
        assert!(stream.settle(&settings, HOUR_MS));
        put(&mut stream, 5, HOUR_MS);
        settings.roll_ms = NonZeroU64::new(1000);
        assert!(stream.settle(&settings, HOUR_MS + 1500));
        let closed: Vec<u64> = stream
            .shards
            .iter()
            .filter_map(|shard| shard.closed_ms)
            .collect();
        assert_eq!(closed, [HOUR_MS, HOUR_MS + 1000]);
    }

    #[test]
    fn children_cover_what_their_parent_did() {
        for parts in [1, 2, 3, 7] {
            for range in even_ranges(3) {
                let made = cut(range, parts);
                assert_eq!(
                    (made[0].start, made[made.len() - 1].end),
                    (range.start, range.end)
                );
                for pair in made.windows(2) {
                    assert_eq!(pair[0].end + 1, pair[1].start);
                }
            }
        }
    }

    #[test]
    fn a_write_that_changes_nothing_leaves_no_record() {
        let mut stream = stream(1);
        let item = Item::default();
        stream.append(0, &item, (Some(&item), Some(&item)), false, 0);
        stream.append(0, &item, (None, None), false, 0);
        assert_eq!(stream.shards[0].log.tip(), 1);
    }

    #[test]
    fn after_a_day_records_shards_and_streams_go() {
        let (mut stream, settings) = (stream(1), Settings::default());
        put(&mut stream, 5, 0);
        stream.disable(HOUR_MS, HOUR_MS);
        assert!(stream.settle(&settings, RETENTION_MS + 1));
        assert_eq!(stream.shards[0].log.first(), 2);
        assert!(!stream.settle(&settings, RETENTION_MS + HOUR_MS + 1));
        assert_eq!(stream.shards.len(), 0);
    }
}
