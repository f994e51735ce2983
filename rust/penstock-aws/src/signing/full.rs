//! Signs any request, with the signing crate from beginning to end.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as SigningCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use penstock_engine::time::Wall;

use super::Service;
use crate::access::{Access, Credentials};

/// The program as it names itself.
pub(super) const AGENT: &str = concat!("penstock/", env!("CARGO_PKG_VERSION"));

/// Where requests go.
pub(super) fn url(access: &Access) -> String {
    let mut url = access.endpoint.to_string();
    if !url.ends_with('/') {
        url.push('/');
    }
    url
}

/// A POST with the envelope of the service's protocol, signed as of `time`.
pub(super) fn signed(
    service: &Service,
    access: &Access,
    operation: &str,
    body: Bytes,
    time: Wall,
) -> Result<Request<Full<Bytes>>, String> {
    let target = format!("{}.{operation}", service.target);
    let url = url(access);
    let headers = [
        (CONTENT_TYPE.as_str(), service.content_type),
        ("x-amz-target", &target),
    ];
    let mut request = Request::post(&url)
        .header(USER_AGENT, AGENT)
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
