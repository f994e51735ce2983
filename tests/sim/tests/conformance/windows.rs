//! Speaks of tumbling windows for the cases: states that handlers return, and what is expected.
//!
//! Rules: a window is reckoned from the arrival of a record and the length, not from what the
//! engine says; a long state is compared by its bytes.

use penstock_engine::io::Invocation;
use serde_json::{Value, json};

use crate::case::Expect;
use crate::judge::{differ, instant, ranges};
use crate::stage::{Called, Stage};

/// States longer than this are shown by their length.
const SHOWN_BYTES_MAX: usize = 1_000;

impl Called {
    /// The call as cases name it: its records, or what ends a window.
    pub(crate) fn title(&self) -> String {
        match (
            self.records.is_empty(),
            &self.event["isWindowTerminatedEarly"],
        ) {
            (true, Value::Bool(true)) => "early".to_owned(),
            (true, _) => "final".to_owned(),
            (false, _) => ranges(&self.records),
        }
    }
}

impl Stage {
    /// The answer with the state in it, if the case's handler keeps one: what the call got, and
    /// the records that were added.
    pub(crate) fn with_state(&self, answer: Value, added: &[usize], call: &Invocation) -> Value {
        let window = call.window.as_ref().filter(|window| !window.is_final);
        let Some(window) = window.filter(|_| self.case.handler.aggregates) else {
            return answer;
        };
        let before: Value = serde_json::from_str(&window.state).expect("a state is JSON");
        let mut seen = before["seen"].as_array().cloned().unwrap_or_default();
        seen.extend(added.iter().map(|number| json!(number)));
        let mut answer = answer;
        answer["state"] = json!({"seen": seen});
        answer
    }

    /// The first moment of the window that holds a record, and the first behind it.
    pub(crate) fn window_of(&self, number: usize) -> [String; 2] {
        let length = self
            .config
            .tumbling_window
            .expect("the mapping has windows");
        let length = i64::try_from(length.as_millis()).expect("windows are short");
        let arrival = self.stream.records[number - 1].arrival.0;
        let start = arrival - arrival.rem_euclid(length);
        [instant(start, false), instant(start + length, false)]
    }

    /// What a document says of the window of a call.
    pub(crate) fn window_info(&self, call: usize) -> Value {
        let event = &self.calls[call - 1].event;
        json!({
            "window": event["window"],
            "isFinalInvokeForWindow": event["isFinalInvokeForWindow"],
            "isWindowTerminatedEarly": event["isWindowTerminatedEarly"],
        })
    }

    /// Which windows and states calls got, and what is saved of them.
    pub(crate) fn judge_windows(&self, expect: &Expect, wrong: &mut Vec<String>) {
        if let Some(windows) = &expect.windows {
            let told = self.calls.iter().map(|call| {
                let window = &call.event["window"];
                json!([window["start"], window["end"], shown(&call.event["state"])])
            });
            let expected = windows.iter().map(|(number, state)| {
                let [start, end] = self.window_of(*number);
                json!([start, end, state])
            });
            differ(wrong, "windows", &told.collect(), &expected.collect());
        }
        for (shard, state) in &expect.states {
            let saved = self.store.checkpoint(self.stream.name(*shard));
            let window = saved.and_then(|saved| saved.window.as_ref());
            let told = window.map(|window| {
                let state = serde_json::from_str(&window.state).expect("a state is JSON");
                shown(&state)
            });
            differ(wrong, &format!("state {shard}"), &json!(told), state);
        }
    }
}

/// A state of so many bytes.
pub(crate) fn padded(bytes: usize) -> Value {
    let frame = json!({"pad": ""}).to_string().len();
    json!({"pad": "x".repeat(bytes - frame)})
}

fn shown(state: &Value) -> Value {
    match state.to_string().len() {
        0..=SHOWN_BYTES_MAX => state.clone(),
        bytes => json!(format!("$bytes:{bytes}")),
    }
}
