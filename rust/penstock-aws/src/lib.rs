//! Speaks to AWS as ports of the runtime: Kinesis and DynamoDB streams and SQS queues as
//! sources, a DynamoDB table as the store that several processes share.
//!
//! A lean client of its own: one signed request, one classified answer, no retries. What it does
//! not do is find regions, endpoints and credentials: Python resolves those as every boto3 user
//! has configured them and pushes them into the [`access::AccessBook`].

pub mod access;
pub mod client;
pub mod dynamodb;
pub mod dynamodb_streams;
mod iterators;
pub mod kinesis;
mod protocol;
mod scan;
mod signing;
pub mod sqs;
mod transport;
