//! Keeps what a machine has going on outside: requests, outputs, identities.
//!
//! Rules: every request has an id of its own and is answered once; answers to requests that are no
//! longer pending are counted and dropped.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{InvocationId, OpId, RequestId};
use crate::io::{Notice, NoticeLevel, Output};
use crate::rng::Rng;

/// The desk of a machine whose requests are for `P`.
#[derive(Debug)]
pub(crate) struct Desk<P> {
    /// Jitter of waits.
    pub jitter: Rng,
    /// Answers that came too late to count.
    pub stale_answers: u64,
    identities: Rng,
    outputs: VecDeque<Output>,
    pending: BTreeMap<OpId, P>,
    next_op: u64,
    next_invocation: u64,
}

impl<P> Desk<P> {
    pub fn new(seed: u64) -> Self {
        let mut jitter = Rng::new(seed);
        let identities = jitter.fork();
        Self {
            jitter,
            stale_answers: 0,
            identities,
            outputs: VecDeque::new(),
            pending: BTreeMap::new(),
            next_op: 1,
            next_invocation: 1,
        }
    }

    /// Names a new request; its answer will be told apart by `pending`.
    pub fn open(&mut self, pending: P) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.pending.insert(op, pending);
        op
    }

    /// Takes the request that an answer belongs to; `None` when it is not wanted any more.
    ///
    /// # Panics
    ///
    /// When the driver answers a request that was never made: a bug in the driver.
    pub fn close(&mut self, op: OpId) -> Option<P> {
        assert!(
            op.0 < self.next_op,
            "answer to request {} that was never made",
            op.0
        );
        let pending = self.pending.remove(&op);
        if pending.is_none() {
            self.stale_answers += 1;
        }
        pending
    }

    pub fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn new_request_id(&mut self) -> RequestId {
        let (high, low) = (self.identities.next_u64(), self.identities.next_u64());
        let bits = (u128::from(high) << 64) | u128::from(low);
        // The version and variant bits of a random UUID.
        let bits = bits & !(0xf << 76) | (0x4 << 76);
        RequestId(bits & !(0b11 << 62) | (0b10 << 62))
    }

    pub fn new_invocation_id(&mut self) -> InvocationId {
        let id = InvocationId(self.next_invocation);
        self.next_invocation += 1;
        id
    }

    /// Whether an invocation of this id was ever handed out.
    pub fn knows_invocation(&self, id: InvocationId) -> bool {
        id.0 > 0 && id.0 < self.next_invocation
    }

    pub fn notify(&mut self, level: NoticeLevel, code: &'static str, message: String) {
        self.emit(Output::Notify(Notice {
            level,
            code,
            shard: None,
            message,
        }));
    }
}
