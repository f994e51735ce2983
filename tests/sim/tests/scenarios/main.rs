//! Tells the stories of mappings on streams and on queues, one each, as a user would.
//!
//! Every story runs under all oracles of the simulator; what it asserts besides is its point.

mod batches;
mod beginnings;
mod failures;
mod groups;
mod operations;
mod outside;
mod queues;
mod sharing;
mod windows;
