//! Reads Kinesis streams: ListShards, GetShardIterator, GetRecords.
//!
//! Rules: positions are the truth and iterators a cache, kept per shard under the position that
//! they stand for; a stale one is forgotten and the read answered `Expired`. A null iterator is
//! the shard's end, with or without records in the same answer.

mod listing;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::{Fetched, ShardListing};
use penstock_engine::record::Page;
use penstock_runtime::error::SourceError;
use penstock_runtime::ports::{FetchRequest, StreamSource};

use crate::access::{Access, AccessBook};
use crate::client::{Answer, Client, Taker};
use crate::iterators::Shards;
use crate::kinesis::wire::{GetRecords, GetShardIterator, ShardIterator, StreamRef};
use crate::protocol::{Place, Subject};
use crate::scan::Intake;
use crate::signing::Service;

const KINESIS: Service = Service {
    signing_name: "kinesis",
    target: "Kinesis_20131202",
    content_type: "application/x-amz-json-1.1",
};

/// The most records that one GetRecords answers.
const FETCH_RECORDS_MAX: u32 = 10_000;

/// The most payload bytes that one GetRecords answers.
const FETCH_BYTES_MAX: u64 = 10 << 20;

/// GetRecords calls a second that a shard allows, shared by all its readers.
const READS_PER_SECOND: u32 = 5;

/// How often shards are listed again without a reason.
const LIST_INTERVAL: Duration = Duration::from_secs(60);

/// What reading a stream needs to know.
#[derive(Debug, Clone)]
pub struct KinesisOptions {
    /// The stream's name.
    pub stream: String,
    /// Its ARN, when it is known.
    pub arn: Option<String>,
    /// The name of the access in the book.
    pub access: String,
    /// How long to wait after an empty read at the tip; Lambda polls once a second.
    pub idle_interval: Duration,
}

/// One Kinesis stream.
pub struct KinesisSource {
    options: KinesisOptions,
    client: Client,
    shards: Shards,
}

impl KinesisSource {
    /// A source that makes no request before it is asked.
    #[must_use]
    pub fn new(options: KinesisOptions, book: Arc<AccessBook>) -> Self {
        let client = Client::new(KINESIS, &options.access, book);
        Self {
            options,
            client,
            shards: Shards::default(),
        }
    }

    /// What reading any Kinesis stream asks for, with the stream's own idle interval.
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

    /// How requests name the stream. AWS takes the ARN, which also reaches other accounts'
    /// streams; local servers know the name only, and may stand in for any ARN.
    fn stream_ref(&self, access: &Access) -> StreamRef<'_> {
        let KinesisOptions { stream, arn, .. } = &self.options;
        let arn = arn.as_deref().filter(|_| access.is_aws());
        match arn.filter(|arn| {
            arn.rsplit_once(":stream/")
                .is_some_and(|(_, name)| name == stream)
        }) {
            Some(arn) => StreamRef {
                stream_name: None,
                stream_arn: Some(arn),
            },
            None => StreamRef {
                stream_name: Some(stream),
                stream_arn: None,
            },
        }
    }

    fn subject<'a>(&'a self, operation: &'static str, shard: Option<&'a ShardId>) -> Subject<'a> {
        Subject {
            operation,
            noun: "stream",
            stream: &self.options.stream,
            shard: shard.map(ShardId::as_str),
        }
    }

    async fn call(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: &impl serde::Serialize,
    ) -> Result<Answer, SourceError> {
        self.client
            .call(access, subject, written(subject, body)?)
            .await
    }

    async fn call_into(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: &impl serde::Serialize,
        taker: &mut impl Taker,
    ) -> Result<(), SourceError> {
        let body = written(subject, body)?;
        let called = self
            .client
            .call_into(access, subject, body, Duration::ZERO, taker);
        called.await.map(|_date| ())
    }

    async fn fetch(&self, request: FetchRequest) -> Result<Fetched, SourceError> {
        let FetchRequest {
            shard,
            from,
            limit,
            parts,
            ..
        } = request;
        if from == Position::ShardEnd {
            return Ok(ended());
        }
        let subject = self.subject("GetRecords", Some(&shard));
        let access = self.client.access(&subject).await?;
        let iterator = self.iterator(&access, &shard, &from).await?;
        let stream_arn = self.stream_ref(&access).stream_arn;
        let limit = limit.clamp(1, FETCH_RECORDS_MAX);
        let body = GetRecords {
            shard_iterator: &iterator,
            limit,
            stream_arn,
        };
        let mut intake = Intake::new(parts);
        self.call_into(&access, &subject, &body, &mut intake)
            .await
            .inspect_err(|error| {
                // Throttled or cut off, the iterator is as good as before.
                let kind = error.fault().kind;
                if !matches!(kind, FaultKind::Throttled { .. } | FaultKind::Transient) {
                    self.shards.forget_iterator(&shard);
                }
            })?;
        let before = intake.last().cloned();
        let records = intake
            .finish()
            .map_err(|error| malformed(&access, &subject, &error))?;
        let last = records.page.as_ref().map(|page| {
            let digits = page.sequence_number(page.facts().len() - 1);
            Position::after(SequenceNumber::new(digits))
        });
        let last = last.or(before.map(Position::after));
        let ended = records.next_iterator.is_none();
        self.shards
            .remember_iterator(&shard, last.unwrap_or(from), records.next_iterator);
        Ok(Fetched {
            page: records.page.map(|page| Arc::new(page) as Arc<dyn Page>),
            next: None,
            behind_ms: records.behind_ms,
            ended,
            children: records.children,
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
        let body = GetShardIterator::new(self.stream_ref(access), shard.as_str(), from);
        let answer = match self.call(access, &subject, &body).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.of_position(shard, from, error)),
        };
        let iterator = parse::<ShardIterator>(access, &subject, &answer.body)?.shard_iterator;
        self.shards
            .remember_iterator(shard, from.clone(), Some(iterator.clone()));
        Ok(iterator)
    }

    /// What it means that a position was refused. Kinesis itself goes on at its oldest record
    /// when a position is older than that; a server that refuses a number of this very shard
    /// says that it was trimmed. A number from elsewhere must not be skipped over silently.
    fn of_position(&self, shard: &ShardId, from: &Position, error: SourceError) -> SourceError {
        let Position::After { sequence, .. } = from else {
            return error;
        };
        if error.fault().kind != FaultKind::Invalid {
            return error;
        }
        let message = &error.fault().message;
        if self.shards.has_held(shard, sequence) {
            return SourceError::new(FaultKind::Trimmed, message.clone());
        }
        let hint = "the saved position is not of this shard: was the stream made anew?";
        SourceError::new(FaultKind::Invalid, format!("{message} ({hint})"))
    }
}

impl StreamSource for KinesisSource {
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

/// The text of a request.
fn written(subject: &Subject<'_>, body: &impl serde::Serialize) -> Result<Vec<u8>, SourceError> {
    serde_json::to_vec(body).map_err(|error| {
        SourceError::new(
            FaultKind::Invalid,
            format!("{subject} cannot be written: {error}"),
        )
    })
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

fn malformed(access: &Access, subject: &Subject<'_>, error: &dyn std::fmt::Display) -> SourceError {
    let endpoint = &access.endpoint;
    Place { subject, endpoint }.malformed(error)
}

/// Reads a short answer; what is wrong with it is told without its text.
fn parse<'a, T: serde::Deserialize<'a>>(
    access: &Access,
    subject: &Subject<'_>,
    body: &'a [u8],
) -> Result<T, SourceError> {
    let endpoint = &access.endpoint;
    Place { subject, endpoint }.parse(body)
}
