//! Lists a stream's shards, and the children of one.
//!
//! Rules: all pages of the listing, or none; a server that does not heed the filter for children
//! costs nothing but a listing.

use std::time::Duration;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::ShardId;
use penstock_engine::io::{ShardInfo, ShardListing};
use penstock_engine::time::Wall;
use penstock_runtime::error::SourceError;

use super::DynamoDbStreamsSource;
use super::wire::{DescribeStream, Described, ListedShard, ShardFilter, StreamDescription};
use crate::access::Access;
use crate::client::Answer;

/// The most pages of one listing: a hundred thousand shards.
const PAGES_MAX: usize = 1_000;

/// How long DynamoDB keeps changes.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

impl DynamoDbStreamsSource {
    /// Every page of DescribeStream.
    pub(super) async fn list(&self) -> Result<ShardListing, SourceError> {
        let subject = self.subject("DescribeStream", None);
        let access = self.client.access(&subject).await?;
        let (mut shards, mut server_time, mut made) = (Vec::new(), None, None);
        let mut last: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let (answer, page) = self.describe(&access, last.as_deref(), None).await?;
            // The first page's: a shard made while the listing goes on is then listed later.
            server_time = server_time.or(answer.date);
            made = made.or(page.creation_request_date_time);
            shards.extend(page.shards);
            last = page.last_evaluated_shard_id;
            if last.is_none() {
                break;
            }
        }
        if last.is_some() {
            let message = format!("{subject} did not end within {PAGES_MAX} pages");
            return Err(SourceError::new(FaultKind::Transient, message));
        }
        Ok(ShardListing {
            shards: shards.into_iter().map(info).collect(),
            server_time: server_time.unwrap_or_else(|| self.client.now()),
            incarnation: made.map(|seconds| Wall((seconds * 1000.0).round() as i64)),
            retention: Some(RETENTION),
        })
    }

    /// The shards that follow one, as far as one page tells; none when they cannot be had.
    pub(super) async fn children(&self, access: &Access, shard: &ShardId) -> Vec<ShardInfo> {
        let parent = shard.as_str();
        let filter = ShardFilter {
            r#type: "CHILD_SHARDS",
            shard_id: parent,
        };
        let described = self.describe(access, None, Some(filter)).await;
        let Ok((_, page)) = described else {
            return Vec::new();
        };
        let child = |shard: &ListedShard| shard.parent_shard_id.as_deref() == Some(parent);
        page.shards.into_iter().filter(child).map(info).collect()
    }

    async fn describe(
        &self,
        access: &Access,
        after: Option<&str>,
        filter: Option<ShardFilter<'_>>,
    ) -> Result<(Answer, StreamDescription), SourceError> {
        let subject = self.subject("DescribeStream", None);
        let body = DescribeStream {
            stream_arn: &self.options.arn,
            exclusive_start_shard_id: after,
            shard_filter: filter,
        };
        let answer = self.call(access, &subject, &body).await?;
        let described: Described = self.place(access, &subject).parse(&answer.body)?;
        Ok((answer, described.stream_description))
    }
}

fn info(shard: ListedShard) -> ShardInfo {
    ShardInfo {
        id: ShardId::new(shard.shard_id),
        parents: shard
            .parent_shard_id
            .into_iter()
            .map(ShardId::new)
            .collect(),
        closed: shard.sequence_number_range.ending_sequence_number.is_some(),
    }
}
