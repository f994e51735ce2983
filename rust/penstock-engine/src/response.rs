//! Decides what a handler's answer says about its batch.
//!
//! Rules: the answer is read once, without building it, and anything that is not a clear report
//! fails the whole batch; every identifier must be in the batch. Of a stream the lowest sequence
//! number by value wins, and an identifier that stands several times in the batch means its first
//! record; of a queue each reported message failed by itself, every copy of it.
//!
//! Whoever calls refuses answers over `limits::ANSWER_BYTES_MAX` and turns what is no JSON into a
//! failure of the handler.

pub mod state;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::config::MappingConfig;
use crate::ids::compare_sequence_numbers;
use crate::io::{Invocation, Outcome, Report};
use crate::record::Batch;

/// What the JSON text `answer` (`null` for `None`) says about `batch`, whichever kind of source the
/// mapping has. Unless it asks for reports, whatever was returned is a success.
#[must_use]
pub fn judge(answer: &[u8], config: &MappingConfig, batch: &Batch) -> Report {
    match config.queue {
        None => classify(answer, config.partial_response, batch),
        Some(_) => classify_messages(answer, config.partial_response, batch),
    }
}

/// How an invocation ended whose handler returned the JSON text `answer`: of a tumbling window it
/// brings the next state, and what the final call returns does not count.
#[must_use]
pub fn outcome(answer: &[u8], config: &MappingConfig, invocation: &Invocation) -> Outcome {
    let window = invocation.window.as_ref();
    if window.is_some_and(|call| call.is_final) {
        return Outcome::Returned(Report::AllSucceeded);
    }
    let report = judge(answer, config, &invocation.batch);
    if window.is_none() || report == Report::Unusable {
        return Outcome::Returned(report);
    }
    match state::read(answer) {
        Ok(state) => Outcome::Aggregated { report, state },
        Err(error) => Outcome::Raised(error),
    }
}

/// What `answer` says about records of a stream.
#[must_use]
pub fn classify(answer: &[u8], partial_response: bool, batch: &Batch) -> Report {
    read(answer, partial_response, |reported| locate(reported, batch))
}

/// What `answer` says about messages of a queue.
#[must_use]
pub fn classify_messages(answer: &[u8], partial_response: bool, batch: &Batch) -> Report {
    read(answer, partial_response, |reported| {
        locate_all(&reported, batch)
    })
}

fn read(
    answer: &[u8],
    partial_response: bool,
    locate: impl FnOnce(BTreeSet<Cow<'_, str>>) -> Report,
) -> Report {
    if !partial_response {
        return Report::AllSucceeded;
    }
    match serde_json::from_slice::<Answer<'_>>(answer) {
        Ok(Answer(Failures::None)) => Report::AllSucceeded,
        Ok(Answer(Failures::Of(reported))) => locate(reported),
        Ok(Answer(Failures::Unusable)) | Err(_) => Report::Unusable,
    }
}

fn locate_all(reported: &BTreeSet<Cow<'_, str>>, batch: &Batch) -> Report {
    let mut found = BTreeSet::new();
    let mut places = Vec::new();
    for index in 0..batch.len() {
        let id = batch.sequence_number(index);
        if reported.contains(id) {
            found.insert(id);
            places.push(u32::try_from(index).unwrap_or(u32::MAX));
        }
    }
    match found.len() == reported.len() {
        true => Report::Failed(places.into()),
        false => Report::Unusable,
    }
}

fn locate(mut reported: BTreeSet<Cow<'_, str>>, batch: &Batch) -> Report {
    let mut lowest: Option<usize> = None;
    for index in 0..batch.len() {
        let number = batch.sequence_number(index);
        if !reported.remove(number) {
            continue;
        }
        let lower = |best| compare_sequence_numbers(number, batch.sequence_number(best)).is_lt();
        if lowest.is_none_or(lower) {
            lowest = Some(index);
        }
        if reported.is_empty() {
            break;
        }
    }
    match lowest {
        Some(index) if reported.is_empty() => {
            Report::FailedFrom(u32::try_from(index).unwrap_or(u32::MAX))
        }
        _ => Report::Unusable,
    }
}

/// The identifiers that an answer reports.
enum Failures<'a> {
    None,
    Of(BTreeSet<Cow<'a, str>>),
    Unusable,
}

/// An answer as a whole.
struct Answer<'a>(Failures<'a>);

/// The value of `batchItemFailures`.
struct Items<'a>(Failures<'a>);

/// One entry of it: its identifier, when it has a usable one.
struct Entry<'a>(Option<Cow<'a, str>>);

/// An identifier, when it is a text that is not empty.
struct Identifier<'a>(Option<Cow<'a, str>>);

/// Visits whatever is neither of interest nor empty: read to its end, and unusable.
macro_rules! scalars_are {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = Answer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handler's answer")
    }

    scalars_are!(Answer(Failures::Unusable));

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Answer(Failures::None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Answer(if text.is_empty() {
            Failures::None
        } else {
            Failures::Unusable
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut failures = Failures::None;
        while list.next_element::<IgnoredAny>()?.is_some() {
            failures = Failures::Unusable;
        }
        Ok(Answer(failures))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut failures = Failures::None;
        while let Some(key) = object.next_key::<Cow<'de, str>>()? {
            if key == "batchItemFailures" {
                failures = object.next_value::<Items<'de>>()?.0;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Answer(failures))
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of failures")
    }

    scalars_are!(Items(Failures::Unusable));

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Items(Failures::None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Items(Failures::Unusable))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut reported, mut usable) = (BTreeSet::new(), true);
        while let Some(Entry(identifier)) = list.next_element()? {
            match identifier {
                Some(identifier) if usable => _ = reported.insert(identifier),
                _ => usable = false,
            }
        }
        Ok(Items(match usable {
            false => Failures::Unusable,
            true if reported.is_empty() => Failures::None,
            true => Failures::Of(reported),
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Items(Failures::Unusable))
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a failure")
    }

    scalars_are!(Entry(None));

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Entry(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Entry(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entry(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut identifier = None;
        while let Some(key) = object.next_key::<Cow<'de, str>>()? {
            if key == "itemIdentifier" {
                identifier = object.next_value::<Identifier<'de>>()?.0;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Entry(identifier))
    }
}

struct IdentifierVisitor;

impl<'de> Visitor<'de> for IdentifierVisitor {
    type Value = Identifier<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier")
    }

    scalars_are!(Identifier(None));

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Identifier(None))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Identifier(
            (!text.is_empty()).then_some(Cow::Borrowed(text)),
        ))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Identifier(
            (!text.is_empty()).then(|| Cow::Owned(text.to_owned())),
        ))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Identifier(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Identifier(None))
    }
}

macro_rules! deserialize_by {
    ($($name:ident: $visitor:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name<'de> {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                input.deserialize_any($visitor)
            }
        }
    )*};
}

deserialize_by!(
    Answer: AnswerVisitor, Items: ItemsVisitor, Entry: EntryVisitor, Identifier: IdentifierVisitor
);

#[cfg(test)]
mod tests;
