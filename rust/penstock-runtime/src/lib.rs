//! Drives engines: does everything that they decide, and decides nothing.
//!
//! One tokio task per mapping owns its engine, so there is no lock. Shutdown goes one way: stop
//! offering slots, drain engines by a deadline, save last checkpoints and leases, drop mapping
//! tasks, shut the tokio runtime down with a timeout.

pub mod clock;
pub mod destination;
pub mod errands;
pub mod error;
pub mod exchange;
pub mod frame;
pub mod ledger;
mod mapping;
pub mod messages;
pub mod moves;
pub mod page;
pub mod ports;
mod receiving;
mod requests;
mod roster;
pub mod runtime;
mod settings;
pub mod snapshot;
pub mod source;
pub mod state;
mod subscriber;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trace;
