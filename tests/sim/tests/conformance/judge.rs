//! Compares what has come of a case with what it expects.
//!
//! Rules: everything that differs is said, in the words of the case.

use std::collections::BTreeMap;

use penstock_engine::config::EventShape;
use penstock_engine::ids::Position;
use serde_json::{Value, json};

use crate::case::{Document, Expect};
use crate::stage::{Called, Stage};

impl Stage {
    /// Everything in which the case differs from what it expects.
    pub fn judge(&self, expect: &Expect) -> Vec<String> {
        let mut wrong = Vec::new();
        self.judge_calls(expect, &mut wrong);
        self.judge_state(expect, &mut wrong);
        self.judge_words(expect, &mut wrong);
        self.judge_queue(expect, &mut wrong);
        self.judge_windows(expect, &mut wrong);
        wrong
    }

    /// Which calls were made, and when.
    fn judge_calls(&self, expect: &Expect, wrong: &mut Vec<String>) {
        if let Some(calls) = &expect.calls {
            let told = self.told(calls);
            differ(wrong, "calls", &json!(told), &json!(calls));
        }
        if let Some(calls) = &expect.calls_any_order {
            let (mut told, mut calls) = (self.told(calls), calls.clone());
            told.sort();
            calls.sort();
            differ(wrong, "calls in any order", &json!(told), &json!(calls));
        }
        for pair in &expect.order {
            let [first, second] = self.pair(pair);
            let in_order = matches!((first, second), (Some(a), Some(b))
                if a.ended.is_some_and(|ended| ended < b.began));
            differ(
                wrong,
                &format!("{pair:?} in order"),
                &json!(in_order),
                &json!(true),
            );
        }
        for pair in &expect.together {
            let [first, second] = self.pair(pair);
            let overlap = matches!((first, second), (Some(a), Some(b))
                if a.until.is_none_or(|end| b.from < end)
                    && b.until.is_none_or(|end| a.from < end));
            differ(
                wrong,
                &format!("{pair:?} together"),
                &json!(overlap),
                &json!(true),
            );
        }
    }

    /// What is saved, delivered and counted.
    fn judge_state(&self, expect: &Expect, wrong: &mut Vec<String>) {
        for (shard, position) in &expect.checkpoints {
            let told = self.checkpoint(*shard);
            differ(
                wrong,
                &format!("checkpoint {shard}"),
                &json!(told),
                &json!(position),
            );
        }
        if let Some(documents) = &expect.documents {
            self.judge_documents(documents, wrong);
        }
        let counters = self
            .last
            .as_ref()
            .map(|last| json!(last.counters))
            .unwrap_or_default();
        for (name, count) in &expect.counters {
            differ(
                wrong,
                &format!("counter {name}"),
                &counters[name],
                &json!(count),
            );
        }
    }

    /// What has become of messages.
    fn judge_queue(&self, expect: &Expect, wrong: &mut Vec<String>) {
        let standing = self.queue.as_ref().map(|queue| queue.standing(self.now));
        let Some(standing) = standing else { return };
        let expected = [&expect.deleted, &expect.dead, &expect.left, &expect.visible];
        for ((what, numbers), expected) in standing.iter().zip(expected) {
            if let Some(expected) = expected {
                differ(wrong, what, &json!(ranges(numbers)), &json!(expected));
            }
        }
        for (number, count) in &expect.received {
            let told = self.receive_count(*number);
            differ(
                wrong,
                &format!("receives of {number}"),
                &json!(told),
                &json!(count.to_string()),
            );
        }
        if let Some(most) = expect.at_once {
            let running = |at: &Called| {
                let others = self.calls.iter();
                let others = others.filter(|other| {
                    other.from <= at.from && other.until.is_none_or(|until| until > at.from)
                });
                others.count()
            };
            let told = self.calls.iter().map(running).max();
            differ(wrong, "calls at once", &json!(told), &json!(most));
        }
        let shared = self.shared_receipts();
        differ(wrong, "receipts given twice", &json!(shared), &json!([]));
    }

    /// What the last event with a message says of how often it was received.
    fn receive_count(&self, number: usize) -> Option<String> {
        let id = self.queue.as_ref()?.id_of(number);
        let events = self.calls.iter().rev();
        let mut records = events.filter_map(|call| {
            let records = call.event["Records"].as_array()?;
            records.iter().find(|record| record["messageId"] == *id)
        });
        let count = &records.next()?["attributes"]["ApproximateReceiveCount"];
        count.as_str().map(str::to_owned)
    }

    /// What handlers and people are told.
    fn judge_words(&self, expect: &Expect, wrong: &mut Vec<String>) {
        if let Some(result) = &expect.result {
            let told = self.last.as_ref().map(|last| &last.last_processing_result);
            differ(wrong, "result", &json!(told), &json!(result));
        }
        for (call, event) in &expect.events {
            let told = self.calls.get(call - 1).map(|called| called.event.clone());
            let expected = self.filled_in(event);
            differ(
                wrong,
                &format!("event {call}"),
                &told.unwrap_or_default(),
                &expected,
            );
        }
        for code in &expect.notices {
            let told = self.notices.contains(code);
            differ(wrong, &format!("notice {code}"), &json!(told), &json!(true));
        }
        let stalls = self.stalls();
        for (place, reason) in &expect.stalls {
            differ(wrong, place, &json!(stalls.get(place)), &json!(reason));
        }
        if let Some(drained) = expect.drained {
            differ(wrong, "drained", &json!(self.drained), &json!(drained));
        }
    }

    /// The calls as cases write them; their times only where the case has one at that place.
    fn told(&self, expected: &[String]) -> Vec<String> {
        let mut told = Vec::new();
        for (at, call) in self.calls.iter().enumerate() {
            let mut text = call.title();
            let same = |earlier: &&Called| earlier.records == call.records;
            let before = self.calls[..at].iter().rev().find(same);
            let known = self.calls[..at]
                .iter()
                .any(|earlier| earlier.request == call.request);
            text += match before {
                Some(earlier)
                    if earlier.request == call.request && call.attempt == earlier.attempt + 1 =>
                {
                    " again"
                }
                Some(earlier)
                    if earlier.request == call.request && call.attempt == earlier.attempt =>
                {
                    " anew"
                }
                _ if !known && call.attempt == 1 => "",
                _ => " with a request id or attempt that does not fit",
            };
            if expected.get(at).is_some_and(|text| text.contains('@')) {
                text += &format!(" @{}", self.since_start(call));
            }
            told.push(text);
        }
        told
    }

    fn since_start(&self, call: &Called) -> u128 {
        (call.from - self.started.expect("a call comes after the start")).as_millis()
    }

    fn pair(&self, pair: &[String; 2]) -> [Option<&Called>; 2] {
        pair.each_ref()
            .map(|text| self.calls.iter().find(|call| call.title() == *text))
    }

    fn checkpoint(&self, shard: usize) -> String {
        match self
            .store
            .checkpoint(self.stream.name(shard))
            .map(|saved| &saved.position)
        {
            None => "none".to_owned(),
            Some(Position::TrimHorizon) => "TRIM_HORIZON".to_owned(),
            Some(Position::ShardEnd) => "SHARD_END".to_owned(),
            Some(Position::After { sequence, .. }) => self.number_of(sequence.as_str()).to_string(),
            Some(Position::AtTimestamp(at)) => {
                format!("AT_TIMESTAMP {}", at.0 - crate::stage::BEGINNING.0)
            }
        }
    }

    fn judge_documents(&self, expected: &[Document], wrong: &mut Vec<String>) {
        let mut told: Vec<Value> = self
            .documents
            .iter()
            .map(|document| serde_json::from_str(&document.body).expect("documents are JSON"))
            .collect();
        let first = |body: &Value| {
            let info = body
                .get("KinesisBatchInfo")
                .or(body.get("DDBStreamBatchInfo"));
            let sequence = info.and_then(|info| info["startSequenceNumber"].as_str());
            sequence.map_or(0, |sequence| self.number_of(sequence))
        };
        told.sort_by_key(first);
        differ(
            wrong,
            "documents",
            &json!(told.len()),
            &json!(expected.len()),
        );
        for (told, expected) in told.iter_mut().zip(expected) {
            let whole = self.whole_document(expected, told);
            differ(
                wrong,
                &format!("document {:?}", expected.records),
                told,
                &whole,
            );
        }
    }

    /// The document with every member, as it must be; its time is the one that was told, if that
    /// can be one.
    fn whole_document(&self, expected: &Document, told: &Value) -> Value {
        let shape = match self.config.shape {
            EventShape::Kinesis => "KinesisBatchInfo",
            EventShape::DynamoDb => "DDBStreamBatchInfo",
            EventShape::Sqs => unreachable!("queues have no documents"),
        };
        let request = match expected.call {
            Some(call) => json!(self.calls[call - 1].request),
            None => told["requestContext"]["requestId"].clone(),
        };
        let time = told["timestamp"].as_str().filter(|text| {
            let now = instant(self.wall().0, true);
            text.len() == now.len() && **text <= *now
        });
        let mut whole = json!({
            "requestContext": {
                "requestId": request,
                "functionArn": self.config.function.arn,
                "condition": expected.condition,
                "approximateInvokeCount": expected.count,
            },
            "version": "1.0",
            "timestamp": time,
            shape: self.batch_info(expected),
        });
        if let Some(error) = &expected.error {
            whole["responseContext"] = json!({
                "statusCode": 200,
                "executedVersion": self.config.function.version,
                "functionError": error,
            });
        }
        if expected.payload {
            whole["payload"] = self.payload_of(expected, &told["payload"]);
        }
        if let Some(call) = expected.window {
            whole["timeWindowInfo"] = self.window_info(call);
        }
        whole
    }

    /// Which records a document is about.
    fn batch_info(&self, expected: &Document) -> Value {
        let Some(records) = expected.records else {
            let call = expected.window.expect("a final call has a window");
            let shard = &self.calls[call - 1].event["shardId"];
            return json!({"shardId": shard, "streamArn": self.config.source_arn});
        };
        let precise = self.config.shape == EventShape::Kinesis;
        let [first, last] = records.map(|number| &self.stream.records[number - 1]);
        json!({
            "shardId": self.shard_of(first.number),
            "startSequenceNumber": first.sequence,
            "endSequenceNumber": last.sequence,
            "approximateArrivalOfFirstRecord": instant(first.arrival.0, precise),
            "approximateArrivalOfLastRecord": instant(last.arrival.0, precise),
            "batchSize": expected.size,
            "streamArn": self.config.source_arn,
        })
    }

    /// The event as text, if the text that was told is one of just the document's records.
    fn payload_of(&self, expected: &Document, told: &Value) -> Value {
        let event: Option<Value> = told
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        let records = event.and_then(|event| event["Records"].as_array().cloned());
        let records = records.unwrap_or_default();
        let number = |record: &Value| {
            let own = [&record["kinesis"], &record["dynamodb"]];
            let sequence = own.iter().find_map(|part| {
                let number = part.get("sequenceNumber").or(part.get("SequenceNumber"));
                number.and_then(Value::as_str)
            });
            sequence.map_or(0, |sequence| self.number_of(sequence))
        };
        let numbers: Vec<usize> = records.iter().map(number).collect();
        let ends = numbers.first().zip(numbers.last());
        let whole = numbers.len() == expected.size as usize
            && numbers.is_sorted()
            && ends.map(|(first, last)| [*first, *last]) == expected.records;
        if whole { told.clone() } else { Value::Null }
    }

    /// The name of the shard that holds a record.
    pub(crate) fn shard_of(&self, number: usize) -> String {
        let all = 0..self.stream.shards.len();
        let holds = |shard: &usize| self.stream.holds(*shard, number);
        let shard = all.into_iter().find(holds).expect("a record is in a shard");
        self.stream.name(shard).as_str().to_owned()
    }

    fn stalls(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let word = |stall: &Option<penstock_engine::snapshot::Stall>| {
            stall
                .as_ref()
                .map(|stall| json!(stall)["reason"].as_str().unwrap_or("?").to_owned())
        };
        let Some(picture) = &self.last else {
            return found;
        };
        found.extend(word(&picture.stall).map(|reason| ("mapping".to_owned(), reason)));
        let queue = picture.queue.as_ref().and_then(|queue| word(&queue.stall));
        found.extend(queue.map(|reason| ("queue".to_owned(), reason)));
        for (number, shard) in picture.shards.iter().enumerate() {
            found.extend(word(&shard.stall).map(|reason| (format!("shard {number}"), reason)));
            for lane in &shard.lanes {
                let place = format!("lane {number}.{}", lane.lane);
                found.extend(word(&lane.stall).map(|reason| (place, reason)));
            }
        }
        found
    }
}

pub(crate) fn differ(wrong: &mut Vec<String>, what: &str, told: &Value, expected: &Value) {
    if told != expected {
        wrong.push(format!(
            "{what}:\n      is       {told}\n      expected {expected}"
        ));
    }
}

/// Numbers as cases write them: `1-4`, `2`, `1-2,5`.
pub(crate) fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let text = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

/// A moment of November 2023 or later, reckoned in the plainest way.
pub(crate) fn instant(millis: i64, precise: bool) -> String {
    let (mut days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let mut year = 1970;
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + i64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (second, rest) = (of_day / 1_000, of_day % 1_000);
    let clock = format!(
        "{:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    );
    let fraction = if precise {
        format!(".{rest:03}")
    } else {
        String::new()
    };
    format!(
        "{year:04}-{:02}-{:02}T{clock}{fraction}Z",
        month + 1,
        days + 1
    )
}
