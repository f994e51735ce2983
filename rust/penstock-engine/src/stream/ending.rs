//! Pauses, reconfigures, drains and stops a mapping.
//!
//! Rules: a pause starts nothing new and takes nothing back; a drain starts nothing new, finishes
//! what runs, saves every checkpoint and gives the leases back, and then says so, at the latest
//! when its time is up; batches in flight finish under the options they began with.

use super::StreamMachine;
use super::core::{Mode, Timer};
use super::shard::State;
use crate::config::MappingConfig;
use crate::io::{NoticeLevel, Output};
use crate::mutants::Mutant;
use crate::time::{Mono, Now};

impl StreamMachine {
    pub(super) fn pause(&mut self, now: Now) {
        if self.core.mode == Mode::Running {
            self.core.mode = Mode::Paused;
            self.core.mode_since = now.wall;
            self.core.transition("mode:paused");
        }
    }

    pub(super) fn unpause(&mut self, now: Now) {
        if self.core.mode != Mode::Paused {
            return;
        }
        self.core.mode = Mode::Running;
        self.core.mode_since = now.wall;
        self.core.transition("mode:resumed");
        self.wake_all(now);
    }

    pub(super) fn reconfigure(&mut self, config: MappingConfig, now: Now) {
        let lanes = config.lanes;
        self.core.config = std::sync::Arc::new(config);
        for shard in &mut self.shards {
            let differs = shard.held() && shard.lanes.len() != usize::from(lanes);
            shard.relane = differs.then_some(lanes);
            shard.weigh_constants(&self.core);
            shard.redirect(&mut self.core, now);
            shard.recut_when_quiet(&mut self.core, now);
            if !shard.held() && shard.state != State::Ended {
                shard.set_lanes(lanes, now.wall);
                self.core.ready.forget(shard.place);
            }
        }
        self.wake_all(now);
    }

    pub(super) fn drain(&mut self, by: Mono, now: Now) {
        if matches!(self.core.mode, Mode::Draining { .. } | Mode::Stopped) {
            return;
        }
        self.core.mode = Mode::Draining { by };
        self.core.mode_since = now.wall;
        self.core.transition("mode:draining");
        self.core.arm(by, Timer::Drain);
        for shard in &mut self.shards {
            if let Some(op) = shard.reader.op.take() {
                self.core.abandon(op);
                self.core.held_bytes -= std::mem::take(&mut shard.reader.reserved);
            }
            shard.save(&mut self.core, now);
        }
    }

    /// Ends a drain when nothing runs any more and everything is saved.
    pub(super) fn finish_draining(&mut self, now: Now) {
        if !matches!(self.core.mode, Mode::Draining { .. }) {
            return;
        }
        let finished = |shard: &super::Shard| shard.finished(Mutant::DrainWithoutSave);
        if self.shards.iter().all(finished) {
            self.stop(now);
        }
    }

    pub(super) fn give_up_draining(&mut self, now: Now) {
        if !matches!(self.core.mode, Mode::Draining { .. }) {
            return;
        }
        let running = self.out.len();
        self.core.notify(
            NoticeLevel::Warn,
            "drain_timeout",
            None,
            format!("the time to drain is up with {running} invocations still running"),
        );
        self.stop(now);
    }

    pub(super) fn stop(&mut self, now: Now) {
        if std::mem::replace(&mut self.stopped_told, true) {
            return;
        }
        self.core.mode = Mode::Stopped;
        self.core.mode_since = now.wall;
        self.core.transition("mode:stopped");
        for shard in &mut self.shards {
            // What still runs here must not run elsewhere before it has ended, or before the lease
            // is over by itself.
            let held = shard.held() && !(shard.shared.is_some() && shard.running());
            shard.abandon(&mut self.core);
            if held {
                let (id, fence) = (shard.id.clone(), shard.fence);
                self.core.emit(Output::DropLease { shard: id, fence });
                shard.state = State::Waiting;
            }
        }
        if let Some(op) = self.list_op.take() {
            self.core.abandon(op);
        }
        self.core.ready.clear();
        self.core.emit(Output::Stopped);
    }

    fn wake_all(&mut self, now: Now) {
        for place in 0..self.shards.len() {
            self.try_start(place, now);
            let shard = &mut self.shards[place];
            shard.read(&mut self.core, now);
            shard.step_lanes(&mut self.core, now);
        }
    }
}
