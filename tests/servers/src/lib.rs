//! Wire servers for tests and benches: right, fast, with faults on command.
//!
//! [`server`] owns connections, time, faults and counts; a [`service::Service`] owns one AWS
//! service's operations and state: [`kinesis`], [`dynamodb`] or [`sqs`]. Nothing here is part of
//! penstock.

pub mod body;
pub mod buckets;
pub mod clock;
pub mod connection;
pub mod control;
pub mod dynamodb;
pub mod faults;
pub mod garbage;
pub mod hash;
pub mod kinesis;
pub mod log;
pub mod seal;
pub mod server;
pub mod service;
pub mod signature;
pub mod sqs;
pub mod stats;
pub mod validation;
