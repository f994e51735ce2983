//! Sends a partition key to its lane, by a hash that never changes.
//!
//! Rules: the same key goes to the same lane for as long as the number of lanes and the hash's
//! version stay; both stand in every checkpoint that relies on them. AWS does not say which hash
//! Lambda uses, and nothing that can be observed depends on it.

/// The version of [`hash_key`] and [`lane_of`]; a change of either needs a new number.
pub const HASH_VERSION: u8 = 1;

const SEED: u64 = 0x51_7c_c1_b7_27_22_0a_95;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes a partition key: eight bytes at a time, folded multiplication.
#[must_use]
pub fn hash_key(key: &[u8]) -> u64 {
    let mut hash = SEED ^ (key.len() as u64).wrapping_mul(MULTIPLIER);
    let mut chunks = key.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = fold(hash ^ u64::from_le_bytes(word));
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = fold(hash ^ u64::from_le_bytes(word));
    }
    fold(hash)
}

/// The lane of a key with this hash, among `lanes` lanes.
#[must_use]
pub fn lane_of(key_hash: u64, lanes: u8) -> u8 {
    let scaled = (u128::from(key_hash) * u128::from(lanes)) >> 64;
    u8::try_from(scaled).expect("a hash below 2^64 scaled by a u8 stays below that u8")
}

fn fold(word: u64) -> u64 {
    let wide = u128::from(word) * u128::from(MULTIPLIER);
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    low ^ high ^ word.rotate_left(23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_it_has_always_been() {
        let seen: Vec<u64> = [
            "",
            "a",
            "order-1",
            "order-12",
            "a key of more than eight bytes",
        ]
        .iter()
        .map(|key| hash_key(key.as_bytes()))
        .collect();
        assert_eq!(seen, EXPECTED);
    }

    const EXPECTED: [u64; 5] = [
        8_847_279_275_517_748_994,
        17_823_773_235_617_813_112,
        2_069_125_732_158_729_621,
        4_621_875_289_555_014_754,
        5_597_567_044_707_074_939,
    ];

    #[test]
    fn keys_spread_evenly_over_lanes() {
        for lanes in 1..=10u8 {
            let mut counts = vec![0u32; usize::from(lanes)];
            for number in 0..20_000 {
                let key = format!("customer-{number}");
                counts[usize::from(lane_of(hash_key(key.as_bytes()), lanes))] += 1;
            }
            let fair = 20_000 / u32::from(lanes);
            for count in counts {
                assert!(
                    count.abs_diff(fair) < fair / 10 + 60,
                    "{lanes} lanes: {count} of {fair}"
                );
            }
        }
    }
}
