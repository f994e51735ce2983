//! Decides whether a rule holds when fields stand in the elements of arrays.
//!
//! Rules: two fields of a rule may not be found in different elements of one array, nor a field be
//! absent because it stands in an element that an earlier field was not found in; scalars of an
//! array belong to whatever the array stands in.
//!
//! A way is a choice of elements, described by the fields that pass and the fields that are seen
//! under it. Each part of a record has its ways: side by side they add up, the elements of an array
//! exclude each other. Ways that another surpasses are forgotten, and so are those without a field
//! that stands nowhere else, so that a record of a sane shape has one or two. The time is linear in
//! the record.

use super::choices;
use super::findings::Mark;
use super::pattern::FIELDS_MAX;
use super::program::{Program, Rule};

/// Ways of one part that are kept. A record with repeated keys can be contrived to have more; it
/// then passes, since dropping it could lose it.
const WAYS_MAX: usize = 256;

/// Whether a rule holds for what the tape has.
pub(super) fn holds(program: &Program, rule: &Rule, tape: &[Mark]) -> bool {
    let search = Search::new(program, rule, tape);
    match search.ways(tape) {
        Ok(ways) => {
            let mut holding = ways.iter().filter(|way| search.passes(way)).peekable();
            // A way joins what passes in several arrays, and hides what any of them would hide.
            holding.peek().is_some()
                && (holding.any(|way| !search.hides(way)) || search.is_so(program, rule, tape))
        }
        Err(End::Nothing) => false,
        Err(End::TooMany) => true,
    }
}

/// Why a search ends early.
enum End {
    /// No choice passes.
    Nothing,
    /// There are too many choices to look at.
    TooMany,
}

/// One choice of elements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Way {
    passed: Set,
    seen: Set,
}

/// What an object, or another element of an array, holds.
struct Part {
    ways: Vec<Way>,
    /// What is seen when nothing in it is chosen.
    seen: Set,
}

/// An array whose marks are being read.
struct Array {
    start: usize,
    elements: Vec<Part>,
}

struct Search {
    /// The place of each field in the rule.
    places: Vec<Option<u16>>,
    all: Set,
    may_be_absent: Set,
    /// Fields that the record has.
    on_tape: Set,
    /// The first and the last mark at which each of the rule's fields passes.
    spans: Vec<(usize, usize)>,
}

impl Search {
    fn new(program: &Program, rule: &Rule, tape: &[Mark]) -> Self {
        let mut search = Self {
            places: vec![None; program.fields.len()],
            all: Set::default(),
            may_be_absent: Set::default(),
            on_tape: Set::default(),
            spans: vec![(usize::MAX, 0); rule.fields.len()],
        };
        for (place, &field) in rule.fields.iter().enumerate() {
            search.places[field] = Some(place as u16);
            search.all.insert(place);
            if program.fields[field].absent {
                search.may_be_absent.insert(place);
            }
        }
        for (at, mark) in tape.iter().enumerate() {
            if let Mark::Field(field, passed) = *mark
                && let Some(place) = search.place(field)
            {
                search.on_tape.insert(place);
                if passed {
                    let span = &mut search.spans[place];
                    *span = (span.0.min(at), at);
                }
            }
        }
        search
    }

    fn place(&self, field: u32) -> Option<usize> {
        self.places[field as usize].map(usize::from)
    }

    fn passes(&self, way: &Way) -> bool {
        let absent = self.may_be_absent.without(way.seen);
        way.passed.with(absent).covers(self.all)
    }

    /// Whether a way takes a field as absent that the record has.
    fn hides(&self, way: &Way) -> bool {
        let absent = self.may_be_absent.without(way.passed).without(way.seen);
        !absent.both(self.on_tape).is_empty()
    }

    /// Whether a rule that seems to hold does. What takes too long to find out passes.
    fn is_so(&self, program: &Program, rule: &Rule, tape: &[Mark]) -> bool {
        let absent = rule
            .fields
            .iter()
            .map(|&field| program.fields[field].absent);
        let candidates = choices::candidates(tape, absent, |field| self.place(field));
        candidates.is_none_or(|found| choices::exists(&found).unwrap_or(true))
    }

    /// The ways of the whole record.
    fn ways(&self, tape: &[Mark]) -> Result<Vec<Way>, End> {
        // Parts and arrays that have begun; a stack of our own, since a record may nest deeply.
        let (mut parts, mut arrays) = (vec![Part::new()], Vec::<Array>::new());
        for (at, &mark) in tape.iter().enumerate() {
            match mark {
                Mark::Field(field, passed) => {
                    if let (Some(place), Some(part)) = (self.place(field), parts.last_mut()) {
                        self.add(part, place, passed);
                    }
                }
                Mark::Open => arrays.push(Array {
                    start: at,
                    elements: Vec::new(),
                }),
                Mark::Enter => parts.push(Part::new()),
                Mark::Leave => {
                    if let (Some(part), Some(array)) = (parts.pop(), arrays.last_mut()) {
                        array.elements.push(part);
                    }
                }
                Mark::Close => {
                    if let (Some(array), Some(part)) = (arrays.pop(), parts.last_mut()) {
                        self.settle(&array, at, part)?;
                    }
                }
            }
        }
        Ok(parts.pop().map_or_else(Vec::new, |part| part.ways))
    }

    /// A scalar that no choice excludes.
    fn add(&self, part: &mut Part, place: usize, passed: bool) {
        let seen = self.may_be_absent.has(place);
        if seen {
            part.seen.insert(place);
        }
        for way in &mut part.ways {
            if passed {
                way.passed.insert(place);
            }
            if seen {
                way.seen.insert(place);
            }
        }
    }

    /// Adds an array that has been read to the part that it stands in.
    fn settle(&self, array: &Array, end: usize, part: &mut Part) -> Result<(), End> {
        if array.elements.is_empty() {
            return Ok(());
        }
        let none = Set::default();
        let seen = array
            .elements
            .iter()
            .fold(none, |seen, element| seen.with(element.seen));
        let needed = self.found_only_between(array.start, end);
        let outside = part
            .ways
            .iter()
            .fold(self.all, |all, way| all.both(way.passed));
        let mut ways = Vec::new();
        for way in array.elements.iter().flat_map(|element| &element.ways) {
            if way.passed.with(outside).covers(needed) {
                // A field is hidden in the other elements once an earlier one is found in this.
                let visible = seen.up_to(way.passed.first());
                let seen = way.seen.with(visible);
                keep(&mut ways, Way { seen, ..*way })?;
            }
        }
        if ways.is_empty() {
            return Err(End::Nothing);
        }
        part.seen = part.seen.with(seen);
        part.ways = beside(&part.ways, &ways)?;
        Ok(())
    }

    /// The fields that have to pass and pass nowhere but between two marks.
    fn found_only_between(&self, start: usize, end: usize) -> Set {
        let mut only = Set::default();
        for (place, &(first, last)) in self.spans.iter().enumerate() {
            if first > start && last < end && !self.may_be_absent.has(place) {
                only.insert(place);
            }
        }
        only
    }
}

impl Part {
    fn new() -> Self {
        Self {
            ways: vec![Way::default()],
            seen: Set::default(),
        }
    }
}

/// The ways of two parts of an object together.
fn beside(left: &[Way], right: &[Way]) -> Result<Vec<Way>, End> {
    let mut ways = Vec::new();
    for one in left {
        for other in right {
            let way = Way {
                passed: one.passed.with(other.passed),
                seen: one.seen.with(other.seen),
            };
            keep(&mut ways, way)?;
        }
    }
    Ok(ways)
}

/// Adds a way, unless one that is kept already does as well.
fn keep(ways: &mut Vec<Way>, way: Way) -> Result<(), End> {
    let surpasses =
        |one: &Way, other: &Way| one.passed.covers(other.passed) && other.seen.covers(one.seen);
    if ways.iter().any(|known| surpasses(known, &way)) {
        return Ok(());
    }
    ways.retain(|known| !surpasses(&way, known));
    ways.push(way);
    match ways.len() > WAYS_MAX {
        true => Err(End::TooMany),
        false => Ok(()),
    }
}

const WORDS: usize = FIELDS_MAX / 64;

/// A set of a rule's fields, by their places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Set([u64; WORDS]);

impl Set {
    fn insert(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(64 * word + self.0[word].trailing_zeros() as usize)
    }

    /// Those that do not come after `place`.
    fn up_to(self, place: Option<usize>) -> Self {
        let Some(place) = place else {
            return self;
        };
        let mut words = self.0;
        words[place / 64] &= u64::MAX >> (63 - place % 64);
        for word in &mut words[place / 64 + 1..] {
            *word = 0;
        }
        Self(words)
    }

    fn covers(&self, other: Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(own, other)| other & !own == 0)
    }

    fn with(self, other: Self) -> Self {
        self.pairwise(other, |own, other| own | other)
    }

    fn without(self, other: Self) -> Self {
        self.pairwise(other, |own, other| own & !other)
    }

    fn both(self, other: Self) -> Self {
        self.pairwise(other, |own, other| own & other)
    }

    fn pairwise(self, other: Self, word: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|index| {
            word(self.0[index], other.0[index])
        }))
    }
}
