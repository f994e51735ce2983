//! Frames: what a child process reads is what the parent had, and damage is refused.

mod bench;

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::{EventShape, MappingConfig};
use penstock_engine::event::json::JsonSink;
use penstock_engine::event::{EventContext, walk};
use penstock_engine::ids::{Fence, InvocationId, RequestId, ShardId};
use penstock_engine::io::{Invocation, TumblingCall};
use penstock_engine::record::{
    Batch, ItemView, MessageView, Page, RecordFacts, RecordRef, RecordView,
};
use penstock_engine::time::{Mono, Wall};
use penstock_runtime::exchange::Delivery;
use penstock_runtime::frame::{Frame, read};
use penstock_runtime::page::{Slice, SlicePage, SliceRecord};

#[test]
fn what_is_read_makes_the_same_event() {
    for delivery in [kinesis(), items(), messages()] {
        let bytes = written(&delivery, false);
        let received = read(&bytes, Mono(1_000)).expect("whole");
        let config = received.config.expect("it was not known");
        assert_eq!(config, delivery.config);
        assert_eq!(
            event(&config, &received.invocation),
            event(&config, &delivery.invocation)
        );
        let (there, here) = (&received.invocation, &delivery.invocation);
        assert_eq!((there.id, there.lane, there.attempt), (here.id, 3, 2));
        assert_eq!(there.deadline, Mono(1_000) + Duration::from_secs(5));
        for index in 0..here.batch.len() {
            assert_eq!(there.batch.facts(index), here.batch.facts(index));
            assert_eq!(there.batch.sequence(index), here.batch.sequence(index));
        }
        let page = &there.batch.pages[0];
        assert_eq!(page.extract(&[1]).view(0), page.view(1));
    }
}

#[test]
fn a_known_configuration_stays_at_home() {
    let delivery = kinesis();
    let received = read(&written(&delivery, true), Mono(0)).expect("whole");
    assert_eq!(received.config, None);
    assert_eq!(received.mapping, delivery.mapping);
}

#[test]
fn a_frame_that_does_not_fit_is_not_written_by_half() {
    let delivery = kinesis();
    let frame = Frame::of(&delivery, true, Mono(0)).expect("JSON");
    let mut place = vec![7; frame.len() - 1];
    assert_eq!(frame.write(&mut place), None);
    assert!(place.iter().all(|byte| *byte == 7));
}

#[test]
fn damaged_frames_are_refused_or_read_within_their_bounds() {
    let whole = written(&kinesis(), false);
    for length in 0..whole.len() {
        assert!(read(&whole[..length], Mono(0)).is_err(), "cut at {length}");
    }
    for place in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[place] ^= flip;
            if let Ok(received) = read(&bytes, Mono(0)) {
                let batch = received.invocation.batch;
                for index in 0..batch.len() {
                    let _ = batch.view(index);
                }
            }
        }
    }
}

fn written(delivery: &Delivery, known: bool) -> Vec<u8> {
    let frame = Frame::of(delivery, known, Mono(0)).expect("JSON");
    let mut bytes = vec![0; frame.len()];
    assert_eq!(frame.write(&mut bytes), Some(bytes.len()));
    bytes
}

fn event(config: &MappingConfig, invocation: &Invocation) -> Vec<u8> {
    let context = EventContext {
        shard: &invocation.shard,
        config,
    };
    let mut sink = JsonSink::with_capacity(0);
    let Ok(()) = walk(&context, &invocation.batch, &mut sink);
    sink.into_bytes()
}

fn kinesis() -> Delivery {
    let body = "k1|100|YQ==|101|Yg==".to_owned();
    let slice = |range| Slice::of_body(range).expect("small");
    let record = |key, number, data| SliceRecord {
        partition_key: key,
        sequence_number: slice(number),
        data: slice(data),
        arrival: Wall(1_545_084_650_987),
    };
    let other = Slice::of_side(0..7).expect("small");
    let records = vec![
        record(slice(0..2), 3..6, 7..11),
        record(other, 12..15, 16..20),
    ];
    let page = SlicePage::new(body, "é\"ключ".get(..7).expect("whole").to_owned(), records);
    delivery(
        EventShape::Kinesis,
        Arc::new(page.expect("slices are good")),
    )
}

fn items() -> Delivery {
    delivery(EventShape::DynamoDb, Arc::new(Items([facts(1), facts(2)])))
}

fn messages() -> Delivery {
    delivery(EventShape::Sqs, Arc::new(Messages([facts(1), facts(2)])))
}

fn delivery(shape: EventShape, page: Arc<dyn Page>) -> Delivery {
    let config = Arc::new(MappingConfig {
        shape,
        ..bench::config("frames")
    });
    let records = (0..2).map(|index| RecordRef { page: 0, index }).collect();
    Delivery {
        mapping: config.id.clone(),
        config,
        invocation: Invocation {
            id: InvocationId(9),
            shard: ShardId::new("shard-0"),
            lane: 3,
            attempt: 2,
            request_id: RequestId(77),
            fence: Fence(4),
            deadline: Mono(0) + Duration::from_secs(5),
            window: Some(TumblingCall {
                start: Wall(1_545_084_600_000),
                end: Wall(1_545_084_660_000),
                state: r#"{"sum":"ü\""}"#.into(),
                is_final: false,
                terminated_early: false,
            }),
            batch: Batch {
                pages: vec![page],
                records,
            },
        },
    }
}

fn facts(key_hash: u64) -> RecordFacts {
    RecordFacts {
        key_hash,
        arrival: Wall(1_545_084_650_000),
        weight: 300,
        filtered: false,
    }
}

/// Two changes of items: one with an identity, the other with images.
#[derive(Debug)]
struct Items([RecordFacts; 2]);

impl Page for Items {
    fn facts(&self) -> &[RecordFacts] {
        &self.0
    }

    fn sequence_number(&self, index: usize) -> &str {
        ["111", "222"][index]
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::DynamoDb(ItemView {
            event_id: "e1",
            event_name: ["REMOVE", "MODIFY"][index],
            user_identity: [Some(r#"{"type":"Service"}"#), None][index],
            created: Wall(1_545_084_650_000),
            keys: r#"{"id":{"S":"é"}}"#,
            new_image: [None, Some(r#"{"id":{"S":"é"},"n":{"N":"1"}}"#)][index],
            old_image: [None, Some("{}")][index],
            sequence_number: self.sequence_number(index),
            size_bytes: 26,
            view_type: "NEW_AND_OLD_IMAGES",
        })
    }

    fn pinned_bytes(&self) -> usize {
        0
    }

    fn extract(&self, _: &[u32]) -> Arc<dyn Page> {
        unreachable!("nothing here lingers")
    }
}

/// Two messages: one of a group with attributes, the other with neither.
#[derive(Debug)]
struct Messages([RecordFacts; 2]);

impl Page for Messages {
    fn facts(&self) -> &[RecordFacts] {
        &self.0
    }

    fn sequence_number(&self, index: usize) -> &str {
        ["m-1", "m-2"][index]
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Sqs(MessageView {
            message_id: self.sequence_number(index),
            receipt_handle: "receipt",
            body: "a \"body\" of é",
            md5_of_body: "0123456789abcdef0123456789abcdef",
            attributes: r#"{"SentTimestamp":"1"}"#,
            message_attributes: "{}",
            md5_of_message_attributes: [Some("fedcba9876543210fedcba9876543210"), None][index],
            group: [Some("g"), None][index],
            receive_count: 3,
        })
    }

    fn pinned_bytes(&self) -> usize {
        0
    }

    fn extract(&self, _: &[u32]) -> Arc<dyn Page> {
        unreachable!("nothing here lingers")
    }
}
