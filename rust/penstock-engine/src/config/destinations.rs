//! Reads the name of a mapping's destination, and knows which of them take records.
//!
//! Rules: a destination is an ARN or a short name; what AWS does not deliver to (FIFO queues and
//! topics, other services, whatever lies inside a bucket) is refused here, with what will do.

use super::defaults as fields;
use super::error::ConfigError;
use super::names::{
    check_queue_name, check_stream_name, embedded_queue, embedded_stream, is_fifo, split,
};
use super::reader::Reader;

const SERVED: &str = "failure documents go to an SQS queue, an SNS topic, an S3 bucket, \
                      stream:NAME, queue:NAME, file:PATH or function:NAME";

/// Whether documents for this destination carry the event: a bucket and a function of the user's
/// take it, everything else gets metadata only.
#[must_use]
pub fn takes_records(destination: &str) -> bool {
    let bucket = destination.starts_with("s3://")
        || (destination.starts_with("arn:") && destination.split(':').nth(2) == Some("s3"));
    bucket || destination.starts_with("function:")
}

/// Whether a destination is called in AWS.
#[must_use]
pub fn is_aws(destination: &str) -> bool {
    let kind = match destination.strip_prefix("arn:") {
        Some(arn) => arn.split(':').nth(1),
        None => destination.split(':').next(),
    };
    matches!(kind, Some("sqs" | "sns" | "s3"))
}

/// The destination of failure documents, if the mapping has one. The empty text is none.
pub(super) fn read(reader: &Reader<'_>) -> Result<Option<String>, ConfigError> {
    let field = &fields::DESTINATION_NAME;
    if reader.is_empty_text(field) {
        return Ok(None);
    }
    let Some(text) = reader.text_given(field)? else {
        return Ok(None);
    };
    if let Some(name) = embedded_stream(text) {
        check_stream_name(field, name)?;
        return Ok(Some(format!("stream:{name}")));
    }
    if let Some(name) = embedded_queue(text) {
        check_queue_name(field, name)?;
        return match is_fifo(name) {
            true => Err(refused(fifo(text, "queue"))),
            false => Ok(Some(format!("queue:{name}"))),
        };
    }
    if text.starts_with("arn:") {
        let arn = split(field, text)?;
        let placed = !arn.region.is_empty() && !arn.account.is_empty();
        check(text, arn.service, arn.resource, placed)?;
        return Ok(Some(text.to_owned()));
    }
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "file" if name.is_empty() || name.ends_with('/') => Err(refused(format!(
            "{text} does not name a file; write file:PATH"
        ))),
        "file" => Ok(()),
        "function" if name.is_empty() => Err(refused(format!(
            "{text} does not name a function; write function:NAME"
        ))),
        "function" => Ok(()),
        "s3" => {
            let path = name.strip_prefix("//").unwrap_or_default();
            check(
                text,
                "s3",
                path.split('/').next().unwrap_or_default(),
                false,
            )
        }
        "kafka" => Err(refused(
            "Unsupported DestinationConfig parameter for given event source mapping type.".into(),
        )),
        _ => check(text, kind, name, true),
    }?;
    Ok(Some(text.to_owned()))
}

/// Checks what a service of AWS would have to deliver to; `placed` says that it stands in a
/// region and an account.
fn check(text: &str, service: &str, name: &str, placed: bool) -> Result<(), ConfigError> {
    let (what, long) = match service {
        "sqs" => ("queue", 80),
        "sns" => ("topic", 256),
        "s3" => return check_bucket(text, name, placed && text.starts_with("arn:")),
        "lambda" => return Err(unserved(text, "a function of Lambda's")),
        "events" => return Err(unserved(text, "an event bus")),
        "kinesis" => return Err(unserved(text, "a Kinesis stream")),
        _ => return Err(unserved(text, "no destination that is known")),
    };
    if name.ends_with(".fifo") {
        return Err(refused(fifo(text, what)));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !placed || name.is_empty() || name.len() > long || !name.bytes().all(fits) {
        let message = format!(
            "{text} does not name a {what}; write arn:aws:{service}:REGION:ACCOUNT:NAME or \
             {service}:NAME"
        );
        return Err(refused(message));
    }
    Ok(())
}

fn check_bucket(text: &str, name: &str, placed: bool) -> Result<(), ConfigError> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let good = (3..=63).contains(&name.len())
        && name.bytes().all(fits)
        && ends(name.bytes().next())
        && ends(name.bytes().last());
    if placed || !good {
        let message = format!(
            "{text} does not name a bucket; write arn:aws:s3:::BUCKET or s3://BUCKET/PREFIX"
        );
        return Err(refused(message));
    }
    Ok(())
}

fn fifo(text: &str, what: &str) -> String {
    format!(
        "{text} is a FIFO {what}: Lambda delivers failure documents to standard ones only; \
         name a standard {what}"
    )
}

fn unserved(text: &str, what: &str) -> ConfigError {
    refused(format!("{text} is {what}; {SERVED}"))
}

fn refused(message: String) -> ConfigError {
    ConfigError::new(fields::DESTINATION_NAME.path, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::document::normalize;

    fn wrong(destination: &str) -> (String, String) {
        let document = json!({
            "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
            "StartingPosition": "TRIM_HORIZON", "Penstock": {"Source": "stream:orders"},
            "DestinationConfig": {"OnFailure": {"Destination": destination}},
        });
        let error = normalize(document.to_string().as_bytes()).unwrap_err();
        (error.path, error.message)
    }

    #[test]
    fn destinations_that_cannot_be_served_are_refused_by_name() {
        for (text, part) in [
            (
                "arn:aws:sqs:us-east-1:123456789012:q.fifo",
                "is a FIFO queue",
            ),
            ("sqs:q.fifo", "is a FIFO queue"),
            (
                "arn:aws:sns:us-east-1:123456789012:t.fifo",
                "is a FIFO topic",
            ),
            ("arn:aws:sqs:us-east-1::q", "does not name a queue"),
            (
                "arn:aws:sns:us-east-1:123456789012:t:0",
                "does not name a topic",
            ),
            ("arn:aws:s3:::bucket/key", "does not name a bucket"),
            (
                "arn:aws:s3:us-east-1:123456789012:bucket",
                "does not name a bucket",
            ),
            ("s3:bucket", "does not name a bucket"),
            ("s3://Bucket/prefix", "does not name a bucket"),
            (
                "arn:aws:lambda:us-east-1:123456789012:function:f",
                "is a function of Lambda's",
            ),
            (
                "arn:aws:events:us-east-1:123456789012:event-bus/b",
                "is an event bus",
            ),
            ("arn:aws:sqs", "is not an ARN"),
            ("function:", "does not name a function"),
            ("nowhere", "is no destination that is known"),
            ("file:", "does not name a file"),
            ("file:folder/", "does not name a file"),
            ("stream:", "cannot be the name of a stream"),
            ("stream:a/b", "cannot be the name of a stream"),
            ("stream:orders", "is the stream that the mapping reads"),
            (
                "arn:aws:penstock:::stream/orders",
                "is the stream that the mapping reads",
            ),
            ("kafka://topic", "Unsupported DestinationConfig parameter"),
        ] {
            let (path, message) = wrong(text);
            assert_eq!(path, "DestinationConfig.OnFailure.Destination");
            assert!(message.contains(part), "{message}");
        }
    }
}
