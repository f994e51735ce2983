//! Reads the names in a configuration document: ARNs, sources, functions, the UUID.
//!
//! Rules: a name is checked where it is read, and the error says what a good one looks like;
//! embedded streams and queues have ARNs that AWS's own patterns accept; a queue keeps order within
//! groups when its name ends with `.fifo`, which is SQS's rule and the embedded queue's.

use super::EventShape;
use super::defaults::{self as fields, Field};
use super::error::ConfigError;
use super::reader::Reader;
use crate::config::defaults::REGION;

const EMBEDDED_STREAM: &str = "arn:aws:penstock:::stream/";
const EMBEDDED_QUEUE: &str = "arn:aws:penstock:::queue/";
const FIFO: &str = ".fifo";

/// The ARN of the embedded stream of this name.
#[must_use]
pub fn embedded_arn(name: &str) -> String {
    format!("{EMBEDDED_STREAM}{name}")
}

/// The name of the embedded stream that `stream:NAME` or its ARN names.
#[must_use]
pub fn embedded_stream(text: &str) -> Option<&str> {
    text.strip_prefix("stream:")
        .or_else(|| text.strip_prefix(EMBEDDED_STREAM))
}

/// The ARN of the embedded queue of this name.
#[must_use]
pub fn embedded_queue_arn(name: &str) -> String {
    format!("{EMBEDDED_QUEUE}{name}")
}

/// The name of the embedded queue that `queue:NAME` or its ARN names.
#[must_use]
pub fn embedded_queue(text: &str) -> Option<&str> {
    text.strip_prefix("queue:")
        .or_else(|| text.strip_prefix(EMBEDDED_QUEUE))
}

/// Whether a queue may be called so: SQS's rule.
#[must_use]
pub fn is_queue_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let base = name.strip_suffix(FIFO).unwrap_or(name);
    !base.is_empty() && name.len() <= 80 && base.bytes().all(fits)
}

/// Whether the queue of this name or ARN keeps order within message groups.
#[must_use]
pub fn is_fifo(queue: &str) -> bool {
    queue.ends_with(FIFO)
}

/// Whether a stream may be called so: Kinesis's rule.
#[must_use]
pub fn is_stream_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(fits)
}

/// The parts of an ARN that matter here.
pub(super) struct Arn<'a> {
    /// The service that it names something of.
    pub service: &'a str,
    /// Its region, or "".
    pub region: &'a str,
    /// Its account, or "".
    pub account: &'a str,
    /// What it names.
    pub resource: &'a str,
}

/// The parts of a function's ARN.
pub(super) struct FunctionName<'a> {
    /// Its region, or "".
    pub region: &'a str,
    account: &'a str,
    /// Its name without a qualifier.
    pub name: &'a str,
    qualifier: Option<&'a str>,
}

impl FunctionName<'_> {
    /// The version that the qualifier names; an alias does not tell.
    pub(super) fn version(&self) -> String {
        match self.qualifier {
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
            _ => "$LATEST".to_owned(),
        }
    }

    /// The ARN of a role for a function that has none of its own here.
    pub(super) fn role(&self) -> String {
        format!("arn:aws:iam::{}:role/penstock", self.account)
    }
}

/// The ARN and the text of the document's source.
pub(super) fn source(reader: &Reader<'_>) -> Result<(String, String), ConfigError> {
    let given = reader.text_given(&fields::SOURCE_ARN)?;
    let written = reader.text_given(&fields::SOURCE)?;
    let stream = written.and_then(embedded_stream);
    if let Some(name) = stream {
        check_stream_name(&fields::SOURCE, name)?;
    }
    let queue = written.and_then(embedded_queue);
    if let Some(name) = queue {
        check_queue_name(&fields::SOURCE, name)?;
    }
    let derived = stream
        .map(embedded_arn)
        .or_else(|| queue.map(embedded_queue_arn));
    let arn = match (given, derived) {
        (Some(arn), Some(derived)) if arn != derived => {
            let message = format!("is not the ARN of Penstock.Source, which is {derived}");
            return Err(ConfigError::new(fields::SOURCE_ARN.path, message));
        }
        (Some(arn), _) => arn.to_owned(),
        (None, Some(derived)) => derived,
        (None, None) => {
            return Err(ConfigError::new(
                fields::SOURCE_ARN.path,
                "Unrecognized event source.",
            ));
        }
    };
    split(&fields::SOURCE_ARN, &arn)?;
    let written = written.map_or_else(|| arn.clone(), str::to_owned);
    Ok((arn, written))
}

/// Which event records of this source become.
pub(super) fn event_shape(source_arn: &str) -> Result<EventShape, ConfigError> {
    let arn = split(&fields::SOURCE_ARN, source_arn)?;
    let refuse = |message: String| Err(ConfigError::new(fields::SOURCE_ARN.path, message));
    match (arn.service, arn.resource.split_once('/')) {
        ("kinesis" | "penstock", Some(("stream", name))) if !name.is_empty() => {
            if arn.service == "penstock" {
                check_stream_name(&fields::SOURCE_ARN, name)?;
            }
            Ok(EventShape::Kinesis)
        }
        ("penstock", Some(("queue", name))) => {
            check_queue_name(&fields::SOURCE_ARN, name).map(|()| EventShape::Sqs)
        }
        ("sqs", _) => check_queue_name(&fields::SOURCE_ARN, arn.resource).map(|()| EventShape::Sqs),
        ("kinesis" | "penstock", _) => refuse(format!("{source_arn} does not name a stream")),
        ("dynamodb", _) if table_of(&arn).is_some() => Ok(EventShape::DynamoDb),
        ("dynamodb", _) => refuse(format!(
            "{source_arn} does not name a table's stream; it looks like \
             arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL"
        )),
        (service, _) => refuse(format!(
            "{source_arn} names a source of the service {service}, which this version cannot \
             read; use a Kinesis stream, a table's stream, an SQS queue, stream:NAME or queue:NAME"
        )),
    }
}

/// The name of the table whose stream this ARN names.
fn table_of<'a>(arn: &Arn<'a>) -> Option<&'a str> {
    let (table, label) = arn
        .resource
        .strip_prefix("table/")?
        .split_once("/stream/")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let name = (1..=255).contains(&table.len()) && table.bytes().all(fits);
    (name && !label.is_empty() && !label.contains('/')).then_some(table)
}

/// The parts of the function's ARN.
pub(super) fn function(arn: &str) -> Result<FunctionName<'_>, ConfigError> {
    let Arn {
        service,
        region,
        account,
        resource,
    } = split(&fields::FUNCTION_ARN, arn)?;
    let mut parts = resource.split(':');
    match (
        service,
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) {
        ("lambda", Some("function"), Some(name), qualifier, None)
            if !name.is_empty() && qualifier != Some("") =>
        {
            Ok(FunctionName {
                region,
                account,
                name,
                qualifier,
            })
        }
        _ => {
            let message = format!(
                "{arn} is not the ARN of a function; it looks like \
                 arn:aws:lambda:us-east-1:123456789012:function:NAME, and may end with :QUALIFIER"
            );
            Err(ConfigError::new(fields::FUNCTION_ARN.path, message))
        }
    }
}

/// The region that events show: the source's, else the function's, else a default.
pub(super) fn region(source_arn: &str, function_region: &str) -> String {
    let own = source_arn.split(':').nth(3).unwrap_or_default();
    [own, function_region, REGION]
        .into_iter()
        .find(|part| !part.is_empty())
        .unwrap_or(REGION)
        .into()
}

/// The mapping's UUID, if it is given, in small letters.
pub(super) fn uuid(reader: &Reader<'_>) -> Result<Option<String>, ConfigError> {
    let Some(text) = reader.text_given(&fields::UUID)? else {
        return Ok(None);
    };
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
    if groups != [8, 4, 4, 4, 12] || !text.bytes().all(hex) {
        let message = format!("{text} is not a UUID such as 14e0db71-5d35-4eb5-b481-8945cf9d10c2");
        return Err(ConfigError::new(fields::UUID.path, message));
    }
    Ok(Some(text.to_ascii_lowercase()))
}

/// Refuses what cannot be the name of a stream.
pub(super) fn check_stream_name(field: &Field, name: &str) -> Result<(), ConfigError> {
    if is_stream_name(name) {
        return Ok(());
    }
    let message = format!(
        "{name:?} cannot be the name of a stream: 1 to 128 letters, digits, and the characters \
         _ . - are allowed"
    );
    Err(ConfigError::new(field.path, message))
}

pub(super) fn check_queue_name(field: &Field, name: &str) -> Result<(), ConfigError> {
    if is_queue_name(name) {
        return Ok(());
    }
    let message = format!(
        "{name:?} cannot be the name of a queue: 1 to 80 letters, digits, and the characters _ - \
         are allowed, with .fifo at the end of a FIFO queue's"
    );
    Err(ConfigError::new(field.path, message))
}

/// The parts of an ARN.
pub(super) fn split<'a>(field: &Field, text: &'a str) -> Result<Arn<'a>, ConfigError> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service, region, account, resource) =
        (next(), next(), next(), next(), next(), next());
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = arn == "arn"
        && partition.starts_with("aws")
        && !service.is_empty()
        && region.bytes().all(small)
        && (account.is_empty()
            || (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())))
        && !resource.is_empty();
    if good {
        return Ok(Arn {
            service,
            region,
            account,
            resource,
        });
    }
    let message =
        format!("{text} is not an ARN; one looks like arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE");
    Err(ConfigError::new(field.path, message))
}
