//! Tells the time and waits: by the machine's clocks, or by a clock that is moved by hand.
//!
//! Rules: nothing else in this crate asks what time it is or sleeps by the engine's deadlines;
//! monotonic time counts the machine's sleep, so that a deadline that passed meanwhile has passed;
//! a manual clock stands still between two calls of `advance` and wakes every timer that is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use penstock_engine::time::{Mono, Now, Wall};
use tokio::sync::oneshot;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Reads both clocks at once.
    fn now(&self) -> Now;

    /// Returns when `at` has come. Dropping the future ends the wait.
    fn sleep_until(&self, at: Mono) -> BoxFuture<'static, ()>;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    birth: Duration,
}

impl SystemClock {
    /// Starts counting now.
    #[must_use]
    pub fn new() -> Self {
        Self { birth: monotonic() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            mono: mono_since(self.birth),
            wall: wall(),
        }
    }

    fn sleep_until(&self, at: Mono) -> BoxFuture<'static, ()> {
        let birth = self.birth;
        Box::pin(async move {
            loop {
                let left = at.since(mono_since(birth));
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(TIMER_STEP)).await;
            }
        })
    }
}

/// Timers of the I/O threads do not count the machine's sleep, so that no single wait is longer.
const TIMER_STEP: Duration = Duration::from_secs(5);

#[cfg(target_os = "linux")]
fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Other systems' clocks either count sleep by themselves or cannot be asked to.
#[cfg(not(target_os = "linux"))]
fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn mono_since(birth: Duration) -> Mono {
    Mono(u64::try_from(monotonic().saturating_sub(birth).as_nanos()).unwrap_or(u64::MAX))
}

fn wall() -> Wall {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Wall(millis(since)),
        Err(before) => Wall(-millis(before.duration())),
    }
}

/// A clock that moves only by `advance`.
pub struct ManualClock {
    face: Arc<Mutex<Face>>,
}

struct Face {
    now: Now,
    sleepers: BTreeMap<(Mono, u64), oneshot::Sender<()>>,
    next_sleeper: u64,
}

impl ManualClock {
    /// A clock that stands at `wall` and at the beginning of monotonic time.
    #[must_use]
    pub fn at(wall: Wall) -> Self {
        let now = Now {
            mono: Mono(0),
            wall,
        };
        let face = Face {
            now,
            sleepers: BTreeMap::new(),
            next_sleeper: 0,
        };
        Self {
            face: Arc::new(Mutex::new(face)),
        }
    }

    /// A clock that stands at the machine's present time.
    #[must_use]
    pub fn at_present() -> Self {
        Self::at(wall())
    }

    /// Moves both clocks and wakes every timer that is due by then, earliest first.
    pub fn advance(&self, by: Duration) {
        let mut face = locked(&self.face);
        face.now = Now {
            mono: face.now.mono + by,
            wall: face.now.wall.plus(by),
        };
        let mono = face.now.mono;
        while let Some(first) = face.sleepers.first_entry() {
            if first.key().0 > mono {
                break;
            }
            // A sleeper that is gone does not mind.
            let _ = first.remove().send(());
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        locked(&self.face).now
    }

    fn sleep_until(&self, at: Mono) -> BoxFuture<'static, ()> {
        let face = Arc::downgrade(&self.face);
        Box::pin(async move {
            let Some(sleeper) = Sleeper::register(&face, at) else {
                return;
            };
            sleeper.woken().await;
        })
    }
}

/// A registered wait; leaves the clock when it is dropped.
struct Sleeper {
    face: Weak<Mutex<Face>>,
    key: (Mono, u64),
    wake: oneshot::Receiver<()>,
}

impl Sleeper {
    /// `None` when `at` has come already, or the clock is gone.
    fn register(clock: &Weak<Mutex<Face>>, at: Mono) -> Option<Self> {
        let strong = clock.upgrade()?;
        let mut face = locked(&strong);
        if face.now.mono >= at {
            return None;
        }
        let key = (at, face.next_sleeper);
        face.next_sleeper += 1;
        let (sender, wake) = oneshot::channel();
        face.sleepers.insert(key, sender);
        Some(Self {
            face: clock.clone(),
            key,
            wake,
        })
    }

    async fn woken(mut self) {
        // An error means that the clock is gone, and nothing will ever be due.
        if (&mut self.wake).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(face) = self.face.upgrade() {
            locked(&face).sleepers.remove(&self.key);
        }
    }
}

/// A clock's face is whole between any two statements, so that a panic elsewhere spoils nothing.
fn locked(face: &Mutex<Face>) -> MutexGuard<'_, Face> {
    face.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A timer that can be set again and again.
pub(crate) struct Timer {
    clock: Arc<dyn Clock>,
    armed: Option<(Mono, BoxFuture<'static, ()>)>,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, armed: None }
    }

    /// Elapses at `at`, or earlier when it was set to an earlier time before: whoever asks an
    /// engine too early is told when to ask again.
    pub(crate) fn set(&mut self, at: Option<Mono>) {
        match (at, &self.armed) {
            (None, _) => self.armed = None,
            (Some(at), Some((armed, _))) if *armed <= at => {}
            (Some(at), _) => self.armed = Some((at, self.clock.sleep_until(at))),
        }
    }

    /// Returns when the time has come; never while none is set.
    pub(crate) async fn elapsed(&mut self) {
        match &mut self.armed {
            Some((_, sleep)) => sleep.await,
            None => std::future::pending().await,
        }
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_what_is_due_and_nothing_else() {
        let clock = ManualClock::at(Wall(1_000));
        let mut early = clock.sleep_until(Mono(5_000_000));
        let mut late = clock.sleep_until(Mono(50_000_000));
        assert!(futures_util::poll!(&mut early).is_pending());
        assert!(futures_util::poll!(&mut late).is_pending());
        clock.advance(Duration::from_millis(5));
        assert!(futures_util::poll!(&mut early).is_ready());
        assert!(futures_util::poll!(&mut late).is_pending());
        assert_eq!(
            clock.now(),
            Now {
                mono: Mono(5_000_000),
                wall: Wall(1_005)
            }
        );
    }

    #[tokio::test]
    async fn a_dropped_sleeper_leaves_the_clock() {
        let clock = ManualClock::at(Wall(0));
        let mut sleep = clock.sleep_until(Mono(1));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        drop(sleep);
        assert!(locked(&clock.face).sleepers.is_empty());
    }

    #[tokio::test]
    async fn the_system_clock_sleeps_until_the_moment_and_not_less() {
        let clock = SystemClock::new();
        let at = clock.now().mono + Duration::from_millis(20);
        clock.sleep_until(at).await;
        assert!(clock.now().mono >= at);
        assert!(clock.now().wall > Wall(1_700_000_000_000));
    }
}
