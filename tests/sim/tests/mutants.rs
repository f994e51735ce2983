//! Plants known bugs and shows that the oracles see each of them within a thousand seeds.
//!
//! A bug of the machine for streams is looked for among seeds of streams, one of the machine for
//! queues among those of queues, one of leases among those of fleets. Each test names the oracles
//! that may see its bug first; which one does depends on the seed.

use penstock_engine::mutants::{self, Mutant};
use penstock_sim::fleet::swarm as fleets;
use penstock_sim::swarm;

/// Seeds within which a bug must be seen.
const SEEDS: usize = 1_000;

/// One test for each bug, and a check that none is left out.
macro_rules! seen {
    ($($test:ident: $mutant:ident by $($oracle:literal)|+;)*) => {
        $(
            #[test]
            fn $test() {
                is_seen(Mutant::$mutant, &[$($oracle),+]);
            }
        )*

        #[test]
        fn every_bug_has_its_test() {
            assert_eq!([$(Mutant::$mutant),*], Mutant::ALL);
        }
    };
}

seen! {
    a_checkpoint_at_the_highest_finished_record_is_seen: CheckpointAtHighestFinished
        by "checkpoint_covers_settled_only" | "document_before_checkpoint" | "settles_in_time";
    a_checkpoint_at_the_last_read_record_is_seen: CheckpointAtRead
        by "checkpoint_covers_settled_only" | "document_before_checkpoint" | "settles_in_time";
    a_split_charged_as_an_attempt_is_seen: SplitCharged
        by "attempts_counted";
    the_second_half_before_the_first_is_seen: RightHalfFirst
        by "unit_by_the_rules" | "checkpoint_covers_settled_only";
    a_tail_dropped_after_a_partial_answer_is_seen: TailDropped
        by "checkpoint_covers_settled_only" | "unit_by_the_rules" | "document_before_checkpoint"
            | "nothing_late" | "window_of_the_batch";
    a_child_before_its_parents_is_seen: ChildBeforeParent
        by "parents_first";
    a_checkpoint_before_the_destination_s_answer_is_seen: CheckpointBeforeDelivery
        by "document_before_checkpoint" | "ahead_bounded";
    memory_that_advances_though_a_write_failed_is_seen: AdvanceThoughWriteFailed
        by "drain_saves_everything" | "ahead_bounded" | "settled_records_rest";
    a_forgotten_window_deadline_is_seen: WindowDeadlineForgotten
        by "nothing_late";
    a_forgotten_retry_deadline_is_seen: RetryDeadlineForgotten
        by "nothing_late" | "settles_in_time";
    a_changed_lane_hash_is_seen: LaneHashChanged
        by "batch_of_one_lane" | "no_record_skipped" | "nothing_late";
    two_invocations_for_one_key_are_seen: TwoInvocationsForKey
        by "one_batch_per_lane" | "engine_assertion" | "window_respected";
    a_lost_segment_is_seen: SegmentLost
        by "unit_by_the_rules" | "nothing_late";
    an_answer_read_at_the_wrong_place_is_seen: ResponseIndexShifted
        by "checkpoint_covers_settled_only" | "unit_by_the_rules" | "settled_records_rest"
            | "window_of_the_batch";
    an_ignored_age_is_seen: AgeIgnored
        by "age_respected";
    retries_without_end_are_seen: RetriesUnbounded
        by "nothing_late" | "settled_records_rest" | "settles_in_time" | "discard_has_cause";
    an_expired_iterator_taken_for_the_end_is_seen: ExpiredEndsShard
        by "checkpoint_covers_settled_only" | "window_respected" | "window_of_the_batch";
    a_fence_that_is_not_raised_is_seen: FenceNotRaised
        by "lease_is_held" | "settles_in_time";
    answers_of_a_lost_lease_that_count_are_seen: StaleEpochAccepted
        by "keys_in_order" | "settled_records_rest" | "checkpoint_covers_settled_only"
            | "checkpoint_monotonic" | "engine_assertion" | "no_record_skipped" | "nothing_late";
    attempts_forgotten_over_a_restart_are_seen: AttemptsForgotten
        by "attempts_counted";
    a_throttle_charged_as_an_attempt_is_seen: ThrottleCharged
        by "attempts_counted" | "unit_by_the_rules" | "discard_has_cause";
    late_shards_at_the_starting_position_are_seen: LateShardsAtStart
        by "first_rows";
    an_end_before_all_is_settled_is_seen: EndBeforeSettled
        by "checkpoint_covers_settled_only" | "document_before_checkpoint";
    a_drain_that_does_not_save_is_seen: DrainWithoutSave
        by "drain_saves_everything";
    a_filtered_record_that_is_handed_out_is_seen: FilteredInvoked
        by "settled_records_rest";
    a_gap_that_takes_more_than_it_must_is_seen: GapSkipsToNow
        by "checkpoint_covers_settled_only" | "no_record_skipped" | "settles_in_time"
            | "keys_in_order";
    a_too_large_document_that_counts_as_delivered_is_seen: TooLargeTakenForDelivered
        by "document_before_checkpoint" | "settled_records_rest" | "ahead_bounded";
    parts_of_an_answer_that_are_read_again_are_seen: PartsReadAgain
        by "settled_records_rest" | "keys_in_order" | "engine_assertion";
    a_state_saved_ahead_of_its_position_is_seen: StateAheadOfCheckpoint
        by "window_with_its_position";
    a_window_that_is_closed_twice_is_seen: WindowClosedTwice
        by "window_of_the_batch" | "window_with_its_position";
    a_state_kept_of_a_failed_attempt_is_seen: StateOfFailedKept
        by "window_of_the_batch" | "window_with_its_position";
    a_state_kept_of_a_partial_report_is_seen: PartialStateKept
        by "window_of_the_batch" | "window_with_its_position";
    a_shard_end_that_forgets_its_window_is_seen: ShardEndForgetsWindow
        by "nothing_late" | "window_of_the_batch" | "window_with_its_position";
    a_lane_that_leaves_its_worker_is_seen: LaneLeavesWorker
        by "lane_stays";
    a_move_that_is_not_followed_is_seen: MoveNotFollowed
        by "lease_is_held";
    a_skip_that_is_told_before_it_is_saved_is_seen: SkipToldBeforeSaved
        by "skip_is_saved";
    a_start_after_the_lease_is_seen: StartedAfterLease
        by "lease_is_held";
    a_start_while_a_shard_leaves_is_seen: StartedWhileLeaving
        by "lease_is_held";
    a_shard_handed_over_before_it_is_saved_is_seen: HandedOverUnsaved
        by "drain_saves_everything" | "settled_records_rest";
    an_end_elsewhere_that_is_forgotten_is_seen: EndElsewhereForgotten
        by "settles_in_time";
    a_delete_before_a_success_is_seen: DeleteBeforeSuccess
        by "delete_after_success";
    a_group_overtaken_is_seen: GroupOvertaken
        by "group_in_order" | "one_invocation_per_group";
    a_receive_without_room_is_seen: ReceiveWithoutRoom
        by "receive_with_room" | "memory_bounded";
    a_forgotten_visibility_is_seen: VisibilityForgotten
        by "kept_hidden" | "hidden_when_started";
    failed_messages_given_back_at_once_are_seen: FailedGivenBackAtOnce
        by "visibility_by_the_rules";
    a_gap_deleted_in_strict_mode_is_seen: GapDeletedInStrict
        by "delete_after_success";
    an_inverted_report_is_seen: PartialInverted
        by "delete_after_success";
    filtered_messages_that_are_kept_are_seen: FilteredKept
        by "deleted_soon" | "settles_in_time";
    an_ignored_maximum_concurrency_is_seen: ConcurrencyIgnored
        by "concurrency_bounded" | "receive_with_room";
    visibility_handed_back_during_a_receive_is_seen: GivenBackWhileReceiving
        by "receives_end_first";
    messages_that_are_never_given_back_are_seen: NeverGivenBack
        by "drain_leaves_nothing" | "kept_hidden";
    a_forgotten_receive_attempt_is_seen: AttemptForgotten
        by "attempt_by_the_rules";
    a_start_after_the_visibility_is_seen: StartedTooLate
        by "hidden_when_started";
    a_checkpoint_of_a_lost_lease_that_is_accepted_is_seen: LeaseUnfenced
        by "writes_are_fenced";
    a_save_that_arrives_too_late_and_is_accepted_is_seen: LateSaveAccepted
        by "checkpoint_monotonic";
    a_renewal_in_memory_though_the_write_failed_is_seen: LeaseRenewedThoughFailed
        by "lease_is_exclusive";
    a_stolen_lease_that_is_kept_is_seen: StolenLeaseKept
        by "lease_is_exclusive";
    a_child_taken_before_its_parent_ended_is_seen: LeaseOfChildEarly
        by "parents_first";
    a_holder_that_goes_on_though_it_cannot_renew_is_seen: LeaseStopForgotten
        by "lease_is_exclusive";
    a_lease_without_a_new_fence_is_seen: LeaseFenceReused
        by "fences_grow";
    a_lease_handed_over_while_records_run_is_seen: LeaseMovedUndrained
        by "moves_repeat_nothing" | "lease_is_exclusive";
    leases_that_move_for_nothing_are_seen: LeasesThrash
        by "moves_are_rare" | "even_shares_rest";
    a_fence_that_counts_on_a_row_of_another_program_is_seen: StaleFenceCounts
        by "others_are_left_alone";
}

fn is_seen(mutant: Mutant, oracles: &[&str]) {
    let planted = mutants::plant(mutant);
    let of_queue = mutant as usize >= Mutant::OF_STREAMS;
    let seeds = (0..).filter(|seed| swarm::is_of_queue(*seed) == of_queue);
    let seen = if mutant as usize >= Mutant::OF_LEASES {
        (0..)
            .take(SEEDS)
            .find_map(|seed| fleets::live(seed, false).err())
    } else {
        seeds
            .take(SEEDS)
            .find_map(|seed| swarm::live(seed, false).err())
    };
    drop(planted);
    let Some(failure) = seen else {
        panic!("no oracle sees {mutant:?} in {SEEDS} seeds")
    };
    let oracle = failure.violation.oracle;
    assert!(
        oracles.contains(&oracle),
        "{mutant:?} is seen by {oracle}:\n{failure}"
    );
}
