//! Knows every kind of source and destination of this build, and makes them for a mapping.
//!
//! Rules: the one place where the drivers meet; what this build cannot serve is refused by name
//! before anything starts; an option that cannot be followed is refused, never ignored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use penstock_aws::access::{Access, AccessBook};
use penstock_aws::dynamodb_streams::{DynamoDbStreamsOptions, DynamoDbStreamsSource};
use penstock_aws::kinesis::{KinesisOptions, KinesisSource};
use penstock_aws::sqs::{SqsOptions, SqsSource};
use penstock_engine::config::document::{self, SourceRef};
use penstock_engine::config::{ConfigError, MappingConfig, destinations, names};
use penstock_engine::ids::MappingId;
use penstock_runtime::destination::errand::ErrandDestination;
use penstock_runtime::destination::file::FileDestination;
use penstock_runtime::destination::{EmbeddedDestination, EmbeddedQueueDestination};
use penstock_runtime::error::RuntimeError;
use penstock_runtime::ports::{Destination, Source};
use penstock_runtime::runtime::Runtime;
use penstock_runtime::source::{EmbeddedQueue, EmbeddedSource};

use crate::errands::AccessByErrand;
use crate::errors::Failure;

/// The kinds of sources and destinations, as `features()` names them.
pub(crate) const FEATURES: [&str; 10] = [
    "source:embedded",
    "source:kinesis",
    "source:dynamodb",
    "source:sqs",
    "destination:embedded",
    "destination:file",
    "destination:sqs",
    "destination:sns",
    "destination:s3",
    "destination:function",
];

/// How long a Kinesis mapping waits after an empty read unless it says otherwise: Lambda polls
/// once a second.
const KINESIS_IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// The same for the stream of a table, which Lambda polls four times a second.
const DYNAMODB_IDLE_INTERVAL: Duration = Duration::from_millis(250);

/// A mapping with its drivers.
struct Mapping {
    config: MappingConfig,
    enabled: bool,
    reads: Reads,
    source: Source,
    destination: Option<Arc<dyn Destination>>,
}

/// What a mapping reads, which stays the same as long as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reads {
    arn: String,
    stream_arn: String,
    access: Option<String>,
}

/// Makes mappings' drivers, which share the accesses.
pub(crate) struct Registry {
    book: Arc<AccessBook>,
    reads: Mutex<BTreeMap<MappingId, Reads>>,
}

impl Registry {
    /// A registry whose accesses are asked for by errands of this runtime.
    pub(crate) fn new(runtime: &Runtime) -> Self {
        let refresh = AccessByErrand::new(runtime.errands());
        let book = AccessBook::new(Arc::new(refresh));
        Self {
            book: Arc::new(book),
            reads: Mutex::default(),
        }
    }

    /// Starts the mapping that a document describes, paused when it is not enabled.
    pub(crate) fn add(&self, runtime: &Runtime, document: &[u8]) -> Result<MappingId, Failure> {
        let mapping = self.mapping(runtime, document)?;
        let id = runtime.add_mapping(mapping.config, mapping.source, mapping.destination)?;
        self.reads().insert(id.clone(), mapping.reads);
        if !mapping.enabled {
            runtime.pause(&id)?;
        }
        Ok(id)
    }

    /// Gives a running mapping the options of a document. What it reads cannot be changed.
    pub(crate) fn update(
        &self,
        runtime: &Runtime,
        id: &MappingId,
        document: &[u8],
    ) -> Result<(), Failure> {
        let mapping = self.mapping(runtime, document)?;
        if mapping.config.id != *id {
            return Err(Failure::argument("UUID", format!("is not {id}")));
        }
        let reads = self.reads().get(id).cloned();
        let reads = reads.ok_or_else(|| RuntimeError::UnknownMapping(id.clone()))?;
        if reads != mapping.reads {
            let (path, now) = if reads.arn != mapping.reads.arn {
                ("EventSourceArn", reads.arn)
            } else if reads.stream_arn != mapping.reads.stream_arn {
                ("Penstock.StreamArn", reads.stream_arn)
            } else {
                ("Penstock.Access", reads.access.unwrap_or_default())
            };
            let message = format!("cannot be changed while the mapping runs; it is {now}");
            return Err(Failure::argument(path, message));
        }
        runtime.update_mapping(mapping.config, mapping.destination)?;
        if mapping.enabled {
            runtime.resume(id)?
        } else {
            runtime.pause(id)?
        }
        Ok(())
    }

    /// Ends a mapping.
    pub(crate) fn remove(&self, runtime: &Runtime, id: &MappingId) -> Result<(), Failure> {
        runtime.remove_mapping(id)?;
        self.reads().remove(id);
        Ok(())
    }

    /// Takes an access that Python resolved.
    pub(crate) fn push_access(&self, document: &[u8]) -> Result<(), Failure> {
        let (name, access) = Access::parse(document)?;
        self.book.push(&name, access);
        Ok(())
    }

    /// Reads a mapping's document and makes its drivers.
    fn mapping(&self, runtime: &Runtime, text: &[u8]) -> Result<Mapping, Failure> {
        let source_ref = document::peek(text)?;
        let arn = source_ref.arn.as_str();
        let (config, source) = match arn.split(':').nth(2) {
            Some("penstock") => embedded(runtime, arn, text)?,
            Some("kinesis") => self.kinesis(&source_ref, text)?,
            Some("dynamodb") => self.dynamodb(&source_ref, text)?,
            Some("sqs") => self.sqs(&source_ref, text)?,
            _ => return Err(unserved_source(arn)),
        };
        let destination = config.on_failure.as_deref();
        let destination = destination
            .map(|name| destination_of(runtime, &config.id, name))
            .transpose()?;
        let reads = Reads {
            arn: source_ref.arn,
            stream_arn: source_ref.stream_arn,
            access: source_ref.access,
        };
        Ok(Mapping {
            config,
            enabled: source_ref.enabled,
            reads,
            source,
            destination,
        })
    }

    fn reads(&self) -> MutexGuard<'_, BTreeMap<MappingId, Reads>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kinesis(
        &self,
        source_ref: &SourceRef,
        text: &[u8],
    ) -> Result<(MappingConfig, Source), Failure> {
        let config = document::parse(text, KinesisSource::profile_of(KINESIS_IDLE_INTERVAL))?;
        let access = access_of(source_ref)?;
        let stream = source_ref.stream_arn.rsplit('/').next().unwrap_or_default();
        let options = KinesisOptions {
            stream: stream.to_owned(),
            arn: Some(source_ref.stream_arn.clone()),
            access,
            idle_interval: config.source.idle_interval,
        };
        let source = KinesisSource::new(options, Arc::clone(&self.book));
        Ok((config, Source::Stream(Arc::new(source))))
    }

    fn dynamodb(
        &self,
        source_ref: &SourceRef,
        text: &[u8],
    ) -> Result<(MappingConfig, Source), Failure> {
        let profile = DynamoDbStreamsSource::profile_of(DYNAMODB_IDLE_INTERVAL);
        let config = document::parse(text, profile)?;
        let table = source_ref.stream_arn.split('/').nth(1).unwrap_or_default();
        let options = DynamoDbStreamsOptions {
            table: table.to_owned(),
            arn: source_ref.stream_arn.clone(),
            access: access_of(source_ref)?,
            idle_interval: config.source.idle_interval,
        };
        let source = DynamoDbStreamsSource::new(options, Arc::clone(&self.book));
        Ok((config, Source::Stream(Arc::new(source))))
    }

    fn sqs(&self, source_ref: &SourceRef, text: &[u8]) -> Result<(MappingConfig, Source), Failure> {
        let config = document::parse(text, SqsSource::profile_of())?;
        // Another queue than the source's own when the source is an alias of it.
        let mut parts = source_ref.stream_arn.split(':').skip(4);
        let (account, queue) = (parts.next(), parts.next());
        let options = SqsOptions {
            queue: queue.unwrap_or_default().to_owned(),
            account: account.unwrap_or_default().to_owned(),
            access: access_of(source_ref)?,
        };
        let source = SqsSource::new(options, Arc::clone(&self.book));
        Ok((config, Source::Queue(Arc::new(source))))
    }
}

fn access_of(source_ref: &SourceRef) -> Result<String, Failure> {
    source_ref.access.clone().ok_or_else(|| {
        let message = "is missing: a source of AWS is read with an access that was pushed";
        Failure::argument("Penstock.Access", message)
    })
}

/// A stream or queue of the state directory.
fn embedded(runtime: &Runtime, arn: &str, text: &[u8]) -> Result<(MappingConfig, Source), Failure> {
    let state = || Arc::clone(runtime.state());
    let failed = |error| Failure::source(arn, error);
    if let Some(name) = names::embedded_queue(arn) {
        let source = EmbeddedQueue::open(state(), name).map_err(failed)?;
        return Ok((document::parse(text, source.profile())?, source.into()));
    }
    let Some(name) = names::embedded_stream(arn) else {
        return Err(unserved_source(arn));
    };
    let source = EmbeddedSource::open(state(), name).map_err(failed)?;
    Ok((document::parse(text, source.profile())?, source.into()))
}

fn destination_of(
    runtime: &Runtime,
    mapping: &MappingId,
    name: &str,
) -> Result<Arc<dyn Destination>, Failure> {
    if let Some(stream) = names::embedded_stream(name) {
        return Ok(EmbeddedDestination::open(
            Arc::clone(runtime.state()),
            stream,
        )?);
    }
    if let Some(queue) = names::embedded_queue(name) {
        let state = Arc::clone(runtime.state());
        return Ok(EmbeddedQueueDestination::open(state, queue)?);
    }
    if let Some(path) = name.strip_prefix("file:") {
        return Ok(FileDestination::open(path.as_ref())?);
    }
    if destinations::is_aws(name) || name.starts_with("function:") {
        let errands = Arc::clone(runtime.errands());
        return Ok(ErrandDestination::open(errands, mapping.clone()));
    }
    let message = format!("{name} is a destination that this version cannot serve");
    let error = ConfigError::new("DestinationConfig.OnFailure.Destination", message);
    Err(Failure::Unserved {
        code: "PS106",
        error,
    })
}

fn unserved_source(arn: &str) -> Failure {
    let message = format!("{arn} is a source that this version cannot read");
    Failure::Unserved {
        code: "PS105",
        error: ConfigError::new("EventSourceArn", message),
    }
}
