//! Sources that need no service.

pub mod embedded;
pub mod embedded_queue;
pub mod memory;
pub mod memory_queue;

pub use embedded::EmbeddedSource;
pub use embedded_queue::EmbeddedQueue;
pub use memory::MemorySource;
pub use memory_queue::MemoryQueue;
