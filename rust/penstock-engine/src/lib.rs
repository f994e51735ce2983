//! Decides everything about a mapping and does nothing: no I/O, no threads, no clock, no
//! randomness of its own.
//!
//! A driver feeds [`io::Input`]s and time into an [`engine::Engine`], performs the
//! [`io::Output`]s that it polls, and hands [`io::Invocation`]s to workers. The same inputs at the
//! same times give the same outputs, byte for byte.

pub mod backoff;
mod civil;
pub mod config;
mod desk;
pub mod dispatch;
pub mod engine;
pub mod event;
pub mod failure;
pub mod fault;
pub mod filter;
pub mod ids;
pub mod io;
pub mod lease;
pub mod limits;
pub mod mutants;
pub mod queue;
pub mod record;
pub mod response;
pub mod rng;
pub mod snapshot;
pub mod stream;
pub mod time;
pub mod trace;
