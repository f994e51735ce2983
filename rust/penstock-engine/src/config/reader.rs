//! Reads typed members from a JSON object and says in words what does not fit.
//!
//! Rules: what AWS would refuse is refused in AWS's sentence; an unknown member is refused with
//! the nearest known one; `null` stands for absence.

use serde_json::{Map, Value};

use super::defaults::{FIELDS, Field, Kind, Preset};
use super::error::ConfigError;

/// Prefix of the members that are ours alone: AWS has no sentences for them.
const OWN: &str = "Penstock.";

/// One object of the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    root: &'a Map<String, Value>,
}

impl<'a> Reader<'a> {
    /// Reads members of the document `root`, by their paths.
    pub(super) fn new(root: &'a Map<String, Value>) -> Self {
        Self { root }
    }

    /// The whole number of a field, or its default.
    pub(super) fn integer(&self, field: &Field) -> Result<i64, ConfigError> {
        match (self.integer_given(field)?, field.default) {
            (Some(value), _) | (None, Preset::Integer(value)) => Ok(value),
            (None, _) => Err(missing(field)),
        }
    }

    /// The whole number of a field, if it is given.
    pub(super) fn integer_given(&self, field: &Field) -> Result<Option<i64>, ConfigError> {
        let Some(value) = self.value(field)? else {
            return Ok(None);
        };
        let Kind::Integer { min, max } = field.kind else {
            unreachable!("the table says integer")
        };
        if !(value.is_i64() || value.is_u64()) {
            return Err(wrong_type(field, "a whole number", value));
        }
        let number = value.as_i64().unwrap_or(i64::MAX);
        check_range(field, value, number < min, min, number > max, max)?;
        Ok(Some(number))
    }

    /// The number of a field, if it is given.
    pub(super) fn number_given(&self, field: &Field) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.value(field)? else {
            return Ok(None);
        };
        let Kind::Number { min, max } = field.kind else {
            unreachable!("the table says number")
        };
        let Some(number) = value.as_f64() else {
            return Err(wrong_type(field, "a number", value));
        };
        check_range(field, value, number < min, min, number > max, max)?;
        Ok(Some(number))
    }

    /// The number of a field, or its default.
    pub(super) fn number(&self, field: &Field) -> Result<f64, ConfigError> {
        match (self.number_given(field)?, field.default) {
            (Some(value), _) | (None, Preset::Number(value)) => Ok(value),
            (None, _) => Err(missing(field)),
        }
    }

    /// True or false, or the default.
    pub(super) fn boolean(&self, field: &Field) -> Result<bool, ConfigError> {
        match (self.value(field)?, field.default) {
            (Some(Value::Bool(value)), _) => Ok(*value),
            (Some(value), _) => Err(wrong_type(field, "true or false", value)),
            (None, Preset::Boolean(value)) => Ok(value),
            (None, _) => Err(missing(field)),
        }
    }

    /// The text of a field, or its default.
    pub(super) fn text(&self, field: &Field) -> Result<String, ConfigError> {
        match (self.text_given(field)?, field.default) {
            (Some(text), _) => Ok(text.to_owned()),
            (None, Preset::Text(text)) => Ok(text.to_owned()),
            (None, _) => Err(missing(field)),
        }
    }

    /// The text of a field, if it is given.
    pub(super) fn text_given(&self, field: &Field) -> Result<Option<&'a str>, ConfigError> {
        let Some(value) = self.value(field)? else {
            return Ok(None);
        };
        let Value::String(text) = value else {
            return Err(wrong_type(field, "a text", value));
        };
        let Kind::Text { chars_max } = field.kind else {
            unreachable!("the table says text")
        };
        let chars = text.chars().count();
        if chars == 0 {
            return Err(ConfigError::new(field.path, "must not be empty"));
        }
        if chars > chars_max {
            let message = format!("has {chars} characters; at most {chars_max} are allowed");
            return Err(ConfigError::new(field.path, message));
        }
        if let Some(control) = text.chars().find(|char| char.is_control()) {
            let message = format!("must not hold the control character {control:?}");
            return Err(ConfigError::new(field.path, message));
        }
        Ok(Some(text))
    }

    /// One of a field's texts, or its default.
    pub(super) fn choice(&self, field: &Field) -> Result<&'static str, ConfigError> {
        let Kind::Choice { choices } = field.kind else {
            unreachable!("the table says choice")
        };
        let Some(value) = self.value(field)? else {
            let Preset::Text(default) = field.default else {
                return Err(missing(field));
            };
            return Ok(default);
        };
        let Value::String(text) = value else {
            return Err(wrong_type(field, "a text", value));
        };
        choices
            .iter()
            .find(|choice| *choice == text)
            .copied()
            .ok_or_else(|| {
                let set = choices.join(", ");
                if field.path.starts_with(OWN) {
                    let hint = suggestion(text, choices.iter().copied());
                    return ConfigError::new(field.path, format!("must be one of {set}{hint}"));
                }
                let constraint = format!("Member must satisfy enum value set: [{set}]");
                ConfigError::new(field.path, violation(field, text, &constraint))
            })
    }

    /// Whether the list of a field holds its one text.
    pub(super) fn flag(&self, field: &Field) -> Result<bool, ConfigError> {
        let Kind::Choices { choices } = field.kind else {
            unreachable!("the table says choices")
        };
        let Some(value) = self.value(field)? else {
            return Ok(false);
        };
        let Value::Array(list) = value else {
            return Err(wrong_type(field, "a list", value));
        };
        let known = |item: &Value| item.as_str().is_some_and(|text| choices.contains(&text));
        if !list.iter().all(known) {
            let shown: Vec<String> = list.iter().map(plain).collect();
            let constraint = format!(
                "Member must satisfy constraint: [Member must satisfy enum value set: [{}], \
                 Member must not be null]",
                choices.join(", ")
            );
            let message = violation(field, &format!("[{}]", shown.join(", ")), &constraint);
            return Err(ConfigError::new(field.path, message));
        }
        if list.len() > choices.len() {
            let shown: Vec<String> = list.iter().map(plain).collect();
            let constraint = format!(
                "Member must have length less than or equal to {}",
                choices.len()
            );
            let message = violation(field, &format!("[{}]", shown.join(", ")), &constraint);
            return Err(ConfigError::new(field.path, message));
        }
        Ok(!list.is_empty())
    }

    /// Whether a field is given as the empty text, which clears some of them.
    pub(super) fn is_empty_text(&self, field: &Field) -> bool {
        matches!(self.value(field), Ok(Some(Value::String(text))) if text.is_empty())
    }

    fn value(&self, field: &Field) -> Result<Option<&'a Value>, ConfigError> {
        let mut object = self.root;
        let mut parts = field.path.split('.').peekable();
        while let Some(part) = parts.next() {
            match (object.get(part), parts.peek()) {
                (None | Some(Value::Null), _) => return Ok(None),
                (Some(value), None) => return Ok(Some(value)),
                (Some(Value::Object(inner)), Some(_)) => object = inner,
                (Some(value), Some(_)) => {
                    let path = &field.path[..field.path.find(part).unwrap_or(0) + part.len()];
                    let message = format!("must be an object, not {}", type_name(value));
                    return Err(ConfigError::new(path, message));
                }
            }
        }
        Ok(None)
    }
}

/// Refuses members that are not in the table, in `object`, which stands at `path` ("" or a path
/// that ends with a dot).
pub(super) fn refuse_unknown(object: &Map<String, Value>, path: &str) -> Result<(), ConfigError> {
    for (key, value) in object {
        let full = format!("{path}{key}");
        let inner = format!("{full}.");
        if FIELDS.iter().any(|field| field.path == full) {
            continue;
        }
        if FIELDS.iter().any(|field| field.path.starts_with(&inner)) {
            if let Value::Object(members) = value {
                refuse_unknown(members, &inner)?;
            }
            continue;
        }
        if let Some(elsewhere) = FIELDS.iter().find(|field| field.name == *key) {
            let message = format!("does not stand here; write it at {}", elsewhere.path);
            return Err(ConfigError::new(full, message));
        }
        let known = FIELDS
            .iter()
            .filter_map(|field| field.path.strip_prefix(path));
        let hint = suggestion(
            key,
            known.map(|rest| rest.split('.').next().unwrap_or(rest)),
        );
        return Err(ConfigError::new(
            full,
            format!("is not a known member{hint}"),
        ));
    }
    Ok(())
}

/// `; did you mean …?` with the known name that is nearest, or nothing when none is near.
pub(super) fn suggestion<'n>(given: &str, known: impl Iterator<Item = &'n str>) -> String {
    let squeeze = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
    let given = squeeze(given);
    let near = given.chars().count().div_ceil(3).max(1);
    known
        .map(|name| (distance(&given, &squeeze(name)), name))
        .min()
        .filter(|(distance, _)| *distance <= near)
        .map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

/// How many single characters must be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(256).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(256).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn check_range<N: std::fmt::Display>(
    field: &Field,
    value: &Value,
    below: bool,
    min: N,
    above: bool,
    max: N,
) -> Result<(), ConfigError> {
    let constraint = match (below, above) {
        (true, _) => format!("greater than or equal to {min}"),
        (_, true) => format!("less than or equal to {max}"),
        (false, false) => return Ok(()),
    };
    let message = if field.path.starts_with(OWN) {
        format!("must be from {min} to {max}, not {value}")
    } else {
        violation(
            field,
            &plain(value),
            &format!("Member must have value {constraint}"),
        )
    };
    Err(ConfigError::new(field.path, message))
}

/// What is said of a required member that is not there.
pub(super) fn missing(field: &Field) -> ConfigError {
    let message = match field.kind {
        Kind::Choice { .. } if !field.path.starts_with(OWN) => format!(
            "1 validation error detected: Value null at '{}' failed to satisfy constraint: \
             Member must not be null.",
            wire_name(field)
        ),
        _ => "is missing".to_owned(),
    };
    ConfigError::new(field.path, message)
}

fn violation(field: &Field, value: &str, constraint: &str) -> String {
    let name = wire_name(field);
    format!(
        "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: \
         {constraint}"
    )
}

/// A path as AWS's sentences show it: each part begins with a small letter.
fn wire_name(field: &Field) -> String {
    let small = |part: &str| {
        let mut chars = part.chars();
        chars.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(chars).collect::<String>()
        })
    };
    field
        .path
        .split('.')
        .map(small)
        .collect::<Vec<_>>()
        .join(".")
}

fn wrong_type(field: &Field, wanted: &str, value: &Value) -> ConfigError {
    let message = format!("must be {wanted}, not {}", type_name(value));
    ConfigError::new(field.path, message)
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = || ["BatchSize", "Enabled", "UUID"].into_iter();
        assert_eq!(
            suggestion("BatchSiez", known()),
            "; did you mean BatchSize?"
        );
        assert_eq!(
            suggestion("batch_size", known()),
            "; did you mean BatchSize?"
        );
        assert_eq!(suggestion("enable", known()), "; did you mean Enabled?");
        assert_eq!(suggestion("Colour", known()), "");
        assert_eq!(suggestion("", known()), "");
    }

    #[test]
    fn distances_count_single_changes() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("ü", "u", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
        assert_eq!(distance(&"x".repeat(100_000), "y"), 256);
    }
}
