//! Keeps messages hidden from others while they are held, and lets go of them early.
//!
//! Rules: what is held is hidden again when two thirds of its time have passed, never for more than
//! twelve hours in all; the last time is short, so that a message whose handler fails comes back
//! after at most the queue's own timeout; visibility is ended at once only for messages that were
//! never handed out, and where nothing may be received, only once no receive could take them again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::QueueMachine;
use super::core::{Alarm, Once, Pending, Release};
use super::inflight::{Place, State};
use crate::backoff;
use crate::fault::FaultKind;
use crate::io::{Output, Refused};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::record::Batch;
use crate::time::{Mono, Now};

/// How long a handler that is done, or should be, is still given.
const MARGIN: Duration = Duration::from_secs(10);
/// Pages that are due so soon are seen to together.
const TOGETHER: Duration = Duration::from_secs(1);
/// How often an early end of visibility is asked for.
const RELEASE_TRIES_MAX: u32 = 5;

impl QueueMachine {
    /// Sets when a page that is hidden for `span` from `from` on is hidden longer.
    pub(super) fn watch_visibility(&mut self, number: u32, from: Mono, span: Duration) {
        if mutants::active(Mutant::VisibilityForgotten) {
            return;
        }
        self.inflight.extend_at(number, Some(from + span * 2 / 3));
        self.arm_extension();
    }

    pub(super) fn arm_extension(&mut self) {
        if let Some(at) = self.inflight.first_due() {
            self.core.arm(Alarm::Extend, at);
        }
    }

    /// Hides longer what is due.
    pub(super) fn extend(&mut self, now: Now) {
        let mut asked: BTreeMap<Duration, Vec<Place>> = BTreeMap::new();
        while let Some(number) = self.inflight.take_due(now.mono + TOGETHER) {
            let Some((by, messages)) = self.extension(number, now.mono) else {
                continue;
            };
            asked.entry(by).or_default().extend(messages);
        }
        for (by, messages) in asked {
            self.core.transition("visibility:extended");
            let batch = self.inflight.batch(&messages);
            let op = self.core.desk.open(Pending::Extend {
                messages,
                asked: now.mono,
                by,
            });
            self.core.emit(Output::ExtendVisibility {
                op,
                messages: batch,
                by,
            });
        }
        self.arm_extension();
    }

    /// For how long which messages of a page are to be hidden from now on.
    fn extension(&mut self, number: u32, now: Mono) -> Option<(Duration, Vec<Place>)> {
        let own = self.own_visibility();
        let held = self.inflight.page(number)?;
        let mut by = Duration::ZERO;
        let mut messages = Vec::new();
        for (index, state) in (0..).zip(held.states()) {
            let wanted = match state {
                State::Waiting => own,
                State::Running => (held.deadline.since(now) + MARGIN).min(own),
                State::Deleting => MARGIN.min(own),
                State::Lost | State::Gone => continue,
            };
            by = by.max(wanted);
            messages.push(Place {
                page: number,
                index,
            });
        }
        if messages.is_empty() {
            return None;
        }
        let (left, lead) = (held.hidden_until.since(now), MARGIN.min(own / 3));
        if left >= by && left > lead + TOGETHER {
            // Long enough as it is: asking would make it shorter.
            let later = Mono(held.hidden_until.0 - lead.as_nanos() as u64);
            self.inflight.extend_at(number, Some(later));
            return None;
        }
        let in_all = (held.received + limits::VISIBILITY_MAX).since(now);
        let by = Duration::from_secs(by.min(in_all).as_secs());
        if by.is_zero() {
            self.core.transition("visibility:ended");
            self.core.warn_once(Once::VisibilityEnded, "visibility_ended", || {
                "messages have been held for twelve hours, the longest that SQS allows; others may \
                 receive them from now on"
                    .to_owned()
            });
            return None;
        }
        Some((by, messages))
    }

    /// The visibility that messages get while they are held.
    fn own_visibility(&self) -> Duration {
        let facts = self.core.facts.as_ref();
        let own = facts.map_or(limits::VISIBILITY_MIN, |facts| facts.visibility_timeout);
        own.clamp(limits::VISIBILITY_MIN, limits::VISIBILITY_MAX)
    }

    /// Longer visibility was granted, but for those.
    pub(super) fn extended(
        &mut self,
        messages: &[Place],
        (asked, by): (Mono, Duration),
        refused: &[Refused],
        now: Now,
    ) {
        let mut later: Vec<u32> = Vec::new();
        for refusal in refused {
            let Some(&place) = messages.get(refusal.index as usize) else {
                continue;
            };
            match refusal.fault.kind {
                FaultKind::Expired | FaultKind::Invalid | FaultKind::NotFound => self.lost(place),
                _ => later.push(place.page),
            }
        }
        for number in pages_of(messages) {
            if later.contains(&number) {
                self.extend_later(number, None, now);
            } else if let Some(held) = self.inflight.page_mut(number) {
                held.hidden_until = asked + by;
                held.failures = 0;
                self.watch_visibility(number, asked, by);
            }
        }
    }

    /// Longer visibility could not be asked for.
    pub(super) fn extension_failed(&mut self, messages: &[Place], kind: FaultKind, now: Now) {
        self.core.transition("visibility:failed");
        let after = match kind {
            FaultKind::Throttled { after } => after,
            _ => None,
        };
        for number in pages_of(messages) {
            self.extend_later(number, after, now);
        }
    }

    /// Tries a page again soon, as long as that is not too late.
    fn extend_later(&mut self, number: u32, after: Option<Duration>, now: Now) {
        let Some(held) = self.inflight.page_mut(number) else {
            return;
        };
        held.failures += 1;
        let wait = backoff::slow(held.failures, &mut self.core.desk.jitter);
        let wait = wait.max(after.unwrap_or_default());
        self.inflight.extend_at(number, Some(now.mono + wait));
        self.arm_extension();
    }

    /// Others may receive a message though it is held.
    fn lost(&mut self, place: Place) {
        let state = self.inflight.state(place);
        if matches!(state, State::Waiting | State::Running) {
            self.core.transition("visibility:lost");
        }
        match state {
            State::Running => self.inflight.set(place, State::Lost),
            // Its batch finds out when its turn comes.
            State::Waiting => self.leave_with_group(place),
            State::Deleting | State::Lost | State::Gone => {}
        }
    }

    /// Leaves a message that waits to come back from the queue by itself.
    pub(super) fn leave(&mut self, place: Place) {
        self.core.counters.buffered -= 1;
        self.core.counters.returned += 1;
        self.inflight.set(place, State::Gone);
    }

    /// The same, and of a FIFO queue what came with it of its group: nothing may overtake it.
    fn leave_with_group(&mut self, place: Place) {
        if !self.core.rules.fifo {
            return self.leave(place);
        }
        let group = self.inflight.facts(place).key_hash;
        let states = self
            .inflight
            .page(place.page)
            .map_or(0, |held| held.states().len());
        for index in 0..states as u32 {
            let other = Place { index, ..place };
            if self.inflight.state(other) == State::Waiting
                && self.inflight.facts(other).key_hash == group
            {
                self.leave(other);
            }
        }
    }

    /// Gives messages back that wait and were never handed out.
    pub(super) fn give_back(&mut self, places: &[Place]) {
        let waiting = |place: &&Place| self.inflight.state(**place) == State::Waiting;
        let places: Vec<Place> = places.iter().filter(waiting).copied().collect();
        if places.is_empty() {
            return;
        }
        if self.holds_back() {
            // They stay held, and hidden, until they are given back for good.
            return self.withheld.extend(places);
        }
        self.core.transition("message:given_back");
        let (messages, until) = (self.inflight.batch(&places), self.hidden_until(&places));
        for place in places {
            self.leave(place);
        }
        if !mutants::active(Mutant::NeverGivenBack) {
            self.release(messages, Duration::ZERO, until);
        }
    }

    /// Whether a receive that was told to end could still take what is given back, and hide it with
    /// nobody to know it.
    pub(super) fn holds_back(&self) -> bool {
        !self.core.works()
            && self.receiver.outstanding() > 0
            && !mutants::active(Mutant::GivenBackWhileReceiving)
    }

    /// Gives back what a receive kept from it, once none does.
    pub(super) fn give_back_withheld(&mut self, now: Now) {
        if self.holds_back() {
            return;
        }
        let withheld = std::mem::take(&mut self.withheld);
        self.give_back(&withheld);
        self.retry_releases(now);
    }

    /// Ends the visibility of messages that are not held any more after so long.
    pub(super) fn release(&mut self, messages: Batch, by: Duration, until: Mono) {
        self.ask_release(Release {
            messages,
            by,
            until,
            tries: 0,
        });
    }

    /// Until when all of these messages are hidden.
    pub(super) fn hidden_until(&self, places: &[Place]) -> Mono {
        let pages = places
            .iter()
            .filter_map(|place| self.inflight.page(place.page));
        pages
            .map(|held| held.hidden_until)
            .min()
            .unwrap_or_default()
    }

    /// An early end of visibility could not be asked for.
    pub(super) fn release_failed(&mut self, mut release: Release, now: Now) {
        release.tries += 1;
        let wait = backoff::slow(release.tries, &mut self.core.desk.jitter);
        if release.tries >= RELEASE_TRIES_MAX || now.mono + wait >= release.until {
            // They come back by themselves, only later.
            return;
        }
        self.releases.push((now.mono + wait, release));
        self.core.arm(Alarm::Release, now.mono + wait);
    }

    /// Asks again for early ends that were not granted, unless others may have the messages by now.
    pub(super) fn retry_releases(&mut self, now: Now) {
        let holds_back = self.holds_back();
        for (at, release) in std::mem::take(&mut self.releases) {
            if at <= now.mono && holds_back && release.by.is_zero() {
                self.releases.push((at, release));
            } else if at <= now.mono {
                if now.mono < release.until {
                    self.ask_release(release);
                }
            } else {
                self.core.arm(Alarm::Release, at);
                self.releases.push((at, release));
            }
        }
    }

    fn ask_release(&mut self, release: Release) {
        let (messages, by) = (release.messages.clone(), release.by);
        let op = self.core.desk.open(Pending::Release(release));
        self.releasing += 1;
        self.core
            .emit(Output::ExtendVisibility { op, messages, by });
    }
}

fn pages_of(messages: &[Place]) -> Vec<u32> {
    let mut pages: Vec<u32> = messages.iter().map(|place| place.page).collect();
    pages.dedup();
    pages
}
