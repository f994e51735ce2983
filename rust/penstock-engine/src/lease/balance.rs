//! Says how many shards each process should have, and who has one too many.
//!
//! Rules: shares are equal by count, up to one; nothing moves unless the move makes the difference
//! of two processes smaller (two apart, at least), so a balanced fleet is left alone; another
//! program that has shards counts, and is never asked for one.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Owner;
use crate::mutants::{self, Mutant};

/// How many shards each process has, or will have once it is given what it has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shares {
    me: Owner,
    counts: BTreeMap<Owner, usize>,
    /// Those that do not know of being asked.
    deaf: BTreeSet<Owner>,
    shards: usize,
}

impl Shares {
    /// Nobody has anything yet; this process takes part.
    pub(super) fn new(me: Owner) -> Self {
        Self {
            counts: BTreeMap::from([(me.clone(), 0)]),
            me,
            deaf: BTreeSet::new(),
            shards: 0,
        }
    }

    /// One more shard, and who has it.
    pub(super) fn add(&mut self, owner: Option<&Owner>) {
        self.shards += 1;
        if let Some(owner) = owner {
            *self.counts.entry(owner.clone()).or_default() += 1;
        }
    }

    /// Asking this one is of no use.
    pub(super) fn cannot_hear(&mut self, owner: &Owner) {
        self.deaf.insert(owner.clone());
    }

    /// This process gets one that was nobody's.
    pub(super) fn take(&mut self) {
        *self.mine() += 1;
    }

    /// This process gets one of another's.
    pub(super) fn give(&mut self, from: &Owner) {
        if let Some(count) = self.counts.get_mut(from) {
            *count = count.saturating_sub(1);
        }
        self.take();
    }

    /// Whether this process should take what is nobody's.
    pub(super) fn wants_more(&self) -> bool {
        self.counts[&self.me] < self.shards.div_ceil(self.counts.len())
    }

    /// Who should hand one over to this process; `asked` says whether it has just asked for one.
    pub(super) fn richer(&self, asked: bool) -> Option<Owner> {
        let mine = self.counts[&self.me];
        // Others may ask at the same moment: more than one at a time only up to the least share.
        if asked && mine >= self.shards / self.counts.len() {
            return None;
        }
        let hear = |(owner, _): &(&Owner, &usize)| !self.deaf.contains(*owner);
        let hearing = self.counts.iter().filter(hear);
        let (owner, most) = hearing.max_by_key(|(_, count)| **count)?;
        let apart = if mutants::active(Mutant::LeasesThrash) {
            1
        } else {
            2
        };
        (*most >= mine + apart).then(|| owner.clone())
    }

    fn mine(&mut self) -> &mut usize {
        self.counts.entry(self.me.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(mine: usize, others: &[usize], free: usize) -> Shares {
        let me = Owner::new("me");
        let mut shares = Shares::new(me.clone());
        (0..mine).for_each(|_| shares.add(Some(&me)));
        for (place, count) in others.iter().enumerate() {
            let owner = Owner::new(format!("other-{place}"));
            (0..*count).for_each(|_| shares.add(Some(&owner)));
        }
        (0..free).for_each(|_| shares.add(None));
        shares
    }

    /// How many would be asked for at one look.
    fn asks(mut shares: Shares) -> usize {
        let mut asked = 0;
        while let Some(owner) = shares.richer(asked > 0) {
            shares.give(&owner);
            asked += 1;
        }
        asked
    }

    #[test]
    fn what_is_nobody_s_is_taken_up_to_the_share() {
        assert!(shares(0, &[], 5).wants_more());
        assert!(shares(2, &[3], 1).wants_more());
        assert!(!shares(3, &[2], 1).wants_more());
        assert!(!shares(0, &[], 0).wants_more());
    }

    #[test]
    fn a_balanced_fleet_is_left_alone() {
        for (mine, others) in [(2, vec![2]), (2, vec![3]), (3, vec![2, 3]), (0, vec![1])] {
            assert_eq!(
                asks(shares(mine, &others, 0)),
                0,
                "{mine} beside {others:?}"
            );
        }
    }

    #[test]
    fn another_program_is_not_asked_and_does_not_keep_others_from_it() {
        let mut shares = shares(0, &[9, 4], 0);
        assert_eq!(shares.richer(false), Some(Owner::new("other-0")));
        shares.cannot_hear(&Owner::new("other-0"));
        assert_eq!(shares.richer(false), Some(Owner::new("other-1")));
    }

    #[test]
    fn a_newcomer_asks_for_its_share_and_no_more() {
        assert_eq!(asks(shares(0, &[8], 0)), 4);
        assert_eq!(asks(shares(0, &[4, 4], 0)), 2);
        assert_eq!(asks(shares(1, &[3, 1], 0)), 1);
    }
}
