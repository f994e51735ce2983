//! Lays patterns out for matching: the paths of all fields as one tree, the rules as sets.
//!
//! Rules: a key with dots is as many steps of the tree as it has parts, in patterns and in records
//! alike; fields are numbered over all patterns; nothing here changes after it is made.

use super::Shape;
use super::pattern::{Field, Pattern};
use super::payload::Decoder;

/// All patterns of a mapping, ready to match.
#[derive(Debug)]
pub(super) struct Program {
    nodes: Vec<Node>,
    /// Every field of every pattern.
    pub(super) fields: Vec<Field>,
    /// Every rule of every pattern. A record passes when one of them holds.
    pub(super) rules: Vec<Rule>,
    /// The node of a payload that has to be decoded, when a field is below it.
    pub(super) payload: Option<NodeId>,
    /// What decodes it.
    pub(super) decoder: Decoder,
    /// Rules that do not look at that payload stand before this one.
    pub(super) payload_rules: usize,
}

/// Fields that must all pass.
#[derive(Debug)]
pub(super) struct Rule {
    /// The fields, in the order in which they are matched.
    pub(super) fields: Vec<usize>,
    /// The same, one bit each.
    pub(super) bits: Vec<u64>,
    /// Those of them outside a payload that has to be decoded.
    pub(super) outside: Vec<u64>,
    /// Whether one is in that payload, which then has to be JSON.
    pub(super) payload: bool,
}

/// A place in the tree of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u32);

/// The root of the whole record.
pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Debug, Default)]
struct Node {
    children: Vec<(Box<str>, NodeId)>,
    fields: Vec<usize>,
}

impl Program {
    pub(super) fn new(patterns: Vec<Pattern>, shape: Shape) -> Self {
        let mut program = Self {
            nodes: vec![Node::default()],
            fields: Vec::new(),
            rules: Vec::new(),
            payload: None,
            decoder: Decoder::new(),
            payload_rules: 0,
        };
        let mut sets = Vec::new();
        for pattern in patterns {
            let base = program.fields.len();
            for set in pattern.rules {
                sets.push(
                    set.into_iter()
                        .map(|field| base + field)
                        .collect::<Vec<_>>(),
                );
            }
            for field in pattern.fields {
                program.add(field);
            }
        }
        program.payload = shape.encoded().and_then(|key| program.child(ROOT, key));
        let rule = |fields| program.rule(fields, shape);
        program.rules = sets.into_iter().map(rule).collect();
        program.rules.sort_by_key(|rule| rule.payload);
        program.payload_rules = program.rules.partition_point(|rule| !rule.payload);
        program
    }

    /// How many words hold one bit for each field.
    pub(super) fn words(&self) -> usize {
        self.fields.len().div_ceil(64)
    }

    /// Whether nothing below this node can matter.
    pub(super) fn is_leaf(&self, node: NodeId) -> bool {
        self.node(node).children.is_empty()
    }

    /// The fields whose path ends here.
    pub(super) fn fields_at(&self, node: NodeId) -> &[usize] {
        &self.node(node).fields
    }

    /// Where a key leads, dots in it being steps.
    pub(super) fn child(&self, node: NodeId, key: &str) -> Option<NodeId> {
        let first = key.as_bytes().first();
        for (step, child) in &self.node(node).children {
            // Most keys lead nowhere, and differ at once.
            if step.as_bytes().first() != first {
                continue;
            }
            let Some(rest) = key.strip_prefix(&**step) else {
                continue;
            };
            if rest.is_empty() {
                return Some(*child);
            }
            // Steps hold no dots, so that no other child can fit.
            if let Some(rest) = rest.strip_prefix('.') {
                return self.child(*child, rest);
            }
        }
        None
    }

    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.0 as usize]
    }

    fn add(&mut self, field: Field) {
        let number = self.fields.len();
        let mut node = ROOT;
        for step in field.path.split('.') {
            node = self.step(node, step);
        }
        self.nodes[node.0 as usize].fields.push(number);
        self.fields.push(field);
    }

    fn step(&mut self, node: NodeId, step: &str) -> NodeId {
        let known = &self.node(node).children;
        if let Some((_, child)) = known.iter().find(|(key, _)| &**key == step) {
            return *child;
        }
        let child = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node::default());
        let children = &mut self.nodes[node.0 as usize].children;
        children.push((step.into(), child));
        child
    }

    fn rule(&self, fields: Vec<usize>, shape: Shape) -> Rule {
        let outside = |field: &usize| !shape.is_encoded(&self.fields[*field].path);
        Rule {
            bits: self.bits(fields.iter().copied()),
            outside: self.bits(fields.iter().copied().filter(outside)),
            payload: !fields.iter().all(outside),
            fields,
        }
    }

    fn bits(&self, fields: impl Iterator<Item = usize>) -> Vec<u64> {
        let mut bits = vec![0; self.words()];
        for field in fields {
            bits[field / 64] |= 1 << (field % 64);
        }
        bits
    }
}
