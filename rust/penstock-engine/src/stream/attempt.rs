//! Decides what becomes of a batch after an attempt.
//!
//! Rules (AWS Lambda Developer Guide, stream sources): retries are counted for one exact range of
//! records; a split is not an attempt, happens at once and at the middle, the first half being
//! the smaller; a report that names a later record settles what is before it and makes the rest a
//! new batch; a report that names the first record is a failed attempt; a refusal before the
//! handler started costs nothing.

use super::lane::Unit;
use crate::config::MappingConfig;
use crate::io::{Outcome, Report};
use crate::mutants::{self, Mutant};

/// What to do with the front unit of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Everything succeeded.
    Settle,
    /// The first records succeeded; the others are a new batch, at once.
    SettleFirst(u32),
    /// Split after this many records, at once.
    Split(u32),
    /// The same again, later; `charged` says whether the attempt counts.
    Retry { charged: bool },
    /// Give the records up.
    Discard,
}

/// What an attempt's outcome means for its unit.
pub(crate) fn next(unit: &Unit, outcome: &Outcome, config: &MappingConfig) -> Next {
    match outcome {
        Outcome::Aggregated { report, .. } => {
            next(unit, &Outcome::Returned(report.clone()), config)
        }
        Outcome::Returned(Report::AllSucceeded) => Next::Settle,
        Outcome::Returned(Report::FailedFrom(_)) if mutants::active(Mutant::TailDropped) => {
            Next::Settle
        }
        Outcome::Returned(Report::FailedFrom(first))
            if mutants::active(Mutant::ResponseIndexShifted) && first + 1 < unit.records =>
        {
            Next::SettleFirst(first + 1)
        }
        Outcome::Rejected(_) if mutants::active(Mutant::ThrottleCharged) => failed(unit, config),
        Outcome::Returned(Report::FailedFrom(first)) if *first > 0 && *first < unit.records => {
            Next::SettleFirst(*first)
        }
        Outcome::Rejected(_) => Next::Retry { charged: false },
        Outcome::Returned(_) | Outcome::Raised(_) | Outcome::TimedOut | Outcome::Crashed(_) => {
            failed(unit, config)
        }
    }
}

/// What a failed attempt at the whole unit means.
pub(crate) fn failed(unit: &Unit, config: &MappingConfig) -> Next {
    if config.bisect && unit.records > 1 {
        return Next::Split(unit.records / 2);
    }
    match config.maximum_retry_attempts {
        Some(_) if mutants::active(Mutant::RetriesUnbounded) => Next::Retry { charged: true },
        Some(most) if unit.attempts + 1 > most => Next::Discard,
        _ => Next::Retry { charged: true },
    }
}

/// What people are told of an outcome: the error of a failed attempt.
pub(crate) fn describe(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Aggregated { report, .. } => describe(&Outcome::Returned(report.clone())),
        Outcome::Returned(Report::AllSucceeded) => None,
        Outcome::Returned(Report::FailedFrom(_) | Report::Failed(_)) => {
            Some("reported batch item failures".to_owned())
        }
        Outcome::Returned(Report::Unusable) => Some("answered with an unusable report".to_owned()),
        Outcome::Raised(error) => Some(format!("{}: {}", error.kind, error.message)),
        Outcome::TimedOut => Some("timed out".to_owned()),
        Outcome::Crashed(error) => Some(format!("crashed: {}: {}", error.kind, error.message)),
        Outcome::Rejected(fault) => Some(format!("was not started: {fault}")),
    }
}

/// The `functionError` of a failure document; `None` when the function answered.
pub(crate) fn function_error(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Raised(_) | Outcome::TimedOut | Outcome::Crashed(_) => Some("Unhandled"),
        Outcome::Returned(_) | Outcome::Aggregated { .. } | Outcome::Rejected(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, FaultKind};
    use crate::ids::RequestId;
    use crate::stream::testing::config;

    fn unit(records: u32, attempts: u32) -> Unit {
        Unit {
            attempts,
            ..Unit::new(records, RequestId(1), false)
        }
    }

    #[test]
    fn a_report_of_a_later_record_settles_what_is_before_it() {
        let config = config(r#"{"MaximumRetryAttempts":0}"#);
        let report = Outcome::Returned(Report::FailedFrom(2));
        assert_eq!(next(&unit(4, 0), &report, &config), Next::SettleFirst(2));
    }

    #[test]
    fn a_report_of_the_first_record_is_a_failed_attempt() {
        let config = config(r#"{"MaximumRetryAttempts":1}"#);
        let report = Outcome::Returned(Report::FailedFrom(0));
        assert_eq!(
            next(&unit(4, 0), &report, &config),
            Next::Retry { charged: true }
        );
        assert_eq!(next(&unit(4, 1), &report, &config), Next::Discard);
    }

    #[test]
    fn a_report_beyond_the_batch_fails_it_whole() {
        let config = config(r#"{"MaximumRetryAttempts":0}"#);
        let report = Outcome::Returned(Report::FailedFrom(4));
        assert_eq!(next(&unit(4, 0), &report, &config), Next::Discard);
    }

    #[test]
    fn the_first_half_of_a_split_is_the_smaller_one() {
        let config = config(r#"{"BisectBatchOnFunctionError":true,"MaximumRetryAttempts":0}"#);
        assert_eq!(failed(&unit(5, 0), &config), Next::Split(2));
        assert_eq!(failed(&unit(1, 0), &config), Next::Discard);
    }

    #[test]
    fn a_refusal_before_the_start_costs_nothing() {
        let config = config(r#"{"BisectBatchOnFunctionError":true,"MaximumRetryAttempts":0}"#);
        let refused = Outcome::Rejected(Fault::new(FaultKind::Transient, "no environment"));
        assert_eq!(
            next(&unit(4, 0), &refused, &config),
            Next::Retry { charged: false }
        );
    }

    #[test]
    fn without_a_limit_retries_never_end() {
        let config = config("{}");
        assert_eq!(
            failed(&unit(4, u32::MAX - 1), &config),
            Next::Retry { charged: true }
        );
    }
}
