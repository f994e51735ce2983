//! Matches by the words of the rules alone, slowly, to check `matcher` against: every scalar with
//! its path and its places in arrays, every choice of scalars tried in turn.

use std::collections::BTreeMap;

use super::json::{Kind, Reader};
use super::pattern::{Field, Pattern};
use super::test::Scalar;
use super::{Explanation, explain};
use crate::rng::Rng;

/// In which element of which array something stands.
type Places = BTreeMap<usize, usize>;

/// A scalar of an event, as JSON text.
#[derive(Debug)]
struct Leaf {
    path: String,
    text: String,
    places: Places,
}

/// Whether an event matches a pattern.
fn matches(pattern: &str, event: &str) -> bool {
    let pattern = Pattern::parse(pattern).expect("a pattern");
    let mut leaves = Vec::new();
    let mut arrays = 0;
    let mut reader = Reader::new(event);
    flatten(&mut reader, "", &Places::new(), &mut arrays, &mut leaves);
    pattern.rules.iter().any(|rule| {
        let fields: Vec<&Field> = rule.iter().map(|&field| &pattern.fields[field]).collect();
        choose(&fields, &leaves, &Places::new())
    })
}

/// Whether there is a choice of leaves for all fields that keeps to `places`.
fn choose(fields: &[&Field], leaves: &[Leaf], places: &Places) -> bool {
    let Some((field, rest)) = fields.split_first() else {
        return true;
    };
    let agrees = |leaf: &&Leaf| {
        let mut own = leaf.places.iter();
        own.all(|(array, index)| places.get(array).is_none_or(|known| known == index))
    };
    let here: Vec<&Leaf> = leaves
        .iter()
        .filter(|leaf| leaf.path == field.path)
        .filter(agrees)
        .collect();
    if field.absent && here.is_empty() && choose(rest, leaves, places) {
        return true;
    }
    here.iter().any(|leaf| {
        let mut together = places.clone();
        together.extend(&leaf.places);
        holds(field, &leaf.text) && choose(rest, leaves, &together)
    })
}

fn holds(field: &Field, text: &str) -> bool {
    let mut reader = Reader::new(text);
    let mut buffer = String::new();
    let value = match reader.kind().expect("a scalar") {
        Kind::Text => Scalar::Text(reader.text().expect("a text").plain(&mut buffer)),
        Kind::Number => Scalar::Number(text),
        _ => Scalar::Word(text),
    };
    field.tests.iter().any(|test| test.holds(value))
}

fn flatten(
    reader: &mut Reader<'_>,
    path: &str,
    places: &Places,
    arrays: &mut usize,
    leaves: &mut Vec<Leaf>,
) {
    let mut first = true;
    match reader.kind().expect("JSON") {
        Kind::Object => {
            reader.open().expect("JSON");
            while let Some(key) = reader.key(first).expect("JSON") {
                first = false;
                let key = key.plain(&mut String::new()).to_owned();
                let below = match path.is_empty() {
                    true => key,
                    false => format!("{path}.{key}"),
                };
                flatten(reader, &below, places, arrays, leaves);
            }
        }
        Kind::Array => {
            reader.open().expect("JSON");
            let array = *arrays;
            *arrays += 1;
            let mut index = 0;
            while reader.element(first).expect("JSON") {
                first = false;
                let mut inside = places.clone();
                if matches!(reader.kind(), Ok(Kind::Object | Kind::Array)) {
                    inside.insert(array, index);
                }
                flatten(reader, path, &inside, arrays, leaves);
                index += 1;
            }
        }
        kind => {
            let text = match kind {
                Kind::Text => format!("\"{}\"", reader.text().expect("JSON").raw),
                Kind::Number => reader.number().expect("JSON").to_owned(),
                _ => reader.word().expect("JSON").to_owned(),
            };
            leaves.push(Leaf {
                path: path.to_owned(),
                text,
                places: places.clone(),
            });
        }
    }
}

const KEYS: [&str; 4] = ["a", "b", "c", "a.b"];

struct Draw {
    random: Rng,
    /// Whether a key may stand twice in one object.
    repeats: bool,
    /// Whether `exists: false` may be asked.
    absent: bool,
}

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    fn keys(&mut self) -> Vec<&'static str> {
        let count = 1 + self.below(3);
        let last = if self.repeats { 4 } else { 3 };
        let mut keys: Vec<_> = (0..count)
            .map(|_| KEYS[self.below(last) as usize])
            .collect();
        if !self.repeats {
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }

    fn list(&mut self) -> String {
        let tests = ["1", "2", "3", "{\"exists\":true}", "{\"anything-but\":1}"];
        let mut list: Vec<&str> = (0..1 + self.below(2))
            .map(|_| tests[self.below(5) as usize])
            .collect();
        if self.absent && self.below(3) == 0 {
            list[0] = "{\"exists\":false}";
        }
        format!("[{}]", list.join(","))
    }

    fn pattern(&mut self, depth: u32) -> String {
        let mut members = Vec::new();
        for key in self.keys() {
            let value = match depth < 2 && self.below(5) < 3 {
                true => self.pattern(depth + 1),
                false => self.list(),
            };
            members.push(format!("\"{key}\":{value}"));
        }
        // Deeper ones multiply beyond what is allowed.
        if depth < 2 && self.below(8) == 0 {
            let branches = (self.pattern(depth + 1), self.pattern(depth + 1));
            members.push(format!("\"$or\":[{},{}]", branches.0, branches.1));
        }
        format!("{{{}}}", members.join(","))
    }

    fn object(&mut self, depth: u32) -> String {
        let keys = self.keys();
        let member = |key| format!("\"{key}\":{}", self.value(depth + 1));
        let members: Vec<String> = keys.into_iter().map(member).collect();
        format!("{{{}}}", members.join(","))
    }

    fn value(&mut self, depth: u32) -> String {
        match self.below(10) {
            0..4 if depth < 5 => self.object(depth),
            4..7 if depth < 5 => {
                let count = self.below(4);
                let items: Vec<String> = (0..count).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => (1 + self.below(3)).to_string(),
        }
    }
}

/// Draws pairs and gives those on which the two differ, as (pattern, event, matcher's answer).
fn differences(mut draw: Draw, count: u32) -> Vec<(String, String, bool)> {
    let (mut found, mut matched) = (Vec::new(), 0);
    for _ in 0..count {
        let (pattern, event) = (draw.pattern(0), draw.object(0));
        let answer = explain(&pattern, event.as_bytes()).expect("both are good");
        let answer = answer == Explanation::Matched;
        matched += u32::from(answer);
        if answer != matches(&pattern, &event) {
            found.push((pattern, event, answer));
        }
    }
    assert!(matched > count / 60, "{matched} of {count} match");
    found
}

#[test]
fn records_without_repeated_keys_match_by_the_rules() {
    let draw = Draw {
        random: Rng::new(1),
        repeats: false,
        absent: true,
    };
    assert_eq!(differences(draw, 60_000), []);
}

#[test]
fn records_with_repeated_keys_match_by_the_rules() {
    let draw = Draw {
        random: Rng::new(2),
        repeats: true,
        absent: false,
    };
    assert_eq!(differences(draw, 60_000), []);
}

#[test]
fn records_with_repeated_keys_and_absent_ones_match_by_the_rules() {
    let draw = Draw {
        random: Rng::new(3),
        repeats: true,
        absent: true,
    };
    assert_eq!(differences(draw, 60_000), []);
}
