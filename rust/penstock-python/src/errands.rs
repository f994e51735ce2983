//! Reads how Python finished an errand, and asks for one: the access of a source, resolved again.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use penstock_aws::access::AccessRefresh;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_runtime::errands::{ErrandOutcome, Errands};
use serde_json::json;

use crate::documents::Document;
use crate::errors::Failure;

/// How an errand ended: well, with whatever belongs to it, or with a fault that bears Python's
/// sentence.
pub(crate) fn outcome(word: &str, detail: Option<&[u8]>) -> Result<ErrandOutcome, Failure> {
    if word == "done" {
        return Ok(Ok(detail.unwrap_or_default().to_vec()));
    }
    let kinds = [
        FaultKind::Throttled { after: None },
        FaultKind::Transient,
        FaultKind::Expired,
        FaultKind::NotFound,
        FaultKind::Denied,
        FaultKind::Invalid,
        FaultKind::TooLarge,
        FaultKind::Fatal,
    ];
    let Some(kind) = kinds.into_iter().find(|kind| kind.code() == word) else {
        let words = kinds.map(FaultKind::code).join(", ");
        let message = format!("{word:?} is neither done nor one of {words}");
        return Err(Failure::argument("outcome", message));
    };
    let mut detail = Document::parse(detail.unwrap_or(b"{}"))?;
    let message = detail.take::<String>("message")?;
    detail.finish()?;
    Ok(Err(Fault::new(
        kind,
        message.unwrap_or_else(|| format!("the errand ended as {word}")),
    )))
}

/// Asks Python, by errand, to resolve an access again.
pub(crate) struct AccessByErrand {
    errands: Arc<Errands>,
}

impl AccessByErrand {
    pub(crate) fn new(errands: &Arc<Errands>) -> Self {
        Self {
            errands: Arc::clone(errands),
        }
    }
}

impl AccessRefresh for AccessByErrand {
    fn ask(&self, access: &str, reason: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let document = json!({"access": access, "reason": reason})
            .to_string()
            .into_bytes();
        let errands = Arc::clone(&self.errands);
        Box::pin(async move { errands.post("access", document).await.map(drop) })
    }
}
