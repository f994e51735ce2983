//! Decides which messages of a batch failed.
//!
//! Rules (AWS Lambda Developer Guide, SQS): what the answer lists failed, and all else succeeded;
//! without the option, or without a usable answer, all or nothing did. On a FIFO queue Lambda
//! deletes what follows a failed message in its group unless it is listed too; in strict mode that
//! failed as well.

use crate::config::MappingConfig;
use crate::io::{Outcome, Report};
use crate::mutants::{self, Mutant};

/// What an outcome says about each message of its batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the message at each place failed.
    pub failed: Vec<bool>,
    /// Whether a message that follows a failed one of its group was not listed.
    pub gap: bool,
}

/// The verdict of an outcome on messages of these groups, in order.
pub(crate) fn of(outcome: &Outcome, config: &MappingConfig, groups: &[u64]) -> Verdict {
    let all = |failed| Verdict {
        failed: vec![failed; groups.len()],
        gap: false,
    };
    let listed = match outcome {
        _ if mutants::active(Mutant::DeleteBeforeSuccess) => return all(false),
        Outcome::Returned(Report::AllSucceeded) => return all(false),
        Outcome::Returned(Report::Failed(listed)) if config.partial_response => listed,
        _ => return all(true),
    };
    let mut verdict = all(false);
    for place in listed.iter() {
        match verdict.failed.get_mut(*place as usize) {
            Some(failed) => *failed = true,
            None => return all(true),
        }
    }
    if mutants::active(Mutant::PartialInverted) {
        for failed in &mut verdict.failed {
            *failed = !*failed;
        }
    }
    if let Some(rules) = config.queue.filter(|rules| rules.fifo) {
        let keep = rules.strict_groups && !mutants::active(Mutant::GapDeletedInStrict);
        follow_groups(&mut verdict, groups, keep);
    }
    verdict
}

/// Finds what follows a failed message of its group and is not listed; `keep` lists it too.
fn follow_groups(verdict: &mut Verdict, groups: &[u64], keep: bool) {
    let mut stopped = std::collections::BTreeSet::new();
    for (failed, group) in verdict.failed.iter_mut().zip(groups) {
        if *failed {
            stopped.insert(group);
        } else if stopped.contains(group) {
            verdict.gap = true;
            *failed = keep;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::config;
    use super::*;
    use crate::io::HandlerError;

    fn listed(places: &[u32]) -> Outcome {
        Outcome::Returned(Report::Failed(places.into()))
    }

    fn failed(name: &str, options: &str, outcome: &Outcome, groups: &[u64]) -> (Vec<usize>, bool) {
        let verdict = of(outcome, &config(name, options), groups);
        let places = (0..groups.len()).filter(|place| verdict.failed[*place]);
        (places.collect(), verdict.gap)
    }

    const REPORTS: &str = r#""FunctionResponseTypes":["ReportBatchItemFailures"]"#;

    #[test]
    fn listed_messages_failed_and_no_others() {
        let groups = [0; 4];
        assert_eq!(
            failed("q", REPORTS, &listed(&[1, 3]), &groups),
            (vec![1, 3], false)
        );
        assert_eq!(failed("q", REPORTS, &listed(&[]), &groups), (vec![], false));
        assert_eq!(failed("q", REPORTS, &listed(&[0, 9]), &groups).0.len(), 4);
        assert_eq!(
            failed("q", "", &listed(&[1]), &groups).0.len(),
            4,
            "not asked for"
        );
    }

    #[test]
    fn whatever_is_no_success_fails_the_whole_batch() {
        let error = HandlerError {
            kind: "E".into(),
            message: "m".into(),
        };
        for outcome in [
            Outcome::Returned(Report::Unusable),
            Outcome::Returned(Report::FailedFrom(1)),
            Outcome::Raised(error.clone()),
            Outcome::Crashed(error),
            Outcome::TimedOut,
        ] {
            assert_eq!(failed("q", REPORTS, &outcome, &[0; 3]).0.len(), 3);
        }
        let fine = Outcome::Returned(Report::AllSucceeded);
        assert_eq!(failed("q", REPORTS, &fine, &[0; 3]).0, Vec::<usize>::new());
    }

    #[test]
    fn what_follows_in_a_group_is_deleted_as_lambda_does_or_kept_in_strict_mode() {
        let groups = [1, 2, 1, 2, 1];
        let strict = format!(r#"{REPORTS},"Penstock":{{"StrictGroups":true}}"#);
        assert_eq!(
            failed("q.fifo", REPORTS, &listed(&[0]), &groups),
            (vec![0], true)
        );
        assert_eq!(
            failed("q.fifo", &strict, &listed(&[0]), &groups),
            (vec![0, 2, 4], true)
        );
        assert_eq!(
            failed("q.fifo", &strict, &listed(&[3]), &groups),
            (vec![3], false)
        );
        let whole = listed(&[0, 2, 4]);
        assert_eq!(
            failed("q.fifo", REPORTS, &whole, &groups),
            (vec![0, 2, 4], false)
        );
        assert_eq!(
            failed("q", REPORTS, &listed(&[0]), &groups),
            (vec![0], false)
        );
    }
}
