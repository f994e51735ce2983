//! Writes what our crates trace into a runtime's ring of log lines.
//!
//! Rules: it is set on the runtime's own threads, never for the process; a line carries the fields
//! of the spans around it; control characters are escaped, so that a line stays one line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

use crate::telemetry::{LogLine, Telemetry};

/// A dispatcher that keeps lines up to `level`.
pub(crate) fn dispatch_to(telemetry: Arc<Telemetry>, level: Level) -> Dispatch {
    Dispatch::new(RingSubscriber {
        telemetry,
        level,
        next_span: AtomicU64::new(1),
        spans: Mutex::default(),
    })
}

/// Sets the dispatcher for this thread, until the thread ends.
pub(crate) fn set_for_thread(dispatch: &Dispatch) {
    thread_local! {
        static GUARD: RefCell<Option<dispatcher::DefaultGuard>> = const { RefCell::new(None) };
    }
    GUARD.with(|guard| {
        // The old guard goes first: it would put back what it replaced.
        guard.borrow_mut().take();
        *guard.borrow_mut() = Some(dispatcher::set_default(dispatch));
    });
}

/// Modules whose lines are kept begin so.
const OURS: &str = "penstock";

/// Bytes of a message or field beyond which it is cut.
const TEXT_BYTES_MAX: usize = 4_096;

struct RingSubscriber {
    telemetry: Arc<Telemetry>,
    level: Level,
    next_span: AtomicU64,
    spans: Mutex<BTreeMap<u64, Span>>,
}

struct Span {
    handles: usize,
    fields: Vec<(String, String)>,
}

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl RingSubscriber {
    fn spans(&self) -> MutexGuard<'_, BTreeMap<u64, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for RingSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with(OURS)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.next_span.fetch_add(1, Relaxed);
        let mut texts = Texts::default();
        attributes.record(&mut texts);
        self.spans().insert(
            id,
            Span {
                handles: 1,
                fields: texts.fields,
            },
        );
        Id::from_non_zero_u64(NonZeroU64::new(id).expect("ids count from one"))
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut texts = Texts::default();
        values.record(&mut texts);
        if let Some(span) = self.spans().get_mut(&span.into_u64()) {
            span.fields.extend(texts.fields);
        }
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let mut fields = Vec::new();
        ENTERED.with_borrow(|entered| {
            if !entered.is_empty() {
                let spans = self.spans();
                let around = entered.iter().filter_map(|id| spans.get(id));
                fields.extend(around.flat_map(|span| span.fields.iter().cloned()));
            }
        });
        fields.extend(texts.fields);
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.telemetry.logs.push(LogLine {
            unix_s: since.as_secs_f64(),
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message: texts.message,
            fields,
        });
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(place) = entered.iter().rposition(|id| *id == span.into_u64()) {
                entered.remove(place);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(span) = self.spans().get_mut(&span.into_u64()) {
            span.handles += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut spans = self.spans();
        let Some(found) = spans.get_mut(&span.into_u64()) else {
            return false;
        };
        found.handles -= 1;
        if found.handles > 0 {
            return false;
        }
        spans.remove(&span.into_u64());
        true
    }
}

/// The values of an event or span, as text.
#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(String, String)>,
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = OneLine(String::new());
        // It fails only when the text was cut.
        let _ = write!(text, "{value:?}");
        match field.name() {
            "message" => self.message = text.0,
            name => self.fields.push((name.to_owned(), text.0)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Text without control characters, and not too long.
struct OneLine(String);

impl Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= TEXT_BYTES_MAX {
                self.0.push('…');
                return Err(fmt::Error);
            }
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::Instrument as _;

    use super::*;

    fn logged(level: Level, write: impl FnOnce()) -> Vec<LogLine> {
        let telemetry = Telemetry::new(100);
        dispatcher::with_default(&dispatch_to(telemetry.clone(), level), write);
        telemetry.logs.drain(100)
    }

    #[test]
    fn lines_carry_their_fields_and_those_of_the_spans_around_them() {
        let lines = logged(Level::INFO, || {
            let _outer = tracing::info_span!("mapping", mapping = "m-1").entered();
            tracing::info!(shard = %"s-1", records = 3, "a shard started");
            tracing::debug!("not loud enough");
        });
        assert_eq!(lines.len(), 1);
        let fields: Vec<_> = lines[0]
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            fields,
            [("mapping", "m-1"), ("shard", "s-1"), ("records", "3")]
        );
        assert_eq!(lines[0].message, "a shard started");
        assert!(lines[0].unix_s > 1.7e9);
    }

    #[test]
    fn other_crates_lines_are_not_kept() {
        let lines = logged(
            Level::TRACE,
            || tracing::error!(target: "hyper::proto", "noise"),
        );
        assert_eq!(lines, []);
    }

    #[test]
    fn control_characters_and_length_are_tamed() {
        let lines = logged(Level::INFO, || {
            tracing::info!(text = "a\u{1b}[31m\nb", "x{}", "y".repeat(10_000));
        });
        assert_eq!(lines[0].fields[0].1, "a\\u{1b}[31m\\nb");
        assert!(lines[0].message.len() < TEXT_BYTES_MAX + 10);
    }

    #[tokio::test]
    async fn spans_end_with_their_last_handle() {
        let telemetry = Telemetry::new(10);
        let dispatch = dispatch_to(telemetry, Level::INFO);
        let _guard = dispatcher::set_default(&dispatch);
        async {}.instrument(tracing::info_span!("short")).await;
        let subscriber = dispatch
            .downcast_ref::<RingSubscriber>()
            .expect("it is ours");
        assert!(subscriber.spans().is_empty());
    }
}
