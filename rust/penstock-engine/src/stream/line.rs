//! Keeps due lanes in line, and each lane with the worker that keeps its state.
//!
//! Rules: workers of the crew keep lanes: a lane goes on where it ran last for as long as that
//! slot is of the crew, and waits for it; a lane without a home goes to whoever has less than its
//! share of lanes; among those that a worker may take, the one that has waited longest is next.
//! Where there is no crew, any lane goes to anyone. When a slot joins, the others give up what
//! they hold beyond the new share, what came last first; nothing else moves a lane.

use std::collections::{BTreeMap, VecDeque};

use crate::dispatch::Due;
use crate::ids::SlotId;
use crate::mutants::{self, Mutant};

/// A lane: its shard's place and its number.
pub(crate) type Spot = (usize, u8);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: u64,
    spot: Spot,
}

#[derive(Debug, Default)]
struct Member {
    /// How many lanes are at home here.
    held: usize,
    /// Those of them that are due.
    line: VecDeque<Waiting>,
}

/// Due lanes, oldest first, and where lanes are at home.
#[derive(Debug, Default)]
pub(crate) struct Line {
    crew: BTreeMap<SlotId, Member>,
    /// Where a lane is at home, and the number of its move there.
    homes: BTreeMap<Spot, (SlotId, u64)>,
    /// Due lanes that anyone may take who has less than its share.
    homeless: VecDeque<Waiting>,
    next: u64,
}

impl Line {
    /// A lane has become due.
    pub fn push(&mut self, spot: Spot) {
        let since = self.number();
        let waiting = Waiting { since, spot };
        let home = self.homes.get(&spot).map(|(slot, _)| *slot);
        match home.and_then(|slot| self.crew.get_mut(&slot)) {
            Some(member) => member.line.push_back(waiting),
            None => self.homeless.push_back(waiting),
        }
    }

    /// Takes the lane that `slot` is to look at next.
    pub fn take(&mut self, slot: SlotId) -> Option<Spot> {
        let may = self.may_take_more(slot);
        let own = self.crew.get_mut(&slot).map(|member| &mut member.line);
        let first = |line: &VecDeque<Waiting>| line.front().map(|waiting| waiting.since);
        let own_since = own.as_deref().and_then(first);
        let free_since = first(&self.homeless).filter(|_| may);
        let line = match (own_since, free_since) {
            (Some(own_since), Some(free)) if own_since > free => &mut self.homeless,
            (None, Some(_)) => &mut self.homeless,
            _ => own?,
        };
        line.pop_front().map(|waiting| waiting.spot)
    }

    /// A lane runs in `slot` now and is at home there, if the slot keeps lanes.
    pub fn settle(&mut self, spot: Spot, slot: SlotId) {
        if self.homes.contains_key(&spot) || mutants::active(Mutant::LaneLeavesWorker) {
            return;
        }
        let moved = self.number();
        if let Some(member) = self.crew.get_mut(&slot) {
            member.held += 1;
            self.homes.insert(spot, (slot, moved));
            // A lane that was made anew may still stand in line as the one it was before.
            self.homeless.retain(|waiting| waiting.spot != spot);
        }
    }

    /// Which workers would probably get a batch.
    pub fn due(&self) -> Due {
        if self.crew.is_empty() {
            return match self.homeless.is_empty() {
                true => Due::Nobody,
                false => Due::Anyone,
            };
        }
        let more = if self.homeless.is_empty() {
            0
        } else {
            self.room_below()
        };
        let wants = |member: &Member| !member.line.is_empty() || member.held < more;
        let slots = self.crew.iter().filter(|(_, member)| wants(member));
        let slots: Vec<SlotId> = slots.map(|(slot, _)| *slot).collect();
        match slots.is_empty() {
            true => Due::Nobody,
            false => Due::Only(slots),
        }
    }

    /// These slots keep lanes from now on, and no others.
    pub fn set_crew(&mut self, slots: &[SlotId]) {
        let joined = slots.iter().any(|slot| !self.crew.contains_key(slot));
        let mut waiting: Vec<Waiting> = self.homeless.drain(..).collect();
        for member in self.crew.values_mut() {
            waiting.extend(member.line.drain(..));
        }
        self.crew = slots
            .iter()
            .map(|slot| (*slot, Member::default()))
            .collect();
        let mut homes: Vec<(u64, Spot, SlotId)> = self
            .homes
            .iter()
            .filter(|(_, (slot, _))| self.crew.contains_key(slot))
            .map(|(spot, (slot, moved))| (*moved, *spot, *slot))
            .collect();
        homes.sort_unstable();
        let lanes = homes.len();
        self.homes.clear();
        for (moved, spot, slot) in homes {
            let most = if joined {
                self.room_for(lanes)
            } else {
                usize::MAX
            };
            if let Some(member) = self.crew.get_mut(&slot)
                && member.held < most
            {
                member.held += 1;
                self.homes.insert(spot, (slot, moved));
            }
        }
        waiting.sort_unstable_by_key(|waiting| waiting.since);
        for Waiting { spot, .. } in waiting {
            self.push(spot);
        }
    }

    /// The lanes of a shard are no more: it has ended, or its keys are spread anew.
    pub fn forget(&mut self, shard: usize) {
        let gone: Vec<Spot> = self
            .homes
            .range((shard, 0)..=(shard, u8::MAX))
            .map(|(spot, _)| *spot)
            .collect();
        for spot in gone {
            let Some((slot, _)) = self.homes.remove(&spot) else {
                continue;
            };
            let Some(member) = self.crew.get_mut(&slot) else {
                continue;
            };
            member.held -= 1;
            // A due one waits on, and may go to anyone.
            let due = member
                .line
                .iter()
                .find(|waiting| waiting.spot == spot)
                .copied();
            member.line.retain(|waiting| waiting.spot != spot);
            if let Some(waiting) = due {
                let place = self
                    .homeless
                    .partition_point(|other| other.since < waiting.since);
                self.homeless.insert(place, waiting);
            }
        }
    }

    /// Nothing is due any more.
    pub fn clear(&mut self) {
        self.homeless.clear();
        for member in self.crew.values_mut() {
            member.line.clear();
        }
    }

    fn may_take_more(&self, slot: SlotId) -> bool {
        match self.crew.get(&slot) {
            Some(member) => member.held < self.room_below(),
            None => self.crew.is_empty(),
        }
    }

    /// Who holds fewer lanes than this may take one more. Somebody does whenever a lane without a
    /// home is due.
    fn room_below(&self) -> usize {
        self.room_for(self.homes.len() + self.homeless.len())
    }

    /// The same with so many lanes in all: shares differ by one at most.
    fn room_for(&self, lanes: usize) -> usize {
        let slots = self.crew.len().max(1);
        let (least, over) = (lanes / slots, lanes % slots);
        let full = self.crew.values().filter(|member| member.held > least);
        least + usize::from(full.count() < over)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(numbers: &[u32]) -> Vec<SlotId> {
        numbers.iter().copied().map(SlotId).collect()
    }

    fn due(line: &mut Line, lanes: &[u8]) {
        for &lane in lanes {
            line.push((0, lane));
        }
    }

    /// Runs every due lane that `slot` gets; gives them.
    fn run(line: &mut Line, slot: u32) -> Vec<u8> {
        let mut ran = Vec::new();
        while let Some(spot) = line.take(SlotId(slot)) {
            line.settle(spot, SlotId(slot));
            ran.push(spot.1);
        }
        ran
    }

    fn line_of(lanes: u8, crew: &[u32]) -> Line {
        let mut line = Line::default();
        line.set_crew(&slots(crew));
        (0..lanes).for_each(|lane| line.push((0, lane)));
        line
    }

    #[test]
    fn without_a_crew_anyone_gets_the_oldest() {
        let mut line = line_of(3, &[]);
        assert_eq!(line.due(), Due::Anyone);
        assert_eq!(line.take(SlotId(7)), Some((0, 0)));
        line.settle((0, 0), SlotId(7));
        line.push((0, 0));
        assert_eq!(run(&mut line, 8), [1, 2, 0]);
        assert_eq!(line.due(), Due::Nobody);
    }

    #[test]
    fn the_first_to_come_takes_no_more_than_its_share() {
        let mut line = line_of(5, &[0, 1]);
        assert_eq!(run(&mut line, 0), [0, 1, 2]);
        assert_eq!(line.due(), Due::Only(slots(&[1])));
        assert_eq!(run(&mut line, 0), [] as [u8; 0]);
        assert_eq!(run(&mut line, 1), [3, 4]);
    }

    #[test]
    fn shares_differ_by_one_at_most() {
        let mut line = line_of(4, &[0, 1, 2]);
        assert_eq!(run(&mut line, 0), [0, 1]);
        assert_eq!(line.due(), Due::Only(slots(&[1, 2])));
        assert_eq!(run(&mut line, 1), [2]);
        assert_eq!(line.due(), Due::Only(slots(&[2])));
        assert_eq!(run(&mut line, 2), [3]);
    }

    #[test]
    fn a_lane_goes_on_where_it_ran() {
        let mut line = line_of(4, &[0, 1]);
        assert_eq!(run(&mut line, 0), [0, 1]);
        assert_eq!(run(&mut line, 1), [2, 3]);
        for _ in 0..3 {
            due(&mut line, &[3, 1, 0, 2]);
            assert_eq!(run(&mut line, 1), [3, 2]);
            assert_eq!(
                line.due(),
                Due::Only(slots(&[0])),
                "they wait for their worker"
            );
            assert_eq!(run(&mut line, 0), [1, 0]);
        }
    }

    #[test]
    fn what_has_no_home_waits_behind_nobody_who_came_later() {
        let mut line = line_of(1, &[0]);
        assert_eq!(run(&mut line, 0), [0]);
        line.push((0, 1));
        line.push((0, 0));
        assert_eq!(run(&mut line, 0), [1, 0]);
    }

    #[test]
    fn a_lane_that_was_made_anew_while_it_was_due_is_nobody_elses_afterwards() {
        let mut line = line_of(1, &[0, 1]);
        line.forget(0);
        line.push((0, 0));
        assert_eq!(line.take(SlotId(0)), Some((0, 0)));
        line.settle((0, 0), SlotId(0));
        line.push((0, 0));
        assert_eq!(run(&mut line, 1), [] as [u8; 0]);
        assert_eq!(run(&mut line, 0), [0]);
    }

    #[test]
    fn lanes_of_a_slot_that_leaves_are_free_and_the_others_stay() {
        let mut line = line_of(4, &[0, 1]);
        run(&mut line, 0);
        run(&mut line, 1);
        due(&mut line, &[2, 0, 3, 1]);
        line.set_crew(&slots(&[1]));
        assert_eq!(
            run(&mut line, 1),
            [2, 0, 3, 1],
            "in the order in which they came due"
        );
    }

    #[test]
    fn a_slot_that_joins_gets_its_share_of_what_came_last() {
        let mut line = line_of(4, &[0, 1]);
        run(&mut line, 0);
        run(&mut line, 1);
        line.set_crew(&slots(&[0]));
        due(&mut line, &[2, 3]);
        assert_eq!(run(&mut line, 0), [2, 3]);
        line.set_crew(&slots(&[0, 1]));
        due(&mut line, &[0, 1, 2, 3]);
        assert_eq!(run(&mut line, 0), [0, 1]);
        assert_eq!(run(&mut line, 1), [2, 3]);
    }

    #[test]
    fn a_shard_that_ends_leaves_room_for_others() {
        let mut line = line_of(2, &[0, 1]);
        assert_eq!(run(&mut line, 0), [0]);
        assert_eq!(run(&mut line, 1), [1]);
        line.push((0, 0));
        line.forget(0);
        assert_eq!(run(&mut line, 1), [0], "it may go to anyone");
        assert_eq!(line.due(), Due::Nobody);
    }
}
