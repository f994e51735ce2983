//! Simulates mappings on queues: a queue, a world around it, what must hold, lives and stories.
//!
//! The parts have the names and the jobs of those for streams; what both need is shared: the
//! agenda, the chances, handlers, violations.

pub mod event;
pub mod faults;
pub mod judge;
pub mod model;
pub mod options;
pub mod oracles;
pub mod page;
pub mod perform;
pub mod source;
pub mod story;
pub mod swarm;
pub mod world;
