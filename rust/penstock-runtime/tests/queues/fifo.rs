//! Shows how FIFO queues keep order and know what was sent already.

use penstock_runtime::error::QueueError;
use penstock_runtime::state::queues::{NewMessage, QueueOptions, ReceiveOrder};

use super::world::{FIFO, QUEUE, attribute, bodies, grouped, message, world};

#[test]
fn a_group_keeps_its_order_and_waits_while_it_is_out() {
    let world = world();
    world.send(FIFO, ["a1", "b1", "a2", "a3", "b2"].map(grouped).into());
    let first = world.receive(FIFO, 2);
    assert_eq!(bodies(&first), ["a1", "a2"]);
    assert_eq!(world.bodies(FIFO, 10), ["b1", "b2"], "a waits");
    assert!(world.receive(FIFO, 10).is_empty());
    assert_eq!(world.remove(FIFO, &first[..1]), [Ok(())]);
    assert!(world.receive(FIFO, 10).is_empty(), "a2 is still out");
    assert_eq!(world.hide(FIFO, &first[1..], 0), [Ok(())]);
    assert_eq!(world.bodies(FIFO, 10), ["a2", "a3"]);
    world.pass(30_000);
    let mut both = world.bodies(FIFO, 10);
    both.sort();
    assert_eq!(both, ["a2", "a3", "b1", "b2"]);
}

#[test]
fn groups_take_turns() {
    let world = world();
    let many: Vec<_> = (0..20)
        .map(|number| grouped(&format!("a{number:02}")))
        .collect();
    world.send(FIFO, many);
    world.pass(1);
    world.send(FIFO, vec![grouped("b")]);
    let first = world.receive(FIFO, 10);
    world.pass(1);
    world.remove(FIFO, &first);
    world.pass(1);
    assert_eq!(
        world.bodies(FIFO, 1),
        ["b"],
        "it waited longer than the rest of a"
    );
}

#[test]
fn a_receipt_of_a_fifo_queue_ends_with_its_visibility() {
    let world = world();
    world.send(FIFO, vec![grouped("a1")]);
    let first = world.receive(FIFO, 1);
    world.pass(30_000);
    assert!(matches!(
        world.remove(FIFO, &first)[0],
        Err(QueueError::StaleReceipt(_))
    ));
    let standard = world.send(QUEUE, vec![message("x")]);
    assert_eq!(standard[0].sequence_number, None);
    let one = world.receive(QUEUE, 1);
    world.pass(30_000);
    assert_eq!(
        world.remove(QUEUE, &one),
        [Ok(())],
        "nobody received it since"
    );
}

#[test]
fn what_is_sent_again_within_five_minutes_is_taken_once() {
    let world = world();
    let first = world.send(FIFO, vec![grouped("a1"), grouped("a1")]);
    assert_eq!(first[0], first[1]);
    assert!(
        first[0]
            .sequence_number
            .as_ref()
            .is_some_and(|number| number.len() == 20)
    );
    let out = world.receive(FIFO, 10);
    assert_eq!(bodies(&out), ["a1"]);
    world.remove(FIFO, &out);
    world.pass(299_999);
    assert_eq!(world.send(FIFO, vec![grouped("a1")])[0], first[0]);
    assert!(
        world.receive(FIFO, 10).is_empty(),
        "deleted, and remembered all the same"
    );
    world.pass(1);
    assert_ne!(world.send(FIFO, vec![grouped("a1")])[0], first[0]);
    assert_eq!(world.bodies(FIFO, 10), ["a1"]);
}

#[test]
fn a_queue_can_know_duplicates_by_their_content() {
    let world = world();
    let options = QueueOptions {
        content_based_deduplication: true,
        ..QueueOptions::default()
    };
    world
        .state
        .queues()
        .create("c.fifo", &options)
        .expect("created");
    let plain = |body: &str| NewMessage {
        group: Some("g".to_owned()),
        ..message(body)
    };
    world.send("c.fifo", vec![plain("a"), plain("a"), plain("b")]);
    let received = world.receive("c.fifo", 10);
    assert_eq!(bodies(&received), ["a", "b"]);
    let id = attribute(&received[0], "MessageDeduplicationId").expect("it has one");
    assert_eq!(
        id,
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    );
}

#[test]
fn a_receive_of_the_same_attempt_gives_the_same_messages() {
    let world = world();
    world.send(FIFO, ["a1", "a2", "b1"].map(grouped).into());
    let queues = world.state.queues();
    let attempt = |name: &str| ReceiveOrder {
        limit: 2,
        visibility: None,
        attempt: Some(name.to_owned()),
    };
    let first = queues.receive(FIFO, attempt("one")).expect("received");
    world.pass(20_000);
    let again = queues.receive(FIFO, attempt("one")).expect("received");
    assert_eq!(again, first, "and nothing was counted twice");
    world.pass(20_000);
    assert_eq!(world.bodies(FIFO, 10), ["b1"], "the others are hidden anew");
    world.hide(FIFO, &first, 10_000);
    assert!(
        queues
            .receive(FIFO, attempt("one"))
            .expect("received")
            .is_empty()
    );
}
