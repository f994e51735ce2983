//! What a wire service is to the server around it: calls in, answers out.
//!
//! The server owns the connection, the clock, the faults and the counts; a service owns its
//! operations and its state. A second service is a second implementation of [`Service`].

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde_json::Value;

use crate::faults::Effect;

/// One request that reached a service.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The operation, from the target header.
    pub operation: &'a str,
    /// The request's body.
    pub body: &'a Bytes,
    /// The region its signature names.
    pub region: &'a str,
    /// The host it was sent to.
    pub host: &'a str,
    /// The fault that it meets, as far as the service plays a part in it.
    pub effect: Option<&'a Effect>,
}

impl Call<'_> {
    /// Whether a fault asks for an answer without records.
    #[must_use]
    pub fn without_records(&self) -> bool {
        self.effect == Some(&Effect::Empty {})
    }
}

/// An answer that is waited for.
pub type Later<'a> = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'a>>;

/// What a call is about: where faults are scoped and calls are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The stream, queue or table, by its bare name.
    pub stream: Option<String>,
    /// The shard.
    pub shard: Option<String>,
}

/// A successful answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// The body, in pieces that are written one after the other.
    pub parts: Vec<Bytes>,
    /// How many records it carries or accepted.
    pub records: usize,
}

impl Answer {
    /// An answer with a JSON body.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self {
            parts: vec![Bytes::from(value.to_string())],
            records: 0,
        }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }
}

/// An answer that refuses the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error's type, as AWS names it.
    pub code: String,
    /// The sentence that goes with it.
    pub message: String,
}

impl Refusal {
    /// A refusal of the caller's doing: HTTP 400.
    pub fn client(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// A failure of the server's own: HTTP 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            status: 500,
            code: "InternalFailure".to_owned(),
            message: message.into(),
        }
    }

    /// The body that carries it.
    #[must_use]
    pub fn body(&self) -> Bytes {
        Bytes::from(serde_json::json!({"__type": self.code, "message": self.message}).to_string())
    }

    /// The same refusal with its type as a service spells it.
    #[must_use]
    pub fn spelled_by(self, service: &dyn Service) -> Self {
        Self {
            code: service.spelled(&self.code),
            ..self
        }
    }
}

/// A wire service.
pub trait Service: Send + Sync {
    /// The operation a target header names; `None` when it names another service.
    fn operation<'a>(&self, target_header: &'a str) -> Option<&'a str>;

    /// The content type of its answers.
    fn content_type(&self) -> &'static str {
        "application/x-amz-json-1.1"
    }

    /// An error's type as its answers spell it.
    fn spelled(&self, code: &str) -> String {
        code.to_owned()
    }

    /// What a call is about, as far as its body says.
    fn target(&self, body: &Bytes) -> Target;

    /// Carries a call out.
    ///
    /// # Errors
    /// Whatever the service would refuse.
    fn answer(&self, call: Call<'_>) -> Result<Answer, Refusal>;

    /// Carries out a call that may wait for what is not there yet; `None` when it never does. A
    /// client that leaves meanwhile ends the wait, and nothing has happened.
    fn answer_later<'a>(&'a self, _call: Call<'a>) -> Option<Later<'a>> {
        None
    }

    /// What `x-amzn-query-error` says of a refusal, where a service was known by another protocol.
    fn query_error(&self, _refusal: &Refusal) -> Option<String> {
        None
    }

    /// How this service refuses a call when a fault throttles it.
    fn throttled(&self, operation: &str, target: &Target) -> Refusal;

    /// Carries out a control action of its own; `None` when it knows no such action.
    fn control(&self, action: &str, body: &Bytes) -> Option<Result<Value, Refusal>>;
}
