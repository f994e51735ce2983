//! Simulates several processes that share the shards of a stream through a table of leases.
//!
//! A [`world::FleetWorld`] carries requests to the table, late, twice too late or never; a
//! [`member::Member`] is a process with a clock of its own and a simple reader for each lease; the
//! functions of [`oracles`] say what must hold. A seed gives a fleet and a schedule ([`swarm`]).

pub mod acts;
pub mod member;
pub mod network;
pub mod oracles;
mod reading;
pub mod swarm;
pub mod table;
mod travel;
pub mod truth;
pub mod world;
