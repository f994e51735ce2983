//! The control interface under `/_control`, by which tests move the clock, order faults and count.
//!
//! | call | body | what it does |
//! |---|---|---|
//! | `GET stats` | | counts by operation, and by stream, shard and operation |
//! | `GET calls?since=N` | | every call with its time, target and outcome |
//! | `GET clock`, `POST clock` | `{"advance_ms": N}` | tells the time; moves it forward |
//! | `POST faults` | [`faults::Order`] | switches a fault on, gives its id |
//! | `POST clear` | `{"id": N}` or `{}` | switches one fault off, or all |
//! | `POST skew` | [`signature::Order`] or `null` | lets the server's clock differ, or not |
//! | `POST reset_stats` | `{}` | forgets all counts |
//!
//! Any other `POST` is asked of the service: both know `settings`, `trim` and `expire_iterators`;
//! DynamoDB knows `split` and `ttl_delete` besides.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::faults;
use crate::server::Server;
use crate::service::Refusal;
use crate::signature;

/// Carries out one action and gives the JSON text of its answer.
///
/// # Errors
/// When there is no such action, or its body is not what it takes.
pub fn act(
    server: &Server,
    method: &Method,
    action: &str,
    query: Option<&str>,
    body: &Bytes,
) -> Result<Bytes, Refusal> {
    let value = match (method.as_str(), action) {
        ("GET", "stats") => stats(server),
        ("GET", "calls") => server.stats.calls(since(query)?),
        ("GET", "clock") => json!({"now_ms": server.clock.now_ms()}),
        ("POST", "clock") => {
            server.clock.advance(read::<Advance>(body)?.advance_ms);
            json!({"now_ms": server.clock.now_ms()})
        }
        ("POST", "faults") => {
            let order = read::<faults::Order>(body)?;
            json!({"id": server.faults.add(order).map_err(wrong)?})
        }
        ("POST", "clear") => json!({"cleared": server.faults.clear(read::<Clear>(body)?.id)}),
        ("POST", "skew") => {
            server.skew.set(read::<Option<signature::Order>>(body)?);
            json!({})
        }
        ("POST", "reset_stats") => {
            server.stats.reset();
            json!({})
        }
        ("POST", _) => server
            .service
            .control(action, body)
            .unwrap_or_else(|| Err(wrong(format!("there is no control action {action}"))))?,
        _ => return Err(wrong(format!("{method} {action} is no control action"))),
    };
    Ok(Bytes::from(value.to_string()))
}

/// Reads the body of a control action.
///
/// # Errors
/// When it is not the JSON the action takes.
pub fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
}

/// The refusal of a control action.
#[must_use]
pub fn wrong(message: String) -> Refusal {
    Refusal::client("ControlError", message)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clear {
    id: Option<u64>,
}

fn stats(server: &Server) -> Value {
    let mut counts = server.stats.counts();
    counts["uptime_ms"] = json!(server.clock.uptime_ms());
    counts["now_ms"] = json!(server.clock.now_ms());
    counts["connections"] = json!(server.connections());
    counts["faults"] = json!(server.faults.active());
    counts
}

fn since(query: Option<&str>) -> Result<u64, Refusal> {
    let Some(query) = query else { return Ok(0) };
    let number = query
        .strip_prefix("since=")
        .and_then(|number| number.parse().ok());
    number.ok_or_else(|| wrong(format!("calls takes ?since=NUMBER, not ?{query}")))
}
