//! Gives the unit tests of this module configurations and pages.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{MappingConfig, SourceProfile, document};
use crate::record::{Page, RecordFacts, RecordView};
use crate::time::Wall;

/// A valid configuration with these options of the mapping's document.
pub(crate) fn config(options: &str) -> MappingConfig {
    let mut document = serde_json::json!({
        "UUID": "11111111-1111-4111-8111-111111111111",
        "EventSourceArn": "arn:aws:penstock:::stream/orders",
        "StartingPosition": "TRIM_HORIZON",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:orders",
        "Penstock": {"Source": "stream:orders", "Handler": "orders", "Pool": "threads"},
    });
    let options: serde_json::Value = serde_json::from_str(options).expect("options are JSON");
    for (name, value) in options.as_object().expect("options are an object") {
        match value.as_object() {
            Some(members) => {
                for (member, value) in members {
                    document[name][member] = value.clone();
                }
            }
            None => document[name] = value.clone(),
        }
    }
    let profile = SourceProfile {
        idle_interval: Duration::from_secs(1),
        fetch_wait: Duration::ZERO,
        fetch_records_max: 10_000,
        fetch_bytes_max: 10 * 1024 * 1024,
        tip_reads_per_second: Some(5),
        list_interval: Duration::from_secs(60),
    };
    document::parse(document.to_string().as_bytes(), profile).expect("the document is valid")
}

/// A page with these sequence numbers, each record pinning so many bytes.
pub(crate) fn page(numbers: Range<u64>, bytes: usize) -> Arc<dyn Page> {
    Arc::new(numbered(numbers, bytes))
}

/// A page of records that hold several of a user's.
pub(crate) fn aggregated(numbers: Range<u64>) -> Arc<dyn Page> {
    let page = numbered(numbers, 100);
    Arc::new(Numbers {
        aggregated: true,
        ..page
    })
}

fn numbered(numbers: Range<u64>, bytes: usize) -> Numbers {
    let facts = RecordFacts {
        key_hash: 0,
        arrival: Wall(0),
        weight: 0,
        filtered: false,
    };
    let digits: Vec<String> = numbers.map(|number| number.to_string()).collect();
    Numbers {
        facts: vec![facts; digits.len()],
        digits,
        bytes,
        aggregated: false,
    }
}

#[derive(Debug)]
struct Numbers {
    digits: Vec<String>,
    facts: Vec<RecordFacts>,
    bytes: usize,
    aggregated: bool,
}

impl Page for Numbers {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.digits[index]
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Kinesis {
            partition_key: "",
            sequence_number: &self.digits[index],
            data: "",
            arrival: self.facts[index].arrival,
        }
    }

    fn aggregated(&self) -> bool {
        self.aggregated
    }

    fn pinned_bytes(&self) -> usize {
        self.digits.len() * self.bytes
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let kept = || indices.iter().map(|index| *index as usize);
        Arc::new(Self {
            digits: kept().map(|index| self.digits[index].clone()).collect(),
            facts: kept().map(|index| self.facts[index]).collect(),
            bytes: self.bytes,
            aggregated: self.aggregated,
        })
    }
}
