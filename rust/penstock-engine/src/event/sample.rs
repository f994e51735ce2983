//! Builds pages and configurations for tests.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{MappingConfig, SourceProfile, document};
use crate::event::kinesis::weight;
use crate::record::{Batch, Page, RecordFacts, RecordRef, RecordView};
use crate::time::Wall;

/// A record as a test writes it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub key: String,
    pub number: String,
    pub data: String,
    pub arrival: Wall,
}

#[derive(Debug)]
pub(crate) struct SamplePage {
    samples: Vec<Sample>,
    facts: Vec<RecordFacts>,
}

impl SamplePage {
    pub(crate) fn new(samples: Vec<Sample>) -> Self {
        let facts = samples.iter().map(|sample| RecordFacts {
            key_hash: 0,
            arrival: sample.arrival,
            weight: weight(&sample.key, &sample.number, &sample.data, sample.arrival),
            filtered: false,
        });
        Self {
            facts: facts.collect(),
            samples,
        }
    }
}

impl Page for SamplePage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.samples[index].number
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        let sample = &self.samples[index];
        RecordView::Kinesis {
            partition_key: &sample.key,
            sequence_number: &sample.number,
            data: &sample.data,
            arrival: sample.arrival,
        }
    }

    fn pinned_bytes(&self) -> usize {
        self.samples
            .iter()
            .map(|sample| sample.key.len() + sample.data.len())
            .sum()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let take = |&index: &u32| self.samples[index as usize].clone();
        Arc::new(Self::new(indices.iter().map(take).collect()))
    }
}

/// A batch of all these records.
pub(crate) fn batch(samples: Vec<Sample>) -> Batch {
    let records = (0..samples.len() as u32)
        .map(|index| RecordRef { page: 0, index })
        .collect();
    Batch {
        pages: vec![Arc::new(SamplePage::new(samples))],
        records,
    }
}

/// A batch of records with these sequence numbers.
pub(crate) fn numbered(numbers: &[&str]) -> Batch {
    batch(
        numbers
            .iter()
            .map(|number| Sample {
                key: "key".into(),
                number: (*number).into(),
                data: "aGk=".into(),
                arrival: Wall(1_545_084_650_987),
            })
            .collect(),
    )
}

/// The configuration of a Kinesis mapping with a destination, and `changes` to its document.
pub(crate) fn config(changes: serde_json::Value) -> MappingConfig {
    let mut document = serde_json::json!({
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "EventSourceArn": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
        "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        "StartingPosition": "TRIM_HORIZON",
        "DestinationConfig": {"OnFailure": {"Destination": "stream:failed"}},
        "Penstock": {"RoleArn": "arn:aws:iam::123456789012:role/lambda-role"},
    });
    let changes = changes.as_object().expect("changes are members").clone();
    document
        .as_object_mut()
        .expect("the document is an object")
        .extend(changes);
    document::parse(document.to_string().as_bytes(), profile()).expect("a good document")
}

/// What a source asks for.
pub(crate) fn profile() -> SourceProfile {
    SourceProfile {
        idle_interval: Duration::from_secs(1),
        fetch_wait: Duration::ZERO,
        fetch_records_max: 10_000,
        fetch_bytes_max: 10 * 1_024 * 1_024,
        tip_reads_per_second: Some(5),
        list_interval: Duration::from_secs(60),
    }
}
