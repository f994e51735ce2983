//! Writes events as compact JSON, or only counts the bytes that they would have.
//!
//! Rules: the bytes are those of Python's `json.dumps(event, ensure_ascii=False,
//! separators=(",", ":"))`; counting and writing always agree.

use std::convert::Infallible;

use super::text::{
    escaped_len, number_len, seconds_len, write_escaped, write_number, write_seconds, write_text,
};
use super::window::WindowMembers;
use super::{ENVELOPE_BYTES, EventSink, Member, RecordTemplate, Slot, Value, Varying};
use crate::record::RecordView;

/// Writes the event into a buffer.
#[derive(Debug, Default)]
pub struct JsonSink {
    out: Vec<u8>,
    /// The template with the slots cut out, the rest at last.
    pieces: Vec<Piece>,
    tail: Vec<u8>,
    written: usize,
}

/// A slot and what stands before it.
#[derive(Debug)]
struct Piece {
    fixed: Vec<u8>,
    /// The comma and the key of a member that is left out where the slot is empty.
    lead: Vec<u8>,
    slot: Slot,
    /// Whether the member is not left out then, but null.
    nullable: bool,
}

impl JsonSink {
    /// A sink with room for `bytes` bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn cut(&mut self, members: &[Member<'_>], fixed: &mut Vec<u8>) {
        fixed.push(b'{');
        for (index, member) in members.iter().enumerate() {
            if let Value::Optional(slot) | Value::Nullable(slot) = member.value {
                debug_assert!(index > 0 && !slot.is_text(), "{slot:?} cannot be left out");
                let mut lead = vec![b','];
                write_key(&mut lead, member.key);
                let nullable = matches!(member.value, Value::Nullable(_));
                self.cut_slot(slot, lead, nullable, fixed);
                continue;
            }
            if index > 0 {
                fixed.push(b',');
            }
            write_key(fixed, member.key);
            match &member.value {
                Value::Text(text) => write_text(fixed, text),
                Value::Object(members) => self.cut(members, fixed),
                Value::Varying(slot) | Value::Optional(slot) | Value::Nullable(slot) => {
                    self.cut_slot(*slot, Vec::new(), false, fixed);
                }
                Value::Joined(prefix, slot) => {
                    fixed.push(b'"');
                    write_escaped(fixed, prefix);
                    fixed.push(b':');
                    self.pieces.push(Piece {
                        fixed: std::mem::take(fixed),
                        lead: Vec::new(),
                        slot: *slot,
                        nullable: false,
                    });
                    fixed.push(b'"');
                }
            }
        }
        fixed.push(b'}');
    }

    fn cut_slot(&mut self, slot: Slot, lead: Vec<u8>, nullable: bool, fixed: &mut Vec<u8>) {
        let quoted = slot.is_text();
        fixed.extend(quoted.then_some(b'"'));
        self.pieces.push(Piece {
            fixed: std::mem::take(fixed),
            lead,
            slot,
            nullable,
        });
        fixed.extend(quoted.then_some(b'"'));
    }
}

impl EventSink for JsonSink {
    type Error = Infallible;

    fn begin(&mut self, template: &RecordTemplate<'_>, _records: usize) -> Result<(), Infallible> {
        self.pieces.clear();
        self.written = 0;
        let mut fixed = Vec::with_capacity(256);
        self.cut(&template.members, &mut fixed);
        self.tail = fixed;
        self.out.extend_from_slice(b"{\"Records\":[");
        Ok(())
    }

    fn record(&mut self, view: &RecordView<'_>) -> Result<(), Infallible> {
        if self.written > 0 {
            self.out.push(b',');
        }
        self.written += 1;
        for piece in &self.pieces {
            self.out.extend_from_slice(&piece.fixed);
            let varying = piece.slot.of(view);
            if varying == Varying::Absent && !piece.nullable {
                continue;
            }
            self.out.extend_from_slice(&piece.lead);
            match varying {
                Varying::Text(text) => write_escaped(&mut self.out, text),
                Varying::Plain(text) | Varying::Json(text) => {
                    self.out.extend_from_slice(text.as_bytes());
                }
                Varying::Quoted(text) => {
                    self.out.push(b'"');
                    self.out.extend_from_slice(text.as_bytes());
                    self.out.push(b'"');
                }
                Varying::Seconds(moment) => write_seconds(&mut self.out, moment),
                Varying::Number(number) => write_number(&mut self.out, number),
                Varying::Absent if piece.nullable => self.out.extend_from_slice(NULL),
                Varying::Absent => {}
            }
        }
        self.out.extend_from_slice(&self.tail);
        Ok(())
    }

    fn end(&mut self, window: Option<&WindowMembers<'_>>) -> Result<(), Infallible> {
        self.out.push(b']');
        if let Some(window) = window {
            write_window(&mut self.out, window);
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Counts the bytes that `JsonSink` would write.
#[derive(Debug, Default)]
pub struct CountingSink {
    bytes: u64,
    /// The slots, each with the bytes that come with it where it is filled and where it is empty.
    slots: Vec<(Slot, usize, usize)>,
    constant: u64,
    records: u64,
}

impl CountingSink {
    /// The count.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl EventSink for CountingSink {
    type Error = Infallible;

    fn begin(&mut self, template: &RecordTemplate<'_>, _records: usize) -> Result<(), Infallible> {
        self.slots.clear();
        collect_slots(&template.members, &mut self.slots);
        self.constant = template_bytes(template);
        self.records = 0;
        self.bytes += ENVELOPE_BYTES;
        Ok(())
    }

    fn record(&mut self, view: &RecordView<'_>) -> Result<(), Infallible> {
        let varying: usize = self
            .slots
            .iter()
            .map(|&(slot, lead, empty)| match slot.of(view) {
                Varying::Absent => empty,
                filled => lead + varying_len(filled),
            })
            .sum();
        self.bytes += u64::from(self.records > 0) + self.constant + varying as u64;
        self.records += 1;
        Ok(())
    }

    fn end(&mut self, window: Option<&WindowMembers<'_>>) -> Result<(), Infallible> {
        if let Some(window) = window {
            let mut written = Vec::new();
            write_window(&mut written, window);
            self.bytes += written.len() as u64;
        }
        Ok(())
    }
}

/// Bytes of a record of this form whose slots are all empty.
#[must_use]
pub fn template_bytes(template: &RecordTemplate<'_>) -> u64 {
    members_len(&template.members) as u64
}

fn members_len(members: &[Member<'_>]) -> usize {
    let always = || {
        let optional =
            |member: &&Member<'_>| matches!(member.value, Value::Optional(_) | Value::Nullable(_));
        members.iter().filter(move |member| !optional(member))
    };
    let braces_and_commas = 2 + always().count().saturating_sub(1);
    let of = |member: &Member<'_>| {
        let value = match &member.value {
            Value::Text(text) => 2 + escaped_len(text),
            Value::Object(members) => members_len(members),
            Value::Varying(slot) if slot.is_text() => 2,
            Value::Varying(_) | Value::Optional(_) | Value::Nullable(_) => 0,
            Value::Joined(prefix, _) => 3 + escaped_len(prefix),
        };
        3 + escaped_len(member.key) + value
    };
    braces_and_commas + always().map(of).sum::<usize>()
}

fn collect_slots(members: &[Member<'_>], slots: &mut Vec<(Slot, usize, usize)>) {
    for member in members {
        match &member.value {
            Value::Text(_) => {}
            Value::Object(members) => collect_slots(members, slots),
            Value::Varying(slot) | Value::Joined(_, slot) => slots.push((*slot, 0, 0)),
            Value::Optional(slot) => slots.push((*slot, lead_len(member.key), 0)),
            Value::Nullable(slot) => {
                let lead = lead_len(member.key);
                slots.push((*slot, lead, lead + NULL.len()));
            }
        }
    }
}

fn varying_len(value: Varying<'_>) -> usize {
    match value {
        Varying::Text(text) => escaped_len(text),
        Varying::Plain(text) | Varying::Json(text) => text.len(),
        Varying::Quoted(text) => 2 + text.len(),
        Varying::Seconds(moment) => seconds_len(moment),
        Varying::Number(number) => number_len(number),
        Varying::Absent => 0,
    }
}

/// What a member shows that has no value.
pub(super) const NULL: &[u8] = b"null";

/// Bytes of the comma and the key of a member that may be left out.
pub(super) fn lead_len(key: &str) -> usize {
    4 + escaped_len(key)
}

fn write_window(out: &mut Vec<u8>, window: &WindowMembers<'_>) {
    let mut member = |lead: &str, text: &str| {
        out.extend_from_slice(lead.as_bytes());
        write_text(out, text);
    };
    member(r#","shardId":"#, window.shard);
    member(r#","eventSourceARN":"#, window.source_arn);
    member(r#","window":{"start":"#, &window.start);
    member(r#","end":"#, &window.end);
    out.extend_from_slice(br#"},"state":"#);
    out.extend_from_slice(window.state.as_bytes());
    let word = |is: bool| if is { "true" } else { "false" };
    out.extend_from_slice(br#","isFinalInvokeForWindow":"#);
    out.extend_from_slice(word(window.is_final).as_bytes());
    out.extend_from_slice(br#","isWindowTerminatedEarly":"#);
    out.extend_from_slice(word(window.terminated_early).as_bytes());
}

fn write_key(out: &mut Vec<u8>, key: &str) {
    write_text(out, key);
    out.push(b':');
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, batch, config};
    use super::super::{EventContext, constant_bytes, walk};
    use super::*;
    use crate::ids::ShardId;
    use crate::record::Batch;
    use crate::rng::Rng;
    use crate::time::Wall;

    const NUMBER: &str = "49590338271490256608559692538361571095921575989136588898";

    fn sample(key: &str, data: &str, arrival: i64) -> Sample {
        let (key, number, data) = (key.into(), NUMBER.into(), data.into());
        Sample {
            key,
            number,
            data,
            arrival: Wall(arrival),
        }
    }

    fn written(shard: &str, batch: &Batch) -> Vec<u8> {
        let (shard, config) = (ShardId::new(shard), config(serde_json::json!({})));
        let context = EventContext {
            shard: &shard,
            config: &config,
        };
        let mut sink = JsonSink::with_capacity(0);
        let Ok(()) = walk(&context, batch, &mut sink);
        let bytes = sink.into_bytes();
        let mut counting = CountingSink::default();
        let Ok(()) = walk(&context, batch, &mut counting);
        assert_eq!(counting.bytes(), bytes.len() as u64);
        let weights: u64 = (0..batch.len())
            .map(|i| u64::from(batch.facts(i).weight))
            .sum();
        let constants = batch.len() as u64 * constant_bytes(&context);
        let commas = batch.len().saturating_sub(1) as u64;
        assert_eq!(
            ENVELOPE_BYTES + weights + constants + commas,
            bytes.len() as u64
        );
        bytes
    }

    #[test]
    fn an_event_is_lambdas_to_the_byte() {
        let records = batch(vec![sample(
            "1",
            "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
            1_545_084_650_987,
        )]);
        let expected = concat!(
            r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1","#,
            r#""sequenceNumber":"49590338271490256608559692538361571095921575989136588898","#,
            r#""data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","#,
            r#""approximateArrivalTimestamp":1545084650.987},"#,
            r#""eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"#,
            r#""shardId-000000000006:"#,
            r#"49590338271490256608559692538361571095921575989136588898","#,
            r#""eventName":"aws:kinesis:record","#,
            r#""invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","#,
            r#""awsRegion":"us-east-2","#,
            r#""eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}]}"#,
        );
        let bytes = written("shardId-000000000006", &records);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn sizes_are_known_for_odd_keys_and_any_number_of_records() {
        let mut keys: Vec<String> = (0..=0x180)
            .filter_map(char::from_u32)
            .map(String::from)
            .collect();
        let odd = ["", "日本語 🦀", "a\"b\\c\u{7f}", "\u{2028}\u{10ffff}"];
        keys.extend(odd.map(String::from));
        keys.push("\u{0}".repeat(256));
        let records: Vec<Sample> = keys
            .iter()
            .map(|key| sample(key, "aGk=", 1_545_084_650_000))
            .collect();
        for count in [0, 1, 2, records.len()] {
            let records = batch(records[..count].to_vec());
            let event: serde_json::Value =
                serde_json::from_slice(&written("shard \"é\\\n", &records)).unwrap();
            for (index, key) in keys[..count].iter().enumerate() {
                let record = &event["Records"][index];
                assert_eq!(record["kinesis"]["partitionKey"], key.as_str());
                assert_eq!(record["eventID"], format!("shard \"é\\\n:{NUMBER}"));
            }
        }
    }

    #[test]
    fn random_records_have_the_size_that_was_counted() {
        let mut rng = Rng::new(5);
        for _ in 0..300 {
            let mut records = Vec::new();
            for _ in 0..rng.next_u64() % 5 {
                let chars = rng.next_u64() % 40;
                let key: String = (0..chars)
                    .map(|_| char::from_u32((rng.next_u64() % 0x2_000) as u32).unwrap_or('x'))
                    .collect();
                let data = "A".repeat((rng.next_u64() % 50) as usize);
                let arrival = (rng.next_u64() >> (rng.next_u64() % 64)).cast_signed();
                records.push(sample(&key, &data, arrival));
            }
            let records = batch(records);
            let bytes = written("shardId-000000000000", &records);
            let event: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(event["Records"].as_array().unwrap().len(), records.len());
        }
    }

    #[test]
    fn a_sink_can_be_used_again_after_a_batch() {
        let (shard, config) = (ShardId::new("s"), config(serde_json::json!({})));
        let context = EventContext {
            shard: &shard,
            config: &config,
        };
        let records = batch(vec![sample("a", "", 1), sample("b", "", 2)]);
        let (mut sink, mut counting) = (JsonSink::default(), CountingSink::default());
        for _ in 0..2 {
            let Ok(()) = walk(&context, &records, &mut sink);
            let Ok(()) = walk(&context, &records, &mut counting);
        }
        let bytes = sink.into_bytes();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        assert_eq!(first, second);
        assert_eq!(counting.bytes(), bytes.len() as u64);
    }
}
