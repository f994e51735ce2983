//! Makes pages of records as an engine sees them, with texts of the usual lengths.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_engine::event::kinesis::weight;
use penstock_engine::record::{Page, RecordFacts, RecordView};
use penstock_engine::stream::router::hash_key;
use penstock_engine::time::Wall;

const KEY: &str = "4ae2b3a0-5a4e-4c46-9c3b-8d6f0e7a1b2c";
const NOTE: &str = "as agreed on the phone, to the door";
const ARRIVAL: Wall = Wall(1_545_084_650_987);

/// The page at this place of a shard: payloads of 99 bytes, numbers that go up.
#[must_use]
pub fn page(nth: u32, records: usize) -> Arc<dyn Page> {
    holding(nth, vec!["YWJj".repeat(33); records])
}

/// A page of orders: documents of one kibibyte, no two of them the same.
#[must_use]
pub fn orders(records: usize) -> Arc<dyn Page> {
    holding(
        0,
        (0..records)
            .map(|nth| STANDARD.encode(order(nth)))
            .collect(),
    )
}

fn order(nth: usize) -> String {
    let mut text = format!(r#"{{"event_type":"order_placed","amount":{nth}.5,"currency":"EUR""#);
    for line in 0..9 {
        let _ = write!(
            text,
            r#","line{line}":{{"sku":"SKU-{:06}","quantity":{line},"note":"{}"}}"#,
            nth + line,
            NOTE
        );
    }
    let rest = 1_024 - text.len() - r#","customer":""}"#.len();
    let _ = write!(text, r#","customer":"{}"}}"#, "c".repeat(rest));
    text
}

fn holding(nth: u32, data: Vec<String>) -> Arc<dyn Page> {
    let records = data.len();
    let first = 1 + u64::from(nth) * records as u64;
    let numbers: Vec<String> = (first..first + records as u64)
        .map(|number| format!("4959033827149025660855969253836157{number:022}"))
        .collect();
    let facts = numbers.iter().zip(&data).map(|(number, data)| RecordFacts {
        key_hash: hash_key(KEY.as_bytes()),
        arrival: ARRIVAL,
        weight: weight(KEY, number, data, ARRIVAL),
        filtered: false,
    });
    Arc::new(Texts {
        facts: facts.collect(),
        numbers,
        data,
    })
}

#[derive(Debug)]
struct Texts {
    numbers: Vec<String>,
    facts: Vec<RecordFacts>,
    data: Vec<String>,
}

impl Page for Texts {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.numbers[index]
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Kinesis {
            partition_key: KEY,
            sequence_number: &self.numbers[index],
            data: &self.data[index],
            arrival: ARRIVAL,
        }
    }

    fn pinned_bytes(&self) -> usize {
        self.numbers.len() * 300
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let chosen = || indices.iter().map(|&index| index as usize);
        Arc::new(Self {
            numbers: chosen().map(|index| self.numbers[index].clone()).collect(),
            facts: chosen().map(|index| self.facts[index]).collect(),
            data: chosen().map(|index| self.data[index].clone()).collect(),
        })
    }
}
