//! Tests the sources against servers on loopback: scripted ones, and that of SQS.

mod dynamodb_streams;
mod faults;
mod items;
mod kinesis;
mod lease_table;
mod queue;
mod queue_faults;
mod stream;
mod support;
mod table;
mod tls;
