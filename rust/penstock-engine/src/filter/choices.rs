//! Tries the scalars of a record one by one for the fields of a rule.
//!
//! Rules: fields are taken in the order of the rule, and each scalar that is chosen fixes the
//! elements that it stands in; a field is absent when no scalar at its path stands where the chosen
//! ones allow. That is what the rules of arrays say, word for word, and may take exponential time:
//! so the steps are counted, and a search that has too many of them has no answer.
//!
//! `arrays` knows without a search that a rule cannot hold. It cannot know that one holds when a
//! key stands twice, and something must be absent that the record has.

use super::findings::Mark;

/// Elements that are looked at for one rule and one record.
const STEPS_MAX: usize = 100_000;

/// An array, by the mark at which it begins, and one of its elements.
type Inside = (usize, usize);

/// What a rule asks of one of its fields, and what a record has there.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    /// Whether the field may be absent.
    absent: bool,
    /// Each scalar: whether it passes, and the elements that it stands in.
    leaves: Vec<(bool, Vec<Inside>)>,
}

/// Reads what a record has at each of a rule's fields; `place` gives the place of a field in the
/// rule. `None` when that is too much.
pub(super) fn candidates(
    tape: &[Mark],
    absent: impl Iterator<Item = bool>,
    place: impl Fn(u32) -> Option<usize>,
) -> Option<Vec<Candidates>> {
    let mut room = STEPS_MAX;
    let mut fields: Vec<Candidates> = absent
        .map(|absent| Candidates {
            absent,
            ..Candidates::default()
        })
        .collect();
    let (mut arrays, mut inside) = (Vec::new(), Vec::<Inside>::new());
    for (at, &mark) in tape.iter().enumerate() {
        match mark {
            Mark::Field(field, passed) => {
                if let Some(place) = place(field) {
                    room = room.checked_sub(1 + inside.len())?;
                    fields[place].leaves.push((passed, inside.clone()));
                }
            }
            Mark::Open => arrays.push(at),
            Mark::Enter => inside.extend(arrays.last().map(|&array| (array, at))),
            Mark::Leave => drop(inside.pop()),
            Mark::Close => drop(arrays.pop()),
        }
    }
    Some(fields)
}

/// Whether there is a choice for all fields; `None` when that takes too long to find out.
pub(super) fn exists(fields: &[Candidates]) -> Option<bool> {
    let mut search = Search {
        chosen: Vec::new(),
        steps: STEPS_MAX,
    };
    search.choose(fields)
}

struct Search {
    /// The elements that the scalars chosen so far stand in.
    chosen: Vec<Inside>,
    steps: usize,
}

impl Search {
    fn choose(&mut self, fields: &[Candidates]) -> Option<bool> {
        let Some((field, rest)) = fields.split_first() else {
            return Some(true);
        };
        let known = self.chosen.len();
        let mut absent = field.absent;
        for (passed, inside) in &field.leaves {
            let steps = (1 + known) * (1 + inside.len());
            self.steps = self.steps.checked_sub(steps)?;
            if !self.allows(inside) {
                continue;
            }
            absent = false;
            if *passed {
                let new = inside.iter().filter(|one| !self.chosen.contains(one));
                let new: Vec<Inside> = new.copied().collect();
                self.chosen.extend(new);
                if self.choose(rest)? {
                    return Some(true);
                }
                self.chosen.truncate(known);
            }
        }
        match absent {
            true => self.choose(rest),
            false => Some(false),
        }
    }

    fn allows(&self, inside: &[Inside]) -> bool {
        inside.iter().all(|(array, element)| {
            let mut chosen = self.chosen.iter();
            chosen.all(|(other, chosen)| array != other || element == chosen)
        })
    }
}
