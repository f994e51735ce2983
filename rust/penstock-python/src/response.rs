//! Turns what Python says about an invocation into an outcome.
//!
//! Rules: an answer is JSON text and is judged against the very records that were handed out; an
//! answer that is too long or no JSON is a failure of the handler, never of the engine; texts are
//! cut here, so that no payload travels on.

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{HandlerError, Outcome};
use penstock_engine::limits::{ANSWER_BYTES_MAX, HANDLER_ERROR_BYTES_MAX};
use penstock_engine::response;
use penstock_runtime::exchange::Delivery;
use serde::de::IgnoredAny;

use crate::errors::Failure;

/// What Python says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a> {
    /// How it ended, in one word.
    pub word: &'a str,
    /// The JSON text of what the handler returned; `None` for null.
    pub answer: Option<&'a [u8]>,
    /// The exception's type.
    pub kind: Option<&'a str>,
    /// The exception's text.
    pub message: Option<&'a str>,
}

/// The outcome of a delivery that ended so.
pub(crate) fn outcome(ending: &Ending<'_>, delivery: &Delivery) -> Result<Outcome, Failure> {
    match ending.word {
        "returned" => Ok(returned(ending.answer.unwrap_or(b"null"), delivery)),
        "raised" => Ok(Outcome::Raised(handler_error(ending, "Exception"))),
        "timed_out" => Ok(Outcome::TimedOut),
        "crashed" => Ok(Outcome::Crashed(handler_error(ending, "WorkerCrash"))),
        "rejected" => {
            let message = ending
                .message
                .unwrap_or("the worker did not start the handler");
            Ok(Outcome::Rejected(Fault::new(
                FaultKind::Transient,
                cut(message),
            )))
        }
        other => Err(Failure::argument(
            "outcome",
            format!("{other:?} is none of returned, raised, timed_out, crashed and rejected"),
        )),
    }
}

fn returned(answer: &[u8], delivery: &Delivery) -> Outcome {
    if answer.len() > ANSWER_BYTES_MAX {
        return Outcome::Raised(HandlerError {
            kind: "AnswerTooLarge".to_owned(),
            message: format!(
                "the handler returned {} bytes of JSON; at most {ANSWER_BYTES_MAX} are read",
                answer.len()
            ),
        });
    }
    if serde_json::from_slice::<IgnoredAny>(answer).is_err() {
        return Outcome::Raised(HandlerError {
            kind: "AnswerNotJson".to_owned(),
            message: "the handler returned something that cannot be written as JSON".to_owned(),
        });
    }
    response::outcome(answer, &delivery.config, &delivery.invocation)
}

fn handler_error(ending: &Ending<'_>, unnamed: &str) -> HandlerError {
    HandlerError {
        kind: cut(ending.kind.unwrap_or(unnamed)),
        message: cut(ending.message.unwrap_or_default()),
    }
}

/// At most half of what an error may hold, without control characters.
fn cut(text: &str) -> String {
    const BYTES_MAX: usize = HANDLER_ERROR_BYTES_MAX / 2;
    let end = text.floor_char_boundary(BYTES_MAX);
    let shown = text[..end]
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char });
    let mut shown: String = shown.collect();
    if end < text.len() {
        shown.push('…');
    }
    shown
}
