//! Signs requests by Signature Version 4.
//!
//! Rules: the signature covers the service's envelope, the host and the body, as botocore's does;
//! the vectors in `tests/data` hold the two together.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as SigningCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use penstock_engine::time::Wall;

use crate::access::{Access, Credentials};

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

/// A POST with the envelope of the service's protocol, signed as of `time`.
pub(crate) fn signed(
    service: &Service,
    access: &Access,
    operation: &str,
    body: Bytes,
    time: Wall,
) -> Result<Request<Full<Bytes>>, String> {
    let target = format!("{}.{operation}", service.target);
    let mut url = access.endpoint.to_string();
    if !url.ends_with('/') {
        url.push('/');
    }
    let headers = [
        (CONTENT_TYPE.as_str(), service.content_type),
        ("x-amz-target", &target),
    ];
    let mut request = Request::post(&url)
        .header(USER_AGENT, concat!("penstock/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, HeaderValue::from_static(service.content_type))
        .header("x-amz-target", &target)
        .body(Full::new(body.clone()))
        .map_err(|error| error.to_string())?;
    let credentials = access
        .credentials
        .as_ref()
        .ok_or("there are no credentials to sign it with")?;
    let identity = signing_credentials(credentials).into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&access.region)
        .name(service.signing_name)
        .time(UNIX_EPOCH + Duration::from_millis(u64::try_from(time.0).unwrap_or(0)))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let signable = SignableRequest::new(
        "POST",
        &url,
        headers.into_iter(),
        SignableBody::Bytes(&body),
    )
    .map_err(|error| error.to_string())?;
    let (instructions, _) = sign(signable, &params)
        .map_err(|error| error.to_string())?
        .into_parts();
    let (signature, _) = instructions.into_parts();
    for header in signature {
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        request.headers_mut().insert(header.name(), value);
    }
    Ok(request)
}

fn signing_credentials(credentials: &Credentials) -> SigningCredentials {
    SigningCredentials::new(
        credentials.access_key_id.reveal(),
        credentials.secret_access_key.reveal(),
        credentials
            .session_token
            .as_ref()
            .map(|token| token.reveal().to_owned()),
        None,
        "penstock",
    )
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

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

    #[test]
    fn signatures_equal_those_of_botocore() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../tests/data/signing.json")).unwrap();
        assert!(vectors.len() >= 4);
        let service = Service {
            signing_name: "kinesis",
            target: "Kinesis_20131202",
            content_type: "application/x-amz-json-1.1",
        };
        for vector in vectors {
            let document = json!({
                "access": "a", "region": vector.region, "endpoint": vector.url,
                "access_key_id": "AKIDEXAMPLE",
                "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                "session_token": vector.token,
            });
            let (_, access) = Access::parse(document.to_string().as_bytes()).unwrap();
            let at = Wall(vector.at * 1000 + 999);
            let request = signed(&service, &access, "GetRecords", vector.body.into(), at).unwrap();
            let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap());
            assert_eq!(
                header(AUTHORIZATION.as_str()),
                Some(vector.authorization.as_str())
            );
            assert_eq!(header("x-amz-date"), Some(vector.date.as_str()));
            assert_eq!(header("x-amz-security-token"), vector.token.as_deref());
            assert!(request.headers()[AUTHORIZATION].is_sensitive());
        }
    }
}
