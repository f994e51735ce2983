//! Fills a queue in advance, so that a bench measures reading alone.

use super::message::{Message, Place, escaped};
use super::model::Model;
use super::operations::body_of;
use super::properties::Properties;
use super::queue::Queue;

/// The name of the queue.
pub const QUEUE: &str = "bench";

/// A queue to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// How many messages.
    pub messages: u64,
    /// How long each body is.
    pub bytes: usize,
}

/// Makes the queue and sends its messages, now.
pub fn fill(model: &mut Model, spec: &Spec, now_ms: u64) {
    let number = model.next_serial();
    let properties = Properties {
        visibility_s: 3600,
        ..Properties::default()
    };
    let mut queue = Queue::new(QUEUE, number, properties, now_ms);
    for nth in 0..spec.messages {
        let key = model.next_serial();
        let (body, md5_of_body) = body_of(&escaped(&text(nth, spec.bytes)), &text(nth, spec.bytes));
        queue.add(
            key,
            Message {
                id: super::operations::uuid(key, now_ms),
                body,
                md5_of_body,
                attributes: None,
                trace: None,
                group: None,
                deduplication: None,
                sequence: None,
                sent_ms: now_ms,
                first_ms: None,
                receives: 0,
                receipt: 0,
                moved_from: None,
                place: Place::Ready,
            },
        );
    }
    model.queues.insert(QUEUE.to_owned(), queue);
}

/// A JSON document of so many bytes, as most producers send them: its quotes are escaped.
fn text(nth: u64, bytes: usize) -> String {
    let head = format!(r#"{{"order":{nth},"note":""#);
    let filler = bytes.saturating_sub(head.len() + 2);
    format!(
        "{head}{}\"}}",
        "lorem ipsum dolor "
            .repeat(filler / 18 + 1)
            .get(..filler)
            .unwrap_or("")
    )
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn the_queue_is_as_deep_as_it_is_told() {
        let mut model = Model::new(Settings::default());
        let spec = Spec {
            messages: 50,
            bytes: 1024,
        };
        fill(&mut model, &spec, 1000);
        let queue = &model.queues[QUEUE];
        assert_eq!(queue.depth().visible, 50);
        assert_eq!(text(7, 1024).len(), 1024);
        assert!(serde_json::from_str::<serde_json::Value>(&text(7, 1024)).is_ok());
    }
}
