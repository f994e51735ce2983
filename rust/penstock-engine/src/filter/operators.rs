//! Reads the operators of a pattern: the objects in a field's list.
//!
//! Rules: what is refused, and with which words, follows Event Ruler; each function begins where
//! its operand begins and ends behind it.

use super::address::Range;
use super::json::{Kind, Reader};
use super::number;
use super::test::{Bound, But, Interval, Test};
use super::text::Caseless;
use super::wildcard::Wildcard;

/// One element of a field's list.
pub(super) enum Element {
    Test(Test),
    /// `{"exists": false}`.
    Absent,
}

/// Which operators there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// All of them.
    Full,
    /// Those of patterns in which `$or` is a field: Event Ruler reads such patterns with an older
    /// compiler, which knows fewer forms of `anything-but`.
    Old,
}

/// Reads the operator object that begins here.
pub(super) fn expression(reader: &mut Reader<'_>, dialect: Dialect) -> Result<Element, String> {
    reader.open()?;
    let Some(name) = reader.key(true)? else {
        return Err("Match expression name not found".to_owned());
    };
    let mut buffer = String::new();
    let name = name.plain(&mut buffer);
    let element = match name {
        "exactly" => Element::Test(Test::Text(text(reader, "exact")?)),
        "prefix" => Element::Test(edge(reader, "prefix", Test::Prefix, Test::PrefixCaseless)?),
        "suffix" => Element::Test(edge(reader, "suffix", Test::Suffix, Test::SuffixCaseless)?),
        "equals-ignore-case" => {
            let text = text(reader, "equals-ignore-case")?;
            Element::Test(Test::EqualsCaseless(Caseless::new(text)))
        }
        "wildcard" => {
            let text = text(reader, "wildcard")?;
            Element::Test(Test::Wildcard(Wildcard::parse(&text)?))
        }
        "cidr" => Element::Test(Test::Addresses(Range::cidr(&text(reader, "cidr")?)?)),
        "numeric" => Element::Test(numeric(reader)?),
        "exists" => exists(reader)?,
        "anything-but" => Element::Test(Test::AnythingBut(anything_but(reader, dialect)?)),
        other => return Err(format!("Unrecognized match type {other}")),
    };
    only_key(reader)?;
    Ok(element)
}

fn only_key(reader: &mut Reader<'_>) -> Result<(), String> {
    match reader.key(false)? {
        None => Ok(()),
        Some(_) => Err("Only one key allowed in match expression".to_owned()),
    }
}

fn text(reader: &mut Reader<'_>, operator: &str) -> Result<String, String> {
    if reader.kind()? != Kind::Text {
        return Err(format!("{operator} match pattern must be a string"));
    }
    string(reader)
}

fn string(reader: &mut Reader<'_>) -> Result<String, String> {
    Ok(reader.text()?.plain(&mut String::new()).to_owned())
}

/// A prefix or suffix, or one whose case does not matter.
fn edge(
    reader: &mut Reader<'_>,
    operator: &str,
    exact: fn(String) -> Test,
    caseless: fn(Caseless) -> Test,
) -> Result<Test, String> {
    if reader.kind()? != Kind::Object {
        return text(reader, operator).map(exact);
    }
    reader.open()?;
    let mut buffer = String::new();
    match reader.key(true)?.map(|key| key.plain(&mut buffer)) {
        Some("equals-ignore-case") => {}
        Some(other) => return Err(format!("Unsupported {operator} pattern: {other}")),
        None => return Err(format!("{operator} expression name not found")),
    }
    let text = text(reader, "equals-ignore-case")?;
    only_key(reader)?;
    Ok(caseless(Caseless::new(text)))
}

fn exists(reader: &mut Reader<'_>) -> Result<Element, String> {
    let word = match reader.kind()? {
        Kind::Word => reader.word()?,
        _ => "",
    };
    match word {
        "true" => Ok(Element::Test(Test::Present)),
        "false" => Ok(Element::Absent),
        _ => Err("exists match pattern must be either true or false.".to_owned()),
    }
}

fn anything_but(reader: &mut Reader<'_>, dialect: Dialect) -> Result<But, String> {
    if reader.kind()? != Kind::Object {
        return plain_but(reader);
    }
    reader.open()?;
    let mut buffer = String::new();
    let Some(name) = reader.key(true)? else {
        return Err("Anything-But expression name not found".to_owned());
    };
    let but = match name.plain(&mut buffer) {
        "equals-ignore-case" => {
            let wrong = "Inside anything-but/equals-ignore-case list, number|start|null|boolean \
                         is not supported.";
            But::Caseless(texts(reader, wrong, |text| Ok(Caseless::new(text)))?)
        }
        "prefix" | "suffix" if dialect == Dialect::Old && reader.kind()? != Kind::Text => {
            return Err(EDGE.to_owned());
        }
        "prefix" => But::Prefixes(texts(reader, EDGE, not_empty)?),
        "suffix" => But::Suffixes(texts(reader, EDGE, not_empty)?),
        "wildcard" if dialect == Dialect::Full => {
            let wrong = "wildcard match pattern must be a string";
            But::Wildcards(texts(reader, wrong, |text| Wildcard::parse(&text))?)
        }
        other => return Err(format!("Unsupported anything-but pattern: {other}")),
    };
    only_key(reader)?;
    Ok(but)
}

const EDGE: &str = "prefix/suffix match pattern must be a string";
const OPERAND: &str = "Value of anything-but must be an array or single string/number value.";

fn not_empty(text: String) -> Result<String, String> {
    match text.is_empty() {
        true => Err("Null prefix/suffix not allowed".to_owned()),
        false => Ok(text),
    }
}

/// A string, or a list of strings.
fn texts<T>(
    reader: &mut Reader<'_>,
    wrong: &str,
    make: impl Fn(String) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match reader.kind()? {
        Kind::Text => return Ok(vec![make(string(reader)?)?]),
        Kind::Number => return Err(wrong.to_owned()),
        Kind::Array => {}
        Kind::Object | Kind::Word => return Err(OPERAND.to_owned()),
    }
    reader.open()?;
    let mut made = Vec::new();
    while reader.element(made.is_empty())? {
        if reader.kind()? != Kind::Text {
            return Err(wrong.to_owned());
        }
        made.push(make(string(reader)?)?);
    }
    if made.is_empty() {
        return Err(wrong.to_owned());
    }
    Ok(made)
}

/// A string or a number, or a list of either.
fn plain_but(reader: &mut Reader<'_>) -> Result<But, String> {
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    let mut one = |reader: &mut Reader<'_>, wrong: &str| match reader.kind()? {
        Kind::Text => {
            texts.push(string(reader)?);
            Ok(())
        }
        Kind::Number => {
            numbers.push(number(reader)?);
            Ok(())
        }
        _ => Err(wrong.to_owned()),
    };
    if reader.kind()? == Kind::Array {
        reader.open()?;
        let mut first = true;
        while reader.element(first)? {
            first = false;
            one(
                reader,
                "Inside anything but list, start|null|boolean is not supported.",
            )?;
        }
    } else {
        one(reader, OPERAND)?;
    }
    match (texts.is_empty(), numbers.is_empty()) {
        (false, true) => Ok(But::Texts(texts)),
        (true, false) => Ok(But::Numbers(numbers)),
        _ => Err(
            "Inside anything but list, either all values are number or string, mixed type is not \
             supported"
                .to_owned(),
        ),
    }
}

fn number(reader: &mut Reader<'_>) -> Result<f64, String> {
    let text = reader.number()?;
    number::comparable(text).ok_or_else(|| format!("Cannot compare number : {text}"))
}

/// One bound, or a lower and then an upper one.
fn numeric(reader: &mut Reader<'_>) -> Result<Test, String> {
    if reader.kind()? != Kind::Array {
        return Err("Value of numeric must be an array.".to_owned());
    }
    reader.open()?;
    if !reader.element(true)? {
        return Err("Invalid member in numeric match: ]".to_owned());
    }
    if reader.kind()? != Kind::Text {
        return Err("Invalid member in numeric match: an operator must come first".to_owned());
    }
    let operator = string(reader)?;
    let none = Bound::None;
    let (bottom, top) = match operator.as_str() {
        "=" => {
            let value = bound(reader, "equals")?;
            (Bound::Closed(value), Bound::Closed(value))
        }
        "<" => (none, Bound::Open(bound(reader, "<")?)),
        "<=" => (none, Bound::Closed(bound(reader, "<=")?)),
        ">" => (Bound::Open(bound(reader, ">")?), none),
        ">=" => (Bound::Closed(bound(reader, ">=")?), none),
        other => return Err(format!("Unrecognized numeric range operator: {other}")),
    };
    if !reader.element(false)? {
        return Ok(Test::Numeric(Interval { bottom, top }));
    }
    let (Bound::None, Bound::Open(low) | Bound::Closed(low)) = (top, bottom) else {
        return Err("Too many elements in numeric expression".to_owned());
    };
    let (top, high) = upper(reader)?;
    if low >= high {
        return Err("Bottom must be less than top".to_owned());
    }
    Ok(Test::Numeric(Interval { bottom, top }))
}

fn upper(reader: &mut Reader<'_>) -> Result<(Bound, f64), String> {
    if reader.kind()? != Kind::Text {
        return Err("Bad value in numeric range: an operator must stand here".to_owned());
    }
    let operator = string(reader)?;
    let make = match operator.as_str() {
        "<" => Bound::Open,
        "<=" => Bound::Closed,
        other => return Err(format!("Bad numeric range operator: {other}")),
    };
    let high = bound(reader, &operator)?;
    if reader.element(false)? {
        return Err("Too many terms in numeric range expression".to_owned());
    }
    Ok((make(high), high))
}

fn bound(reader: &mut Reader<'_>, operator: &str) -> Result<f64, String> {
    if !reader.element(false)? || reader.kind()? != Kind::Number {
        return Err(format!("Value of {operator} must be numeric"));
    }
    number(reader)
}
