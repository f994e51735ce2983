//! Shows what embedded queues do beyond what every queue source does.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::time::Wall;
use penstock_runtime::clock::ManualClock;
use penstock_runtime::error::QueueError;
use penstock_runtime::state::queues::{
    Attribute, AttributeValue, NewMessage, QueueLimits, QueueOptions, ReceiveOrder, Redrive,
};
use penstock_runtime::state::streams::StreamLimits;
use penstock_runtime::state::{State, StateLimits};
use tempfile::TempDir;

mod fifo;
mod world;
use world::{FIFO, QUEUE, World, attribute, block_on, bodies, grouped, message, receipts, world};

#[test]
fn a_message_is_hidden_while_it_is_out_and_comes_again_with_another_receipt() {
    let world = world();
    let sent = world.send(QUEUE, vec![message("a")]);
    let first = world.receive(QUEUE, 10);
    assert_eq!(bodies(&first), ["a"]);
    assert_eq!(first[0].message_id, sent[0].message_id);
    assert_eq!(first[0].md5_of_body, "0cc175b9c0f1b6a831c399e269772661");
    world.pass(29_999);
    assert!(world.receive(QUEUE, 10).is_empty());
    world.pass(1);
    let second = world.receive(QUEUE, 10);
    assert_eq!(second[0].message_id, first[0].message_id);
    assert_ne!(second[0].receipt_handle, first[0].receipt_handle);
    assert_eq!(second[0].receive_count, 2);
    assert_eq!(
        attribute(&second[0], "ApproximateReceiveCount").as_deref(),
        Some("2")
    );
    assert_eq!(
        attribute(&second[0], "ApproximateFirstReceiveTimestamp"),
        attribute(&first[0], "ApproximateFirstReceiveTimestamp"),
    );
    assert!(matches!(
        world.remove(QUEUE, &first)[0],
        Err(QueueError::StaleReceipt(_))
    ));
    assert_eq!(world.remove(QUEUE, &second), [Ok(())]);
    assert_eq!(world.remove(QUEUE, &second), [Ok(())], "deleted is deleted");
    world.pass(60_000);
    assert!(world.receive(QUEUE, 10).is_empty());
}

#[test]
fn visibility_can_be_longer_and_can_be_given_back() {
    let world = world();
    world.send(QUEUE, vec![message("a"), message("b")]);
    let both = world.receive(QUEUE, 10);
    world.pass(20_000);
    assert_eq!(world.hide(QUEUE, &both[..1], 30_000), [Ok(())]);
    assert_eq!(world.hide(QUEUE, &both[1..], 0), [Ok(())]);
    assert_eq!(world.bodies(QUEUE, 10), ["b"]);
    world.pass(29_999);
    assert!(
        world.receive(QUEUE, 10).is_empty(),
        "a is still hidden and b again"
    );
    world.pass(1);
    assert_eq!(bodies(&world.receive(QUEUE, 10)).len(), 2);
    let queues = world.state.queues();
    let long = Duration::from_secs(43_201);
    let refused = block_on(queues.hide_from_task(QUEUE, receipts(&both), long));
    assert!(matches!(refused, Err(QueueError::Invalid(_))));
}

#[test]
fn a_delay_hides_what_is_new() {
    let world = world();
    let options = QueueOptions {
        delay_s: 5,
        ..QueueOptions::default()
    };
    world
        .state
        .queues()
        .create("slow", &options)
        .expect("created");
    let at_once = NewMessage {
        delay_s: Some(0),
        ..message("now")
    };
    world.send("slow", vec![message("late"), at_once]);
    assert_eq!(world.bodies("slow", 10), ["now"]);
    let described = world.state.queues().describe("slow").expect("there");
    assert_eq!(
        (described.visible, described.in_flight, described.delayed),
        (0, 1, 1)
    );
    world.pass(5_000);
    assert_eq!(world.bodies("slow", 10), ["late"]);
}

#[test]
fn a_message_received_often_enough_is_a_dead_letter() {
    let world = world();
    let queues = world.state.queues();
    let options = QueueOptions {
        visibility_timeout_s: 1,
        redrive: Some(Redrive {
            dead_letter_queue: QUEUE.to_owned(),
            max_receive_count: 3,
        }),
        ..QueueOptions::default()
    };
    queues.create("work", &options).expect("created");
    let sent = world.send("work", vec![message("poison"), message("good")]);
    for count in 1..=3 {
        let received = world.receive("work", 10);
        assert_eq!(
            received.iter().map(|one| one.receive_count).max(),
            Some(count)
        );
        let good: Vec<_> = received
            .into_iter()
            .filter(|one| one.body == "good")
            .collect();
        assert!(world.remove("work", &good).iter().all(Result::is_ok));
        assert!(world.receive(QUEUE, 10).is_empty());
        world.pass(1_000);
    }
    let before = queues.browse("work", 0, 10).expect("seen");
    assert_eq!((before[0].receive_count, before[0].visible), (3, true));
    assert!(world.receive("work", 10).is_empty());
    let seen = queues.browse(QUEUE, before[0].number, 10).expect("seen");
    assert_eq!(
        seen[0].origin.as_deref(),
        Some("work"),
        "it stands behind what was there"
    );
    let dead = world.receive(QUEUE, 10);
    assert_eq!(dead[0].message_id, sent[0].message_id);
    assert_eq!(dead[0].receive_count, 4);
    assert_eq!(
        attribute(&dead[0], "DeadLetterQueueSourceArn").as_deref(),
        Some("arn:aws:penstock:::queue/work"),
    );
    assert_eq!(queues.describe("work").expect("there").bytes, 0);
    assert_eq!(queues.describe(QUEUE).expect("there").bytes, 8);
}

#[test]
fn dead_letters_whose_queue_is_gone_stay_where_they_are() {
    let world = world();
    let queues = world.state.queues();
    queues
        .create("letters", &QueueOptions::default())
        .expect("created");
    let options = QueueOptions {
        visibility_timeout_s: 0,
        redrive: Some(Redrive {
            dead_letter_queue: "letters".to_owned(),
            max_receive_count: 1,
        }),
        ..QueueOptions::default()
    };
    queues.create("work", &options).expect("created");
    queues.delete("letters").expect("deleted");
    world.send("work", vec![message("a")]);
    for count in 1..4 {
        assert_eq!(world.receive("work", 1)[0].receive_count, count);
    }
}

#[test]
fn queues_refuse_what_sqs_refuses() {
    let world = world();
    let queues = world.state.queues();
    let refused = |name: &str, messages| queues.send(name, messages).expect_err("refused");
    let no_group = refused(FIFO, vec![message("a")]);
    assert!(no_group.to_string().contains("has no group"), "{no_group}");
    let no_id = NewMessage {
        group: Some("g".to_owned()),
        ..message("a")
    };
    assert!(
        refused(FIFO, vec![no_id])
            .to_string()
            .contains("no deduplication id")
    );
    let late = NewMessage {
        delay_s: Some(1),
        ..grouped("a")
    };
    assert!(
        refused(FIFO, vec![late])
            .to_string()
            .contains("no delay of their own")
    );
    let id = NewMessage {
        deduplication_id: Some("x".to_owned()),
        ..message("a")
    };
    assert!(
        refused(QUEUE, vec![id])
            .to_string()
            .contains("no FIFO queue")
    );
    let mixed = refused(QUEUE, vec![message("good"), message("")]);
    assert!(mixed.to_string().contains("message 1"), "{mixed}");
    assert!(world.receive(QUEUE, 10).is_empty(), "all or nothing");
    assert_eq!(
        refused("none", vec![message("a")]),
        QueueError::NotFound("none".to_owned())
    );
    let create = |name: &str, redrive: Option<(&str, u32)>| {
        let redrive = redrive.map(|(target, max_receive_count)| Redrive {
            dead_letter_queue: target.to_owned(),
            max_receive_count,
        });
        let options = QueueOptions {
            redrive,
            ..QueueOptions::default()
        };
        queues.create(name, &options).expect_err("refused").code()
    };
    assert_eq!(create(QUEUE, None), "PS211");
    assert_eq!(create("a.b", None), "PS210");
    assert_eq!(create("x.fifo", Some((QUEUE, 3))), "PS210");
    assert_eq!(create("x", Some((QUEUE, 0))), "PS210");
    assert_eq!(create("x", Some(("none", 3))), "PS203");
    assert_eq!(create("x", Some(("x", 3))), "PS210");
    assert_eq!(
        queues
            .remove(QUEUE, vec!["?".to_owned()])
            .expect("answered")
            .len(),
        1
    );
}

#[test]
fn messages_are_kept_for_the_retention_and_under_the_cap() {
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let limits = StateLimits {
        streams: StreamLimits::default(),
        queues: QueueLimits { bytes_max: 1_000 },
    };
    let state = State::open(None, clock.clone(), limits).expect("it opens");
    let world = World { clock, state };
    let options = QueueOptions {
        retention_s: 60,
        ..QueueOptions::default()
    };
    let queues = world.state.queues();
    queues.create("short", &options).expect("created");
    let large = || vec![message(&"x".repeat(900))];
    world.send("short", large());
    assert!(matches!(
        queues.send("short", large()),
        Err(QueueError::Full {
            held: 902,
            cap: 1_000
        })
    ));
    world.pass(60_001);
    assert!(world.receive("short", 1).is_empty(), "it has expired");
    world.send("short", large());
    world.pass(60_001);
    world.send("short", large());
    assert_eq!(queues.describe("short").expect("there").bytes, 902);
    world.pass(60_001);
    block_on(queues.trim()).expect("trimmed");
    assert_eq!(queues.describe("short").expect("there").visible, 0);
}

#[test]
fn attributes_come_with_the_message() {
    let world = world();
    let attribute = Attribute {
        data_type: "String".to_owned(),
        value: AttributeValue::Text("myValue".to_owned()),
    };
    let sent = world.send(
        QUEUE,
        vec![NewMessage {
            attributes: vec![("myAttribute".to_owned(), attribute)],
            trace_header: Some("Root=1-2".to_owned()),
            group: Some("tenant".to_owned()),
            ..message("a")
        }],
    );
    let received = &world.receive(QUEUE, 1)[0];
    assert_eq!(
        received.message_attributes,
        concat!(
            r#"{"myAttribute":{"stringValue":"myValue","stringListValues":[],"#,
            r#""binaryListValues":[],"dataType":"String"}}"#
        )
    );
    assert_eq!(
        received.md5_of_message_attributes,
        sent[0].md5_of_attributes
    );
    assert_eq!(
        received.attributes,
        concat!(
            r#"{"ApproximateReceiveCount":"1","SentTimestamp":"1700000000000","#,
            r#""MessageGroupId":"tenant","SenderId":"penstock","#,
            r#""ApproximateFirstReceiveTimestamp":"1700000000000","AWSTraceHeader":"Root=1-2"}"#
        )
    );
}

#[test]
fn a_queue_outlives_the_process_with_its_counts() {
    let directory = TempDir::new().expect("a directory");
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let open = || {
        State::open(
            Some(directory.path()),
            clock.clone(),
            StateLimits::default(),
        )
        .expect("it opens")
    };
    let world = World {
        state: open(),
        clock: clock.clone(),
    };
    let queues = world.state.queues();
    queues
        .create(FIFO, &QueueOptions::default())
        .expect("created");
    world.send(FIFO, ["a1", "a2", "b1"].map(grouped).into());
    let out = world.receive(FIFO, 1);
    world.state.close();
    drop(world);
    let world = World {
        state: open(),
        clock: clock.clone(),
    };
    assert_eq!(world.bodies(FIFO, 10), ["b1"], "a1 is still out");
    assert_eq!(
        world.send(FIFO, vec![grouped("a1")])[0].message_id,
        out[0].message_id
    );
    world.pass(30_000);
    let again = world.receive(FIFO, 1);
    assert_eq!((again[0].body.as_str(), again[0].receive_count), ("a1", 2));
}

#[tokio::test]
async fn a_wait_ends_with_the_next_message_and_with_the_queue() {
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let state = State::open(None, clock.clone(), StateLimits::default()).expect("it opens");
    let queues = state.queues();
    let options = QueueOptions::default();
    queues
        .create_from_task(QUEUE, &options)
        .await
        .expect("created");
    let long = Duration::from_secs(20);
    let mut wait = Box::pin(queues.receivable(QUEUE, long));
    assert!(futures_util::poll!(&mut wait).is_pending());
    let late = NewMessage {
        delay_s: Some(2),
        ..message("a")
    };
    queues
        .send_from_task(QUEUE, vec![late])
        .await
        .expect("sent");
    assert!(
        futures_util::poll!(&mut wait).is_pending(),
        "nobody sees it yet"
    );
    clock.advance(Duration::from_secs(2));
    wait.await;
    let order = ReceiveOrder {
        limit: 1,
        ..ReceiveOrder::default()
    };
    let received = queues
        .receive_from_task(QUEUE, order)
        .await
        .expect("received");
    assert_eq!(bodies(&received), ["a"]);
    let mut wait = Box::pin(queues.receivable(QUEUE, long));
    assert!(futures_util::poll!(&mut wait).is_pending());
    state.close();
    wait.await;
}
