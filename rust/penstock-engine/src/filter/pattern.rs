//! Parses an event pattern into rules: alternatives, each a set of fields that must all pass.
//!
//! Rules: keys are joined by dots; a path named twice has the later list, and sub-paths of a
//! parent named twice merge; `$or` multiplies the rules and is an ordinary key in a pattern that
//! would not parse otherwise. All of it as Event Ruler does, which compiles so too.

use std::collections::BTreeMap;

use super::address::{Address, Range};
use super::json::{Kind, Reader};
use super::number;
use super::operators::{self, Dialect, Element};
use super::test::Test;

/// Fields of one pattern: no text of 4,096 characters has room for more.
pub(super) const FIELDS_MAX: usize = 512;
/// Rules that `$or` may make of one pattern.
pub(super) const RULES_MAX: usize = 1_000;

/// A pattern, parsed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pattern {
    /// Every list of the pattern, in the order in which they are written.
    pub(super) fields: Vec<Field>,
    /// For each rule its fields, in the order in which they are matched.
    pub(super) rules: Vec<Vec<usize>>,
}

/// A path with the list that belongs to it.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    /// Keys joined by dots.
    pub(super) path: String,
    /// Tests of which one must pass.
    pub(super) tests: Vec<Test>,
    /// Whether `{"exists": false}` is in the list.
    pub(super) absent: bool,
    /// The list as it is written.
    pub(super) written: String,
}

/// Why a text is no pattern: the reason, and how many bytes were read until then.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) offset: usize,
}

impl Pattern {
    /// Parses a pattern.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        Parser::new(text, Dialect::Full)
            .parse()
            .or_else(|operator| {
                // Where `$or` is no operator, it may still be a field.
                Parser::new(text, Dialect::Old)
                    .parse()
                    .map_err(|mut field| {
                        if field != operator {
                            field.reason = format!(
                                "{}; with $or as operator: {}",
                                field.reason, operator.reason
                            );
                        }
                        field
                    })
            })
    }
}

/// For each path its field.
type Rule = BTreeMap<String, usize>;

struct Parser<'t> {
    text: &'t str,
    reader: Reader<'t>,
    /// Whether `$or` is an operator: in the full one.
    dialect: Dialect,
    fields: Vec<Field>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, dialect: Dialect) -> Self {
        Self {
            text,
            reader: Reader::new(text),
            dialect,
            fields: Vec::new(),
        }
    }

    fn parse(mut self) -> Result<Pattern, Refusal> {
        let mut rules = Vec::new();
        let parsed = self.whole(&mut rules);
        parsed.map_err(|reason| Refusal {
            reason,
            offset: self.reader.offset(),
        })?;
        Ok(Pattern {
            rules: rules.into_iter().map(in_order).collect(),
            fields: self.fields,
        })
    }

    fn whole(&mut self, rules: &mut Vec<Rule>) -> Result<(), String> {
        if self.reader.kind()? != Kind::Object {
            return Err("Filter is not an object".to_owned());
        }
        self.object(rules, "", false)?;
        Ok(self.reader.end()?)
    }

    fn object(&mut self, rules: &mut Vec<Rule>, path: &str, branch: bool) -> Result<(), String> {
        self.reader.open()?;
        let mut first = true;
        while let Some(key) = self.reader.key(first)? {
            first = false;
            let mut buffer = String::new();
            let name = key.plain(&mut buffer);
            if self.dialect == Dialect::Full && name == "$or" {
                self.alternatives(rules, path)?;
                continue;
            }
            if branch && RESERVED.contains(&name) {
                return Err(format!(
                    "{name} is a reserved name which cannot be used inside $or."
                ));
            }
            let below = match path.is_empty() {
                true => name.to_owned(),
                false => format!("{path}.{name}"),
            };
            match self.reader.kind()? {
                Kind::Object => self.object(rules, &below, branch)?,
                Kind::Array => self.field(rules, below)?,
                _ => return Err(format!("\"{name}\" must be an object or an array")),
            }
        }
        match first {
            true => Err("Empty objects are not allowed".to_owned()),
            false => Ok(()),
        }
    }

    /// Multiplies the rules by the branches of a `$or`.
    fn alternatives(&mut self, rules: &mut Vec<Rule>, path: &str) -> Result<(), String> {
        let current = std::mem::take(rules);
        if self.reader.kind()? != Kind::Array {
            return Err("It must be an Array followed with $or.".to_owned());
        }
        self.reader.open()?;
        let mut branches = 0;
        while self.reader.element(branches == 0)? {
            branches += 1;
            if self.reader.kind()? != Kind::Object {
                let reason = "Only JSON object is allowed in array of $or relationship.";
                return Err(reason.to_owned());
            }
            let mut branch = current.clone();
            if branch.is_empty() {
                branch.push(Rule::new());
            }
            self.object(&mut branch, path, true)?;
            rules.append(&mut branch);
            if rules.len() > RULES_MAX {
                return Err(format!(
                    "its $or lists multiply to more than {RULES_MAX} alternatives"
                ));
            }
        }
        match branches {
            0 | 1 => Err("There must have at least 2 Objects in $or relationship.".to_owned()),
            _ => Ok(()),
        }
    }

    fn field(&mut self, rules: &mut Vec<Rule>, path: String) -> Result<(), String> {
        let start = self.reader.offset();
        let (mut tests, mut absent) = (Vec::new(), false);
        self.reader.open()?;
        let mut first = true;
        while self.reader.element(first)? {
            first = false;
            match self.element()? {
                Element::Test(test) => tests.push(test),
                Element::Absent => absent = true,
            }
        }
        if first {
            return Err("Empty arrays are not allowed".to_owned());
        }
        if rules.is_empty() {
            rules.push(Rule::new());
        }
        for rule in rules {
            rule.insert(path.clone(), self.fields.len());
        }
        self.fields.push(Field {
            path,
            tests,
            absent,
            written: self.text[start..self.reader.offset()].to_owned(),
        });
        Ok(())
    }

    fn element(&mut self) -> Result<Element, String> {
        let reader = &mut self.reader;
        Ok(Element::Test(match reader.kind()? {
            Kind::Object => return operators::expression(reader, self.dialect),
            Kind::Text => {
                let text = reader.text()?.plain(&mut String::new()).to_owned();
                match Address::parse(&text) {
                    Some(address) => Test::Addresses(Range::only(address)),
                    None => Test::Text(text),
                }
            }
            Kind::Number => {
                let text = reader.number()?;
                match number::comparable(text) {
                    Some(number) => Test::Number(number),
                    None => Test::NumberText(text.to_owned()),
                }
            }
            Kind::Word => Test::Word(reader.word()?.to_owned()),
            Kind::Array => {
                let reason = "Match value must be String, number, true, false, or null";
                return Err(reason.to_owned());
            }
        }))
    }
}

/// The fields of a rule by their paths, as UTF-16 sorts them: whether a field is absent may depend
/// on the array elements that those before it were found in.
fn in_order(rule: Rule) -> Vec<usize> {
    let mut fields: Vec<(String, usize)> = rule.into_iter().collect();
    fields.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
    fields.into_iter().map(|(_, field)| field).collect()
}

/// Keys that no field inside a `$or` may have.
const RESERVED: [&str; 24] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];
