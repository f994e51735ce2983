//! Shard iterators: opaque to clients, stateless here.

use crate::seal::{open, seal};

/// How long a shard iterator lives after it was given.
pub const ITERATOR_MS: u64 = 15 * 60 * 1000;

/// A shard iterator: where one reader is in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIterator {
    /// The stream's ARN.
    pub stream: String,
    /// The shard's id.
    pub shard: String,
    /// The index of the record to read next.
    pub position: u64,
    /// When it was given.
    pub issued_ms: u64,
    /// Its serial number.
    pub serial: u64,
}

impl ShardIterator {
    /// The token.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self {
            stream,
            shard,
            position,
            issued_ms,
            serial,
        } = self;
        seal(&format!("{stream}|{shard}|{position}|{issued_ms}|{serial}"))
    }

    /// Reads a token; `None` when it is not one of ours.
    #[must_use]
    pub fn decode(token: &str) -> Option<Self> {
        let text = open(token)?;
        let mut parts = text.split('|');
        Some(Self {
            stream: parts.next()?.to_owned(),
            shard: parts.next()?.to_owned(),
            position: parts.next()?.parse().ok()?,
            issued_ms: parts.next()?.parse().ok()?,
            serial: parts.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back() {
        let iterator = ShardIterator {
            stream: "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/now".to_owned(),
            shard: "shardId-00000001795536018481-0badcafe".to_owned(),
            position: 3,
            issued_ms: 4,
            serial: 5,
        };
        assert_eq!(ShardIterator::decode(&iterator.encode()), Some(iterator));
        assert_eq!(ShardIterator::decode("garbage"), None);
        assert_eq!(ShardIterator::decode(&seal("a|b|c|d|e")), None);
    }
}
