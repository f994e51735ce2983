//! Decides which mapping gets the next free slot of a pool.
//!
//! Rules: mappings with a due batch take turns; a mapping that runs something already leaves one
//! slot to each mapping that runs nothing, so that a slow handler cannot keep another from
//! starting; where that would take more than half of the pool, nothing is kept free.

use crate::ids::SlotId;

/// For which workers of its pool a mapping has a due batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// For none.
    Nobody,
    /// For whichever is free first.
    Anyone,
    /// For these, at least one; others would be sent away.
    Only(Vec<SlotId>),
}

impl Due {
    /// Whether there is one for this worker.
    #[must_use]
    pub fn covers(&self, slot: SlotId) -> bool {
        match self {
            Self::Nobody => false,
            Self::Anyone => true,
            Self::Only(slots) => slots.contains(&slot),
        }
    }
}

/// A pool, as far as the choice depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Workers that the pool has.
    pub slots: usize,
    /// Invocations that run.
    pub busy: usize,
    /// Mappings that use the pool.
    pub mappings: usize,
    /// Those of them that run nothing.
    pub resting: usize,
}

/// Which of the mappings in line is next, given how many invocations of each run; `None` when
/// what is free is kept for others.
#[must_use]
pub fn next(pool: Occupancy, line: impl IntoIterator<Item = usize>) -> Option<usize> {
    let kept = if pool.mappings * 2 <= pool.slots {
        pool.resting
    } else {
        0
    };
    let free = pool.slots.saturating_sub(pool.busy);
    line.into_iter()
        .position(|running| running == 0 || free > kept || kept == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Occupancy = Occupancy {
        slots: 8,
        busy: 0,
        mappings: 3,
        resting: 3,
    };

    #[test]
    fn the_first_in_line_is_next() {
        assert_eq!(next(POOL, [0, 0]), Some(0));
        assert_eq!(next(POOL, []), None);
    }

    #[test]
    fn a_busy_mapping_leaves_a_slot_to_each_that_rests() {
        let pool = Occupancy {
            busy: 5,
            resting: 2,
            ..POOL
        };
        assert_eq!(next(pool, [5]), Some(0));
        let pool = Occupancy { busy: 6, ..pool };
        assert_eq!(next(pool, [6]), None);
        assert_eq!(
            next(pool, [6, 0]),
            Some(1),
            "who rests does not wait behind who is busy"
        );
    }

    #[test]
    fn nothing_is_kept_free_where_it_would_take_most_of_the_pool() {
        let pool = Occupancy {
            mappings: 5,
            busy: 6,
            resting: 4,
            ..POOL
        };
        assert_eq!(next(pool, [6]), Some(0));
    }

    #[test]
    fn a_mapping_alone_gets_every_slot() {
        let pool = Occupancy {
            mappings: 1,
            busy: 7,
            resting: 0,
            ..POOL
        };
        assert_eq!(next(pool, [7]), Some(0));
    }
}
