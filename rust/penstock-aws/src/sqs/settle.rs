//! Deletes messages and changes their visibility, ten in a request, several requests at once.
//!
//! Rules: every message is in one request and is answered for: it was settled, or it is refused
//! with a fault. An entry that an answer does not mention is refused as `Transient`: whether it
//! was settled is not known, and doing it again does no harm. Only when every request failed is
//! the whole a failure.

use futures_util::stream::{self, StreamExt};
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::Refused;
use penstock_engine::record::{Batch, RecordView};
use penstock_runtime::error::SourceError;

use super::SqsSource;
use super::wire::{FailedEntry, SettleBatch, SettleEntry, SettledBatch};
use crate::access::Access;
use crate::protocol::{Refusal, entry_refusal, shown};

/// The most entries of a request.
const ENTRIES_MAX: usize = 10;

/// Requests of one batch that are under way at once.
const REQUESTS_AT_ONCE: usize = 16;

/// What is done to the messages of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    Delete,
    /// Hides them for so many seconds from now on.
    Hide(u64),
}

impl Deed {
    fn operation(self) -> &'static str {
        match self {
            Self::Delete => "DeleteMessageBatch",
            Self::Hide(_) => "ChangeMessageVisibilityBatch",
        }
    }
}

impl SqsSource {
    /// Settles all messages of a batch.
    pub(super) async fn settle(
        &self,
        messages: &Batch,
        deed: Deed,
    ) -> Result<Vec<Refused>, SourceError> {
        let subject = self.subject(deed.operation());
        let access = self.client.access(&subject).await?;
        let places: Vec<u32> = (0..).take(messages.len()).collect();
        let mut requests = Vec::with_capacity(places.len().div_ceil(ENTRIES_MAX));
        for places in places.chunks(ENTRIES_MAX) {
            requests.push(self.settle_some(&access, messages, places, deed));
        }
        let count = requests.len();
        let outcomes: Vec<_> = stream::iter(requests)
            .buffer_unordered(REQUESTS_AT_ONCE)
            .collect()
            .await;
        let failed = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_err())
            .count();
        let mut refused = Vec::new();
        for (places, outcome) in outcomes {
            match outcome {
                Ok(some) => refused.extend(some),
                Err(error) if failed == count => return Err(error),
                Err(error) => refused.extend(places.iter().map(|&index| Refused {
                    index,
                    fault: error.fault().clone(),
                })),
            }
        }
        refused.sort_by_key(|one| one.index);
        Ok(refused)
    }

    /// One request, for the messages at these places.
    async fn settle_some<'p>(
        &self,
        access: &Access,
        messages: &Batch,
        places: &'p [u32],
        deed: Deed,
    ) -> (&'p [u32], Result<Vec<Refused>, SourceError>) {
        let subject = self.subject(deed.operation());
        let url = self.url(access);
        let body = SettleBatch {
            queue_url: &url,
            entries: entries(messages, places, deed),
        };
        let answer = match self.call(access, &subject, &body).await {
            Ok(answer) => answer,
            Err(error) => return (places, Err(error)),
        };
        let place = self.place(access, &subject);
        let read = place.parse::<SettledBatch>(&answer.body);
        (places, read.map(|answer| refused(answer, places)))
    }
}

fn entries<'a>(messages: &'a Batch, places: &[u32], deed: Deed) -> Vec<SettleEntry<'a>> {
    let visibility_timeout = match deed {
        Deed::Delete => None,
        Deed::Hide(seconds) => Some(seconds),
    };
    let entry = |&index: &u32| SettleEntry {
        id: index.to_string(),
        receipt_handle: receipt(messages, index),
        visibility_timeout,
    };
    places.iter().map(entry).collect()
}

fn receipt(messages: &Batch, index: u32) -> &str {
    match messages.view(index as usize) {
        RecordView::Sqs(message) => message.receipt_handle,
        RecordView::Kinesis { .. } | RecordView::DynamoDb(_) => {
            unreachable!("a queue's pages hold messages")
        }
    }
}

/// What an answer refuses of the messages at these places.
fn refused(answer: SettledBatch, places: &[u32]) -> Vec<Refused> {
    let successful = answer.successful.unwrap_or_default();
    let failed = answer.failed.unwrap_or_default();
    let mut refused = Vec::new();
    for &index in places {
        let id = index.to_string();
        if let Some(entry) = failed.iter().find(|entry| entry.id == id) {
            let fault = fault(entry);
            refused.push(Refused { index, fault });
        } else if !successful.iter().any(|entry| entry.id == id) {
            let fault = Fault::new(FaultKind::Transient, "the answer does not mention it");
            refused.push(Refused { index, fault });
        }
    }
    refused
}

fn fault(entry: &FailedEntry) -> Fault {
    let kind = match entry_refusal(&entry.code, entry.sender_fault) {
        Refusal::Fault(kind) => kind,
        // Credentials and clocks are judged by requests, not by entries.
        Refusal::Credentials | Refusal::Signature | Refusal::Condition => FaultKind::Denied,
    };
    let message = entry.message.as_deref().unwrap_or_default();
    Fault::new(kind, format!("{}: {}", shown(&entry.code), shown(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_answered_for() {
        let answer = r#"{"Successful":[{"Id":"3"}],"Failed":[
            {"Id":"4","Code":"ReceiptHandleIsInvalid","SenderFault":true,"Message":"m"},
            {"Id":"5","Code":"InternalError","SenderFault":false}]}"#;
        let answer = serde_json::from_str(answer).expect("an answer");
        let refused = refused(answer, &[3, 4, 5, 6]);
        let kinds: Vec<_> = refused
            .iter()
            .map(|one| (one.index, one.fault.kind))
            .collect();
        let expected = [
            (4, FaultKind::Expired),
            (5, FaultKind::Transient),
            (6, FaultKind::Transient),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(refused[0].fault.message, "ReceiptHandleIsInvalid: m");
    }

    #[test]
    fn codes_of_entries_are_classified() {
        let kind = |code: &str, sender_fault| {
            let entry = FailedEntry {
                id: "0".to_owned(),
                code: code.to_owned(),
                sender_fault,
                message: None,
            };
            fault(&entry).kind
        };
        for code in [
            "ReceiptHandleIsInvalid",
            "InvalidParameterValue",
            "MessageNotInflight",
            "AWS.SimpleQueueService.MessageNotInflight",
        ] {
            assert_eq!(kind(code, true), FaultKind::Expired, "{code}");
        }
        for code in ["RequestThrottled", "ThrottlingException", "OverLimit"] {
            assert!(
                matches!(kind(code, true), FaultKind::Throttled { .. }),
                "{code}"
            );
        }
        assert_eq!(kind("AccessDenied", true), FaultKind::Denied);
        assert_eq!(kind("Unheard", true), FaultKind::Invalid);
        assert_eq!(kind("Unheard", false), FaultKind::Transient);
    }
}
