//! Reads what AWS's JSON protocols say besides an operation's own answer: error codes, dates.
//!
//! Rules: an answer is classified by its code and status, never by its text; the text is shown to
//! people, cut short, and not at all when it may quote what was signed.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode, Uri};
use penstock_engine::fault::FaultKind;
use penstock_engine::time::Wall;
use penstock_runtime::error::SourceError;
use serde::Deserialize;

use crate::scan::BadAnswer;

/// The longest part of a service's text that is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// What a request is about, for sentences.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The operation, as AWS names it.
    pub operation: &'static str,
    /// What it is about: `stream` or `queue`.
    pub noun: &'static str,
    /// That one's name.
    pub stream: &'a str,
    /// The shard, when it is about one.
    pub shard: Option<&'a str>,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            noun,
            stream,
            shard,
        } = self;
        match shard {
            Some(shard) => write!(f, "{operation} of shard {shard} of {noun} {stream}"),
            None => write!(f, "{operation} of {noun} {stream}"),
        }
    }
}

/// What a request is about and where it went: all that a fault's sentence names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub subject: &'a Subject<'a>,
    pub endpoint: &'a Uri,
}

impl Place<'_> {
    /// A failure in one sentence: what happened here, and why.
    pub(crate) fn error(
        &self,
        kind: FaultKind,
        what: &str,
        cause: &dyn fmt::Display,
    ) -> SourceError {
        let endpoint = self.endpoint.to_string();
        let endpoint = endpoint.trim_end_matches('/');
        SourceError::new(
            kind,
            format!("{} at {endpoint} {what}: {cause}", self.subject),
        )
    }

    /// An answer that cannot be read was cut, or comes from something in between; the next one
    /// may be better.
    pub(crate) fn malformed(&self, cause: &dyn fmt::Display) -> SourceError {
        self.error(
            FaultKind::Transient,
            "gave an answer that cannot be read",
            cause,
        )
    }
}

impl Place<'_> {
    /// Reads a short answer; what is wrong with it is told without its text.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, SourceError> {
        serde_json::from_slice(body).map_err(|error| self.malformed(&BadAnswer::from_json(&error)))
    }
}

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing can be done here: the engine decides.
    Fault(FaultKind),
    /// The condition of a write does not hold: an answer like others to whoever asked.
    Condition,
    /// The credentials have ended or are not known: other ones may help.
    Credentials,
    /// The signature is wrong, perhaps because the clocks disagree.
    Signature,
}

/// An answer that refuses, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What it means.
    pub refusal: Refusal,
    /// The code and the service's own text, or the status alone.
    pub text: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type", alias = "code", alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// Takes apart an answer whose status is not 200.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refused {
    let error = serde_json::from_slice::<ErrorBody>(body).ok();
    let (code, message) = error.map_or((None, None), |error| (error.code, error.message));
    let header = headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok());
    let code = code.as_deref().or(header).and_then(bare_code);
    let refusal = classify(status, code, headers);
    // What a service says of a signature quotes the request with its session token.
    let quiet = matches!(refusal, Refusal::Credentials | Refusal::Signature);
    let text = match (code, message.filter(|_| !quiet)) {
        (Some(code), Some(message)) => format!("{code}: {}", shown(&message)),
        (Some(code), None) => code.to_owned(),
        (None, _) => format!("status {}", status.as_u16()),
    };
    Refused { refusal, text }
}

/// What it means that a batch was carried out and one of its entries was not. The code that says
/// a parameter is wrong says of an entry that its receipt has ended: everything else in it is ours.
pub(crate) fn entry_refusal(code: &str, sender_fault: bool) -> Refusal {
    let code = bare_code(code).unwrap_or_default();
    match code.rsplit('.').next() {
        Some("ReceiptHandleIsInvalid" | "InvalidParameterValue" | "MessageNotInflight") => {
            Refusal::Fault(FaultKind::Expired)
        }
        _ => by_code(code, &HeaderMap::new()).unwrap_or(Refusal::Fault(if sender_fault {
            FaultKind::Invalid
        } else {
            FaultKind::Transient
        })),
    }
}

/// A code without the shape's namespace before it or a link behind it.
fn bare_code(raw: &str) -> Option<&str> {
    let code = raw.rsplit_once('#').map_or(raw, |(_, code)| code);
    let code = code.split_once(':').map_or(code, |(code, _)| code).trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    (!code.is_empty() && code.len() <= 128 && code.chars().all(plain)).then_some(code)
}

fn classify(status: StatusCode, code: Option<&str>, headers: &HeaderMap) -> Refusal {
    let by_code = code.and_then(|code| by_code(code, headers));
    by_code.unwrap_or_else(|| by_status(status, code.is_some(), headers))
}

fn by_code(code: &str, headers: &HeaderMap) -> Option<Refusal> {
    let kind = match code {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "SlowDown"
        | "KMSThrottlingException"
        | "KMS.ThrottlingException"
        | "KmsThrottled"
        | "OverLimit" => throttled(headers),
        code if code.starts_with("Throttl") || code.starts_with("RequestThrottl") => {
            throttled(headers)
        }
        "ExpiredIteratorException" | "ExpiredNextTokenException" => FaultKind::Expired,
        "TrimmedDataAccessException" => FaultKind::Trimmed,
        "ConditionalCheckFailedException" => return Some(Refusal::Condition),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId" => return Some(Refusal::Credentials),
        "RequestTimeTooSkewed"
        | "RequestExpired"
        | "RequestInTheFuture"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch" => return Some(Refusal::Signature),
        "ResourceNotFoundException"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => FaultKind::NotFound,
        "ResourceInUseException" => FaultKind::Transient,
        "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "NotAuthorized"
        | "UnauthorizedOperation"
        | "OptInRequired"
        | "SubscriptionRequiredException"
        | "InvalidSecurity" => FaultKind::Denied,
        code if ["AccessDenied", "KMS", "Kms"]
            .iter()
            .any(|head| code.starts_with(head)) =>
        {
            FaultKind::Denied
        }
        "InvalidArgumentException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "UnknownOperationException"
        | "InvalidAction" => FaultKind::Invalid,
        "RequestEntityTooLarge" | "RequestEntityTooLargeException" => FaultKind::TooLarge,
        _ => return None,
    };
    Some(Refusal::Fault(kind))
}

/// What a status means by itself. Without a code the answer is not AWS's but somebody's in
/// between, so that most of them may pass.
fn by_status(status: StatusCode, coded: bool, headers: &HeaderMap) -> Refusal {
    Refusal::Fault(match status.as_u16() {
        429 => throttled(headers),
        401 | 403 | 407 => FaultKind::Denied,
        404 => FaultKind::NotFound,
        413 => FaultKind::TooLarge,
        408 => FaultKind::Transient,
        400..=499 if coded => FaultKind::Invalid,
        _ => FaultKind::Transient,
    })
}

fn throttled(headers: &HeaderMap) -> FaultKind {
    let after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| text.trim().parse().ok());
    FaultKind::Throttled {
        after: after.map(Duration::from_secs),
    }
}

/// A service's text as one short line.
pub(crate) fn shown(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = clean.take(SHOWN_CHARS_MAX).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// The other side's clock, in whole seconds, as the `Date` header tells it.
pub(crate) fn date(headers: &HeaderMap) -> Option<Wall> {
    let text = headers.get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok().map(wall)
}

/// A time of the system's kind as our own.
pub(crate) fn wall(time: SystemTime) -> Wall {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(span) => Wall(millis(span)),
        Err(before) => Wall(-millis(before.duration())),
    }
}

#[cfg(test)]
mod tests {
    use FaultKind::{Denied, Expired, Invalid, NotFound, TooLarge, Transient, Trimmed};

    use super::*;

    fn refused_with(status: u16, headers: &[(&'static str, &str)], body: &str) -> Refused {
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        refused(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        )
    }

    #[test]
    fn codes_decide_before_statuses() {
        let fault = Refusal::Fault;
        let throttled = FaultKind::Throttled { after: None };
        let table = [
            (
                400,
                "ProvisionedThroughputExceededException",
                fault(throttled),
            ),
            (400, "LimitExceededException", fault(throttled)),
            (400, "ThrottlingException", fault(throttled)),
            (400, "Throttling", fault(throttled)),
            (400, "KMSThrottlingException", fault(throttled)),
            (400, "KMSAccessDeniedException", fault(Denied)),
            (400, "AccessDeniedException", fault(Denied)),
            (400, "ExpiredIteratorException", fault(Expired)),
            (400, "ExpiredNextTokenException", fault(Expired)),
            (400, "TrimmedDataAccessException", fault(Trimmed)),
            (400, "ResourceNotFoundException", fault(NotFound)),
            (400, "ResourceInUseException", fault(Transient)),
            (400, "QueueDoesNotExist", fault(NotFound)),
            (
                400,
                "AWS.SimpleQueueService.NonExistentQueue",
                fault(NotFound),
            ),
            (403, "OverLimit", fault(throttled)),
            (403, "RequestThrottled", fault(throttled)),
            (400, "KmsAccessDenied", fault(Denied)),
            (400, "KMS.ThrottlingException", fault(throttled)),
            (400, "InvalidArgumentException", fault(Invalid)),
            (400, "ValidationException", fault(Invalid)),
            (400, "SomethingNewException", fault(Invalid)),
            (500, "SomethingNewException", fault(Transient)),
            (500, "InternalFailure", fault(Transient)),
            (400, "ConditionalCheckFailedException", Refusal::Condition),
            (400, "ExpiredTokenException", Refusal::Credentials),
            (400, "UnrecognizedClientException", Refusal::Credentials),
            (403, "InvalidSignatureException", Refusal::Signature),
            (403, "RequestTimeTooSkewed", Refusal::Signature),
        ];
        for (status, code, expected) in table {
            for raw in [
                code.to_owned(),
                format!("com.amazonaws.kinesis.v20131202#{code}"),
                format!("{code}:http://internal.amazon.com/coral/com.amazon.coral.service/"),
            ] {
                let body = format!(r#"{{"__type":"{raw}","message":"m"}}"#);
                assert_eq!(refused_with(status, &[], &body).refusal, expected, "{raw}");
                let header = [("x-amzn-errortype", raw.as_str())];
                assert_eq!(refused_with(status, &header, "").refusal, expected, "{raw}");
            }
        }
    }

    #[test]
    fn statuses_decide_when_there_is_no_code() {
        let table = [
            (301, Transient),
            (400, Transient),
            (403, Denied),
            (404, NotFound),
            (407, Denied),
            (413, TooLarge),
            (429, FaultKind::Throttled { after: None }),
            (500, Transient),
            (503, Transient),
        ];
        for (status, expected) in table {
            let refused = refused_with(status, &[], "<html>gateway</html>");
            assert_eq!(refused.refusal, Refusal::Fault(expected), "{status}");
            assert_eq!(refused.text, format!("status {status}"));
        }
    }

    #[test]
    fn a_throttle_waits_as_long_as_it_is_told() {
        let refused = refused_with(429, &[("retry-after", "7")], "");
        let after = Some(Duration::from_secs(7));
        assert_eq!(
            refused.refusal,
            Refusal::Fault(FaultKind::Throttled { after })
        );
    }

    #[test]
    fn texts_are_shown_short_and_never_when_they_may_quote_the_request() {
        let long = "x\\u0007".repeat(400);
        let refused = refused_with(400, &[], &format!(r#"{{"__type":"A","Message":"{long}"}}"#));
        assert_eq!(
            refused.text.chars().count(),
            "A: ".len() + SHOWN_CHARS_MAX + 1
        );
        assert!(!refused.text.chars().any(char::is_control));
        let body = r#"{"__type":"InvalidSignatureException","message":"token:secret"}"#;
        assert_eq!(
            refused_with(403, &[], body).text,
            "InvalidSignatureException"
        );
    }

    #[test]
    fn dates_are_read_as_milliseconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(DATE, "Tue, 18 Dec 2018 10:04:10 GMT".parse().unwrap());
        assert_eq!(date(&headers), Some(Wall(1_545_127_450_000)));
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(date(&headers), None);
    }
}
