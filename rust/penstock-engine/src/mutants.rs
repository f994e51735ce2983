//! Plants known bugs, so that the simulator can show that its oracles would see them.
//!
//! Rules: without the feature `mutants` every question is a constant `false` and costs nothing;
//! with it a bug is active only in the thread that planted it, and only while the [`Planted`]
//! that `plant` gave is alive. No shipped build switches the feature on.
//!
//! A bug is planted where the rule lives, as a deviation of one readable line:
//!
//! ```ignore
//! if settled.is_ok() || mutants::active(Mutant::AdvanceThoughWriteFailed) {
//!     self.saved = pending;
//! }
//! ```

#[cfg(feature = "mutants")]
use std::cell::Cell;

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mutant {
    /// The watermark is the highest finished record, not the one below the lowest unfinished.
    CheckpointAtHighestFinished,
    /// The watermark is the last record read.
    CheckpointAtRead,
    /// A bisected batch's halves inherit its attempts.
    SplitCharged,
    /// The second half of a bisection runs before the first.
    RightHalfFirst,
    /// What follows the reported record of a partial answer is taken for done.
    TailDropped,
    /// A child starts though its parents are not settled to their ends.
    ChildBeforeParent,
    /// A discarded record counts as settled before the destination has answered.
    CheckpointBeforeDelivery,
    /// A checkpoint counts as saved though the store refused it.
    AdvanceThoughWriteFailed,
    /// The deadlines of batch windows are not armed.
    WindowDeadlineForgotten,
    /// The deadlines of retries are not armed.
    RetryDeadlineForgotten,
    /// Keys go to lanes by another hash after the first pages.
    LaneHashChanged,
    /// A lane hands out a second batch while its first is running.
    TwoInvocationsForKey,
    /// The right half of a bisection is lost.
    SegmentLost,
    /// The reported place in a batch is read one too high.
    ResponseIndexShifted,
    /// Records past `MaximumRecordAgeInSeconds` are invoked.
    AgeIgnored,
    /// `MaximumRetryAttempts` is not looked at.
    RetriesUnbounded,
    /// An expired iterator is taken for the end of the shard.
    ExpiredEndsShard,
    /// Saves go on under the fence of the first lease.
    FenceNotRaised,
    /// Answers to requests of a lost lease still count.
    StaleEpochAccepted,
    /// Attempts are not taken over from the checkpoint.
    AttemptsForgotten,
    /// A throttled invocation is charged as an attempt.
    ThrottleCharged,
    /// Shards that are found late begin where a first start would.
    LateShardsAtStart,
    /// A shard counts as settled to its end when its end has been read.
    EndBeforeSettled,
    /// A drain stops without waiting for the last checkpoints.
    DrainWithoutSave,
    /// Records that a filter dropped are handed out all the same.
    FilteredInvoked,
    /// After a gap reading goes on at the present moment, not at the oldest record.
    GapSkipsToNow,
    /// A document that is too large with its records is not sent again without them.
    TooLargeTakenForDelivered,
    /// A read that failed behind parts of its answer begins before them again.
    PartsReadAgain,
    /// The state of a tumbling window is saved as it is now, though the position is held back.
    StateAheadOfCheckpoint,
    /// A tumbling window goes on being open after its final invocation.
    WindowClosedTwice,
    /// The state that a failed attempt gave is kept.
    StateOfFailedKept,
    /// The state beside a partial report is kept though the mapping discards it.
    PartialStateKept,
    /// The end of a shard forgets its open tumbling window.
    ShardEndForgetsWindow,
    /// A lane goes on in whichever worker is free, though its own lives.
    LaneLeavesWorker,
    /// An operator's move is heard of and nothing is done about it.
    MoveNotFollowed,
    /// An operator is told that something was skipped before that is saved.
    SkipToldBeforeSaved,
    /// Batches start though somebody else may have their shard.
    StartedAfterLease,
    /// Batches start of a shard that is being handed over.
    StartedWhileLeaving,
    /// A shard is handed over before what is done is saved.
    HandedOverUnsaved,
    /// A shard that ended elsewhere goes on being waited for.
    EndElsewhereForgotten,
    /// Messages are deleted though their handler has failed.
    DeleteBeforeSuccess,
    /// Batches do not wait for earlier ones of their message groups.
    GroupOvertaken,
    /// Messages are received though no batch or byte is free for them.
    ReceiveWithoutRoom,
    /// The visibility of messages is never made longer.
    VisibilityForgotten,
    /// Messages whose handler failed are given back at once.
    FailedGivenBackAtOnce,
    /// What follows a failed message in its group is deleted in strict mode too.
    GapDeletedInStrict,
    /// The messages that an answer reports are deleted and the others are kept.
    PartialInverted,
    /// Messages that a filter dropped are not deleted from their queue.
    FilteredKept,
    /// `MaximumConcurrency` is not looked at.
    ConcurrencyIgnored,
    /// A drain or pause gives messages back while a receive is under way.
    GivenBackWhileReceiving,
    /// What was received and not handed out is left to come back by itself.
    NeverGivenBack,
    /// A receive whose answer was lost is asked again under a new name.
    AttemptForgotten,
    /// A batch is handed out though the visibility of its messages has ended.
    StartedTooLate,
    /// Checkpoints are saved whatever lease they were made under.
    LeaseUnfenced,
    /// A save that was given up and arrives late undoes those after it.
    LateSaveAccepted,
    /// A lease counts as renewed though nothing is known of the write.
    LeaseRenewedThoughFailed,
    /// A lease goes on although its renewal was refused.
    StolenLeaseKept,
    /// A child is taken though its parents have not ended.
    LeaseOfChildEarly,
    /// A holder that cannot renew goes on starting invocations.
    LeaseStopForgotten,
    /// A lease is taken without a new fence.
    LeaseFenceReused,
    /// A lease is handed over while its records still run.
    LeaseMovedUndrained,
    /// Leases are asked for wherever somebody has one more.
    LeasesThrash,
    /// The fence of a lease counts after another program has taken the row.
    StaleFenceCounts,
}

impl Mutant {
    /// All of them, in order.
    pub const ALL: [Mutant; 63] = [
        Self::CheckpointAtHighestFinished,
        Self::CheckpointAtRead,
        Self::SplitCharged,
        Self::RightHalfFirst,
        Self::TailDropped,
        Self::ChildBeforeParent,
        Self::CheckpointBeforeDelivery,
        Self::AdvanceThoughWriteFailed,
        Self::WindowDeadlineForgotten,
        Self::RetryDeadlineForgotten,
        Self::LaneHashChanged,
        Self::TwoInvocationsForKey,
        Self::SegmentLost,
        Self::ResponseIndexShifted,
        Self::AgeIgnored,
        Self::RetriesUnbounded,
        Self::ExpiredEndsShard,
        Self::FenceNotRaised,
        Self::StaleEpochAccepted,
        Self::AttemptsForgotten,
        Self::ThrottleCharged,
        Self::LateShardsAtStart,
        Self::EndBeforeSettled,
        Self::DrainWithoutSave,
        Self::FilteredInvoked,
        Self::GapSkipsToNow,
        Self::TooLargeTakenForDelivered,
        Self::PartsReadAgain,
        Self::StateAheadOfCheckpoint,
        Self::WindowClosedTwice,
        Self::StateOfFailedKept,
        Self::PartialStateKept,
        Self::ShardEndForgetsWindow,
        Self::LaneLeavesWorker,
        Self::MoveNotFollowed,
        Self::SkipToldBeforeSaved,
        Self::StartedAfterLease,
        Self::StartedWhileLeaving,
        Self::HandedOverUnsaved,
        Self::EndElsewhereForgotten,
        Self::DeleteBeforeSuccess,
        Self::GroupOvertaken,
        Self::ReceiveWithoutRoom,
        Self::VisibilityForgotten,
        Self::FailedGivenBackAtOnce,
        Self::GapDeletedInStrict,
        Self::PartialInverted,
        Self::FilteredKept,
        Self::ConcurrencyIgnored,
        Self::GivenBackWhileReceiving,
        Self::NeverGivenBack,
        Self::AttemptForgotten,
        Self::StartedTooLate,
        Self::LeaseUnfenced,
        Self::LateSaveAccepted,
        Self::LeaseRenewedThoughFailed,
        Self::StolenLeaseKept,
        Self::LeaseOfChildEarly,
        Self::LeaseStopForgotten,
        Self::LeaseFenceReused,
        Self::LeaseMovedUndrained,
        Self::LeasesThrash,
        Self::StaleFenceCounts,
    ];
    /// How many of the first are of the machine for streams.
    pub const OF_STREAMS: usize = Self::DeleteBeforeSuccess as usize;
    /// Where those of leases begin; what is in between is of the machine for queues.
    pub const OF_LEASES: usize = Self::LeaseUnfenced as usize;
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: Cell<u64> = const { Cell::new(0) };
}

/// Whether this bug is planted in this thread.
#[cfg(feature = "mutants")]
#[must_use]
pub fn active(mutant: Mutant) -> bool {
    ACTIVE.get() & (1 << mutant as u8) != 0
}

/// Whether this bug is planted: never, in a build without the feature.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn active(_: Mutant) -> bool {
    false
}

/// Keeps a bug planted in this thread until it is dropped.
#[cfg(feature = "mutants")]
#[derive(Debug)]
pub struct Planted(Mutant);

/// Plants a bug in this thread.
#[cfg(feature = "mutants")]
#[must_use]
pub fn plant(mutant: Mutant) -> Planted {
    ACTIVE.set(ACTIVE.get() | 1 << mutant as u8);
    Planted(mutant)
}

#[cfg(feature = "mutants")]
impl Drop for Planted {
    fn drop(&mut self) {
        ACTIVE.set(ACTIVE.get() & !(1 << self.0 as u8));
    }
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "shows that another thread sees no bug"
    )]
    #[test]
    fn a_bug_lives_as_long_as_its_guard_and_in_its_thread_only() {
        let planted = plant(Mutant::AgeIgnored);
        assert!(active(Mutant::AgeIgnored) && !active(Mutant::SegmentLost));
        let elsewhere = std::thread::spawn(|| active(Mutant::AgeIgnored)).join();
        assert!(matches!(elsewhere, Ok(false)));
        drop(planted);
        assert!(!active(Mutant::AgeIgnored));
    }

    #[test]
    fn all_bugs_are_listed_once_and_fit_the_set() {
        for (place, mutant) in Mutant::ALL.into_iter().enumerate() {
            assert_eq!(place, mutant as usize);
        }
        assert!(Mutant::ALL.len() <= 64);
    }
}
