//! Describes where a service is and who we are to it, as Python resolved and refreshes it.
//!
//! Rules: secrets print as `…` and leave this crate only inside a signature; a document that
//! cannot be used is refused without a word of its values.

mod book;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use http::Uri;
use penstock_engine::time::Wall;
use serde::Deserialize;

pub use book::{AccessBook, AccessRefresh};

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What requests are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id.
    pub access_key_id: Secret,
    /// The access key.
    pub secret_access_key: Secret,
    /// The session's token, for temporary credentials.
    pub session_token: Option<Secret>,
    /// When they end, if they do.
    pub expires_at: Option<Wall>,
}

/// The proxy that requests go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its address, without user and password.
    pub address: Uri,
    /// The value of `Proxy-Authorization`, when its URL named a user.
    pub authorization: Option<Secret>,
}

/// Where a service is and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The region that requests are signed for.
    pub region: String,
    /// The service's address: a scheme and a host, perhaps a port.
    pub endpoint: Uri,
    /// `None` when none were found.
    pub credentials: Option<Credentials>,
    /// A file of PEM certificates that replaces the system's roots.
    pub ca_bundle: Option<PathBuf>,
    /// `None` to connect directly.
    pub proxy: Option<Proxy>,
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The longest wait for an answer on a connection, its body included.
    pub read_timeout: Duration,
}

/// A document that is not an access.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an access document is not usable: {0}")]
pub struct AccessError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    access: String,
    region: String,
    endpoint: String,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    session_token: Option<String>,
    expires_at: Option<f64>,
    ca_bundle: Option<PathBuf>,
    proxy: Option<String>,
    connect_timeout_s: Option<f64>,
    read_timeout_s: Option<f64>,
}

impl Access {
    /// Reads the JSON document that Python pushes; gives the access's name and the access.
    ///
    /// # Errors
    ///
    /// When the document is malformed; the message shows none of its values.
    pub fn parse(document: &[u8]) -> Result<(String, Self), AccessError> {
        let read: Document = serde_json::from_slice(document).map_err(|error| {
            AccessError(format!(
                "malformed at line {} column {}",
                error.line(),
                error.column()
            ))
        })?;
        let credentials = match (read.access_key_id, read.secret_access_key) {
            (Some(id), Some(key)) => Some(Credentials {
                access_key_id: Secret(id),
                secret_access_key: Secret(key),
                session_token: read.session_token.map(Secret),
                expires_at: read
                    .expires_at
                    .map(|seconds| Wall((seconds * 1000.0) as i64)),
            }),
            (None, None) => None,
            _ => {
                return Err(AccessError(
                    "a key without its id, or an id alone".to_owned(),
                ));
            }
        };
        let access = Self {
            region: read.region,
            endpoint: address("endpoint", &read.endpoint)?,
            credentials,
            ca_bundle: read.ca_bundle,
            proxy: read.proxy.as_deref().map(proxy).transpose()?,
            connect_timeout: seconds("connect_timeout_s", read.connect_timeout_s, 10.0)?,
            read_timeout: seconds("read_timeout_s", read.read_timeout_s, 60.0)?,
        };
        Ok((read.access, access))
    }

    /// Whether the endpoint is one of AWS's own, and not a local server's.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        let host = self.endpoint.host().unwrap_or_default();
        let own = [
            ".amazonaws.com",
            ".amazonaws.com.cn",
            ".amazonaws.eu",
            ".api.aws",
        ];
        own.iter().any(|tail| host.ends_with(tail))
    }
}

/// An absolute `http` or `https` address.
fn address(member: &str, url: &str) -> Result<Uri, AccessError> {
    let uri: Uri = url
        .parse()
        .map_err(|_| AccessError(format!("{member} is not a URL")))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || uri.host().is_none_or(str::is_empty) {
        return Err(AccessError(format!(
            "{member} must be an http:// or https:// URL"
        )));
    }
    Ok(uri)
}

/// A proxy's address and authorization; a URL without a scheme means `http`.
fn proxy(url: &str) -> Result<Proxy, AccessError> {
    let url = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let uri = address("proxy", &url)?;
    let authority = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .unwrap_or_default();
    let Some((user, place)) = authority.rsplit_once('@') else {
        return Ok(Proxy {
            address: uri,
            authorization: None,
        });
    };
    let plain = percent_decoded(user);
    let plain = if plain.contains(&b':') {
        plain
    } else {
        [plain, b":".to_vec()].concat()
    };
    let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
    let scheme = uri.scheme_str().unwrap_or("http");
    Ok(Proxy {
        address: address("proxy", &format!("{scheme}://{place}"))?,
        authorization: Some(Secret(format!("Basic {encoded}"))),
    })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            _ => {
                decoded.push(first);
                rest = tail;
            }
        }
    }
    decoded
}

fn seconds(member: &str, value: Option<f64>, default: f64) -> Result<Duration, AccessError> {
    Duration::try_from_secs_f64(value.unwrap_or(default))
        .ok()
        .filter(|span| !span.is_zero())
        .ok_or_else(|| AccessError(format!("{member} must be a number of seconds above 0")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(changes: &Value) -> String {
        let mut document = json!({
            "access": "a", "region": "eu-west-1", "endpoint": "https://kinesis.example",
            "access_key_id": "AKIDSECRET", "secret_access_key": "hush-hush",
            "session_token": "token", "expires_at": 1545084650.5, "ca_bundle": "/ca.pem",
            "proxy": "http://me:hush@proxy:3128", "connect_timeout_s": 5, "read_timeout_s": 20.5,
        });
        for (member, value) in changes.as_object().expect("an object") {
            document[member] = value.clone();
        }
        document.to_string()
    }

    fn parse(changes: &Value) -> Result<Access, String> {
        let parsed = Access::parse(document(changes).as_bytes());
        parsed
            .map(|(_, access)| access)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_document_becomes_an_access() {
        let (name, access) = Access::parse(document(&json!({})).as_bytes()).unwrap();
        assert_eq!((name.as_str(), access.region.as_str()), ("a", "eu-west-1"));
        let credentials = access.credentials.unwrap();
        assert_eq!(credentials.secret_access_key.reveal(), "hush-hush");
        assert_eq!(credentials.expires_at, Some(Wall(1_545_084_650_500)));
        let proxy = access.proxy.unwrap();
        assert_eq!(proxy.address, "http://proxy:3128");
        assert_eq!(proxy.authorization.unwrap().reveal(), "Basic bWU6aHVzaA==");
        assert_eq!(access.read_timeout, Duration::from_millis(20_500));
        let bare = parse(&json!({"proxy": "proxy:3128", "connect_timeout_s": null})).unwrap();
        assert_eq!(bare.proxy.unwrap().address, "http://proxy:3128");
        assert_eq!(bare.connect_timeout, Duration::from_secs(10));
    }

    #[test]
    fn secrets_print_as_dots() {
        let text = format!("{:?}", parse(&json!({})).unwrap());
        assert!(text.contains("eu-west-1") && text.contains('…'), "{text}");
        for secret in ["SECRET", "hush", "token\"", "bWU6aHVzaA"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[test]
    fn documents_that_are_none_are_refused_without_their_values() {
        let table = [
            (
                json!({"secret_access_key": null}),
                "a key without its id, or an id alone",
            ),
            (
                json!({"endpoint": "kinesis.example"}),
                "endpoint must be an http:// or https:// URL",
            ),
            (
                json!({"endpoint": "ftp://hush"}),
                "endpoint must be an http:// or https:// URL",
            ),
            (
                json!({"proxy": "socks5://me:hush@p:1"}),
                "proxy must be an http:// or https:// URL",
            ),
            (
                json!({"read_timeout_s": 0}),
                "read_timeout_s must be a number of seconds above 0",
            ),
            (
                json!({"read_timeout_s": -1e300}),
                "read_timeout_s must be a number of seconds",
            ),
            (
                json!({"session_token": ["hush"]}),
                "malformed at line 1 column",
            ),
            (json!({"secret": "hush"}), "malformed at line 1 column"),
        ];
        for (changes, expected) in table {
            let error = parse(&changes).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn only_endpoints_of_aws_are_taken_for_aws() {
        let at = |endpoint: &str| parse(&json!({"endpoint": endpoint})).unwrap().is_aws();
        assert!(at("https://kinesis.eu-west-1.amazonaws.com"));
        assert!(at(
            "https://vpce-1.kinesis.cn-north-1.vpce.amazonaws.com.cn"
        ));
        assert!(at("https://kinesis.eu-west-1.api.aws/"));
        assert!(!at("http://localhost:4566"));
        assert!(!at("https://amazonaws.com.example"));
    }
}
