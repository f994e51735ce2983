//! Simulates whole lives of a mapping in virtual time, with seeded faults, and judges them.
//!
//! A [`world::World`] performs what the engine asks for; [`model::Model`] keeps what is true of
//! every record; the functions of [`oracles`] say what must hold. A seed gives a configuration and
//! a schedule of faults ([`swarm`]); a story is written by hand ([`story`]).

pub mod acts;
mod crew;
pub mod event;
pub mod faults;
pub mod fleet;
pub mod heads;
pub mod judge;
pub mod knowledge;
pub mod leaving;
pub mod model;
pub mod moves;
pub mod options;
pub mod oracles;
pub mod page;
pub mod perform;
pub mod queue;
pub mod random;
pub mod reading;
pub mod resting;
pub mod sharing;
pub mod store;
pub mod story;
pub mod stream;
pub mod swarm;
pub mod units;
pub mod windows;
pub mod workers;
pub mod world;
