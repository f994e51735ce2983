//! Describes records to the engine: facts that the rules need, and an opaque page with the bytes.
//!
//! Rules: facts are pure functions of a record, computed once where its page comes in; the engine
//! never looks at a payload; a record is a place in a page and is never allocated by itself; a
//! page is kept alive by whoever still holds a record of it, and counts in full until then.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::SequenceNumber;
use crate::time::Wall;

/// What the rules need to know of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFacts {
    /// A hash of the partition key that never changes (`stream::router::hash_key`). Of a message
    /// of a FIFO queue that of its group; of a standard queue's it counts for nothing.
    pub key_hash: u64,
    /// When the record reached the source, for a message its `SentTimestamp`.
    pub arrival: Wall,
    /// Bytes of the record in the compact JSON event that differ from record to record: the
    /// event shape says which, and adds what is the same for all records of a shard.
    pub weight: u32,
    /// Whether the mapping's filters dropped it.
    pub filtered: bool,
}

/// The parts of one record that an event shows, borrowed from its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordView<'a> {
    /// A record of a Kinesis stream, or of the embedded stream, which looks the same.
    Kinesis {
        /// The partition key.
        partition_key: &'a str,
        /// The sequence number's digits.
        sequence_number: &'a str,
        /// The payload in standard base64 with padding, as it came.
        data: &'a str,
        /// When it reached the stream.
        arrival: Wall,
    },
    /// A change of an item, from the stream of a DynamoDB table.
    DynamoDb(ItemView<'a>),
    /// A message of an SQS queue, or of the embedded queue, which looks the same.
    Sqs(MessageView<'a>),
}

/// The parts of one message.
///
/// Both objects of attributes are compact JSON with the escapes that events have, checked where
/// the page came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// Names the message, every time that it is received.
    pub message_id: &'a str,
    /// Names this one receive of it.
    pub receipt_handle: &'a str,
    /// The body as it was sent.
    pub body: &'a str,
    /// The MD5 of the body, 32 small hexadecimal digits.
    pub md5_of_body: &'a str,
    /// The system attributes, an object of texts in AWS's order.
    pub attributes: &'a str,
    /// The sender's attributes in the event's form, `{}` when there are none.
    pub message_attributes: &'a str,
    /// The MD5 of the sender's attributes, 32 small hexadecimal digits, when there are any.
    pub md5_of_message_attributes: Option<&'a str>,
    /// The message group: of every message of a FIFO queue, of a standard queue's where the sender
    /// named one.
    pub group: Option<&'a str>,
    /// How often it has been received, this time included.
    pub receive_count: u32,
}

/// The parts of one change of an item.
///
/// Keys, images and the identity are compact JSON with the escapes that events have, checked
/// where the page came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemView<'a> {
    /// Names the record for ever.
    pub event_id: &'a str,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub event_name: &'a str,
    /// Who made the change when it was not a user, for example the time to live.
    pub user_identity: Option<&'a str>,
    /// When the item was changed, to the second.
    pub created: Wall,
    /// The item's key attributes.
    pub keys: &'a str,
    /// The item afterwards, when the stream shows it.
    pub new_image: Option<&'a str>,
    /// The item before, when the stream shows it.
    pub old_image: Option<&'a str>,
    /// The sequence number's digits.
    pub sequence_number: &'a str,
    /// Bytes of the record, as DynamoDB counts them.
    pub size_bytes: u64,
    /// What the stream shows of items.
    pub view_type: &'a str,
}

/// One fetch's records with the bytes behind them.
///
/// On the heap today; the trait lets a page stand in shared memory or come back from a trace.
pub trait Page: Send + Sync + fmt::Debug {
    /// One entry per record, in the order of the shard.
    fn facts(&self) -> &[RecordFacts];

    /// The digits of a record's sequence number; of a message its id.
    fn sequence_number(&self, index: usize) -> &str;

    /// The parts of a record that its event shows.
    fn view(&self, index: usize) -> RecordView<'_>;

    /// Whether a record packs several records of a user into one, as the Kinesis Producer Library
    /// does.
    fn aggregated(&self) -> bool {
        false
    }

    /// Bytes that this page holds on to while any of its records is needed.
    fn pinned_bytes(&self) -> usize;

    /// A page of its own with only these records, so that a few stragglers free the rest.
    fn extract(&self, indices: &[u32]) -> Arc<dyn Page>;
}

/// A record's place: the page's number within the batch or buffer that it stands in, and its
/// place in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef {
    /// Which page.
    pub page: u32,
    /// Which record of it.
    pub index: u32,
}

/// The records of one invocation, in order, all of one shard and one lane.
///
/// The pages live as long as the batch does.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The pages that hold the records.
    pub pages: Vec<Arc<dyn Page>>,
    /// The records; `page` counts in `pages`.
    pub records: Vec<RecordRef>,
}

impl Batch {
    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The parts of the record at `index`.
    #[must_use]
    pub fn view(&self, index: usize) -> RecordView<'_> {
        let place = self.records[index];
        self.pages[place.page as usize].view(place.index as usize)
    }

    /// The facts of the record at `index`.
    #[must_use]
    pub fn facts(&self, index: usize) -> RecordFacts {
        let place = self.records[index];
        self.pages[place.page as usize].facts()[place.index as usize]
    }

    /// The digits of the sequence number of the record at `index`.
    #[must_use]
    pub fn sequence_number(&self, index: usize) -> &str {
        let place = self.records[index];
        self.pages[place.page as usize].sequence_number(place.index as usize)
    }

    /// The sequence number of the record at `index`, to keep.
    #[must_use]
    pub fn sequence(&self, index: usize) -> SequenceNumber {
        SequenceNumber::new(self.sequence_number(index))
    }
}
