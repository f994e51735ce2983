//! Keeps the faults tests ordered, and picks the one that a call meets.
//!
//! A fault has a scope and an end: a number of calls, a span of real time, the end of its script,
//! or none until it is cleared. The oldest fault whose scope matches decides; a script's `ok` step
//! decides too, for no fault. One call meets at most one fault.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::service::Target;

/// Which calls a fault meets: every part that is given must match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// The operation, such as `GetRecords`.
    pub operation: Option<String>,
    /// The stream, by its bare name.
    pub stream: Option<String>,
    /// The shard. A put names none: it is routed later, so a fault of one shard never meets it.
    pub shard: Option<String>,
    /// The access key the request is signed with.
    pub access_key: Option<String>,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Nothing: a step of a script that lets the call through.
    Ok {},
    /// The service's own throttling error.
    Throttle {},
    /// Any error: not carried out, answered with this.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error's type.
        code: String,
        /// Its message.
        message: String,
    },
    /// Carried out and answered, later.
    Slow {
        /// Real milliseconds to wait first.
        ms: u64,
    },
    /// Carried out, but the connection is reset within the answer's body.
    Reset {
        /// Bytes of the body that are still sent.
        after_bytes: usize,
    },
    /// Carried out, but the connection is closed before the answer's body is complete.
    Truncate {
        /// Bytes of the body that are still sent.
        after_bytes: usize,
    },
    /// Carried out, but the body is not what it should be.
    Garbage {
        /// In what way.
        form: Garbage,
    },
    /// A read is answered without records, though there are some.
    Empty {},
    /// Of a batch, some entries are refused and the others carried out.
    RefuseEntries {
        /// The first of every so many entries is refused; 1 for all of them.
        every: std::num::NonZeroUsize,
        /// The error's type.
        code: String,
        /// Its message.
        message: String,
    },
    /// What a read is answered with can be read again at once, as if it had never been.
    Duplicate {},
}

/// Ways in which an answer's body can be wrong, or right but unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// The first half of the JSON, with a length that fits.
    Broken,
    /// A page of HTML.
    NotJson,
    /// No bytes at all.
    Nothing,
    /// Right JSON with members nobody knows, nested ones and look-alikes among them.
    UnknownFields,
    /// Right JSON with needless escapes in names and values.
    Escapes,
}

/// A fault as a test orders it: one effect, or a script of one effect a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Which calls it meets.
    #[serde(default)]
    pub scope: Scope,
    /// What happens to each of them.
    pub effect: Option<Effect>,
    /// What happens to the first, the second … of them.
    pub script: Option<Vec<Effect>>,
    /// After how many calls the effect ends.
    pub times: Option<u64>,
    /// After how many real milliseconds the effect ends.
    pub for_ms: Option<u64>,
}

/// All faults that are on.
#[derive(Debug, Default)]
pub struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<Rule>,
    last_id: u64,
}

#[derive(Debug)]
struct Rule {
    id: u64,
    scope: Scope,
    plan: Plan,
}

#[derive(Debug)]
enum Plan {
    Forever(Effect),
    Times(Effect, u64),
    Until(Effect, Instant),
    Script(VecDeque<Effect>),
}

impl Faults {
    /// Switches a fault on and gives its number.
    ///
    /// # Errors
    /// A sentence, when the order contradicts itself.
    pub fn add(&self, order: Order) -> Result<u64, String> {
        let plan = match (order.effect, order.script, order.times, order.for_ms) {
            (Some(effect), None, None, None) => Plan::Forever(effect),
            (Some(effect), None, Some(times), None) => Plan::Times(effect, times),
            (Some(effect), None, None, Some(ms)) => {
                Plan::Until(effect, Instant::now() + Duration::from_millis(ms))
            }
            (None, Some(script), None, None) => Plan::Script(script.into()),
            _ => return Err(CONTRADICTION.to_owned()),
        };
        let mut inner = self.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.rules.push(Rule {
            id,
            scope: order.scope,
            plan,
        });
        Ok(id)
    }

    /// Switches one fault off, or all; says how many were on.
    pub fn clear(&self, id: Option<u64>) -> usize {
        let mut inner = self.lock();
        let before = inner.rules.len();
        inner
            .rules
            .retain(|rule| id.is_some_and(|id| rule.id != id));
        before - inner.rules.len()
    }

    /// The numbers of the faults that are on.
    #[must_use]
    pub fn active(&self) -> Vec<u64> {
        let mut inner = self.lock();
        inner.rules.retain(|rule| !rule.plan.is_over());
        inner.rules.iter().map(|rule| rule.id).collect()
    }

    /// What a call meets.
    #[must_use]
    pub fn meet(&self, operation: &str, target: &Target, access_key: &str) -> Option<Effect> {
        let mut inner = self.lock();
        inner.rules.retain(|rule| !rule.plan.is_over());
        let rule = inner
            .rules
            .iter_mut()
            .find(|rule| rule.scope.matches(operation, target, access_key))?;
        let effect = rule.plan.step()?;
        (effect != Effect::Ok {}).then_some(effect)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CONTRADICTION: &str =
    "a fault takes either `effect`, with at most one of `times` and `for_ms`, or `script`";

impl Scope {
    fn matches(&self, operation: &str, target: &Target, access_key: &str) -> bool {
        let agrees = |wanted: &Option<String>, actual: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| actual == Some(wanted))
        };
        agrees(&self.operation, Some(operation))
            && agrees(&self.stream, target.stream.as_deref())
            && agrees(&self.shard, target.shard.as_deref())
            && agrees(&self.access_key, Some(access_key))
    }
}

impl Plan {
    fn is_over(&self) -> bool {
        match self {
            Self::Forever(_) => false,
            Self::Times(_, times) => *times == 0,
            Self::Until(_, end) => Instant::now() >= *end,
            Self::Script(steps) => steps.is_empty(),
        }
    }

    fn step(&mut self) -> Option<Effect> {
        match self {
            Self::Forever(effect) | Self::Until(effect, _) => Some(effect.clone()),
            Self::Times(effect, times) => {
                *times = times.checked_sub(1)?;
                Some(effect.clone())
            }
            Self::Script(steps) => steps.pop_front(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Order {
        serde_json::from_str(text).expect("a valid order")
    }

    fn on_shard(shard: &str) -> Target {
        Target {
            stream: Some("s".to_owned()),
            shard: Some(shard.to_owned()),
        }
    }

    #[test]
    fn a_count_ends_and_a_scope_limits() {
        let faults = Faults::default();
        let text = r#"{"scope": {"operation": "GetRecords", "shard": "a"},
                       "effect": {"kind": "throttle"}, "times": 2}"#;
        faults.add(order(text)).expect("a good order");
        let meet = |operation, shard| faults.meet(operation, &on_shard(shard), "key");
        assert_eq!(meet("GetRecords", "b"), None);
        assert_eq!(meet("ListShards", "a"), None);
        assert_eq!(meet("GetRecords", "a"), Some(Effect::Throttle {}));
        assert_eq!(meet("GetRecords", "a"), Some(Effect::Throttle {}));
        assert_eq!(meet("GetRecords", "a"), None);
        assert!(faults.active().is_empty());
    }

    #[test]
    fn a_script_gives_one_step_to_each_call() {
        let faults = Faults::default();
        let text = r#"{"script": [{"kind": "ok"}, {"kind": "slow", "ms": 5}, {"kind": "empty"}]}"#;
        faults.add(order(text)).expect("a good order");
        let meet = || faults.meet("GetRecords", &Target::default(), "key");
        assert_eq!(meet(), None);
        assert_eq!(meet(), Some(Effect::Slow { ms: 5 }));
        assert_eq!(meet(), Some(Effect::Empty {}));
        assert_eq!(meet(), None);
    }

    #[test]
    fn clearing_ends_one_or_all() {
        let faults = Faults::default();
        let first = faults
            .add(order(r#"{"effect": {"kind": "throttle"}}"#))
            .expect("good");
        faults
            .add(order(r#"{"effect": {"kind": "empty"}}"#))
            .expect("good");
        assert_eq!(faults.clear(Some(first)), 1);
        let met = faults.meet("GetRecords", &Target::default(), "key");
        assert_eq!(met, Some(Effect::Empty {}));
        assert_eq!(faults.clear(None), 1);
        assert_eq!(faults.meet("GetRecords", &Target::default(), "key"), None);
    }

    #[test]
    fn orders_that_contradict_themselves_are_refused() {
        let faults = Faults::default();
        for text in [
            "{}",
            r#"{"effect": {"kind": "throttle"}, "times": 1, "for_ms": 1}"#,
            r#"{"script": [], "times": 1}"#,
            r#"{"effect": {"kind": "throttle"}, "script": []}"#,
        ] {
            assert!(faults.add(order(text)).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Order>(r#"{"effect": {"kind": "explode"}}"#).is_err());
        assert!(serde_json::from_str::<Order>(r#"{"efect": {"kind": "throttle"}}"#).is_err());
    }
}
