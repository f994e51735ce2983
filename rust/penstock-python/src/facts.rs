//! Tells facts about this build, for the tests of other layers and for whoever imports it.

use pyo3::prelude::*;

use crate::{errors, registry};

/// Every code that the extension's exceptions can carry.
#[pyfunction]
pub(crate) fn error_codes() -> Vec<&'static str> {
    errors::CODES.to_vec()
}

/// The kinds of sources and destinations that this build has.
#[pyfunction]
pub(crate) fn features() -> Vec<&'static str> {
    registry::FEATURES.to_vec()
}

/// The version of the engine, which is the package's.
#[pyfunction]
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Whether the engine was built without optimisation.
#[pyfunction]
pub(crate) fn debug_build() -> bool {
    cfg!(debug_assertions)
}
