//! Holds every bound of the engine in one place, with compile-time checks between them.
//!
//! Rules: a bound is a `const` with its unit last and its reason in its comment; a relation that
//! the code relies on is an `assert!` below; what a mapping may choose has its range here and its
//! default in `config::defaults`.

use std::time::Duration;

// What one invocation may carry.

/// Bytes of the compact JSON event of one invocation: Lambda's 6 MB.
pub const EVENT_BYTES_MAX: u64 = 6_291_456;
/// Bytes below which no event could hold even one small record with its envelope.
pub const EVENT_BYTES_MIN: u64 = 1_024;
/// Records of one invocation.
pub const BATCH_SIZE_MAX: u32 = 10_000;
/// The longest wait for a fuller batch.
pub const WINDOW_MAX: Duration = Duration::from_secs(300);
/// The longest tumbling window.
pub const TUMBLING_WINDOW_MAX: Duration = Duration::from_secs(900);
/// Bytes of the compact JSON of a tumbling window's state. A longer one ends its window early.
pub const WINDOW_STATE_BYTES_MAX: usize = 1_048_576;
/// Objects and lists inside one another in a tumbling window's state.
pub const WINDOW_STATE_DEPTH_MAX: usize = ITEM_DEPTH_MAX;
/// How long a shard must bring nothing before a tumbling window whose time is over is taken for
/// whole: AWS says up to two minutes.
pub const TUMBLING_IDLE: Duration = Duration::from_secs(120);
/// Lanes of one shard.
pub const LANES_MAX: u8 = 10;
/// The longest that one invocation may be allowed to take. Lambda stops at 15 minutes; nothing
/// here needs to.
pub const FUNCTION_TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// The shortest function timeout: less cannot be told apart from a failure to start.
pub const FUNCTION_TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// Bytes of a handler's answer: Lambda's 6 MB again. Whoever reads answers refuses longer ones.
pub const ANSWER_BYTES_MAX: usize = 6_291_456;
/// Bytes of a handler's error that are kept, kind and message together.
pub const HANDLER_ERROR_BYTES_MAX: usize = 1_024;

// What queues may do.

/// Messages of one FIFO batch, and of a standard one without a window: one receive's worth.
pub const SMALL_BATCH_MAX: u32 = 10;
/// The least `MaximumConcurrency`.
pub const CONCURRENCY_MIN: u32 = 2;
/// The greatest `MaximumConcurrency`.
pub const CONCURRENCY_MAX: u32 = 1_000;
/// Batches at once of a mapping that sets no maximum: Lambda's ceiling.
pub const CONCURRENCY_CEILING: u32 = 1_250;
/// The longest that a message can be hidden in all: SQS's twelve hours.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(43_200);
/// The least for which messages are received, whatever the queue says: less cannot be made longer
/// in time.
pub const VISIBILITY_MIN: Duration = Duration::from_secs(10);
/// Messages that may wait for their deletion before no more are received.
pub const UNDELETED_MESSAGES_MAX: u64 = 20_000;
/// Requests to delete that may be under way; more messages wait and go together.
pub const DELETES_MAX: u32 = 8;
/// How long a receive may be asked again under its name: SQS's five minutes, less a little.
pub const ATTEMPT_AGE_MAX: Duration = Duration::from_secs(290);
/// Message groups that are remembered because a message of theirs failed: as many as a FIFO queue
/// can have in flight.
pub const FAILED_GROUPS_MAX: usize = 20_000;

// What filters may be.

/// Patterns of one mapping, unless it has a raised quota.
pub const FILTERS_MAX: usize = 5;
/// The most that a quota can be raised to.
pub const FILTERS_CEILING: usize = 10;
/// Characters of one pattern.
pub const FILTER_CHARS_MAX: usize = 4_096;

// How failures end.

/// Retries that a mapping may ask for, when it asks for an end at all.
pub const RETRY_ATTEMPTS_MAX: u32 = 10_000;
/// The least age at which records may be given up.
pub const RECORD_AGE_MIN: Duration = Duration::from_secs(60);
/// The greatest age at which records may be given up: seven days.
pub const RECORD_AGE_MAX: Duration = Duration::from_secs(604_800);
/// The shortest first wait between attempts.
pub const BACKOFF_MIN: Duration = Duration::from_millis(1);
/// The longest wait between attempts that a mapping may ask for.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3_600);
/// Failure documents of one lane that may wait for their destination before the lane waits too.
pub const UNDELIVERED_DOCUMENTS_MAX: u32 = 16;
/// Bytes of a lane's failure documents after which the lane waits: they carry records where the
/// destination takes them, and one may stand for a whole event.
pub const UNDELIVERED_BYTES_MAX: usize = EVENT_BYTES_MAX as usize;
/// Tries of one delivery before it is dropped, where the mapping asks for dropping: AWS's three.
pub const DELIVERY_TRIES_MAX: u32 = 3;

// What may be held.

/// Records of one shard that may wait in its lanes: every lane can hold a full batch and have the
/// next one ready. Bytes bound what that costs.
pub const SHARD_BUFFERED_RECORDS_MAX: u32 = 2 * LANES_MAX as u32 * BATCH_SIZE_MAX;
/// Bytes of pages that a mapping may hold, unless it chooses otherwise.
pub const BUFFERED_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
/// The least that a mapping may choose: one answer of 10 MiB must fit, and the batch before it.
pub const BUFFERED_BYTES_MIN: u64 = 32 * 1_024 * 1_024;
/// The most that a mapping may choose.
pub const BUFFERED_BYTES_CEILING: u64 = 64 * 1_024 * 1_024 * 1_024;
/// Bytes of the largest answer to one read that any source gives: Kinesis's 10 MiB of payload in
/// base64, with its metadata.
pub const FETCH_BYTES_MAX: u64 = 16 * 1_024 * 1_024;
/// How long a save may take before records are handed out only so far beyond what is saved, as
/// while saving fails: a group commit takes a tenth of it.
pub const SAVE_PATIENCE: Duration = Duration::from_secs(1);
/// Records beyond the watermark that a mapping may choose to hand out.
pub const AHEAD_RECORDS_MAX: u32 = 1_000_000;

// What names and documents may be.

/// Bytes of a configuration document.
pub const DOCUMENT_BYTES_MAX: usize = 1_024 * 1_024;
/// Characters of a partition key.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;
/// Characters of a sequence number.
pub const SEQUENCE_NUMBER_DIGITS_MAX: usize = 129;
/// Objects and lists inside one another in an item's keys and images: DynamoDB's 32 levels of
/// maps and lists have two each, and there is the outermost.
pub const ITEM_DEPTH_MAX: usize = 100;
/// Characters of a destination's name.
pub const DESTINATION_CHARS_MAX: usize = 1_024;
/// The longest wait after an empty read that a mapping may choose.
pub const IDLE_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The shortest: less is a busy loop.
pub const IDLE_INTERVAL_MIN: Duration = Duration::from_millis(1);

const _: () = assert!(SHARD_BUFFERED_RECORDS_MAX >= 2 * BATCH_SIZE_MAX);
const _: () = assert!(SHARD_BUFFERED_RECORDS_MAX >= LANES_MAX as u32 * BATCH_SIZE_MAX);
const _: () = assert!(AHEAD_RECORDS_MAX >= 2 * LANES_MAX as u32 * BATCH_SIZE_MAX);
const _: () = assert!(BUFFERED_BYTES_MIN >= FETCH_BYTES_MAX + EVENT_BYTES_MAX);
const _: () = assert!(BUFFERED_BYTES_MIN <= BUFFERED_BYTES_MAX);
const _: () = assert!(BUFFERED_BYTES_MAX <= BUFFERED_BYTES_CEILING);
const _: () = assert!(EVENT_BYTES_MIN < EVENT_BYTES_MAX);
const _: () = assert!(EVENT_BYTES_MAX <= u32::MAX as u64, "weights are u32");
const _: () = assert!(RECORD_AGE_MIN.as_secs() < RECORD_AGE_MAX.as_secs());
const _: () = assert!(BACKOFF_MIN.as_millis() < BACKOFF_MAX.as_millis());
const _: () = assert!(
    ITEM_DEPTH_MAX > 2 * 32 && ITEM_DEPTH_MAX < 128,
    "serde_json reads 127"
);
const _: () = assert!(CONCURRENCY_MIN <= CONCURRENCY_MAX && CONCURRENCY_MAX <= CONCURRENCY_CEILING);
const _: () = assert!(UNDELETED_MESSAGES_MAX >= BATCH_SIZE_MAX as u64);
const _: () = assert!(VISIBILITY_MIN.as_secs() < VISIBILITY_MAX.as_secs());
const _: () = assert!(UNDELIVERED_DOCUMENTS_MAX > 0 && DELIVERY_TRIES_MAX > 0);
