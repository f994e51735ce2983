//! Holds a queue to its rules: what is hidden, whose turn it is, which receipts count.

use super::*;

fn message(group: Option<&str>) -> Message {
    Message {
        id: String::new(),
        body: String::new(),
        md5_of_body: String::new(),
        attributes: None,
        trace: None,
        group: group.map(str::to_owned),
        deduplication: None,
        sequence: None,
        sent_ms: 0,
        first_ms: None,
        receives: 0,
        receipt: 0,
        moved_from: None,
        place: Place::Ready,
    }
}

fn queue(groups: &[Option<&str>]) -> Queue {
    let fifo = groups.iter().any(Option::is_some);
    let properties = Properties {
        fifo,
        ..Properties::default()
    };
    let mut queue = Queue::new("q", 1, properties, 0);
    for (nth, group) in groups.iter().enumerate() {
        queue.add(nth as u64, message(*group));
    }
    queue
}

#[test]
fn a_message_is_hidden_and_comes_back() {
    let mut queue = queue(&[None, None]);
    assert_eq!(queue.take(10, 100, 0, None).keys, [0, 1]);
    assert_eq!(queue.take(10, 100, 0, None).keys, [0; 0]);
    queue.settle(99);
    assert!(!queue.has_ready());
    queue.settle(100);
    assert_eq!(queue.take(1, 200, 100, None).keys, [0]);
    assert_eq!(queue.message(0).map(|message| message.receives), Some(2));
    assert_eq!(
        queue.depth(),
        Depth {
            visible: 1,
            in_flight: 1,
            delayed: 0
        }
    );
}

#[test]
fn a_group_waits_for_what_is_in_flight_and_keeps_its_order() {
    let mut queue = queue(&[Some("a"), Some("a"), Some("b"), Some("a")]);
    assert_eq!(queue.take(2, 100, 0, None).keys, [0, 1]);
    assert_eq!(queue.take(10, 100, 0, None).keys, [2]);
    queue.remove(0);
    assert!(!queue.has_ready());
    queue.hide(1, 0, 0);
    assert_eq!(queue.take(10, 100, 0, None).keys, [1, 3]);
    queue.hide(3, 0, 0);
    assert!(!queue.has_ready(), "1 is in flight still");
    queue.remove(1);
    assert_eq!(queue.take(10, 100, 0, None).keys, [3]);
    queue.remove(3);
    queue.remove(2);
    assert_eq!(queue.depth(), Depth::default());
    assert!(queue.groups.is_empty());
}

#[test]
fn a_message_received_too_often_is_taken_out() {
    let mut queue = queue(&[Some("a"), Some("a")]);
    for now in [0, 100] {
        queue.settle(now);
        assert_eq!(queue.take(1, now + 100, now, Some(2)).keys, [0]);
    }
    queue.settle(200);
    let taken = queue.take(1, 300, 200, Some(2));
    assert_eq!(
        (taken.keys.as_slice(), taken.dead.len()),
        ([1].as_slice(), 1)
    );
}

#[test]
fn a_receipt_is_of_one_receive() {
    let mut queue = queue(&[None]);
    queue.take(1, 100, 0, None);
    let first = queue.stamp(0, 5).encode();
    assert_eq!(queue.received(&first), Ok(0));
    queue.settle(100);
    assert_eq!(queue.received(&first), Err(Stale::Visible));
    queue.take(1, 200, 100, None);
    let second = queue.stamp(0, 6).encode();
    assert_eq!(queue.received(&first), Err(Stale::Older));
    queue.receipts_from = 7;
    assert_eq!(queue.received(&second), Err(Stale::Unknown));
    queue.receipts_from = 0;
    queue.remove(0);
    assert_eq!(queue.received(&second), Err(Stale::Gone));
}
