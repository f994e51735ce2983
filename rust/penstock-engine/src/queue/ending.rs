//! Pauses, reconfigures, drains and stops a mapping.
//!
//! Rules: a pause or drain receives and hands out nothing more; what waits is given back only when
//! no receive is under way, which would take it again at once; a drain finishes what runs and what
//! is being deleted, and then says so, at the latest when its time is up.

use std::sync::Arc;

use super::QueueMachine;
use super::core::{Alarm, Mode};
use crate::config::MappingConfig;
use crate::io::{NoticeLevel, Output};
use crate::time::{Mono, Now};

impl QueueMachine {
    pub(super) fn pause(&mut self, now: Now) {
        if self.core.mode == Mode::Running {
            self.enter(Mode::Paused, "mode:paused", now);
            self.abandon_receives();
        }
    }

    pub(super) fn unpause(&mut self, now: Now) {
        if self.core.mode == Mode::Paused {
            self.enter(Mode::Running, "mode:resumed", now);
            self.watch_window(now);
        }
    }

    pub(super) fn reconfigure(&mut self, config: MappingConfig, now: Now) {
        if let Some(rules) = config.queue {
            self.scaling.limit(rules.maximum_concurrency);
            self.core.rules = rules;
        }
        self.core.config = Arc::new(config);
        self.weigh_constants();
        self.warn_of_short_visibility();
        let config = &self.core.config;
        let full = self.forming.messages.len() >= config.batch_size as usize;
        if full || config.batch_window.is_zero() {
            self.close(now);
        }
        self.watch_window(now);
    }

    pub(super) fn drain(&mut self, by: Mono, now: Now) {
        if matches!(self.core.mode, Mode::Draining | Mode::Stopped) {
            return;
        }
        let paused = self.core.mode == Mode::Paused;
        self.enter(Mode::Draining, "mode:draining", now);
        self.core.arm(Alarm::Drain, by);
        if !paused {
            self.abandon_receives();
        }
    }

    /// Where nothing may be handed out, gives back what waits as soon as no receive could take it
    /// again, and ends a drain that has nothing left to finish.
    pub(super) fn wind_down(&mut self, now: Now) {
        self.give_back_withheld(now);
        if self.core.works() || self.holds_back() || self.core.mode == Mode::Stopped {
            return;
        }
        let forming = std::mem::take(&mut self.forming).messages;
        self.give_back(&forming);
        for id in self.works.waiting_ids() {
            let Some(work) = self.works.find_mut(id) else {
                continue;
            };
            let (messages, open) = (std::mem::take(&mut work.messages), work.open);
            self.give_back(&messages);
            self.works.settle(id, open, now.mono);
        }
        let busy = self.receiver.outstanding() > 0
            || self.works.running() > 0
            || self.deleting > 0
            || !self.deletions.is_empty()
            || self.releasing > 0
            || !self.releases.is_empty();
        if self.core.mode == Mode::Draining && !busy {
            self.stop(now);
        }
    }

    pub(super) fn give_up_draining(&mut self, now: Now) {
        if self.core.mode != Mode::Draining {
            return;
        }
        let running = self.works.running();
        let message = format!("the time to drain is up with {running} invocations still running");
        self.core
            .notify(NoticeLevel::Warn, "drain_timeout", message);
        self.stop(now);
    }

    pub(super) fn stop(&mut self, now: Now) {
        if self.core.mode == Mode::Stopped {
            return;
        }
        if self.core.works() {
            self.abandon_receives();
        }
        self.enter(Mode::Stopped, "mode:stopped", now);
        self.works.clear();
        self.forming = super::forming::Forming::default();
        self.deletions.clear();
        self.releases.clear();
        self.withheld.clear();
        self.inflight.clear();
        let counters = &mut self.core.counters;
        let left = [
            &mut counters.buffered,
            &mut counters.in_flight,
            &mut counters.acknowledging,
        ];
        let left: u64 = left.map(std::mem::take).iter().sum();
        counters.abandoned += left;
        self.core.emit(Output::Stopped);
    }

    fn enter(&mut self, mode: Mode, tag: &'static str, now: Now) {
        self.core.mode = mode;
        self.core.mode_since = now.wall;
        self.core.transition(tag);
    }
}
