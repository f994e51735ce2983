//! Defines the conditional writes to a row, and what each needs and does.
//!
//! Rules: every write has a condition, and a write whose condition fails changes nothing; what a
//! holder writes is bound to its name and fence, so that its renewals and checkpoints do not get
//! in each other's way and nothing of an earlier lease is accepted; saves are numbered, so that one
//! that was given up and arrives late does not undo those after it; only a lease is bound to the
//! counter that was seen.

use super::row::{Place, Row};
use crate::ids::{Fence, Owner};
use crate::mutants::{self, Mutant};

/// One write to one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Becomes the holder, if the row is still as it was seen.
    Take {
        /// Who takes it.
        owner: Owner,
        /// Whose it was.
        from: Option<Owner>,
        /// The counter that was seen.
        seen: u64,
        /// The new counter, which is the new fence too; larger than every earlier one.
        counter: u64,
    },
    /// Shows the others that the holder lives.
    Renew {
        /// The holder.
        owner: Owner,
        /// Its fence.
        fence: Fence,
    },
    /// Asks the holder to hand the row over, unless somebody has asked before.
    Ask {
        /// Who asks.
        owner: Owner,
        /// The holder.
        from: Owner,
        /// The holder's fence.
        fence: Fence,
    },
    /// Gives the row up, for whoever has asked for it.
    Release {
        /// The holder.
        owner: Owner,
        /// Its fence.
        fence: Fence,
    },
    /// Saves how far the shard has come.
    Save {
        /// The holder.
        owner: Owner,
        /// Its fence.
        fence: Fence,
        /// Counts the saves of this lease from one; each is larger than those before.
        number: u64,
        /// How far.
        place: Place,
    },
}

impl Write {
    /// Whether the condition holds for the row as it is.
    #[must_use]
    pub fn allowed(&self, row: &Row) -> bool {
        let held = |owner: &Owner, fence: &Fence| row.is_held(owner, *fence);
        match self {
            Self::Take { from, seen, .. } => row.owner == *from && row.counter == *seen,
            Self::Renew { owner, fence } | Self::Release { owner, fence } => held(owner, fence),
            Self::Ask { from, fence, .. } => held(from, fence) && row.wanted_by.is_none(),
            Self::Save {
                owner,
                fence,
                number,
                ..
            } => {
                let newer = row.saves < *number || mutants::active(Mutant::LateSaveAccepted);
                (held(owner, fence) && newer) || mutants::active(Mutant::LeaseUnfenced)
            }
        }
    }

    /// What a row that was read later says of a write whose answer was lost: that it has taken
    /// effect, or never will; `None` when it cannot tell.
    #[must_use]
    pub fn outcome(&self, row: &Row) -> Option<bool> {
        match self {
            Self::Take {
                owner,
                seen,
                counter,
                ..
            } => {
                let taken = row.is_held(owner, Fence(*counter));
                (taken || row.counter != *seen).then_some(taken)
            }
            Self::Ask { owner, from, fence } => {
                let asked = row.wanted_by.as_ref() == Some(owner);
                let moot = row.wanted_by.is_some() || !row.is_held(from, *fence);
                (asked || moot).then_some(asked)
            }
            // Whether a lease that goes on was renewed by this write or by an earlier one, the
            // counter does not tell; nor, of one that does not, who has ended it.
            Self::Renew { owner, fence } | Self::Release { owner, fence } => {
                (!row.is_held(owner, *fence)).then_some(false)
            }
            Self::Save {
                owner,
                fence,
                number,
                ..
            } => {
                let held = row.is_held(owner, *fence);
                let saved = held && row.saves == *number;
                (!held || row.saves >= *number).then_some(saved)
            }
        }
    }

    /// What the row becomes.
    pub fn apply(&self, row: &mut Row) {
        match self {
            Self::Take { owner, counter, .. } => {
                if row.owner.as_ref() != Some(owner) {
                    row.switches += 1;
                }
                row.owner = Some(owner.clone());
                row.counter = *counter;
                row.fence = Some(Fence(*counter));
                row.saves = 0;
                row.wanted_by = None;
            }
            Self::Renew { .. } => row.counter += 1,
            Self::Ask { owner, .. } => row.wanted_by = Some(owner.clone()),
            Self::Release { .. } => {
                row.owner = None;
                row.fence = None;
                row.saves = 0;
                row.counter += 1;
            }
            Self::Save { number, place, .. } => {
                row.saves = *number;
                row.place = place.clone();
                row.switches = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    fn owner(name: &str) -> Owner {
        Owner::new(name)
    }

    fn written(row: &mut Row, write: &Write) -> bool {
        let allowed = write.allowed(row);
        if allowed {
            write.apply(row);
        }
        allowed
    }

    fn take(name: &str, row: &Row) -> Write {
        Write::Take {
            owner: owner(name),
            from: row.owner.clone(),
            seen: row.counter,
            counter: row.counter + 1,
        }
    }

    #[test]
    fn of_two_who_take_one_row_one_gets_it() {
        let mut row = Row::new(ShardId::new("s"), Place::TrimHorizon, Vec::new());
        let (a, b) = (take("a", &row), take("b", &row));
        assert!(written(&mut row, &a));
        assert!(!written(&mut row, &b));
        assert_eq!((row.owner, row.fence), (Some(owner("a")), Some(Fence(1))));
    }

    #[test]
    fn a_renewal_lets_a_checkpoint_pass_and_stops_whoever_had_seen_the_counter() {
        let mut row = Row::new(ShardId::new("s"), Place::TrimHorizon, Vec::new());
        let first = take("a", &row);
        written(&mut row, &first);
        let late = take("b", &row);
        let (a, fence) = (owner("a"), Fence(1));
        let renew = Write::Renew {
            owner: a.clone(),
            fence,
        };
        assert!(written(&mut row, &renew));
        assert!(!written(&mut row, &late));
        let place = Place::ShardEnd;
        let save = Write::Save {
            owner: a,
            fence,
            number: 2,
            place,
        };
        assert!(written(&mut row, &save));
        assert!(row.ended());
    }

    #[test]
    fn a_save_that_arrives_after_a_later_one_changes_nothing() {
        let mut row = Row::new(ShardId::new("s"), Place::TrimHorizon, Vec::new());
        let first = take("a", &row);
        written(&mut row, &first);
        let save = |number, place| Write::Save {
            owner: owner("a"),
            fence: Fence(1),
            number,
            place,
        };
        assert!(written(&mut row, &save(2, Place::ShardEnd)));
        assert!(!written(&mut row, &save(1, Place::TrimHorizon)));
        assert!(row.ended());
    }

    #[test]
    fn a_lost_answer_is_told_from_the_row_where_the_row_can_tell() {
        let mut row = Row::new(ShardId::new("s"), Place::TrimHorizon, Vec::new());
        let (first, other) = (take("a", &row), take("b", &row));
        assert_eq!(first.outcome(&row), None);
        written(&mut row, &first);
        assert_eq!(
            (first.outcome(&row), other.outcome(&row)),
            (Some(true), Some(false))
        );
        let (a, b, fence) = (owner("a"), owner("b"), Fence(1));
        let renew = Write::Renew {
            owner: a.clone(),
            fence,
        };
        let save = |number| Write::Save {
            owner: a.clone(),
            fence,
            number,
            place: Place::ShardEnd,
        };
        let ask = |name: &Owner| Write::Ask {
            owner: name.clone(),
            from: a.clone(),
            fence,
        };
        assert_eq!((renew.outcome(&row), save(2).outcome(&row)), (None, None));
        assert_eq!(ask(&b).outcome(&row), None);
        written(&mut row, &save(2));
        written(&mut row, &ask(&b));
        let saves = [1, 2, 3].map(|number| save(number).outcome(&row));
        assert_eq!(saves, [Some(false), Some(true), None]);
        assert_eq!(ask(&b).outcome(&row), Some(true));
        assert_eq!(ask(&owner("c")).outcome(&row), Some(false));
        let next = take("b", &row);
        written(&mut row, &next);
        let over = [renew, save(2), save(3), ask(&b)];
        assert!(over.iter().all(|write| write.outcome(&row) == Some(false)));
    }

    #[test]
    fn nothing_of_an_earlier_lease_is_accepted() {
        let mut row = Row::new(ShardId::new("s"), Place::TrimHorizon, Vec::new());
        for name in ["a", "b", "a"] {
            let next = take(name, &row);
            assert!(written(&mut row, &next));
        }
        let (owner, fence) = (owner("a"), Fence(1));
        let place = Place::ShardEnd;
        let old = [
            Write::Renew {
                owner: owner.clone(),
                fence,
            },
            Write::Release {
                owner: owner.clone(),
                fence,
            },
            Write::Save {
                owner,
                fence,
                number: 9,
                place,
            },
        ];
        let before = row.clone();
        assert!(old.iter().all(|write| !written(&mut row, write)));
        assert_eq!(row, before);
    }
}
