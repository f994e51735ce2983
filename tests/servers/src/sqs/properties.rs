//! What a queue is told by CreateQueue and SetQueueAttributes, with the service's ranges.
//!
//! What this server would not act on is refused by name: a test that relied on it would pass for
//! the wrong reason.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

use super::model::ACCOUNT;
use crate::service::Refusal;

/// The properties of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Properties {
    /// Whether it keeps order and sends nothing twice.
    pub fifo: bool,
    /// Whether a FIFO queue takes the body's hash where no deduplication id is sent.
    pub deduplicates_by_content: bool,
    /// How long a received message is hidden.
    pub visibility_s: u64,
    /// How long a sent message is hidden.
    pub delay_s: u64,
    /// How long messages are kept.
    pub retention_s: u64,
    /// How long a receive waits that does not say.
    pub wait_s: u64,
    /// The largest message.
    pub bytes_max: u64,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
}

/// A redrive policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Redrive {
    /// The name of the dead-letter queue.
    pub target: String,
    /// How often a message is received.
    pub receives_max: u32,
    /// The policy as it was written.
    text: String,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            fifo: false,
            deduplicates_by_content: false,
            visibility_s: 30,
            delay_s: 0,
            retention_s: 345_600,
            wait_s: 0,
            bytes_max: 1 << 20,
            redrive: None,
        }
    }
}

impl Properties {
    /// How long messages are kept, in milliseconds.
    #[must_use]
    pub fn retention_ms(&self) -> u64 {
        self.retention_s * 1000
    }

    /// Changes what the attributes of a request name.
    ///
    /// # Errors
    /// As the service refuses a name or a value.
    pub fn change(&mut self, attributes: &BTreeMap<String, String>) -> Result<(), Refusal> {
        for (name, value) in attributes {
            let range = |range: RangeInclusive<u64>| {
                let number = value.parse().ok().filter(|number| range.contains(number));
                number.ok_or_else(|| bad_value(name))
            };
            match name.as_str() {
                "VisibilityTimeout" => self.visibility_s = range(0..=43_200)?,
                "DelaySeconds" => self.delay_s = range(0..=900)?,
                "MessageRetentionPeriod" => self.retention_s = range(60..=1_209_600)?,
                "ReceiveMessageWaitTimeSeconds" => self.wait_s = range(0..=20)?,
                "MaximumMessageSize" => self.bytes_max = range(1024..=1 << 20)?,
                "ContentBasedDeduplication" if self.fifo => {
                    self.deduplicates_by_content = value.parse().map_err(|_| bad_value(name))?;
                }
                "FifoQueue" if self.fifo && value == "true" => {}
                "RedrivePolicy" if value.is_empty() => self.redrive = None,
                "RedrivePolicy" => self.redrive = Some(Redrive::parse(value, self.fifo)?),
                _ => {
                    return Err(Refusal::client(
                        "InvalidAttributeName",
                        format!("Unknown Attribute {name}."),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The properties as GetQueueAttributes names and writes them.
    #[must_use]
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("VisibilityTimeout", self.visibility_s.to_string()),
            ("DelaySeconds", self.delay_s.to_string()),
            ("MessageRetentionPeriod", self.retention_s.to_string()),
            ("ReceiveMessageWaitTimeSeconds", self.wait_s.to_string()),
            ("MaximumMessageSize", self.bytes_max.to_string()),
        ];
        if let Some(redrive) = &self.redrive {
            all.push(("RedrivePolicy", redrive.text.clone()));
        }
        if self.fifo {
            all.push(("FifoQueue", true.to_string()));
            let by_content = self.deduplicates_by_content.to_string();
            all.push(("ContentBasedDeduplication", by_content));
        }
        all
    }
}

impl Redrive {
    fn parse(text: &str, fifo: bool) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Policy {
            dead_letter_target_arn: String,
            max_receive_count: Value,
        }
        let policy: Policy = serde_json::from_str(text).map_err(|_| bad_value("RedrivePolicy"))?;
        let receives_max = match &policy.max_receive_count {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let receives_max = receives_max
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| (1..=1000).contains(count));
        let name = policy.dead_letter_target_arn.rsplit(':').next();
        let target = name
            .filter(|name| policy.dead_letter_target_arn.contains(ACCOUNT) && !name.is_empty())
            .filter(|name| name.ends_with(".fifo") == fifo);
        let (Some(receives_max), Some(target)) = (receives_max, target) else {
            let message = format!(
                "Value {text} for parameter RedrivePolicy is invalid. Reason: Amazon SQS can't \
                 use the dead-letter target or the count."
            );
            return Err(Refusal::client("InvalidParameterValue", message));
        };
        Ok(Self {
            target: target.to_owned(),
            receives_max,
            text: text.to_owned(),
        })
    }
}

fn bad_value(name: &str) -> Refusal {
    Refusal::client(
        "InvalidAttributeValue",
        format!("Invalid value for the parameter {name}."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(fifo: bool, name: &str, value: &str) -> Result<Properties, Refusal> {
        let mut properties = Properties {
            fifo,
            ..Properties::default()
        };
        let attributes = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        properties.change(&attributes).map(|()| properties)
    }

    #[test]
    fn ranges_are_the_services() {
        assert_eq!(
            changed(false, "VisibilityTimeout", "43200").map(|p| p.visibility_s),
            Ok(43_200)
        );
        for (name, value) in [
            ("VisibilityTimeout", "43201"),
            ("VisibilityTimeout", "-1"),
            ("DelaySeconds", "901"),
            ("ReceiveMessageWaitTimeSeconds", "21"),
            ("MessageRetentionPeriod", "59"),
            ("MaximumMessageSize", "1048577"),
            ("ContentBasedDeduplication", "true"),
            ("FifoQueue", "true"),
            ("KmsMasterKeyId", "k"),
        ] {
            assert!(changed(false, name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn a_redrive_policy_names_a_queue_of_the_same_kind() {
        let policy = |target: &str, count: &str| {
            let arn = format!("arn:aws:sqs:us-east-1:000000000000:{target}");
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#)
        };
        let redrive = changed(false, "RedrivePolicy", &policy("dead", "\"3\"")).map(|p| p.redrive);
        let redrive = redrive.expect("a good policy").expect("is kept");
        assert_eq!((redrive.target.as_str(), redrive.receives_max), ("dead", 3));
        assert_eq!(
            changed(false, "RedrivePolicy", "").map(|p| p.redrive),
            Ok(None)
        );
        for wrong in [
            policy("dead.fifo", "3"),
            policy("dead", "0"),
            "{}".to_owned(),
        ] {
            assert!(changed(false, "RedrivePolicy", &wrong).is_err());
        }
        assert!(changed(true, "RedrivePolicy", &policy("dead.fifo", "1")).is_ok());
    }
}
