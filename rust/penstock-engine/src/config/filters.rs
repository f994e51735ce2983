//! Reads `FilterCriteria` and compiles the patterns in it.
//!
//! Rules: an empty list asks for no filters; a pattern that Lambda refuses is refused with Lambda's
//! sentence, and the hint says what is wrong with it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::EventShape;
use super::defaults::FILTER_CRITERIA;
use super::error::ConfigError;
use super::layout::{Document, Filter, FilterCriteria};
use super::reader::{suggestion, type_name};
use crate::filter::Filters;

/// The patterns of a document, if it has any.
pub(super) fn read(root: &Map<String, Value>) -> Result<Option<FilterCriteria>, ConfigError> {
    let path = FILTER_CRITERIA.path;
    let Some(criteria) = given(root.get(path)) else {
        return Ok(None);
    };
    let criteria = object(criteria, path)?;
    only(criteria, path, "Filters")?;
    let path = format!("{path}.Filters");
    let list = match given(criteria.get("Filters")) {
        None => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type(&path, "a list", other)),
    };
    let mut filters = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let item = object(item, &path)?;
        only(item, &path, "Pattern")?;
        let path = format!("{path}.Pattern");
        match given(item.get("Pattern")) {
            Some(Value::String(pattern)) => filters.push(Filter {
                pattern: pattern.clone(),
            }),
            Some(other) => return Err(wrong_type(&path, "the JSON text of a pattern", other)),
            None => return Err(ConfigError::new(path, "is missing")),
        }
    }
    Ok((!filters.is_empty()).then_some(FilterCriteria { filters }))
}

/// The patterns of a document, compiled for what its records become.
pub(super) fn compile(
    document: &Document,
    shape: EventShape,
) -> Result<Option<Arc<Filters>>, ConfigError> {
    let Some(criteria) = &document.filter_criteria else {
        return Ok(None);
    };
    let patterns: Vec<&str> = criteria
        .filters
        .iter()
        .map(|filter| &*filter.pattern)
        .collect();
    let most = document.penstock.filters_max as usize;
    let filters = Filters::compile(&patterns, shape.into(), most).map_err(|error| {
        let path = match error.filter {
            Some(index) => format!("{}.Filters[{index}].Pattern", FILTER_CRITERIA.path),
            None => format!("{}.Filters", FILTER_CRITERIA.path),
        };
        ConfigError::new(path, error.message).with_hint(error.hint)
    })?;
    Ok(Some(Arc::new(filters)))
}

fn given(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn object<'v>(value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, ConfigError> {
    value
        .as_object()
        .ok_or_else(|| wrong_type(path, "an object", value))
}

fn only(members: &Map<String, Value>, path: &str, known: &str) -> Result<(), ConfigError> {
    match members.keys().find(|key| *key != known) {
        None => Ok(()),
        Some(key) => Err(ConfigError::new(
            format!("{path}.{key}"),
            format!(
                "is not a known member{}",
                suggestion(key, [known].into_iter())
            ),
        )),
    }
}

fn wrong_type(path: &str, wanted: &str, value: &Value) -> ConfigError {
    ConfigError::new(path, format!("must be {wanted}, not {}", type_name(value)))
}
