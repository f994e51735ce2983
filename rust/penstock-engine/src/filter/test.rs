//! Evaluates one test of a pattern on one value of a record.
//!
//! Rules: types are never converted; texts are compared byte by byte, numbers by `number`, texts
//! that are IP addresses by `address`.

use super::address::{Address, Range};
use super::number;
use super::text::Caseless;
use super::wildcard::Wildcard;

/// A scalar of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    /// A string, unescaped.
    Text(&'a str),
    /// A number, as it is written.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Word(&'a str),
}

/// One element of a field's list. `{"exists": false}` is not among them: it is a property of the
/// list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Text(String),
    Word(String),
    Number(f64),
    /// A number that cannot be compared equals only its own text.
    NumberText(String),
    Present,
    Prefix(String),
    PrefixCaseless(Caseless),
    Suffix(String),
    SuffixCaseless(Caseless),
    EqualsCaseless(Caseless),
    Wildcard(Wildcard),
    Numeric(Interval),
    Addresses(Range),
    AnythingBut(But),
}

/// What an `anything-but` excludes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum But {
    Texts(Vec<String>),
    Numbers(Vec<f64>),
    Caseless(Vec<Caseless>),
    Prefixes(Vec<String>),
    Suffixes(Vec<String>),
    Wildcards(Vec<Wildcard>),
}

/// A range of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) bottom: Bound,
    pub(super) top: Bound,
}

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    None,
    Open(f64),
    Closed(f64),
}

impl Test {
    /// Whether the value passes.
    pub(super) fn holds(&self, value: Scalar<'_>) -> bool {
        match (self, value) {
            (Self::Present, _) => true,
            (Self::AnythingBut(but), _) => !but.excludes(value),
            (Self::Word(word), Scalar::Word(text)) => word == text,
            (Self::Number(number), Scalar::Number(text)) => {
                number::comparable(text) == Some(*number)
            }
            (Self::NumberText(number), Scalar::Number(text)) => number == text,
            (Self::Numeric(interval), Scalar::Number(text)) => {
                number::comparable(text).is_some_and(|number| interval.holds(number))
            }
            (_, Scalar::Text(text)) => self.holds_text(text),
            _ => false,
        }
    }

    fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::PrefixCaseless(prefix) => prefix.begins(text),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::SuffixCaseless(suffix) => suffix.ends(text),
            Self::EqualsCaseless(own) => own.equals(text),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Addresses(range) => {
                Address::parse(text).is_some_and(|address| range.holds(&address))
            }
            _ => false,
        }
    }
}

impl But {
    fn excludes(&self, value: Scalar<'_>) -> bool {
        match (self, value) {
            (Self::Numbers(numbers), Scalar::Number(text)) => {
                number::comparable(text).is_some_and(|number| numbers.contains(&number))
            }
            (Self::Texts(texts), Scalar::Text(text)) => texts.iter().any(|own| own == text),
            (Self::Caseless(texts), Scalar::Text(text)) => texts.iter().any(|own| own.equals(text)),
            (Self::Prefixes(texts), Scalar::Text(text)) => {
                texts.iter().any(|prefix| text.starts_with(prefix.as_str()))
            }
            (Self::Suffixes(texts), Scalar::Text(text)) => {
                texts.iter().any(|suffix| text.ends_with(suffix.as_str()))
            }
            (Self::Wildcards(texts), Scalar::Text(text)) => {
                texts.iter().any(|wildcard| wildcard.matches(text))
            }
            _ => false,
        }
    }
}

impl Interval {
    fn holds(self, number: f64) -> bool {
        let above = match self.bottom {
            Bound::None => true,
            Bound::Open(bound) => number > bound,
            Bound::Closed(bound) => number >= bound,
        };
        let below = match self.top {
            Bound::None => true,
            Bound::Open(bound) => number < bound,
            Bound::Closed(bound) => number <= bound,
        };
        above && below
    }
}
