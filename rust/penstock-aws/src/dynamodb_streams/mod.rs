//! Reads the streams of DynamoDB tables: DescribeStream, GetShardIterator, GetRecords.
//!
//! Rules: positions are the truth and iterators a cache, kept per shard under the position that
//! they stand for; a stale one is forgotten and the read answered `Expired`. A null iterator is
//! the shard's end, with or without records in the same answer.
//!
//! DynamoDB has no iterator for a moment. Reading from one begins at the oldest record, leaves out
//! what is older than the moment's whole second, and stays at the moment until something newer
//! came: a restart in between skips the same records again, and none of the newer ones.

mod listing;
mod page;
mod scan;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::{Fetched, ShardListing};
use penstock_engine::record::Page;
use penstock_engine::time::Wall;
use penstock_runtime::error::SourceError;
use penstock_runtime::ports::{FetchRequest, StreamSource};

use crate::access::{Access, AccessBook};
use crate::client::{Answer, Client};
use crate::dynamodb_streams::wire::{GetRecords, GetShardIterator, ShardIterator};
use crate::iterators::Shards;
use crate::protocol::{Place, Subject};
use crate::signing::Service;

const DYNAMODB_STREAMS: Service = Service {
    signing_name: "dynamodb",
    target: "DynamoDBStreams_20120810",
    content_type: "application/x-amz-json-1.0",
};

/// The most records that one GetRecords answers.
const FETCH_RECORDS_MAX: u32 = 1_000;

/// The most bytes that one GetRecords answers: 1 MB of items, whose attributes are as short as a
/// letter and have their types and names written out, with a frame around each record.
const FETCH_BYTES_MAX: u64 = 8 << 20;

/// Reads a second of a shard at its tip, as Lambda does.
const READS_PER_SECOND: u32 = 4;

/// How often shards are listed again without a reason.
const LIST_INTERVAL: Duration = Duration::from_secs(60);

/// Answers that are older than the wanted moment in a row, before the engine is asked again.
const SKIPPED_ANSWERS_MAX: u32 = 10;

/// Records younger than this are taken for the newest there are: times are whole seconds, and the
/// answer took a while.
const TIP_AGE_MS: i64 = 2_000;

/// What reading a table's stream needs to know.
#[derive(Debug, Clone)]
pub struct DynamoDbStreamsOptions {
    /// The table's name.
    pub table: String,
    /// The stream's ARN.
    pub arn: String,
    /// The name of the access in the book.
    pub access: String,
    /// How long to wait after an empty read at the tip; Lambda polls four times a second.
    pub idle_interval: Duration,
}

/// The stream of one table.
pub struct DynamoDbStreamsSource {
    options: DynamoDbStreamsOptions,
    client: Client,
    shards: Shards,
}

impl DynamoDbStreamsSource {
    /// A source that makes no request before it is asked.
    #[must_use]
    pub fn new(options: DynamoDbStreamsOptions, book: Arc<AccessBook>) -> Self {
        let client = Client::new(DYNAMODB_STREAMS, &options.access, book);
        Self {
            options,
            client,
            shards: Shards::default(),
        }
    }

    /// What reading any table's stream asks for, with the stream's own idle interval.
    #[must_use]
    pub fn profile_of(idle_interval: Duration) -> SourceProfile {
        SourceProfile {
            idle_interval,
            fetch_wait: Duration::ZERO,
            fetch_records_max: FETCH_RECORDS_MAX,
            fetch_bytes_max: FETCH_BYTES_MAX,
            tip_reads_per_second: Some(READS_PER_SECOND),
            list_interval: LIST_INTERVAL,
        }
    }

    fn subject<'a>(&'a self, operation: &'static str, shard: Option<&'a ShardId>) -> Subject<'a> {
        Subject {
            operation,
            noun: "stream",
            stream: &self.options.table,
            shard: shard.map(ShardId::as_str),
        }
    }

    fn place<'a>(&self, access: &'a Access, subject: &'a Subject<'a>) -> Place<'a> {
        let endpoint = &access.endpoint;
        Place { subject, endpoint }
    }

    async fn call(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: &impl serde::Serialize,
    ) -> Result<Answer, SourceError> {
        let body = serde_json::to_vec(body).map_err(|error| {
            let message = format!("{subject} cannot be written: {error}");
            SourceError::new(FaultKind::Invalid, message)
        })?;
        self.client.call(access, subject, body).await
    }

    async fn fetch(&self, request: FetchRequest) -> Result<Fetched, SourceError> {
        let FetchRequest {
            shard, from, limit, ..
        } = request;
        if from == Position::ShardEnd {
            return Ok(ended());
        }
        let access = self
            .client
            .access(&self.subject("GetRecords", Some(&shard)))
            .await?;
        let limit = limit.clamp(1, FETCH_RECORDS_MAX);
        let mut skipped = 0;
        loop {
            let read = self.read(&access, &shard, &from, limit).await;
            let mut fetched = read.map_err(|error| of_position(&from, error))?;
            if fetched.ended {
                fetched.children = self.children(&access, &shard).await;
            }
            let old = fetched.page.is_none() && fetched.behind_ms.is_some();
            skipped += u32::from(old);
            if !old || fetched.ended || skipped >= SKIPPED_ANSWERS_MAX {
                return Ok(fetched);
            }
        }
    }

    /// One GetRecords. An answer without a page that is behind had only records before `from`.
    async fn read(
        &self,
        access: &Access,
        shard: &ShardId,
        from: &Position,
        limit: u32,
    ) -> Result<Fetched, SourceError> {
        let subject = self.subject("GetRecords", Some(shard));
        let iterator = self.iterator(access, shard, from).await?;
        let body = GetRecords {
            shard_iterator: &iterator,
            limit,
        };
        let answer = self
            .call(access, &subject, &body)
            .await
            .inspect_err(|error| {
                // Throttled or cut off, the iterator is as good as before.
                let kind = error.fault().kind;
                if !matches!(kind, FaultKind::Throttled { .. } | FaultKind::Transient) {
                    self.shards.forget_iterator(shard);
                }
            })?;
        let now = answer.date.unwrap_or_else(|| self.client.now());
        let changes = scan::read(answer.body)
            .map_err(|error| self.place(access, &subject).malformed(&error))?;
        let all = changes.page.map(|page| Arc::new(page) as Arc<dyn Page>);
        let behind_ms = all.as_ref().map(|page| behind(page.as_ref(), limit, now));
        let page = all.and_then(|page| since(page, from));
        let last = page.as_ref().map(|page| {
            let digits = page.sequence_number(page.facts().len() - 1);
            Position::after(SequenceNumber::new(digits))
        });
        let ended = changes.next_iterator.is_none();
        let position = last.unwrap_or_else(|| from.clone());
        self.shards
            .remember_iterator(shard, position, changes.next_iterator);
        Ok(Fetched {
            // At least one: old records that are left out say nothing of the tip.
            behind_ms: match page {
                Some(_) => behind_ms,
                None => behind_ms.map(|behind| behind.max(1)),
            },
            page,
            next: None,
            ended,
            children: Vec::new(),
        })
    }

    /// The iterator that is kept for this place, or a new one.
    async fn iterator(
        &self,
        access: &Access,
        shard: &ShardId,
        from: &Position,
    ) -> Result<String, SourceError> {
        if let Some(iterator) = self.shards.iterator(shard, from) {
            return Ok(iterator);
        }
        let subject = self.subject("GetShardIterator", Some(shard));
        let body = GetShardIterator::new(&self.options.arn, shard.as_str(), from);
        let answer = self.call(access, &subject, &body).await?;
        let made: ShardIterator = self.place(access, &subject).parse(&answer.body)?;
        let iterator = made.shard_iterator;
        self.shards
            .remember_iterator(shard, from.clone(), Some(iterator.clone()));
        Ok(iterator)
    }
}

impl StreamSource for DynamoDbStreamsSource {
    fn profile(&self) -> SourceProfile {
        Self::profile_of(self.options.idle_interval)
    }

    fn list_shards(&self) -> BoxFuture<'_, Result<ShardListing, SourceError>> {
        Box::pin(self.list())
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, SourceError>> {
        Box::pin(self.fetch(request))
    }
}

/// The records of a page from the first on that was made in the second of the wanted moment or
/// later; `None` when there is none. What follows the first counts whatever its time: the order
/// of a shard is that of its numbers.
fn since(page: Arc<dyn Page>, from: &Position) -> Option<Arc<dyn Page>> {
    let Position::AtTimestamp(Wall(millis)) = from else {
        return Some(page);
    };
    let second = Wall(millis - millis.rem_euclid(1_000));
    let first = page
        .facts()
        .iter()
        .position(|facts| facts.arrival >= second)?;
    if first == 0 {
        return Some(page);
    }
    let rest: Vec<u32> = (0..).take(page.facts().len()).skip(first).collect();
    Some(page.extract(&rest))
}

/// How far behind the tip an answer ended. DynamoDB does not say: a full answer has more behind
/// it, and so has one whose last record is not of these seconds.
fn behind(page: &dyn Page, limit: u32, now: Wall) -> u64 {
    let facts = page.facts();
    let newest = facts.last().map_or(now, |facts| facts.arrival);
    let age = now.millis_since(newest);
    if age < TIP_AGE_MS && facts.len() < limit as usize {
        return 0;
    }
    age.max(1).unsigned_abs()
}

/// What it means that a position was refused.
fn of_position(from: &Position, error: SourceError) -> SourceError {
    let message = &error.fault().message;
    match (from, error.fault().kind) {
        // What is asked for is trimmed, and it is not a record: a new iterator finds the oldest.
        (Position::TrimHorizon | Position::AtTimestamp(_), FaultKind::Trimmed) => {
            SourceError::new(FaultKind::Expired, message.clone())
        }
        (Position::After { .. }, FaultKind::Invalid) => {
            let hint = "the saved position is not of this shard: was the stream made anew?";
            SourceError::new(FaultKind::Invalid, format!("{message} ({hint})"))
        }
        _ => error,
    }
}

/// Reading behind the end of a shard gives its end.
fn ended() -> Fetched {
    Fetched {
        page: None,
        next: None,
        behind_ms: Some(0),
        ended: true,
        children: Vec::new(),
    }
}
