//! All queues, and how requests name them.

use std::collections::BTreeMap;

use super::queue::Queue;
use super::settings::Settings;
use crate::service::Refusal;

/// The account everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// Everything the service knows.
#[derive(Debug)]
pub struct Model {
    /// The queues by name.
    pub queues: BTreeMap<String, Queue>,
    /// How it behaves.
    pub settings: Settings,
    serial: u64,
}

impl Model {
    /// A model without queues.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            queues: BTreeMap::new(),
            settings,
            serial: 0,
        }
    }

    /// The next number: of a queue, a message or a receive.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The queue of a URL, with everything done that is due.
    ///
    /// # Errors
    /// When there is none.
    pub fn queue(&mut self, url: Option<&str>, now_ms: u64) -> Result<&mut Queue, Refusal> {
        let queue = self
            .queues
            .get_mut(name_of_url(url)?)
            .ok_or_else(no_queue)?;
        queue.settle(now_ms);
        Ok(queue)
    }

    /// How often a message of a queue is received before it moves, and where it moves; `None`
    /// without a redrive policy, and when the dead-letter queue is gone.
    #[must_use]
    pub fn redrive(&self, queue: &Queue) -> Option<(u32, String)> {
        let redrive = queue.properties.redrive.as_ref()?;
        self.queues
            .contains_key(&redrive.target)
            .then(|| (redrive.receives_max, redrive.target.clone()))
    }
}

/// The name at the end of a queue's URL.
///
/// # Errors
/// When it is no such URL.
pub fn name_of_url(url: Option<&str>) -> Result<&str, Refusal> {
    let url = url.ok_or_else(|| missing("QueueUrl"))?;
    let name = url.rsplit('/').next().filter(|name| !name.is_empty());
    name.filter(|_| url.starts_with("http") || !url.contains(':'))
        .ok_or_else(|| {
            let message = format!("The address {url} is not valid for this endpoint.");
            Refusal::client("InvalidAddress", message)
        })
}

/// The refusal of a request without something that it needs.
#[must_use]
pub fn missing(name: &str) -> Refusal {
    Refusal::client(
        "MissingParameter",
        format!("The request must contain the parameter {name}."),
    )
}

/// The refusal of a call on a queue that does not exist.
#[must_use]
pub fn no_queue() -> Refusal {
    Refusal::client("QueueDoesNotExist", "The specified queue does not exist.")
}

/// A queue's ARN.
#[must_use]
pub fn arn(name: &str, region: &str) -> String {
    format!("arn:aws:sqs:{region}:{ACCOUNT}:{name}")
}
