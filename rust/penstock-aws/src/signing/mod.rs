//! Signs requests by Signature Version 4.
//!
//! Rules: the signature covers the service's envelope, the host and the body, as botocore's does;
//! what is the same for all requests of a day (the key that signs, the scope, the head of what is
//! signed) is made once and kept until the access is another. The signing crate does whatever is
//! not plain, `short` the rest; the vectors in `tests/data` hold both to botocore.

mod full;
mod short;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use penstock_engine::time::Wall;

use self::short::Kept;
use crate::access::Access;

/// How a service's JSON protocol is spoken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// Its name in signatures.
    pub signing_name: &'static str,
    /// What stands before the operation in `X-Amz-Target`.
    pub target: &'static str,
    /// `application/x-amz-json-1.0` or `-1.1`.
    pub content_type: &'static str,
}

/// Makes the signed requests of one service.
pub(crate) struct Signer {
    service: Service,
    /// What the last request was signed with.
    kept: Mutex<Option<Arc<Kept>>>,
}

impl Signer {
    pub(crate) fn new(service: Service) -> Self {
        Self {
            service,
            kept: Mutex::default(),
        }
    }

    /// A POST with the envelope of the service's protocol, signed as of `time`.
    pub(crate) fn signed(
        &self,
        access: &Access,
        operation: &str,
        body: Bytes,
        time: Wall,
    ) -> Result<Request<Full<Bytes>>, String> {
        match self.kept(access, time) {
            Some(kept) => kept.signed(&self.service, operation, body, time),
            None => full::signed(&self.service, access, operation, body, time),
        }
    }

    /// What is the same for all requests with this access on this day; `None` when something about
    /// them is not plain.
    fn kept(&self, access: &Access, time: Wall) -> Option<Arc<Kept>> {
        // Whoever panicked had not begun to change it.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.suits(access, time)) {
            return Some(Arc::clone(kept));
        }
        *kept = Kept::new(&self.service, access, time).map(Arc::new);
        kept.clone()
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    const SERVICE: Service = Service {
        signing_name: "kinesis",
        target: "Kinesis_20131202",
        content_type: "application/x-amz-json-1.1",
    };

    #[derive(Deserialize)]
    struct Vector {
        url: String,
        region: String,
        token: Option<String>,
        at: i64,
        body: String,
        date: String,
        authorization: String,
    }

    fn access(url: &str, changes: &Value) -> Access {
        let mut document = json!({
            "access": "a", "region": "us-east-1", "endpoint": url,
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        });
        let changes = changes.as_object().unwrap().clone();
        document.as_object_mut().unwrap().extend(changes);
        Access::parse(document.to_string().as_bytes()).unwrap().1
    }

    /// A request by the signing crate, and the same by `signer`.
    fn both(signer: &Signer, access: &Access, body: &str, at: Wall) -> [Request<Full<Bytes>>; 2] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let full = full::signed(&SERVICE, access, "GetRecords", body.clone(), at).unwrap();
        [full, signer.signed(access, "GetRecords", body, at).unwrap()]
    }

    fn header<'r>(request: &'r Request<Full<Bytes>>, name: &str) -> Option<&'r str> {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    }

    #[test]
    fn signatures_equal_those_of_botocore() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/data/signing.json")).unwrap();
        assert!(vectors.len() >= 4);
        for vector in vectors {
            let changes = json!({"region": vector.region, "session_token": vector.token});
            let access = access(&vector.url, &changes);
            let at = Wall(vector.at * 1000 + 999);
            for request in both(&Signer::new(SERVICE), &access, &vector.body, at) {
                let authorization = Some(vector.authorization.as_str());
                assert_eq!(header(&request, "authorization"), authorization);
                assert_eq!(header(&request, "x-amz-date"), Some(vector.date.as_str()));
                let token = header(&request, "x-amz-security-token");
                assert_eq!(token, vector.token.as_deref());
                assert!(request.headers()[AUTHORIZATION].is_sensitive());
            }
        }
    }

    #[test]
    fn both_ways_make_the_same_request_whatever_came_before() {
        let signer = Signer::new(SERVICE);
        let token = json!({"session_token": "a/b+c=="});
        let other = json!({"secret_access_key": "another", "region": "eu-west-1"});
        let accesses = [
            access("http://127.0.0.1:4566", &json!({})),
            access("http://127.0.0.1:4566", &token),
            access("https://Kinesis.example:443/", &other),
            access("https://kinesis.example/", &json!({"access_key_id": "AK"})),
            access("http://kinesis.example:80/a/b-c_d.e~f", &json!({})),
            // These are not plain.
            access("http://kinesis.example/a%20b/", &json!({})),
            access("http://kinesis.example/a//b/../c", &json!({})),
            access("http://user@kinesis.example/", &json!({})),
            access(
                "http://kinesis.example/",
                &json!({"session_token": " a  b "}),
            ),
        ];
        // The beginning of 1970, both sides of a midnight, a leap day and a new year.
        let moments = [0, 1_709_164_799_999, 1_709_164_800_000, 1_735_689_600_000];
        for at in moments.into_iter().cycle().take(9).map(Wall) {
            for access in &accesses {
                let [full, ours] = both(&signer, access, "{\"é\":1}", at);
                assert_eq!(full.headers(), ours.headers());
                assert_eq!((full.uri(), full.method()), (ours.uri(), ours.method()));
            }
        }
    }

    #[test]
    fn what_a_day_has_in_common_is_made_once() {
        let signer = Signer::new(SERVICE);
        let access = access("http://127.0.0.1:4566", &json!({}));
        let kept = |at| signer.kept(&access, Wall(at)).unwrap();
        let first = kept(1_709_164_800_000);
        assert!(Arc::ptr_eq(&first, &kept(1_709_251_199_999)));
        assert!(!Arc::ptr_eq(&first, &kept(1_709_251_200_000)));
    }

    #[test]
    fn nothing_is_signed_without_credentials() {
        let keys = json!({"access_key_id": null, "secret_access_key": null});
        let access = access("http://127.0.0.1:4566", &keys);
        let signer = Signer::new(SERVICE);
        let refused = signer.signed(&access, "GetRecords", Bytes::new(), Wall(0));
        assert!(refused.unwrap_err().contains("no credentials"));
    }
}
