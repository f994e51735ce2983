//! FilterCriteria: does this record pass.
//!
//! Rules: patterns are alternatives, the fields of a pattern must all pass, the values of a field
//! are alternatives again; a pattern means what Event Ruler makes of it; it is compiled once, and
//! refused with AWS's sentence; matching reads each record once, in time linear in it.
//!
//! A pattern looks at the record as the event shows it, with the payload decoded and, where it is
//! JSON, parsed: `data` of Kinesis at the top level, `dynamodb` of DynamoDB, `body` of SQS. A
//! payload that is not an object or array of JSON passes no pattern that names fields of it; a
//! body that is one passes no pattern that matches it as text.

mod address;
mod arrays;
mod choices;
mod error;
mod explain;
mod findings;
#[cfg(test)]
mod hostile;
mod json;
mod mark;
mod matcher;
#[cfg(test)]
mod messages;
mod number;
mod operators;
mod pattern;
mod payload;
mod program;
#[cfg(test)]
mod records;
#[cfg(test)]
mod reference;
mod scan;
mod test;
#[cfg(test)]
mod tests;
mod text;
mod walk;
mod wildcard;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use error::FilterError;
pub use explain::{ExplainError, Explanation, explain};
pub use mark::mark;

use crate::config::EventShape;
use crate::limits;
use crate::record::RecordView;
use matcher::Matcher;
use pattern::Pattern;
use program::Program;

/// What patterns are matched against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Any JSON object, as it stands.
    Document,
    /// A record of Kinesis.
    Kinesis,
    /// A record of DynamoDB Streams.
    DynamoDb,
    /// A message of SQS.
    Sqs,
}

impl Shape {
    /// The key of the payload, which a stream's pattern may not match as text.
    fn payload(self) -> Option<&'static str> {
        match self {
            Self::Document | Self::Sqs => None,
            Self::Kinesis => Some("data"),
            Self::DynamoDb => Some("dynamodb"),
        }
    }

    /// The key of a payload that is text in the event, and may turn out not to be JSON.
    fn encoded(self) -> Option<&'static str> {
        match self {
            Self::Kinesis => Some("data"),
            Self::Sqs => Some("body"),
            Self::Document | Self::DynamoDb => None,
        }
    }

    /// Whether a path leads into a payload that has to be decoded.
    fn is_encoded(self, path: &str) -> bool {
        self.encoded().is_some_and(|key| {
            let rest = path.strip_prefix(key);
            // A body may be matched as text; then nothing has to be decoded.
            let whole = |rest: &str| rest.is_empty() && self != Self::Sqs;
            rest.is_some_and(|rest| whole(rest) || rest.starts_with('.'))
        })
    }
}

impl From<EventShape> for Shape {
    fn from(shape: EventShape) -> Self {
        match shape {
            EventShape::Kinesis => Self::Kinesis,
            EventShape::DynamoDb => Self::DynamoDb,
            EventShape::Sqs => Self::Sqs,
        }
    }
}

/// The patterns of one mapping, compiled.
pub struct Filters {
    shape: Shape,
    patterns: Vec<String>,
    most: usize,
    program: Program,
}

impl Filters {
    /// Compiles patterns for records of a shape. No more than `most` are allowed.
    ///
    /// # Errors
    /// Where Lambda refuses them.
    pub fn compile<T: AsRef<str>>(
        patterns: &[T],
        shape: Shape,
        most: usize,
    ) -> Result<Self, FilterError> {
        if patterns.len() > most {
            return Err(FilterError::too_many(patterns.len(), most));
        }
        let mut parsed = Vec::with_capacity(patterns.len());
        for (index, text) in patterns.iter().enumerate() {
            parsed.push(parse(index, text.as_ref(), shape)?);
        }
        Ok(Self {
            shape,
            patterns: patterns
                .iter()
                .map(|text| text.as_ref().to_owned())
                .collect(),
            most,
            program: Program::new(parsed, shape),
        })
    }

    /// The patterns, as they were written.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// How many patterns there may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether one of the patterns holds for a record of the shard and mapping of `context`.
    ///
    /// For the records of a page, `mark` keeps its buffers from one to the next.
    #[must_use]
    pub fn passes(&self, view: &RecordView<'_>, context: &crate::event::EventContext<'_>) -> bool {
        Matcher::new(self, context).passes(view)
    }
}

fn parse(index: usize, text: &str, shape: Shape) -> Result<Pattern, FilterError> {
    let characters = text.chars().count();
    if characters > limits::FILTER_CHARS_MAX {
        return Err(FilterError::too_long(index, characters));
    }
    let pattern = Pattern::parse(text).map_err(|refusal| {
        FilterError::invalid(
            index,
            format!("{} (at byte {})", refusal.reason, refusal.offset),
        )
    })?;
    let plain = pattern
        .fields
        .iter()
        .find(|field| Some(&*field.path) == shape.payload());
    match plain {
        Some(field) => Err(FilterError::invalid(
            index,
            format!(
                "{} must be an object of fields: the payload of a stream's record is matched as \
                 JSON, never as text",
                field.path
            ),
        )),
        None => Ok(pattern),
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filters")
            .field("shape", &self.shape)
            .field("patterns", &self.patterns)
            .finish()
    }
}

impl PartialEq for Filters {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.patterns == other.patterns && self.most == other.most
    }
}

/// How filters are written down in a trace.
#[derive(Serialize, Deserialize)]
struct Written {
    shape: Shape,
    patterns: Vec<String>,
    most: usize,
}

impl Serialize for Filters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            shape: self.shape,
            patterns: self.patterns.clone(),
            most: self.most,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        Self::compile(&written.patterns, written.shape, written.most).map_err(de::Error::custom)
    }
}
