//! Shard iterators and list tokens: opaque to clients, stateless here.

use crate::seal::{open, seal};

/// How long a shard iterator lives after it was given.
pub const ITERATOR_MS: u64 = 5 * 60 * 1000;

/// How long a list token lives.
pub const NEXT_TOKEN_MS: u64 = 300 * 1000;

/// A shard iterator: where one reader is in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIterator {
    /// The stream's name.
    pub stream: String,
    /// When that stream was created: another of the same name is another stream.
    pub created_ms: u64,
    /// The shard's index.
    pub shard: u32,
    /// The index of the record to read next.
    pub position: u64,
    /// When it was given.
    pub issued_ms: u64,
    /// Its serial number.
    pub serial: u64,
}

/// A token of ListShards: where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextToken {
    /// The stream's name.
    pub stream: String,
    /// The first shard of the next page is above this index.
    pub after: u32,
    /// When it was given.
    pub issued_ms: u64,
    /// The filter of the first call, as it wrote it.
    pub filter: String,
}

impl ShardIterator {
    /// The token.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self {
            stream,
            created_ms,
            shard,
            position,
            issued_ms,
            serial,
        } = self;
        seal(&format!(
            "iterator|{stream}|{created_ms}|{shard}|{position}|{issued_ms}|{serial}"
        ))
    }

    /// Reads a token; `None` when it is not one of ours.
    #[must_use]
    pub fn decode(token: &str) -> Option<Self> {
        let text = open(token)?;
        let mut parts = text.strip_prefix("iterator|")?.split('|');
        Some(Self {
            stream: parts.next()?.to_owned(),
            created_ms: parts.next()?.parse().ok()?,
            shard: parts.next()?.parse().ok()?,
            position: parts.next()?.parse().ok()?,
            issued_ms: parts.next()?.parse().ok()?,
            serial: parts.next()?.parse().ok()?,
        })
    }
}

impl NextToken {
    /// The token.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self {
            stream,
            after,
            issued_ms,
            filter,
        } = self;
        seal(&format!("next|{stream}|{after}|{issued_ms}|{filter}"))
    }

    /// Reads a token; `None` when it is not one of ours.
    #[must_use]
    pub fn decode(token: &str) -> Option<Self> {
        let text = open(token)?;
        let mut parts = text.strip_prefix("next|")?.splitn(4, '|');
        Some(Self {
            stream: parts.next()?.to_owned(),
            after: parts.next()?.parse().ok()?,
            issued_ms: parts.next()?.parse().ok()?,
            filter: parts.next()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_guarded() {
        let iterator = ShardIterator {
            stream: "orders".to_owned(),
            created_ms: 1,
            shard: 2,
            position: 3,
            issued_ms: 4,
            serial: 5,
        };
        let token = iterator.encode();
        assert_eq!(ShardIterator::decode(&token), Some(iterator));
        assert_eq!(NextToken::decode(&token), None);
        for wrong in ["", "garbage", "Z2FyYmFnZQ==", &token[4..]] {
            assert_eq!(ShardIterator::decode(wrong), None);
        }
        let next = NextToken {
            stream: "orders".to_owned(),
            after: 7,
            issued_ms: 8,
            filter: r#"{"Type":"AT_LATEST"}"#.to_owned(),
        };
        assert_eq!(NextToken::decode(&next.encode()), Some(next));
    }
}
