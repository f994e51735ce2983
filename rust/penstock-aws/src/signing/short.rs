//! Signs plain requests, which all but a few are: what they have in common is made beforehand.
//!
//! Rules: a request is plain when its path is written as it is signed, and so is every header; any
//! doubt is `None`, and the signing crate's full way is taken.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use penstock_engine::time::Wall;
use sha2::{Digest, Sha256};

use super::{Service, full};
use crate::access::{Access, Credentials};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

const SECOND_MS: i64 = 1000;
const DAY_MS: i64 = 86_400 * SECOND_MS;

/// What all requests with one access have in common for a day.
pub(super) struct Kept {
    day: i64,
    region: String,
    endpoint: Uri,
    credentials: Credentials,
    /// Where requests go.
    uri: Uri,
    key: Vec<u8>,
    /// `DAY/REGION/SERVICE/aws4_request`.
    scope: String,
    /// What is signed, up to the time.
    head: String,
    signed_headers: &'static str,
    /// The value of `Authorization`, up to the signature.
    authorization: String,
    token: Option<HeaderValue>,
}

impl Kept {
    /// `None` when there is nothing to sign with, or what is signed is not plain.
    pub(super) fn new(service: &Service, access: &Access, time: Wall) -> Option<Self> {
        let credentials = access.credentials.clone()?;
        let uri: Uri = full::url(access).parse().ok()?;
        let host = host(&uri).filter(|_| is_plain_path(uri.path()))?;
        let token = credentials.session_token.as_ref();
        let token = match token.map(|token| token.reveal()) {
            Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => return None,
            Some(token) => {
                let mut value = HeaderValue::from_str(token).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let day = time.0.max(0) / DAY_MS;
        let date = date(day);
        let Service { signing_name, .. } = service;
        let scope = format!("{date}/{}/{signing_name}/aws4_request", access.region);
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(day * DAY_MS).ok()?);
        let secret = credentials.secret_access_key.reveal();
        let key = generate_signing_key(secret, at, &access.region, signing_name);
        let signed_headers = if token.is_some() {
            "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
        } else {
            "content-type;host;x-amz-date;x-amz-target"
        };
        let id = credentials.access_key_id.reveal();
        Some(Self {
            day,
            region: access.region.clone(),
            endpoint: access.endpoint.clone(),
            key: key.as_ref().to_vec(),
            head: format!(
                "POST\n{}\n\n{CONTENT_TYPE}:{}\n{HOST}:{host}\n{DATE}:",
                uri.path(),
                service.content_type
            ),
            authorization: format!(
                "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={signed_headers}, Signature="
            ),
            signed_headers,
            uri,
            scope,
            token,
            credentials,
        })
    }

    /// Whether a request with this access may be signed at that time with what is kept.
    pub(super) fn suits(&self, access: &Access, time: Wall) -> bool {
        self.day == time.0.max(0) / DAY_MS
            && self.region == access.region
            && self.endpoint == access.endpoint
            && access.credentials.as_ref() == Some(&self.credentials)
    }

    /// A request of the day that this is kept for.
    pub(super) fn signed(
        &self,
        service: &Service,
        operation: &str,
        body: Bytes,
        time: Wall,
    ) -> Result<Request<Full<Bytes>>, String> {
        let target = format!("{}.{operation}", service.target);
        let moment = moment(time);
        let mut text = String::with_capacity(self.head.len() + 512);
        text.push_str(&self.head);
        text.push_str(&moment);
        if let Some(token) = &self.token {
            let token = token.to_str().map_err(|error| error.to_string())?;
            text.extend(["\n", TOKEN.as_str(), ":", token]);
        }
        text.extend(["\n", TARGET.as_str(), ":", &target, "\n\n"]);
        text.extend([self.signed_headers, "\n"]);
        push_digest(&mut text, &body);
        let mut to_sign = String::with_capacity(192);
        to_sign.extend([ALGORITHM, "\n", &moment, "\n", &self.scope, "\n"]);
        push_digest(&mut to_sign, text.as_bytes());
        let signature = calculate_signature(&self.key, to_sign.as_bytes());
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let secret = |mut value: HeaderValue| {
            value.set_sensitive(true);
            value
        };
        let authorization = [self.authorization.as_str(), &signature].concat();
        let target = value(&target)?;
        let (moment, authorization) = (secret(value(&moment)?), secret(value(&authorization)?));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.reserve(8);
        headers.insert(USER_AGENT, HeaderValue::from_static(full::AGENT));
        let content_type = HeaderValue::from_static(service.content_type);
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(TARGET, target);
        headers.insert(DATE, moment);
        headers.insert(AUTHORIZATION, authorization);
        if let Some(token) = &self.token {
            headers.insert(TOKEN, token.clone());
        }
        Ok(request)
    }
}

/// The value of `Host`, which leaves out the port that the scheme has anyway.
fn host(uri: &Uri) -> Option<&str> {
    let authority = uri.authority()?.as_str();
    let usual = match uri.scheme_str()? {
        "https" => ":443",
        _ => ":80",
    };
    let plain = !authority.contains('@') && uri.query().is_none();
    plain.then(|| authority.strip_suffix(usual).unwrap_or(authority))
}

/// Whether a path is signed as it is written.
fn is_plain_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    path.bytes().all(plain) && !path.contains("//") && !path.contains("/.")
}

/// Appends the SHA-256 of `bytes`.
fn push_digest(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in Sha256::digest(bytes) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
}

/// A time as signatures have it, `20240229T000000Z`.
fn moment(time: Wall) -> String {
    let (day, ms) = (time.0.max(0) / DAY_MS, time.0.max(0) % DAY_MS);
    let seconds = ms / SECOND_MS;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}{minute:02}{second:02}Z", date(day))
}

/// The date of a day since 1970, `20240229`.
fn date(day: i64) -> String {
    // Counted from the first of March of a year that 400 divides: leap days come last then.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year + i64::from(month <= 2);
    format!(
        "{year:04}{month:02}{:02}",
        day - (153 * shifted + 2) / 5 + 1
    )
}
