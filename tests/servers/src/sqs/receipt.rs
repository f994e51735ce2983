//! Receipt handles: opaque to clients, stateless here, as long as the service's own.

/// How long the service's handles are; what they cost to carry is part of a bench.
const LENGTH: usize = 412;
const MARK: &str = "AQEB";

/// One receive of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which queue: another of the same name is another queue.
    pub queue: u64,
    /// Which of its messages.
    pub message: u64,
    /// Which receive of the server's life.
    pub serial: u64,
}

impl Receipt {
    /// The handle.
    #[must_use]
    pub fn encode(self) -> String {
        let Self {
            queue,
            message,
            serial,
        } = self;
        let sum = self.checksum();
        let mut handle = format!("{MARK}{queue:016x}{message:016x}{serial:016x}{sum:016x}");
        let mut filler = sum;
        while handle.len() < LENGTH {
            // A multiplication by an odd constant: letters that do not repeat soon.
            filler = filler.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            handle.push(char::from(LETTERS[(filler >> 58) as usize]));
        }
        handle
    }

    /// Reads a handle; `None` when it is not one of ours.
    #[must_use]
    pub fn decode(handle: &str) -> Option<Self> {
        let digits = handle.strip_prefix(MARK)?;
        let part = |nth: usize| {
            let text = digits.get(nth * 16..(nth + 1) * 16)?;
            u64::from_str_radix(text, 16).ok()
        };
        let receipt = Self {
            queue: part(0)?,
            message: part(1)?,
            serial: part(2)?,
        };
        (part(3)? == receipt.checksum()).then_some(receipt)
    }

    fn checksum(self) -> u64 {
        let mixed = [self.queue, self.message, self.serial];
        mixed.iter().fold(0xcbf2_9ce4_8422_2325, |sum, part| {
            (sum ^ part).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_back_and_guarded() {
        let receipt = Receipt {
            queue: 3,
            message: 7,
            serial: 9,
        };
        let handle = receipt.encode();
        assert_eq!(handle.len(), LENGTH);
        assert_eq!(Receipt::decode(&handle), Some(receipt));
        let other = handle.replace("0007", "0008");
        for wrong in ["", "AQEB", "garbage", other.as_str(), &handle[1..]] {
            assert_eq!(Receipt::decode(wrong), None, "{wrong}");
        }
    }
}
