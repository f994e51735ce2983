//! All streams, and how requests name them.

use std::collections::BTreeMap;

use super::settings::Settings;
use super::stream::{State, Stream};
use crate::service::Refusal;

/// The account everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// Everything the service knows.
#[derive(Debug)]
pub struct Model {
    /// The streams by name.
    pub streams: BTreeMap<String, Stream>,
    /// How it behaves.
    pub settings: Settings,
    serial: u64,
}

/// How a request names a stream: by name, by ARN, or by both when they agree.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// `StreamName`.
    pub name: Option<&'a str>,
    /// `StreamARN`.
    pub arn: Option<&'a str>,
}

impl Model {
    /// A model without streams.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            streams: BTreeMap::new(),
            settings,
            serial: 0,
        }
    }

    /// The next serial number of an iterator.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The stream a request names, in whatever state it is.
    ///
    /// # Errors
    /// When it names none, or one that does not exist.
    pub fn named(&mut self, naming: Naming<'_>, now_ms: u64) -> Result<&mut Stream, Refusal> {
        let name = naming.resolve()?;
        if self
            .streams
            .get_mut(name)
            .is_some_and(|stream| !stream.settle(now_ms))
        {
            self.streams.remove(name);
        }
        let stream = self.streams.get_mut(name).ok_or_else(|| no_stream(name))?;
        if naming.arn.is_some_and(|arn| arn != stream.arn) {
            return Err(no_stream(name));
        }
        Ok(stream)
    }

    /// The stream a request names, when records can be read from and put into it.
    ///
    /// # Errors
    /// As [`Model::named`], and when it is being created or deleted.
    pub fn usable(&mut self, naming: Naming<'_>, now_ms: u64) -> Result<&mut Stream, Refusal> {
        let stream = self.named(naming, now_ms)?;
        match stream.state {
            State::Active | State::Updating(_) => Ok(stream),
            State::Creating(_) | State::Deleting(_) => Err(no_stream(&stream.name)),
        }
    }

    /// The stream a request names, when it can be changed.
    ///
    /// # Errors
    /// As [`Model::named`], and when it is not ACTIVE.
    pub fn active(&mut self, naming: Naming<'_>, now_ms: u64) -> Result<&mut Stream, Refusal> {
        let stream = self.named(naming, now_ms)?;
        if stream.state == State::Active {
            return Ok(stream);
        }
        Err(Refusal::client(
            "ResourceInUseException",
            format!(
                "Stream {} under account {ACCOUNT} not ACTIVE, instead in state {}",
                stream.name,
                stream.status()
            ),
        ))
    }
}

impl<'a> Naming<'a> {
    fn resolve(self) -> Result<&'a str, Refusal> {
        let of_arn = match self.arn {
            Some(arn) => Some(name_of_arn(arn).ok_or_else(|| {
                Refusal::client(
                    "InvalidArgumentException",
                    format!("Invalid StreamARN: {arn}"),
                )
            })?),
            None => None,
        };
        match (self.name, of_arn) {
            (Some(name), Some(other)) if name != other => Err(Refusal::client(
                "InvalidArgumentException",
                "StreamARN and StreamName do not match.",
            )),
            (Some(name), _) | (None, Some(name)) => Ok(name),
            (None, None) => Err(Refusal::client(
                "InvalidArgumentException",
                "Either StreamARN or StreamName must be specified.",
            )),
        }
    }
}

/// The stream's name within its ARN.
#[must_use]
pub fn name_of_arn(arn: &str) -> Option<&str> {
    let (head, name) = arn.split_once(":stream/")?;
    (head.starts_with("arn:aws") && !name.is_empty()).then_some(name)
}

/// The refusal of a call on a stream that does not exist.
#[must_use]
pub fn no_stream(name: &str) -> Refusal {
    let message = format!("Stream {name} under account {ACCOUNT} not found.");
    Refusal::client("ResourceNotFoundException", message)
}
