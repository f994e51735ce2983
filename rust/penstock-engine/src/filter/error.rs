//! Says why filters are refused: in AWS's sentence, and in ours.

use crate::limits;

/// Why filters are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// Which pattern; `None` when it is their number.
    pub filter: Option<usize>,
    /// AWS's sentence.
    pub message: String,
    /// What is wrong.
    pub hint: String,
}

impl FilterError {
    /// A text that is no pattern.
    pub(super) fn invalid(filter: usize, hint: String) -> Self {
        Self {
            filter: Some(filter),
            message: INVALID.to_owned(),
            hint,
        }
    }

    /// More patterns than a mapping may have.
    pub(super) fn too_many(given: usize, most: usize) -> Self {
        let hint = match most < limits::FILTERS_CEILING {
            true => format!(
                "{given} filters are given and {most} allowed; Penstock.FiltersMax allows up to {}",
                limits::FILTERS_CEILING
            ),
            false => format!("{given} filters are given and {most} allowed"),
        };
        Self {
            filter: None,
            message: INVALID.to_owned(),
            hint,
        }
    }

    /// A pattern that is too long.
    pub(super) fn too_long(filter: usize, characters: usize) -> Self {
        let (place, most) = (filter + 1, limits::FILTER_CHARS_MAX);
        Self {
            filter: Some(filter),
            message: format!(
                "1 validation error detected: Value at 'filterCriteria.filters.{place}.member.\
                 pattern' failed to satisfy constraint: Member must have length less than or \
                 equal to {most}"
            ),
            hint: format!("the pattern has {characters} characters"),
        }
    }
}

const INVALID: &str = "Invalid filter pattern definition.";
