//! Says what every implementation of a port must do, as tests that it runs.
//!
//! `ports_suite!` writes one `#[tokio::test]` per rule; the crate that uses it needs tokio with
//! `macros` and `rt`. A bench makes a fresh implementation and does what a port cannot.

pub mod destination;
pub mod queue;
pub mod shared;
pub mod source;
pub mod store;
pub mod table;

use penstock_engine::record::RecordView;
use penstock_engine::time::Wall;

/// Partition key, sequence number, payload in base64 and arrival of a record of a stream.
///
/// # Panics
///
/// When the record is of another kind.
#[must_use]
pub fn stream_record<'a>(view: RecordView<'a>) -> (&'a str, &'a str, &'a str, Wall) {
    match view {
        RecordView::Kinesis {
            partition_key,
            sequence_number,
            data,
            arrival,
        } => (partition_key, sequence_number, data, arrival),
        #[allow(unreachable_patterns, reason = "there may be one kind of record only")]
        other => panic!("not a record of a stream: {other:?}"),
    }
}

/// Writes the tests of one port kind for one implementation.
///
/// `source: make` wants `async fn make() -> impl SourceBench`, `queue: make` and `fifo: make` want
/// `async fn make() -> impl QueueBench` of a standard and of a FIFO queue, `store: make` wants
/// `async fn make() -> impl StoreBench`, `shared: make` wants
/// `async fn make() -> impl SharedBench`, `destination: make` wants
/// `async fn make() -> impl DestinationBench`. Each test makes its own.
#[macro_export]
macro_rules! ports_suite {
    (source: $make:path) => {
        $crate::ports_suite!(@ source, $make:
            lists_every_shard_once reads_everything_in_order keeps_payloads_and_keys
            reads_the_same_again_from_the_same_position respects_the_limit
            says_when_the_tip_is_reached waits_for_the_next_record survives_a_dropped_read
            refuses_shards_that_are_not_there drains_a_closed_shard_and_names_its_children
            starts_at_a_moment);
    };
    (queue: $make:path) => {
        $crate::ports_suite!(@ queue, $make:
            describes_itself hands_everything_out_once keeps_bodies waits_for_the_next_message
            deletes_for_good shows_again_what_was_not_deleted changes_visibility
            hides_as_long_as_it_is_told survives_a_dropped_receive);
    };
    (fifo: $make:path) => {
        $crate::ports_suite!(@ queue, $make:
            keeps_the_order_of_groups holds_a_group_that_is_out repeats_an_attempt
            refuses_expired_receipts);
    };
    (store: $make:path) => {
        $crate::ports_suite!(@ store, $make:
            knows_nothing_at_first registers_only_what_is_missing raises_the_fence_on_every_take
            hands_the_checkpoint_over_with_the_lease saves_under_the_newest_fence_only
            refuses_to_go_back takes_a_new_stream_of_the_same_name keeps_mappings_apart
            keeps_every_part_of_a_checkpoint gives_up_only_what_is_held);
    };
    (shared: $make:path) => {
        $crate::ports_suite!(@ shared, $make:
            has_no_rows_at_first registers_rows_where_there_are_none lists_every_row
            gives_a_row_to_one_of_two accepts_nothing_of_an_earlier_lease
            hands_over_to_whoever_asked_first saves_under_the_lease_only
            refuses_a_save_that_comes_too_late keeps_every_part_of_a_checkpoint
            keeps_a_large_state_and_lets_go_of_it survives_a_dropped_save);
    };
    (destination: $make:path) => {
        $crate::ports_suite!(@ destination, $make:
            keeps_documents_whole_and_in_order takes_a_document_again);
    };
    (@ $port:ident, $make:path: $($rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::testing::$port::$rule($make().await).await;
            }
        )*
    };
}
