//! Reads strings as IP addresses and compares them with ranges.
//!
//! Rules: what counts as an address, and how an address of one family meets a range of the other,
//! follow Event Ruler, which walks the hexadecimal digits of both and answers as soon as it can.

/// The digits of an address: 8 of IPv4, 32 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    digits: [u8; 32],
    count: usize,
}

/// A range of addresses, both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    bottom: Address,
    top: Address,
}

impl Address {
    /// The address that a text writes, if it writes one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            let bytes = v6(text)?;
            // An IPv4 address in IPv6's clothes is an IPv4 address.
            return match bytes {
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, rest @ ..] => Some(Self::of(&rest)),
                _ => Some(Self::of(&bytes)),
            };
        }
        v4(text).map(|bytes| Self::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Self {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[byte >> 4, byte & 0xf]);
        }
        Self {
            digits,
            count: bytes.len() * 2,
        }
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn fill(mut self, mask_bits: usize, value: u8) -> Self {
        for (place, digit) in self.digits[..self.count].iter_mut().enumerate() {
            let free = 4 * (place + 1);
            let variable = free.saturating_sub(mask_bits).min(4);
            let low = ((1_u16 << variable) - 1) as u8;
            *digit = (*digit & !low) | (value & low);
        }
        self
    }
}

impl Range {
    /// The range of one address.
    pub(super) fn only(address: Address) -> Self {
        Self {
            bottom: address,
            top: address,
        }
    }

    /// The range that a CIDR block writes.
    pub(super) fn cidr(text: &str) -> Result<Self, String> {
        let mut parts = text.trim_end_matches('/').split('/');
        let (Some(address), Some(bits), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err("Malformed CIDR, one '/' required".to_owned());
        };
        let Ok(bits) = bits.parse::<i32>() else {
            return Err("Malformed CIDR, mask bits must be an integer".to_owned());
        };
        let Ok(bits) = usize::try_from(bits) else {
            return Err("Malformed CIDR, mask bits must not be negative".to_owned());
        };
        let Some(address) = Address::parse(address) else {
            return Err(format!("Nonstandard IP address: {address}"));
        };
        match address.count {
            8 if bits > 31 => Err("IPv4 mask bits must be < 32".to_owned()),
            32 if bits > 127 => Err("IPv6 mask bits must be < 128".to_owned()),
            _ => Ok(Self {
                bottom: address.fill(bits, 0),
                top: address.fill(bits, 0xf),
            }),
        }
    }

    /// Whether an address lies in it. The other family's digits decide as far as they go.
    pub(super) fn holds(&self, address: &Address) -> bool {
        let (mut above, mut below) = (false, false);
        let ends = self.bottom.digits().iter().zip(self.top.digits());
        let mut digits = address.digits().iter();
        for (bottom, top) in ends {
            let Some(digit) = digits.next() else {
                return false;
            };
            if (!above && digit < bottom) || (!below && digit > top) {
                return false;
            }
            above |= digit > bottom;
            below |= digit < top;
            if above && below {
                return true;
            }
        }
        true
    }
}

/// Four decimal numbers of any number of leading zeros, 15 characters at most.
fn v4(text: &str) -> Option<[u8; 4]> {
    if text.len() > 15
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    let mut bytes = [0; 4];
    let mut parts = text.split('.');
    for byte in &mut bytes {
        *byte = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// Groups of hexadecimal digits of any number of leading zeros, one `::` at most.
fn v6(text: &str) -> Option<[u8; 16]> {
    let (head, tail) = match text.split_once("::") {
        Some((head, tail)) => (head, Some(tail)),
        None => (text, None),
    };
    let head = groups(head)?;
    let Some(tail) = tail.map(groups) else {
        return (head.len() == 8).then(|| joined(&head, &[]));
    };
    let tail = tail?;
    (head.len() + tail.len() < 8).then(|| joined(&head, &tail))
}

fn groups(text: &str) -> Option<Vec<u16>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let group = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = digits.trim_start_matches('0');
        match (plain, digits.is_empty()) {
            (false, _) => None,
            (true, true) => Some(0),
            (true, false) => u16::from_str_radix(digits, 16).ok(),
        }
    };
    // Nobody writes more groups than fit; a hostile text may.
    text.split(':').take(9).map(group).collect()
}

fn joined(head: &[u16], tail: &[u16]) -> [u8; 16] {
    let mut bytes = [0; 16];
    let gap = 8 - head.len() - tail.len();
    let all = head
        .iter()
        .copied()
        .chain(std::iter::repeat_n(0, gap))
        .chain(tail.iter().copied());
    for (pair, group) in bytes.chunks_exact_mut(2).zip(all) {
        pair.copy_from_slice(&group.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        let address = |text| Address::parse(text).expect("an address");
        Range::only(address(left)).holds(&address(right))
    }

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        assert!(same("::1", "0:0:0:0:0:0:0:1"));
        assert!(same("10.0.0.1", "010.0.0.1"));
        assert!(same("::ffff:a00:1", "10.0.0.1"));
        assert!(same("2001:DB8::1", "2001:db8:0:0::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
    }

    #[test]
    fn what_only_looks_like_an_address_is_none() {
        for text in [
            "1.2.3.999",
            ":",
            "12:34",
            "ab:cd",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4x",
            "",
            "1..2.3",
            ":::",
            "1::2::3",
            "12345::",
            "::12345",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8::",
            ":1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:",
            "+1.2.3.4",
            "0000000000010.0.0.1",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn blocks_hold_their_addresses() {
        let holds = |block: &str, address: &str| {
            let range = Range::cidr(block).expect("a block");
            range.holds(&Address::parse(address).expect("an address"))
        };
        assert!(holds("10.0.0.0/24", "10.0.0.255"));
        assert!(holds("10.0.0.77/24", "10.0.0.0"));
        assert!(!holds("10.0.0.0/24", "10.0.1.0"));
        assert!(holds("0.0.0.0/0", "255.255.255.255"));
        assert!(holds("10.0.0.0/31", "10.0.0.1"));
        assert!(!holds("10.0.0.0/31", "10.0.0.2"));
        assert!(holds("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!holds("2001:db8::/33", "2001:db8:8000::1"));
    }

    #[test]
    fn malformed_blocks_are_named() {
        for (block, words) in [
            ("10.0.0.0", "one '/' required"),
            ("10.0.0.0//8", "one '/' required"),
            ("10.0.0.0/x", "must be an integer"),
            ("10.0.0.0/-1", "must not be negative"),
            ("10.0.0.0/32", "must be < 32"),
            ("::/128", "must be < 128"),
            ("10.0.0/8", "Nonstandard IP address: 10.0.0"),
        ] {
            let error = Range::cidr(block).expect_err(block);
            assert!(error.contains(words), "{error}");
        }
    }
}
