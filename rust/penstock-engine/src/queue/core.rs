//! Holds what all parts of a queue's machine share: options, requests, alarms, counters.
//!
//! Rules: an alarm wakes for one purpose and rings at the earliest moment it was set to; nothing
//! here knows messages.

use std::sync::Arc;

use super::inflight::Place;
use super::work::WorkId;
use crate::config::{MappingConfig, QueueRules};
use crate::desk::Desk;
use crate::fault::Fault;
use crate::ids::ShardId;
use crate::io::{NoticeLevel, Output, QueueFacts};
use crate::record::Batch;
use crate::snapshot::Counters;
use crate::time::{Deadline, Mono, Wall};

/// What a pending request was for.
#[derive(Debug)]
pub(crate) enum Pending {
    Describe,
    Receive,
    Delete(Vec<Deletion>),
    /// Longer visibility for what is held, asked for at `asked`.
    Extend {
        messages: Vec<Place>,
        asked: Mono,
        by: std::time::Duration,
    },
    /// Shorter visibility for what is not held any more.
    Release(Release),
}

/// A message that is being deleted from its queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deletion {
    pub place: Place,
    /// The batch that it was handed out with; `None` when a filter dropped it.
    pub work: Option<WorkId>,
}

/// Messages whose visibility is to end early.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub messages: Batch,
    pub by: std::time::Duration,
    /// Until when they are hidden anyway: later somebody else may have them.
    pub until: Mono,
    pub tries: u32,
}

/// What wakes the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Alarm {
    Describe,
    Receive,
    Window,
    Extend,
    Delete,
    Retry,
    Release,
    Scale,
    Drain,
}

impl Alarm {
    const ALL: [Alarm; 9] = [
        Self::Describe,
        Self::Receive,
        Self::Window,
        Self::Extend,
        Self::Delete,
        Self::Retry,
        Self::Release,
        Self::Scale,
        Self::Drain,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Describe => "queue description",
            Self::Receive => "next receive",
            Self::Window => "batch window",
            Self::Extend => "visibility",
            Self::Delete => "retry of a delete",
            Self::Retry => "retry backoff",
            Self::Release => "retry of a release",
            Self::Scale => "scaling",
            Self::Drain => "drain deadline",
        }
    }
}

/// What the mapping as a whole is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Running,
    Paused,
    Draining,
    Stopped,
}

/// Why the queue cannot be worked with, as it said itself.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub fault: Fault,
    pub since: Wall,
    pub until: Wall,
    /// Whether a person has to act.
    pub serious: bool,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub config: Arc<MappingConfig>,
    pub rules: QueueRules,
    /// The queue's name, which stands where streams have a shard.
    pub name: ShardId,
    pub desk: Desk<Pending>,
    pub facts: Option<QueueFacts>,
    pub mode: Mode,
    pub mode_since: Wall,
    pub trouble: Option<Trouble>,
    pub fatal: bool,
    pub last_result: &'static str,
    pub counters: Counters,
    alarms: [Option<Mono>; Alarm::ALL.len()],
    told: u16,
    transitions: u64,
}

/// What people are told once in a mapping's life.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Once {
    Gap,
    Filtered,
    Oversize,
    VisibilityShort,
    VisibilityEnded,
    ReceiptExpired,
}

impl Core {
    pub fn new(config: MappingConfig, rules: QueueRules, seed: u64, now: Wall) -> Self {
        let name = config.source_arn.rsplit([':', '/']).next();
        Self {
            name: ShardId::new(name.unwrap_or_default()),
            config: Arc::new(config),
            rules,
            desk: Desk::new(seed),
            facts: None,
            mode: Mode::Running,
            mode_since: now,
            trouble: None,
            fatal: false,
            last_result: "No records processed",
            counters: Counters::default(),
            alarms: [None; Alarm::ALL.len()],
            told: 0,
            transitions: 0,
        }
    }

    /// Sets an alarm, if it would not ring earlier anyway.
    pub fn arm(&mut self, alarm: Alarm, at: Mono) {
        let set = &mut self.alarms[alarm as usize];
        *set = Some(set.map_or(at, |earlier| earlier.min(at)));
    }

    /// The next alarm that is due, taken.
    pub fn fire(&mut self, now: Mono) -> Option<Alarm> {
        let (at, alarm) = self.next()?;
        if at > now {
            return None;
        }
        self.alarms[alarm as usize] = None;
        Some(alarm)
    }

    pub fn deadline(&self) -> Option<Deadline> {
        let (at, alarm) = self.next()?;
        let label = alarm.label();
        Some(Deadline { at, label })
    }

    /// Whether messages may be received and handed out.
    pub fn works(&self) -> bool {
        self.mode == Mode::Running && !self.fatal
    }

    pub fn emit(&mut self, output: Output) {
        self.desk.emit(output);
    }

    pub fn notify(&mut self, level: NoticeLevel, code: &'static str, message: String) {
        self.desk.notify(level, code, message);
    }

    /// Tells people something that they need to hear once.
    pub fn warn_once(&mut self, what: Once, code: &'static str, message: impl FnOnce() -> String) {
        let bit = 1 << what as u8;
        if self.told & bit == 0 {
            self.told |= bit;
            self.notify(NoticeLevel::Warn, code, message());
        }
    }

    /// Remembers that a transition of [`super::TRANSITIONS`] happened.
    pub fn transition(&mut self, tag: &'static str) {
        let place = super::TRANSITIONS.iter().position(|known| *known == tag);
        debug_assert!(place.is_some(), "transition {tag} is not in the list");
        if let Some(bit) = place {
            self.transitions |= 1 << bit;
        }
    }

    pub fn take_transitions(&mut self) -> Vec<&'static str> {
        let seen = std::mem::take(&mut self.transitions);
        let bits = super::TRANSITIONS.iter().enumerate();
        bits.filter(|(bit, _)| seen & (1 << bit) != 0)
            .map(|(_, tag)| *tag)
            .collect()
    }

    fn next(&self) -> Option<(Mono, Alarm)> {
        let set = Alarm::ALL.into_iter();
        set.filter_map(|alarm| Some((self.alarms[alarm as usize]?, alarm)))
            .min_by_key(|(at, _)| *at)
    }
}
