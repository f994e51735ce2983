//! Holds one fetch's changes of items as slices of the text that they came in.
//!
//! Rules: as in `penstock_runtime::page`: no record is allocated by itself, every slice is checked
//! once, when the page is made, and the facts are computed in the same pass.

use std::sync::Arc;

use penstock_engine::event::dynamodb::weight;
use penstock_engine::record::{ItemView, Page, RecordFacts, RecordView};
use penstock_engine::time::Wall;
use penstock_runtime::page::{BadSlice, Slice, Texts};

/// Where one change's parts lie in its page. Keys, images and the identity are JSON as events
/// show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub event_id: Slice,
    pub event_name: Slice,
    pub user_identity: Option<Slice>,
    pub created: Wall,
    pub keys: Slice,
    pub new_image: Option<Slice>,
    pub old_image: Option<Slice>,
    pub sequence_number: Slice,
    pub size_bytes: u64,
    pub view_type: Slice,
    /// The hash of the item's keys.
    pub key_hash: u64,
}

/// A page whose records are changes of items.
pub(super) struct ChangePage {
    texts: Texts,
    changes: Vec<Change>,
    facts: Vec<RecordFacts>,
}

impl ChangePage {
    /// A page of `changes`, which point into `body` and `side`.
    pub(super) fn new(body: String, side: String, changes: Vec<Change>) -> Result<Self, BadSlice> {
        let mut page = Self {
            texts: Texts::new(body, side),
            facts: Vec::with_capacity(changes.len()),
            changes,
        };
        for (index, change) in page.changes.iter().enumerate() {
            let facts = page.examine(change).ok_or(BadSlice { index })?;
            page.facts.push(facts);
        }
        Ok(page)
    }

    fn examine(&self, change: &Change) -> Option<RecordFacts> {
        let plain = [
            change.event_id,
            change.event_name,
            change.sequence_number,
            change.view_type,
        ];
        for slice in plain {
            self.texts.checked_plain(slice)?;
        }
        for slice in change.json() {
            self.texts.checked(slice)?;
        }
        Some(RecordFacts {
            key_hash: change.key_hash,
            arrival: change.created,
            weight: weight(&self.item(change)),
            filtered: false,
        })
    }

    fn item(&self, change: &Change) -> ItemView<'_> {
        let text = |slice| self.texts.text(slice);
        ItemView {
            event_id: text(change.event_id),
            event_name: text(change.event_name),
            user_identity: change.user_identity.map(text),
            created: change.created,
            keys: text(change.keys),
            new_image: change.new_image.map(text),
            old_image: change.old_image.map(text),
            sequence_number: text(change.sequence_number),
            size_bytes: change.size_bytes,
            view_type: text(change.view_type),
        }
    }
}

impl Change {
    fn json(&self) -> impl Iterator<Item = Slice> {
        let optional = [self.user_identity, self.new_image, self.old_image];
        optional.into_iter().flatten().chain([self.keys])
    }

    /// The same change with every slice put through `copy`.
    fn moved(self, mut copy: impl FnMut(Slice) -> Slice) -> Self {
        Self {
            event_id: copy(self.event_id),
            event_name: copy(self.event_name),
            user_identity: self.user_identity.map(&mut copy),
            keys: copy(self.keys),
            new_image: self.new_image.map(&mut copy),
            old_image: self.old_image.map(&mut copy),
            sequence_number: copy(self.sequence_number),
            view_type: copy(self.view_type),
            ..self
        }
    }
}

impl Page for ChangePage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        self.texts.text(self.changes[index].sequence_number)
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::DynamoDb(self.item(&self.changes[index]))
    }

    fn pinned_bytes(&self) -> usize {
        self.texts.pinned_bytes()
            + self.changes.capacity() * size_of::<Change>()
            + self.facts.capacity() * size_of::<RecordFacts>()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let chosen = || indices.iter().map(|&index| index as usize);
        let mut length = 0;
        for index in chosen() {
            self.changes[index].moved(|slice| {
                length += slice.len();
                slice
            });
        }
        let mut texts = Texts::new(String::new(), String::with_capacity(length));
        let changes = chosen()
            .map(|index| self.changes[index].moved(|slice| texts.copy(&self.texts, slice)))
            .collect();
        let facts = chosen().map(|index| self.facts[index]).collect();
        Arc::new(Self {
            texts,
            changes,
            facts,
        })
    }
}

impl std::fmt::Debug for ChangePage {
    /// Tells sizes only: items stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangePage")
            .field("changes", &self.changes.len())
            .field("pinned_bytes", &self.pinned_bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extract_keeps_the_changes_and_frees_the_rest() {
        let body = format!(
            "id MODIFY {{}} {{\"a\":{{}}}} 100 101 KEYS_ONLY{}",
            " ".repeat(500)
        );
        let slice = |range| Slice::of_body(range).expect("small");
        let first = Change {
            event_id: slice(0..2),
            event_name: slice(3..9),
            user_identity: None,
            created: Wall(1_000),
            keys: slice(13..21),
            new_image: Some(Slice::of_side(0..2).expect("small")),
            old_image: None,
            sequence_number: slice(22..25),
            size_bytes: 7,
            view_type: slice(30..39),
            key_hash: 9,
        };
        let second = Change {
            sequence_number: slice(26..29),
            user_identity: Some(slice(10..12)),
            new_image: None,
            ..first
        };
        let page = ChangePage::new(body, "[]".to_owned(), vec![first, second]).expect("good");
        let extract = page.extract(&[1, 0]);
        for (from, to) in [(0, 1), (1, 0)] {
            assert_eq!(page.view(from), extract.view(to));
            assert_eq!(page.facts()[from], extract.facts()[to]);
            assert_eq!(page.sequence_number(from), extract.sequence_number(to));
        }
        assert!(extract.pinned_bytes() < page.pinned_bytes());
        let beyond = Change {
            old_image: Some(slice(0..9)),
            ..first
        };
        let refused = ChangePage::new("id MODIFY".to_owned(), String::new(), vec![beyond]);
        assert_eq!(refused.err(), Some(BadSlice { index: 0 }));
    }
}
