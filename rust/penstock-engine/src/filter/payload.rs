//! Decodes payloads out of base64, with the vector instructions that the processor has for it.

use base64::Engine as _;
use base64::engine::general_purpose;

/// A decoder of padded base64 in the standard alphabet.
#[derive(Debug)]
pub(super) struct Decoder(Base64);

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Base64 = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Base64 = general_purpose::GeneralPurpose;

impl Decoder {
    /// Finds out what the processor can.
    pub(super) fn new() -> Self {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        return Self(Base64::standard(general_purpose::PAD));
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        Self(general_purpose::STANDARD)
    }

    /// The text in a payload, if it is one. `buffer` only ever grows.
    pub(super) fn text<'b>(&self, data: &str, buffer: &'b mut Vec<u8>) -> Option<&'b str> {
        let most = base64::decoded_len_estimate(data.len());
        if buffer.len() < most {
            buffer.resize(most, 0);
        }
        let length = self.0.decode_slice(data, buffer).ok()?;
        str::from_utf8(&buffer[..length]).ok()
    }
}
