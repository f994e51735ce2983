//! Destinations: those that need no service, and the one that asks somebody else.

pub mod embedded;
pub mod embedded_queue;
pub mod errand;
pub mod file;
pub mod memory;

pub use embedded::EmbeddedDestination;
pub use embedded_queue::EmbeddedQueueDestination;
pub use errand::ErrandDestination;
pub use file::FileDestination;
pub use memory::MemoryDestination;
