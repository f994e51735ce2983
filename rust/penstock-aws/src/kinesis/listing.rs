//! Lists a stream's shards and tells which stream of its name it is.
//!
//! Rules: all pages of the listing, or none; what the summary adds is welcome and not needed, so
//! that a role without that permission, or a server without that operation, still reads.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{SequenceNumber, ShardId};
use penstock_engine::io::{ShardInfo, ShardListing};
use penstock_engine::time::Wall;
use penstock_runtime::error::SourceError;

use super::wire::{ListMoreShards, ListShards, ListedShard, ListedShards, Summary};
use super::{KinesisSource, parse};
use crate::access::Access;

/// The most pages of one listing: far more shards than an account may have.
const PAGES_MAX: usize = 1_000;

impl KinesisSource {
    /// Every page of ListShards, then the summary.
    pub(super) async fn list(&self) -> Result<ShardListing, SourceError> {
        let subject = self.subject("ListShards", None);
        let access = self.client.access(&subject).await?;
        let mut listed: Vec<ListedShard> = Vec::new();
        let mut server_time = None;
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let answer = match &token {
                None => {
                    let body = ListShards {
                        stream: self.stream_ref(&access),
                    };
                    self.call(&access, &subject, &body).await?
                }
                Some(token) => {
                    let body = ListMoreShards { next_token: token };
                    self.call(&access, &subject, &body).await?
                }
            };
            // The first page's: a shard made while the listing goes on is then listed later.
            server_time = server_time.or(answer.date);
            let page: ListedShards = parse(&access, &subject, &answer.body)?;
            listed.extend(page.shards);
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        if token.is_some() {
            let message = format!("{subject} did not end within {PAGES_MAX} pages");
            return Err(SourceError::new(FaultKind::Transient, message));
        }
        let (incarnation, retention) = self.summary(&access).await?;
        self.shards
            .listed(listed.iter().map(range).collect::<BTreeMap<_, _>>());
        Ok(ShardListing {
            shards: listed.into_iter().map(info).collect(),
            server_time: server_time.unwrap_or_else(|| self.client.now()),
            incarnation,
            retention,
        })
    }

    /// When the stream was made and how long it keeps records, if we may know.
    async fn summary(
        &self,
        access: &Access,
    ) -> Result<(Option<Wall>, Option<Duration>), SourceError> {
        let subject = self.subject("DescribeStreamSummary", None);
        let answer = match self.call(access, &subject, &self.stream_ref(access)).await {
            Ok(answer) => answer,
            Err(error) => match error.fault().kind {
                FaultKind::Denied | FaultKind::Invalid => return Ok((None, None)),
                _ => return Err(error),
            },
        };
        let summary: Summary = parse(access, &subject, &answer.body)?;
        let summary = summary.stream_description_summary;
        let made = summary.stream_creation_timestamp;
        let incarnation = made.map(|seconds| Wall((seconds * 1000.0).round() as i64));
        let hours = summary.retention_period_hours;
        Ok((
            incarnation,
            hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600)),
        ))
    }
}

fn range(shard: &ListedShard) -> (ShardId, (SequenceNumber, Option<SequenceNumber>)) {
    let number = |digits: &String| SequenceNumber::new(digits.as_str());
    let range = &shard.sequence_number_range;
    let last = range.ending_sequence_number.as_ref().map(number);
    (
        ShardId::new(shard.shard_id.as_str()),
        (number(&range.starting_sequence_number), last),
    )
}

fn info(shard: ListedShard) -> ShardInfo {
    let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
    ShardInfo {
        id: ShardId::new(shard.shard_id),
        parents: parents.into_iter().flatten().map(ShardId::new).collect(),
        closed: shard.sequence_number_range.ending_sequence_number.is_some(),
    }
}
