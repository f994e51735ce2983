//! Builds the stream of a bench: full shards, all sealed, so that a page costs nothing to serve.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::shard::{Seconds, Shard, encode};
use super::stream::Stream;

/// The name of the stream of a canned run.
pub const STREAM: &str = "bench";

/// What a canned stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Records in each shard.
    pub records: u64,
    /// Bytes of data of each record.
    pub bytes: usize,
    /// How many shards.
    pub shards: u32,
    /// Whether arrival times are written as `1.545084650987E9`, as the real service writes them.
    pub exponent: bool,
}

/// How many partition keys the records of a shard have.
const KEYS: u64 = 4096;

/// Builds the stream. Records arrive a tenth of a millisecond apart, the last of them now.
#[must_use]
pub fn build(spec: &Spec, now_ms: u64) -> Stream {
    let born_ms = now_ms.saturating_sub(spec.records / 10 + 60_000);
    let mut stream = Stream::new(STREAM, "us-east-1", spec.shards, born_ms);
    for shard in &mut stream.shards {
        fill(shard, spec, now_ms);
    }
    stream
}

fn fill(shard: &mut Shard, spec: &Spec, now_ms: u64) {
    let mut data = vec![0_u8; spec.bytes];
    for nth in 0..spec.records {
        let arrived_ms = now_ms - (spec.records - nth) / 10;
        let key = format!("key-{:06}", nth % KEYS);
        let size = spec.bytes + key.len();
        write_data(&mut data, nth);
        let number = shard.number(nth + 1, arrived_ms / 1000);
        let (data, arrived) = (STANDARD.encode(&data), arrival(arrived_ms, spec.exponent));
        let encoded = encode(&number, &arrived, &data, &format!("\"{key}\""));
        shard.log.push(encoded.as_bytes(), size, arrived_ms);
    }
    shard.log.seal();
}

/// Fills data with a line that names the record, and letters after it.
fn write_data(data: &mut [u8], nth: u64) {
    let name = format!("{{\"record\":{nth:012}}}");
    for (at, byte) in data.iter_mut().enumerate() {
        *byte = name
            .as_bytes()
            .get(at)
            .copied()
            .unwrap_or(b'a' + (at % 23) as u8);
    }
}

fn arrival(ms: u64, exponent: bool) -> String {
    let plain = Seconds(ms).to_string();
    if !exponent {
        return plain;
    }
    let digits: String = plain.chars().filter(char::is_ascii_digit).collect();
    let power = plain.find('.').unwrap_or(1) - 1;
    let rest = digits[1..].trim_end_matches('0');
    format!(
        "{}.{}E{power}",
        &digits[..1],
        if rest.is_empty() { "0" } else { rest }
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_record_is_json_and_numbers_grow() {
        let spec = Spec {
            records: 3000,
            bytes: 1024,
            shards: 2,
            exponent: true,
        };
        let stream = build(&spec, 1_791_558_245_123);
        let page = stream.shards[1].log.read(1, 10_000, usize::MAX);
        let text = [b"[", page.slices.join(&b","[..]).as_slice(), b"]"].concat();
        let records: Vec<Value> = serde_json::from_slice(&text).expect("json");
        assert_eq!(records.len(), 3000);
        let numbers: Vec<&str> = records
            .iter()
            .filter_map(|record| record["SequenceNumber"].as_str())
            .collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        let data = records[17]["Data"]
            .as_str()
            .map(|text| STANDARD.decode(text));
        assert_eq!(data.and_then(Result::ok).map(|data| data.len()), Some(1024));
    }

    #[test]
    fn both_forms_of_a_time_are_the_same_number() {
        for ms in [
            1_545_084_650_987,
            1_545_084_650_900,
            1_500_000_000_000,
            1_545_084_650_000,
        ] {
            let (plain, exponent) = (arrival(ms, false), arrival(ms, true));
            assert_eq!(
                plain.parse::<f64>(),
                exponent.parse::<f64>(),
                "{plain} {exponent}"
            );
        }
        assert_eq!(arrival(1_545_084_650_987, true), "1.545084650987E9");
    }
}
