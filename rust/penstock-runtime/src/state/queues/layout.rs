//! Names queues, messages and receipts.
//!
//! Rules: a receipt names one receive of one message, and nobody guesses another's; a FIFO queue's
//! name ends with `.fifo`, as SQS has it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Mutex;

use penstock_engine::rng::Rng;

use super::QueueError;
use crate::state::database::locked;

const ARN_PREFIX: &str = "arn:aws:penstock:::queue/";

/// How the name of a FIFO queue ends.
const FIFO_ENDING: &str = ".fifo";

/// The longest name.
const NAME_CHARACTERS_MAX: usize = 80;

/// The ARN of an embedded queue; AWS's own patterns accept it.
#[must_use]
pub fn queue_arn(name: &str) -> String {
    format!("{ARN_PREFIX}{name}")
}

/// Whether a queue of this name is a FIFO queue.
#[must_use]
pub fn is_fifo(name: &str) -> bool {
    name.ends_with(FIFO_ENDING)
}

pub(super) fn check_name(name: &str) -> Result<(), QueueError> {
    let stem = name.strip_suffix(FIFO_ENDING).unwrap_or(name);
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.len() <= NAME_CHARACTERS_MAX && !stem.is_empty() && stem.bytes().all(good) {
        Ok(())
    } else {
        Err(QueueError::InvalidName(name.to_owned()))
    }
}

/// The sequence number that a FIFO queue's message shows: twenty digits.
pub(super) fn sequence_number(sequence: i64) -> String {
    format!("1{sequence:019}")
}

/// One receive of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) message: i64,
    pub(super) mark: i64,
}

impl Receipt {
    pub(super) fn text(self) -> String {
        format!("{:x}-{:016x}", self.message, self.mark)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (message, mark) = text.split_once('-')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Self {
            message: i64::try_from(number(message)?).ok()?,
            mark: number(mark).filter(|_| mark.len() == 16)?.cast_signed(),
        })
    }
}

/// Gives names that nobody has given before.
pub(super) struct Names(Mutex<Rng>);

impl Names {
    /// Names that differ from those of every other process.
    pub(super) fn by_chance() -> Self {
        let seed = RandomState::new().hash_one(std::process::id());
        Self(Mutex::new(Rng::new(seed)))
    }

    /// A new message's id: a UUID of version 4.
    pub(super) fn message_id(&self) -> String {
        let [high, low] = self.numbers();
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff,
        )
    }

    /// What marks one receive.
    pub(super) fn mark(&self) -> i64 {
        self.numbers()[0].cast_signed()
    }

    fn numbers(&self) -> [u64; 2] {
        let mut rng = locked(&self.0);
        [rng.next_u64(), rng.next_u64()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_read_as_they_are_written() {
        for mark in [0, -1, i64::MIN, 77] {
            let receipt = Receipt { message: 12, mark };
            assert_eq!(Receipt::parse(&receipt.text()), Some(receipt));
        }
        for text in [
            "",
            "1",
            "1-2",
            "x-0000000000000000",
            "1-00000000000000000",
            "-",
        ] {
            assert_eq!(Receipt::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_those_that_sqs_takes() {
        for name in ["a", "orders.fifo", "Orders-1_x", &"x".repeat(80)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".fifo",
            "a.b",
            "a b",
            "é",
            "a.fifo.fifo",
            &"x".repeat(81),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn message_ids_are_uuids_of_chance() {
        let names = Names::by_chance();
        let (one, other) = (names.message_id(), names.message_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]));
    }
}
