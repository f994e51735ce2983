//! Keeps what one record has at the fields of all patterns, and decides whether a rule holds.
//!
//! Rules: without arrays of containers a bit for each field says all; with them a tape keeps which
//! element each field was found in, and `arrays` decides; nothing is allocated once the buffers
//! have grown to what records need.

use super::arrays;
use super::program::{Program, Rule};
use super::test::Scalar;
use super::walk::Sink;

/// One step of what was found, in the order of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A scalar at a field's path, and whether it passes.
    Field(u32, bool),
    /// An array begins.
    Open,
    /// A container in it begins.
    Enter,
    /// It ends.
    Leave,
    /// The array ends.
    Close,
}

/// The buffers, used again for each record.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Fields that passed somewhere.
    passed: Vec<u64>,
    /// Fields that may be absent and are not.
    seen: Vec<u64>,
    tape: Vec<Mark>,
    /// Whether an array has several elements with something of interest.
    split: bool,
}

/// How many marks back a repeated one is looked for. Long arrays of scalars then take no room.
const REPEATS: usize = 4;

impl Findings {
    /// Forgets the record before.
    pub(super) fn clear(&mut self, program: &Program) {
        self.passed.clear();
        self.passed.resize(program.words(), 0);
        self.seen.clear();
        self.seen.resize(program.words(), 0);
        self.tape.clear();
        self.split = false;
    }

    /// A sink that fills them.
    pub(super) fn sink<'a>(&'a mut self, program: &'a Program) -> impl Sink + 'a {
        Filling {
            findings: self,
            program,
        }
    }

    /// Whether the fields of `bits` may pass as far as is known.
    pub(super) fn fits(&self, program: &Program, bits: &[u64]) -> bool {
        bits.iter().enumerate().all(|(word, &wanted)| {
            let missing = wanted & !self.passed[word];
            missing == 0 || self.all_absent(program, word, missing)
        })
    }

    /// The same of one field.
    pub(super) fn fits_field(&self, program: &Program, field: usize) -> bool {
        let has = |bits: &[u64]| bits[field / 64] >> (field % 64) & 1 == 1;
        has(&self.passed) || (program.fields[field].absent && !has(&self.seen))
    }

    /// Whether a rule holds for the record.
    pub(super) fn holds(&self, program: &Program, rule: &Rule) -> bool {
        match self.split && rule.fields.len() > 1 {
            false => self.fits(program, &rule.bits),
            true => self.can_hold(program, rule) && arrays::holds(program, rule, &self.tape),
        }
    }

    /// Whether every field of a rule passed somewhere or is one that may be absent.
    fn can_hold(&self, program: &Program, rule: &Rule) -> bool {
        let passed = |field: usize| self.passed[field / 64] >> (field % 64) & 1 == 1;
        let mut fields = rule.fields.iter();
        fields.all(|&field| passed(field) || program.fields[field].absent)
    }

    fn all_absent(&self, program: &Program, word: usize, mut missing: u64) -> bool {
        if missing & self.seen[word] != 0 {
            return false;
        }
        while missing != 0 {
            let bit = missing.trailing_zeros() as usize;
            if !program.fields[64 * word + bit].absent {
                return false;
            }
            missing &= missing - 1;
        }
        true
    }
}

struct Filling<'a> {
    findings: &'a mut Findings,
    program: &'a Program,
}

impl Sink for Filling<'_> {
    fn field(&mut self, number: usize, value: Scalar<'_>) {
        let field = &self.program.fields[number];
        let passed = field.tests.iter().any(|test| test.holds(value));
        let (word, bit) = (number / 64, 1 << (number % 64));
        if passed {
            self.findings.passed[word] |= bit;
        }
        if field.absent {
            self.findings.seen[word] |= bit;
        }
        if passed || field.absent {
            self.findings.note(Mark::Field(number as u32, passed));
        }
    }

    fn open(&mut self) {
        self.findings.tape.push(Mark::Open);
    }

    fn enter(&mut self) {
        self.findings.tape.push(Mark::Enter);
    }

    fn leave(&mut self) -> bool {
        self.findings.shut(Mark::Enter, Mark::Leave)
    }

    fn close(&mut self, filled: usize) {
        self.findings.split |= filled > 1;
        self.findings.shut(Mark::Open, Mark::Close);
    }
}

impl Findings {
    fn note(&mut self, mark: Mark) {
        let recent = self.tape.iter().rev().take(REPEATS);
        let mut level = recent.take_while(|mark| matches!(mark, Mark::Field(..)));
        if !level.any(|&known| known == mark) {
            self.tape.push(mark);
        }
    }

    /// Ends what `opening` began; nothing is kept of what had nothing of interest.
    fn shut(&mut self, opening: Mark, closing: Mark) -> bool {
        if self.tape.last() == Some(&opening) {
            self.tape.pop();
            return false;
        }
        self.tape.push(closing);
        true
    }
}
