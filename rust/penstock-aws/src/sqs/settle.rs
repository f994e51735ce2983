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
use super::wire::{FailedEntry, SettledBatch};
use crate::access::Access;
use crate::protocol::{Refusal, entry_refusal, shown};

/// The most entries of a request.
const ENTRIES_MAX: usize = 10;

/// About what an entry has besides its receipt handle.
const ENTRY_BYTES: usize = 80;

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
        let body = body(&self.url(access), messages, places, deed);
        let answer = match self.client.call(access, &subject, body).await {
            Ok(answer) => answer,
            Err(error) => return (places, Err(error)),
        };
        let place = self.place(access, &subject);
        let read = place.parse::<SettledBatch<'_>>(&answer.body);
        (places, read.map(|answer| refused(answer, places)))
    }
}

/// The request: an entry's id is the message's place in the batch. Written in one piece, since
/// this is done for every ten messages and receipt handles are long.
fn body(url: &str, messages: &Batch, places: &[u32], deed: Deed) -> Vec<u8> {
    let receipts = places.iter().map(|&index| receipt(messages, index).len());
    let entries = receipts.map(|bytes| bytes + ENTRY_BYTES).sum::<usize>();
    let mut out = Vec::with_capacity(url.len() + ENTRY_BYTES + entries);
    out.extend_from_slice(br#"{"QueueUrl":"#);
    push_text(&mut out, url);
    for (nth, &index) in places.iter().enumerate() {
        let lead = if nth == 0 {
            r#","Entries":[{"Id":""#
        } else {
            r#",{"Id":""#
        };
        out.extend_from_slice(lead.as_bytes());
        out.extend_from_slice(index.to_string().as_bytes());
        out.extend_from_slice(br#"","ReceiptHandle":"#);
        push_text(&mut out, receipt(messages, index));
        if let Deed::Hide(seconds) = deed {
            out.extend_from_slice(br#","VisibilityTimeout":"#);
            out.extend_from_slice(seconds.to_string().as_bytes());
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

/// A JSON string; handles that have to be escaped are none that SQS makes.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    // Without an early exit, so that the compiler looks at many bytes at once.
    if text.bytes().fold(false, |any, byte| any | special(byte)) {
        return out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
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
fn refused(answer: SettledBatch<'_>, places: &[u32]) -> Vec<Refused> {
    let successful = answer.successful.unwrap_or_default();
    let failed = answer.failed.unwrap_or_default();
    let place = |id: &str| id.parse::<u32>().ok();
    let settled: Vec<_> = successful.iter().map(|entry| place(&entry.id)).collect();
    let mut refused = Vec::new();
    for &index in places {
        if let Some(entry) = failed.iter().find(|entry| place(&entry.id) == Some(index)) {
            let fault = fault(entry);
            refused.push(Refused { index, fault });
        } else if !settled.contains(&Some(index)) {
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
    use std::sync::Arc;

    use penstock_engine::record::RecordRef;
    use penstock_engine::time::Wall;
    use serde_json::{Value, json};

    use super::super::scan;
    use super::*;

    #[test]
    fn a_request_names_every_message_by_its_place() {
        let message =
            |receipt: &str| json!({"MessageId": "m", "ReceiptHandle": receipt, "Body": ""});
        // No handle of SQS's needs an escape; one that does must not break the request.
        let answer = json!({"Messages": [message("AQEB+/="), message("a\"\\\n\u{1}é")]});
        let page = scan::read(answer.to_string().into_bytes(), Wall(0));
        let batch = Batch {
            pages: vec![Arc::new(page.expect("an answer").expect("messages"))],
            records: (0..2).map(|index| RecordRef { page: 0, index }).collect(),
        };
        let url = "http://localhost/0/q";
        let read = |places, deed| -> Value {
            serde_json::from_slice(&body(url, &batch, places, deed)).expect("JSON")
        };
        let entries = [
            json!({"Id": "0", "ReceiptHandle": "AQEB+/="}),
            json!({"Id": "1", "ReceiptHandle": "a\"\\\n\u{1}é"}),
        ];
        let both = read(&[0, 1], Deed::Delete);
        assert_eq!(both, json!({"QueueUrl": url, "Entries": entries}));
        let mut hidden = entries[1].clone();
        hidden["VisibilityTimeout"] = json!(30);
        let one = read(&[1], Deed::Hide(30));
        assert_eq!(one, json!({"QueueUrl": url, "Entries": [hidden]}));
    }

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
