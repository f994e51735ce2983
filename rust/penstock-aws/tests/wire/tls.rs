//! Shows that TLS trusts what the user says, directly and through a proxy.

use std::path::Path;
use std::sync::{Arc, Mutex};

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::Position;
use penstock_runtime::ports::StreamSource;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{Call, Refresh, Reply, access, head, read_from, serve, source_with};

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// A server behind TLS, for `localhost` and `kinesis.test`; gives its port.
async fn secure_server() -> u16 {
    let chain = vec![CertificateDer::from_pem_file(data("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            tokio::spawn(async move {
                serve(&mut stream, &(Arc::new(script) as _), &Mutex::default()).await;
            });
        }
    });
    port
}

fn script(call: &Call) -> Reply {
    Reply::json(&match call.operation.as_str() {
        "GetShardIterator" => json!({"ShardIterator": "i"}),
        _ => json!({"Records": [], "NextShardIterator": "j"}),
    })
}

/// A proxy that tunnels one connection after the other to `port`; keeps what it was told.
async fn tunnel_to(port: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(told) = head(&mut stream).await else {
                continue;
            };
            let refused = !told.to_lowercase().contains("proxy-authorization: basic");
            seen.lock().unwrap().push(told);
            if refused {
                let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(async move {
                tokio::io::copy_bidirectional(&mut stream, &mut server)
                    .await
                    .ok();
            });
        }
    });
    (url, heads)
}

/// Reads once with an access that differs from the usual one by `changes`.
async fn read(url: &str, changes: &Value) -> Result<(), penstock_engine::fault::Fault> {
    let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
    book.push("default", access(url, changes));
    let source = source_with(book);
    source.fetch(read_from(Position::TrimHorizon)).await?;
    Ok(())
}

#[tokio::test]
async fn a_bundle_replaces_the_roots_of_the_system() {
    let url = format!("https://localhost:{}", secure_server().await);
    read(&url, &json!({"ca_bundle": data("ca.pem")}))
        .await
        .unwrap();
    let fault = read(&url, &json!({})).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.message.contains("UnknownIssuer"), "{fault}");
}

#[tokio::test]
async fn a_bundle_without_certificates_is_refused_by_name() {
    let url = format!("https://localhost:{}", secure_server().await);
    for name in ["missing.pem", "signing.json"] {
        let fault = read(&url, &json!({"ca_bundle": data(name)}))
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert!(fault.message.contains(name), "{fault}");
    }
}

#[tokio::test]
async fn an_https_endpoint_is_reached_through_a_tunnel() {
    let (proxy, heads) = tunnel_to(secure_server().await).await;
    let proxied =
        |user: &str| json!({"ca_bundle": data("ca.pem"), "proxy": format!("{user}{proxy}")});
    read("https://kinesis.test", &proxied("http://me:pw@"))
        .await
        .unwrap();
    assert!(heads.lock().unwrap()[0].starts_with("CONNECT kinesis.test:443 HTTP/1.1\r\n"));
    let fault = read("https://kinesis.test", &proxied(""))
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(
        fault.message.contains("proxy authorization required"),
        "{fault}"
    );
}
