//! Explains in words why a record does not pass.
//!
//! Rules: the verdict comes from the same program and the same findings as that of `matcher`; of
//! several rules the one that comes closest is explained, and of its fields the first that fails.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::findings::Findings;
use super::program::{NodeId, ROOT, Rule};
use super::test::Scalar;
use super::walk::{Sink, is_container, walk};
use super::{FilterError, Filters, Shape, json};
use crate::limits;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explanation {
    /// It passes.
    Matched,
    /// It does not, for this reason.
    Dropped(String),
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The pattern is none.
    #[error(transparent)]
    Pattern(#[from] FilterError),
    /// The record is none.
    #[error("the record is not a JSON object: {0}")]
    Record(&'static str),
}

/// Matches one pattern against one record, given as JSON: a record of an event (its payload is
/// decoded as for a mapping), or any other object, which is matched as it stands.
///
/// # Errors
/// When the pattern is refused, or the record is no JSON object.
pub fn explain(pattern: &str, record: &[u8]) -> Result<Explanation, ExplainError> {
    let text = str::from_utf8(record).map_err(|_| ExplainError::Record("it is not UTF-8"))?;
    let members = json::members(text).map_err(|syntax| ExplainError::Record(syntax.into()))?;
    let member = |key| {
        let mut found = members.iter().filter(|(name, _)| name == key);
        found
            .next()
            .map(|&(_, value)| value)
            .filter(|value| value.starts_with('{'))
    };
    let source = members.iter().find(|(name, _)| name == "eventSource");
    if source.is_some_and(|(_, source)| *source == "\"aws:sqs\"") {
        return explain_message(pattern, text, &members);
    }
    let (shape, stream) = match (member("kinesis"), member("dynamodb")) {
        (Some(stream), _) => (Shape::Kinesis, stream),
        (None, Some(_)) => (Shape::DynamoDb, ""),
        (None, None) => (Shape::Document, ""),
    };
    let filters = Filters::compile(&[pattern], shape, limits::FILTERS_MAX)?;
    let mut told = Told::new(&filters);
    told.read(ROOT, text)
        .map_err(|syntax| ExplainError::Record(syntax.into()))?;
    let payload = shape
        .encoded()
        .is_none_or(|key| told.read_payload(stream, key));
    Ok(told.verdict(payload))
}

/// The same for a message of SQS, whose body is matched as text or looked into.
fn explain_message<'t>(
    pattern: &str,
    text: &'t str,
    members: &[(String, &'t str)],
) -> Result<Explanation, ExplainError> {
    let filters = Filters::compile(&[pattern], Shape::Sqs, limits::FILTERS_MAX)?;
    let mut told = Told::new(&filters);
    let body = members.iter().find(|(name, _)| name == "body");
    let body: Option<String> = body.and_then(|(_, body)| serde_json::from_str(body).ok());
    let Some(body) = body.filter(|body| is_container(body)) else {
        told.read(ROOT, text)
            .map_err(|syntax| ExplainError::Record(syntax.into()))?;
        return Ok(told.verdict(false));
    };
    // What is JSON cannot be matched as text.
    let others = members.iter().filter(|(name, _)| name != "body");
    let others = others.map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
    let others = format!("{{{}}}", others.collect::<Vec<_>>().join(","));
    told.read(ROOT, &others)
        .map_err(|syntax| ExplainError::Record(syntax.into()))?;
    let node = filters.program.payload;
    let payload = node.is_some_and(|node| told.read(node, &body).is_ok());
    Ok(told.verdict(payload))
}

/// A record as far as it was read.
struct Told<'a> {
    filters: &'a Filters,
    findings: Findings,
    /// For each field what stands there.
    values: BTreeMap<usize, Vec<String>>,
}

/// How many values of one field are told.
const VALUES_MAX: usize = 3;
/// How much is told of one value or list.
const CHARS_MAX: usize = 80;

impl<'a> Told<'a> {
    fn new(filters: &'a Filters) -> Self {
        let mut findings = Findings::default();
        findings.clear(&filters.program);
        Self {
            filters,
            findings,
            values: BTreeMap::new(),
        }
    }

    fn read(&mut self, node: NodeId, text: &str) -> Result<(), json::Syntax> {
        let program = &self.filters.program;
        let mut sink = Telling {
            inner: self.findings.sink(program),
            values: &mut self.values,
        };
        walk(program, node, text, &mut String::new(), &mut sink)
    }

    /// Reads what a mapping would decode; whether it is there and is JSON.
    fn read_payload(&mut self, stream: &str, key: &str) -> bool {
        // The members of the stream's part may be named without it.
        let alias = self.read(ROOT, stream);
        let members = json::members(stream).unwrap_or_default();
        let data = members
            .iter()
            .find(|(name, _)| name == key)
            .map(|&(_, data)| data);
        let data: Option<String> = data.and_then(|data| serde_json::from_str(data).ok());
        let decoded = data.and_then(|data| STANDARD.decode(data).ok());
        let text = decoded
            .as_deref()
            .and_then(|data| str::from_utf8(data).ok());
        match (alias, text, self.filters.program.payload) {
            (Ok(()), Some(text), Some(node)) => self.read(node, text).is_ok(),
            _ => false,
        }
    }

    fn verdict(&self, payload: bool) -> Explanation {
        let program = &self.filters.program;
        let readable = |rule: &&Rule| payload || !rule.payload;
        let mut rules = program.rules.iter().filter(readable);
        if rules.any(|rule| self.findings.holds(program, rule)) {
            return Explanation::Matched;
        }
        let failing = |rule: &&Rule| self.failing(rule).count();
        let closest = program.rules.iter().min_by_key(failing);
        Explanation::Dropped(closest.map_or_else(
            || "there is no pattern".to_owned(),
            |rule| self.reason(rule, payload),
        ))
    }

    fn failing(&self, rule: &Rule) -> impl Iterator<Item = usize> {
        let program = &self.filters.program;
        let fields = rule.fields.iter().copied();
        fields.filter(|&field| !self.findings.fits_field(program, field))
    }

    fn reason(&self, rule: &Rule, payload: bool) -> String {
        let fields = &self.filters.program.fields;
        if rule.payload && !payload {
            let key = self.filters.shape.encoded().unwrap_or("the payload");
            return format!(
                "{key} is not an object or array of JSON, and the pattern looks into it"
            );
        }
        let Some(first) = self.failing(rule).min() else {
            let paths: Vec<&str> = rule
                .fields
                .iter()
                .map(|&field| &*fields[field].path)
                .collect();
            return format!(
                "each field passes, but not all in the same element of an array: {}",
                paths.join(", ")
            );
        };
        let field = &fields[first];
        let written = cut(&field.written);
        match self.values.get(&first).map(|values| values.join(", ")) {
            Some(values) if field.tests.is_empty() => {
                format!("{} must not exist, and is {values}", field.path)
            }
            Some(values) => format!("{} must match {written}, and is {values}", field.path),
            None => format!("{} must match {written}, and is missing", field.path),
        }
    }
}

/// Fills the findings, and notes the values as they stand.
struct Telling<'a, S> {
    inner: S,
    values: &'a mut BTreeMap<usize, Vec<String>>,
}

impl<S: Sink> Sink for Telling<'_, S> {
    fn field(&mut self, field: usize, value: Scalar<'_>) {
        let values = self.values.entry(field).or_default();
        if values.len() < VALUES_MAX {
            values.push(match value {
                Scalar::Text(text) => cut(&Value::from(text).to_string()).into_owned(),
                Scalar::Number(text) | Scalar::Word(text) => cut(text).into_owned(),
            });
        } else if values.len() == VALUES_MAX {
            values.push("…".to_owned());
        }
        self.inner.field(field, value);
    }

    fn open(&mut self) {
        self.inner.open();
    }

    fn enter(&mut self) {
        self.inner.enter();
    }

    fn leave(&mut self) -> bool {
        self.inner.leave()
    }

    fn close(&mut self, filled: usize) {
        self.inner.close(filled);
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}
