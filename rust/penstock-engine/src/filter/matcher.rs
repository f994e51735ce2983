//! Matches records against patterns.
//!
//! Rules: a record has what its event shows, by the same template; a payload in base64 is decoded
//! once, and only when a pattern that still can hold looks into it; one that is not JSON holds no
//! such pattern.

use super::Filters;
use super::findings::Findings;
use super::program::{NodeId, Program, ROOT};
use super::test::Scalar;
use super::walk::{Sink, is_container, walk};
use crate::event::{self, EventContext, Member, Slot, Value, Varying};
use crate::record::RecordView;

/// Matches the records of one shard, with buffers that are used again.
#[derive(Debug)]
pub(super) struct Matcher<'a> {
    program: &'a Program,
    /// What the event shows at places where fields are.
    parts: Vec<(NodeId, Value<'a>)>,
    findings: Findings,
    decoded: Vec<u8>,
    text: String,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(filters: &'a Filters, context: &EventContext<'a>) -> Self {
        let program = &filters.program;
        let members = event::template(context).members;
        let mut parts = Vec::new();
        if filters.shape.encoded().is_some() {
            // The members of `kinesis` may be named without it, since the payload is.
            for member in &members {
                if let Value::Object(inner) = &member.value {
                    collect(program, ROOT, inner, &mut parts);
                }
            }
        }
        collect(program, ROOT, &members, &mut parts);
        Self {
            program,
            parts,
            findings: Findings::default(),
            decoded: Vec::new(),
            text: String::new(),
        }
    }

    /// Whether one of the patterns holds for the record.
    pub(super) fn passes(&mut self, view: &RecordView<'_>) -> bool {
        let program = self.program;
        self.findings.clear(program);
        for (node, value) in &self.parts {
            let mut sink = self.findings.sink(program);
            show(program, *node, value, view, &mut self.text, &mut sink);
        }
        let (plain, payload) = program.rules.split_at(program.payload_rules);
        if plain.iter().any(|rule| self.findings.holds(program, rule)) {
            return true;
        }
        payload
            .iter()
            .any(|rule| self.findings.fits(program, &rule.outside))
            && self.read_payload(view)
            && payload
                .iter()
                .any(|rule| self.findings.holds(program, rule))
    }

    /// Reads the payload; whether it is JSON.
    fn read_payload(&mut self, view: &RecordView<'_>) -> bool {
        let Some(node) = self.program.payload else {
            return false;
        };
        let text = match view {
            RecordView::Kinesis { data, .. } => self.program.decoder.text(data, &mut self.decoded),
            RecordView::Sqs(message) => Some(message.body),
            RecordView::DynamoDb(_) => None,
        };
        let Some(text) = text else {
            return false;
        };
        let mut sink = self.findings.sink(self.program);
        walk(self.program, node, text, &mut self.text, &mut sink).is_ok()
    }
}

/// Whether a message's body is an object or array of JSON, which no pattern matches as text.
fn is_body_json(view: &RecordView<'_>) -> bool {
    matches!(view, RecordView::Sqs(message) if is_container(message.body))
}

/// Finds the members at which there are fields, or below which there may be.
fn collect<'a>(
    program: &Program,
    node: NodeId,
    members: &[Member<'a>],
    parts: &mut Vec<(NodeId, Value<'a>)>,
) {
    for member in members {
        let Some(child) = program.child(node, member.key) else {
            continue;
        };
        match &member.value {
            Value::Object(inner) => collect(program, child, inner, parts),
            Value::Varying(Slot::Data) if Some(child) == program.payload => {}
            value => parts.push((child, value.clone())),
        }
    }
}

/// Shows a sink what stands in a part of the event.
fn show<S: Sink>(
    program: &Program,
    node: NodeId,
    value: &Value<'_>,
    view: &RecordView<'_>,
    buffer: &mut String,
    sink: &mut S,
) {
    let mut scalar = |value| {
        for &field in program.fields_at(node) {
            sink.field(field, value);
        }
    };
    match value {
        Value::Varying(Slot::Body) if program.fields_at(node).is_empty() || is_body_json(view) => {}
        Value::Text(text) => scalar(Scalar::Text(text)),
        Value::Joined(prefix, slot) => {
            if let Varying::Text(text) | Varying::Plain(text) = slot.of(view) {
                buffer.clear();
                buffer.extend([prefix, ":", text]);
                scalar(Scalar::Text(buffer));
            }
        }
        Value::Varying(slot) | Value::Optional(slot) | Value::Nullable(slot) => match slot.of(view)
        {
            Varying::Text(text) | Varying::Plain(text) | Varying::Quoted(text) => {
                scalar(Scalar::Text(text));
            }
            Varying::Seconds(moment) => scalar(Scalar::Number(&event::seconds(moment))),
            Varying::Number(number) => scalar(Scalar::Number(&number.to_string())),
            // It was checked where its page came in, and is an object.
            Varying::Json(text) => drop(walk(program, node, text, buffer, sink)),
            Varying::Absent => {}
        },
        Value::Object(_) => {}
    }
}
