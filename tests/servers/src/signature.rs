//! What is read from a request's signature, and what is thought of its time.
//!
//! Signatures are not verified. A request must carry one, and when the skew is switched on its time
//! must be near the server's.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::clock::{amz_date, parse_amz_date};
use crate::service::Refusal;

/// How far a request's time may be from the server's.
const TOLERATED_MS: u64 = 5 * 60 * 1000;

/// The parts of a signature that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The access key.
    pub access_key: &'a str,
    /// The region of the credential's scope.
    pub region: &'a str,
    /// When the request was signed, if it says so.
    pub signed_ms: Option<u64>,
}

impl<'a> Signature<'a> {
    /// Reads `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`.
    ///
    /// # Errors
    /// When there is no such header, or it is not of this form.
    pub fn of(authorization: Option<&'a str>, date: Option<&str>) -> Result<Self, Refusal> {
        let header = authorization.ok_or_else(|| {
            Refusal::client(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )
        })?;
        let incomplete = || {
            let message = format!("Authorization header requires 'Credential' parameter: {header}");
            Refusal::client("IncompleteSignatureException", message)
        };
        let (_, credential) = header.split_once("Credential=").ok_or_else(incomplete)?;
        let mut scope = credential
            .split([',', ' '])
            .next()
            .unwrap_or_default()
            .split('/');
        let (access_key, _, region) = (scope.next(), scope.next(), scope.next());
        let (Some(access_key), Some(region)) = (access_key, region) else {
            return Err(incomplete());
        };
        Ok(Self {
            access_key,
            region,
            signed_ms: date.and_then(parse_amz_date),
        })
    }
}

/// How far the server says its clock is from the real one, and what it calls requests that differ.
#[derive(Debug, Default)]
pub struct Skew {
    order: Mutex<Option<Order>>,
}

/// The skew as a test orders it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Milliseconds the server is ahead, or behind when negative.
    pub offset_ms: i64,
    /// The error's type.
    #[serde(default = "invalid_signature")]
    pub code: String,
}

impl Skew {
    /// Switches the skew on, or off with `None`.
    pub fn set(&self, order: Option<Order>) {
        *self.lock() = order;
    }

    /// The time that the `Date` header shows.
    #[must_use]
    pub fn apply(&self, now_ms: u64) -> u64 {
        let offset = self.lock().as_ref().map_or(0, |order| order.offset_ms);
        now_ms.saturating_add_signed(offset)
    }

    /// Judges a request's time, when the skew is on.
    ///
    /// # Errors
    /// When it is more than five minutes from the server's.
    pub fn judge(&self, signature: &Signature<'_>, now_ms: u64) -> Result<(), Refusal> {
        let Some(order) = self.lock().clone() else {
            return Ok(());
        };
        let now_ms = now_ms.saturating_add_signed(order.offset_ms);
        let signed_ms = signature.signed_ms.unwrap_or(0);
        if now_ms.abs_diff(signed_ms) <= TOLERATED_MS {
            return Ok(());
        }
        let (signed, now) = (amz_date(signed_ms), amz_date(now_ms));
        let message = if signed_ms < now_ms {
            let least = amz_date(now_ms - TOLERATED_MS);
            format!("Signature expired: {signed} is now earlier than {least} ({now} - 5 min.)")
        } else {
            let most = amz_date(now_ms + TOLERATED_MS);
            format!(
                "Signature not yet current: {signed} is still later than {most} ({now} + 5 min.)"
            )
        };
        Err(Refusal::client(&order.code, message))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Order>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn invalid_signature() -> String {
    "InvalidSignatureException".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "AWS4-HMAC-SHA256 \
        Credential=AKID/20261124/eu-west-1/kinesis/aws4_request, \
        SignedHeaders=host;x-amz-date, Signature=0";

    #[test]
    fn a_signature_names_key_and_region() {
        let signature = Signature::of(Some(HEADER), Some("20261124T150000Z")).expect("good");
        assert_eq!(
            (signature.access_key, signature.region),
            ("AKID", "eu-west-1")
        );
        assert!(signature.signed_ms.is_some());
        let missing = Signature::of(None, None).expect_err("no header");
        assert_eq!(missing.code, "MissingAuthenticationTokenException");
        assert!(Signature::of(Some("Bearer x"), None).is_err());
    }

    #[test]
    fn a_skew_refuses_until_the_client_follows_the_date() {
        let skew = Skew::default();
        let now = parse_amz_date("20261124T150000Z").expect("a date");
        let at = |signed_ms| Signature {
            access_key: "k",
            region: "r",
            signed_ms: Some(signed_ms),
        };
        assert_eq!(skew.judge(&at(0), now), Ok(()));
        skew.set(Some(Order {
            offset_ms: 3_600_000,
            code: invalid_signature(),
        }));
        assert!(skew.judge(&at(now), now).is_err());
        assert_eq!(skew.judge(&at(skew.apply(now)), now), Ok(()));
        skew.set(Some(Order {
            offset_ms: -3_600_000,
            code: invalid_signature(),
        }));
        let refusal = skew.judge(&at(now), now).expect_err("an hour ahead");
        assert!(
            refusal.message.starts_with("Signature not yet current"),
            "{}",
            refusal.message
        );
        skew.set(None);
        assert_eq!(skew.judge(&at(now), now), Ok(()));
    }
}
