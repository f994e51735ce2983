//! Says what is wrong with a configuration document.

/// One thing that is wrong: where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// The member, as a path into the document, for example `DestinationConfig.OnFailure`.
    pub path: String,
    /// A sentence.
    pub message: String,
    /// What is behind it, where AWS's sentence says too little.
    pub hint: Option<String>,
}

impl ConfigError {
    /// What is wrong with the member at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same with more to say.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}
