//! Holds one receive's messages as slices of the text that they came in.
//!
//! Rules: as in `page`: no message is allocated by itself, every slice is checked once, when the
//! page is made, and the facts are computed in the same pass.

use std::sync::Arc;

use penstock_engine::event::sqs;
use penstock_engine::record::{MessageView, Page, RecordFacts, RecordView};
use penstock_engine::stream::router::hash_key;
use penstock_engine::time::Wall;

use crate::page::{BadSlice, Slice, Texts};

/// Where one message's parts lie in its page. Both objects of attributes are compact JSON as
/// events show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceMessage {
    /// Its id.
    pub message_id: Slice,
    /// What names this one receive of it.
    pub receipt_handle: Slice,
    /// Its body, unescaped.
    pub body: Slice,
    /// The digits of the body's MD5.
    pub md5_of_body: Slice,
    /// What the queue knows of it: an object of texts.
    pub attributes: Slice,
    /// What its sender said of it, in the event's form.
    pub message_attributes: Slice,
    /// The digits of the MD5 of that, when there is any.
    pub md5_of_message_attributes: Option<Slice>,
    /// Its group.
    pub group: Option<Slice>,
    /// How often it has been received.
    pub receive_count: u32,
    /// When it was sent.
    pub sent: Wall,
}

/// A page whose records are messages.
pub struct MessagePage {
    texts: Texts,
    messages: Vec<SliceMessage>,
    facts: Vec<RecordFacts>,
}

impl MessagePage {
    /// A page of `messages`, which point into `body` and `side`.
    ///
    /// # Errors
    ///
    /// When a slice leaves its text or cuts a character, or an MD5 would have to be escaped.
    pub fn new(body: String, side: String, messages: Vec<SliceMessage>) -> Result<Self, BadSlice> {
        let mut page = Self {
            texts: Texts::new(body, side),
            facts: Vec::with_capacity(messages.len()),
            messages,
        };
        for (index, message) in page.messages.iter().enumerate() {
            let facts = page.examine(message).ok_or(BadSlice { index })?;
            page.facts.push(facts);
        }
        Ok(page)
    }

    fn examine(&self, message: &SliceMessage) -> Option<RecordFacts> {
        let plain = [Some(message.md5_of_body), message.md5_of_message_attributes];
        for slice in plain.into_iter().flatten() {
            self.texts.checked_plain(slice)?;
        }
        for slice in message.slices() {
            self.texts.checked(slice)?;
        }
        let view = self.message(message);
        Some(RecordFacts {
            key_hash: view.group.map_or(0, |group| hash_key(group.as_bytes())),
            arrival: message.sent,
            weight: sqs::weight(&view),
            filtered: false,
        })
    }

    fn message(&self, message: &SliceMessage) -> MessageView<'_> {
        let text = |slice| self.texts.text(slice);
        MessageView {
            message_id: text(message.message_id),
            receipt_handle: text(message.receipt_handle),
            body: text(message.body),
            md5_of_body: text(message.md5_of_body),
            attributes: text(message.attributes),
            message_attributes: text(message.message_attributes),
            md5_of_message_attributes: message.md5_of_message_attributes.map(text),
            group: message.group.map(text),
            receive_count: message.receive_count,
        }
    }
}

impl SliceMessage {
    fn slices(&self) -> impl Iterator<Item = Slice> {
        let always = [
            self.message_id,
            self.receipt_handle,
            self.body,
            self.attributes,
            self.message_attributes,
        ];
        always.into_iter().chain(self.group)
    }

    /// The same message with every slice put through `copy`.
    fn moved(self, mut copy: impl FnMut(Slice) -> Slice) -> Self {
        Self {
            message_id: copy(self.message_id),
            receipt_handle: copy(self.receipt_handle),
            body: copy(self.body),
            md5_of_body: copy(self.md5_of_body),
            attributes: copy(self.attributes),
            message_attributes: copy(self.message_attributes),
            md5_of_message_attributes: self.md5_of_message_attributes.map(&mut copy),
            group: self.group.map(copy),
            ..self
        }
    }
}

impl Page for MessagePage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        self.texts.text(self.messages[index].message_id)
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Sqs(self.message(&self.messages[index]))
    }

    fn pinned_bytes(&self) -> usize {
        self.texts.pinned_bytes()
            + self.messages.capacity() * size_of::<SliceMessage>()
            + self.facts.capacity() * size_of::<RecordFacts>()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let chosen = || indices.iter().map(|&index| index as usize);
        let mut texts = Texts::default();
        let messages = chosen()
            .map(|index| self.messages[index].moved(|slice| texts.copy(&self.texts, slice)));
        let messages = messages.collect();
        Arc::new(Self {
            messages,
            facts: chosen().map(|index| self.facts[index]).collect(),
            texts,
        })
    }
}

impl std::fmt::Debug for MessagePage {
    /// Tells sizes only: bodies and groups stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessagePage")
            .field("messages", &self.messages.len())
            .field("pinned_bytes", &self.pinned_bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One message whose parts stand one behind the other in `parts`.
    fn page(parts: [&str; 8]) -> Result<MessagePage, BadSlice> {
        let mut end = 0;
        let mut slices = parts.map(|part| {
            end += part.len();
            Slice::of_body(end - part.len()..end).expect("small")
        });
        slices.reverse();
        let mut slices = slices.to_vec();
        let mut next = || slices.pop().expect("eight parts");
        let message = SliceMessage {
            message_id: next(),
            receipt_handle: next(),
            body: next(),
            md5_of_body: next(),
            attributes: next(),
            message_attributes: next(),
            md5_of_message_attributes: Some(next()),
            group: Some(next()),
            receive_count: 2,
            sent: Wall(5),
        };
        MessagePage::new(parts.concat(), String::new(), vec![message, message])
    }

    #[test]
    fn a_message_is_shown_with_all_its_parts_also_when_it_is_copied_out() {
        let page = page([
            "id",
            "receipt",
            "b\"ödy",
            "00ff",
            "{}",
            "{\"a\":1}",
            "11",
            "group",
        ]);
        let page = page.expect("good slices");
        let expected = MessageView {
            message_id: "id",
            receipt_handle: "receipt",
            body: "b\"ödy",
            md5_of_body: "00ff",
            attributes: "{}",
            message_attributes: "{\"a\":1}",
            md5_of_message_attributes: Some("11"),
            group: Some("group"),
            receive_count: 2,
        };
        assert_eq!(page.view(1), RecordView::Sqs(expected));
        assert_eq!(page.sequence_number(0), "id");
        assert_eq!(page.facts()[0].key_hash, hash_key(b"group"));
        assert_eq!(page.facts()[0].arrival, Wall(5));
        assert_eq!(page.facts()[0].weight, sqs::weight(&expected));
        let extract = page.extract(&[1]);
        assert_eq!(extract.view(0), page.view(1));
        assert_eq!(extract.facts(), &page.facts()[1..]);
        assert!(
            !format!("{page:?}").contains("ödy"),
            "bodies stay out of logs"
        );
    }

    #[test]
    fn slices_beyond_the_text_are_refused() {
        let good = Slice::of_body(0..1).expect("small");
        let message = SliceMessage {
            message_id: good,
            receipt_handle: good,
            body: Slice::of_body(0..2).expect("small"),
            md5_of_body: good,
            attributes: good,
            message_attributes: good,
            md5_of_message_attributes: None,
            group: None,
            receive_count: 1,
            sent: Wall(0),
        };
        let refused = MessagePage::new("é".to_owned(), String::new(), vec![message]);
        assert_eq!(
            refused.err(),
            Some(BadSlice { index: 0 }),
            "a slice cuts a character"
        );
    }
}
