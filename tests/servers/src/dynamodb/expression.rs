//! Update expressions, as far as tests write them: `SET` and `REMOVE` of whole attributes.
//!
//! `SET a = :v, #b = c + :n REMOVE d`: operands are attributes and values, `+` and `-` add numbers.
//! Everything else the language has is refused by name, never ignored.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{Attribute, Item, invalid};
use crate::service::Refusal;

/// An update, ready to be applied.
#[derive(Debug, PartialEq)]
pub struct Update {
    sets: Vec<Assignment>,
    removes: Vec<String>,
}

/// `name = first`, `name = first + second` or `name = first - second`.
#[derive(Debug, PartialEq)]
struct Assignment {
    name: String,
    first: Operand,
    second: Option<(Sign, Operand)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sign {
    Plus,
    Minus,
}

/// What stands on the right of `=`.
#[derive(Debug, PartialEq)]
enum Operand {
    Attribute(String),
    Value(Attribute),
}

/// What an expression's names and values stand for.
pub struct Places<'a> {
    /// `ExpressionAttributeNames`.
    pub names: &'a BTreeMap<String, String>,
    /// `ExpressionAttributeValues`.
    pub values: &'a BTreeMap<String, Attribute>,
}

impl Update {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is not of the form above, or names and values do not fit.
    pub fn parse(text: &str, places: &Places<'_>) -> Result<Self, Refusal> {
        let tokens = tokens(text)?;
        let mut reader = Reader {
            tokens: &tokens,
            places,
            used: BTreeSet::new(),
        };
        let update = reader.update()?;
        let names = places.names.keys().chain(places.values.keys());
        for name in names {
            if !reader.used.contains(name.as_str()) {
                return Err(wrong(&format!("{name} is given but not used")));
            }
        }
        Ok(update)
    }

    /// The attributes it changes.
    pub fn touched(&self) -> impl Iterator<Item = &str> {
        let sets = self.sets.iter().map(|set| set.name.as_str());
        sets.chain(self.removes.iter().map(String::as_str))
    }

    /// The item after the update. Operands are those of the item before it.
    ///
    /// # Errors
    /// When an operand does not exist or is not a number where one is needed.
    pub fn apply(&self, before: &Item) -> Result<Item, Refusal> {
        let mut after = before.clone();
        for set in &self.sets {
            let mut value = set.first.of(before)?;
            if let Some((sign, second)) = &set.second {
                value = value.plus(&second.of(before)?, *sign == Sign::Minus)?;
            }
            after.set(&set.name, value);
        }
        for name in &self.removes {
            after.remove(name);
        }
        Ok(after)
    }
}

impl Operand {
    fn of(&self, item: &Item) -> Result<Attribute, Refusal> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Attribute(name) => item.attribute(name).cloned().ok_or_else(|| {
                invalid(
                    "The provided expression refers to an attribute that does not exist in the \
                     item",
                )
            }),
        }
    }
}

struct Reader<'a> {
    tokens: &'a [String],
    places: &'a Places<'a>,
    used: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn update(&mut self) -> Result<Update, Refusal> {
        let mut update = Update {
            sets: Vec::new(),
            removes: Vec::new(),
        };
        while let Some(word) = self.next() {
            match word.to_ascii_uppercase().as_str() {
                "SET" if update.sets.is_empty() => self.list(|reader| {
                    let set = reader.assignment()?;
                    update.sets.push(set);
                    Ok(())
                })?,
                "REMOVE" if update.removes.is_empty() => self.list(|reader| {
                    let name = reader.attribute()?;
                    update.removes.push(name);
                    Ok(())
                })?,
                _ => {
                    let message = format!(
                        "unexpected {word}: one SET and one REMOVE are what this server knows"
                    );
                    return Err(wrong(&message));
                }
            }
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = update.touched().find(|name| !seen.insert(*name)) {
            let message = format!("Two document paths overlap with each other: {twice}");
            return Err(wrong(&message));
        }
        if seen.is_empty() {
            return Err(wrong("The expression can not be empty;"));
        }
        drop(seen);
        Ok(update)
    }

    /// Members separated by commas.
    fn list(
        &mut self,
        mut member: impl FnMut(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        member(self)?;
        while self.peek() == Some(",") {
            self.next();
            member(self)?;
        }
        Ok(())
    }

    fn assignment(&mut self) -> Result<Assignment, Refusal> {
        let name = self.attribute()?;
        if self.next() != Some("=") {
            return Err(wrong(&format!("`=` must follow {name}")));
        }
        let first = self.operand()?;
        let second = match self.peek() {
            Some("+") => Some(Sign::Plus),
            Some("-") => Some(Sign::Minus),
            _ => None,
        };
        let second = match second {
            Some(sign) => {
                self.next();
                Some((sign, self.operand()?))
            }
            None => None,
        };
        Ok(Assignment {
            name,
            first,
            second,
        })
    }

    fn operand(&mut self) -> Result<Operand, Refusal> {
        let places = self.places;
        let Some(token) = self.peek().filter(|token| token.starts_with(':')) else {
            return self.attribute().map(Operand::Attribute);
        };
        self.next();
        let found = places.values.get_key_value(token);
        let (name, value) = found.ok_or_else(|| {
            wrong(&format!(
                "An expression attribute value used in expression is not defined; attribute \
                 value: {token}"
            ))
        })?;
        self.used.insert(name);
        Ok(Operand::Value(value.clone()))
    }

    fn attribute(&mut self) -> Result<String, Refusal> {
        let places = self.places;
        let token = self.next().unwrap_or("the end of the expression");
        if token.starts_with('#') {
            let found = places.names.get_key_value(token);
            let (place, name) = found.ok_or_else(|| {
                wrong(&format!(
                    "An expression attribute name used in the document path is not defined; \
                     attribute name: {token}"
                ))
            })?;
            self.used.insert(place);
            return Ok(name.clone());
        }
        let is_name = token.starts_with(|first: char| first.is_ascii_alphabetic());
        if !is_name || token.contains(' ') {
            return Err(wrong(&format!("{token} stands where an attribute must")));
        }
        Ok(token.to_owned())
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn peek(&self) -> Option<&'a str> {
        self.tokens.first().map(String::as_str)
    }
}

/// Words with their `#` or `:`, and the signs between them.
fn tokens(text: &str) -> Result<Vec<String>, Refusal> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() || letter == '_' || "#:".contains(letter) {
            word.push(letter);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if "=,+-".contains(letter) {
            tokens.push(letter.to_string());
        } else if !letter.is_whitespace() {
            let message = format!(
                "{letter} has no meaning here: this server knows whole attributes, no paths and \
                 no functions"
            );
            return Err(wrong(&message));
        }
    }
    Ok(tokens)
}

fn wrong(message: &str) -> Refusal {
    invalid(format!("Invalid UpdateExpression: {message}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(text: &str, before: serde_json::Value) -> Result<Item, Refusal> {
        let names = BTreeMap::from([("#n".to_owned(), "name".to_owned())]);
        let value = |value| Attribute::read(&value).expect("a value");
        let values = BTreeMap::from([(":v".to_owned(), value(json!({"N": "2"})))]);
        let names = if text.contains('#') {
            names
        } else {
            BTreeMap::new()
        };
        let values = if text.contains(':') {
            values
        } else {
            BTreeMap::new()
        };
        let places = Places {
            names: &names,
            values: &values,
        };
        let before = Item::read(serde_json::from_value(before).expect("an object"));
        Update::parse(text, &places)?.apply(&before?)
    }

    #[test]
    fn attributes_are_set_added_to_and_removed() {
        let before = json!({"a": {"N": "1"}, "b": {"S": "x"}});
        let after = update("set a = a + :v, #n=b, c = :v - a REMOVE b", before);
        let after = after.map(|item| item.text());
        let wanted = json!({"a": {"N": "3"}, "c": {"N": "1"}, "name": {"S": "x"}}).to_string();
        assert_eq!(after, Ok(wanted));
    }

    #[test]
    fn what_it_does_not_know_it_refuses() {
        for text in [
            "",
            "SET",
            "SET a",
            "SET a = :w",
            "SET #m = :v",
            "SET a.b = :v",
            "SET a = if_not_exists(a, :v)",
            "SET a = :v, a = :v",
            "SET a = missing",
            "SET a = b + :v",
            "ADD a :v",
            "REMOVE a SET b = :v REMOVE c",
        ] {
            let refused = update(text, json!({"b": {"S": "x"}}));
            assert!(refused.is_err(), "{text}: {refused:?}");
        }
    }
}
