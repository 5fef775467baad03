//! The program's `tracing` events, kept for a test to read.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Keeps every event and span of this thread, whatever its level, until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    lines: Lines,
}

thread_local! {
    static LISTENING: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Makes sure that events reach the recorders.
///
/// None of them may show a secret that a visitor was given, whatever a test is about.
///
/// There is one subscriber for the whole program: with one per thread, `tracing` can forget an
/// event that another thread says for the first time at the moment of a subscriber's arrival. For
/// the same reason a test calls this before anything can say something.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(ToThisThread);
        tracing::subscriber::set_global_default(subscriber).expect("the only one in the process");
    });
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

/// One event or span.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// Who said it.
    pub target: String,
    /// The field `event`.
    pub event: String,
    /// All fields as text.
    pub text: String,
}

impl Recorder {
    /// Listens from now on.
    pub fn start() -> Self {
        install();
        let lines = Lines::default();
        LISTENING.set(Some(lines.clone()));
        Self { lines }
    }

    /// The events since the last call, of this project and of others.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.lines.lock())
    }

    /// The names of this project's events since the last call.
    pub fn take_events(&self) -> Vec<String> {
        let ours = |line: &Line| line.target == "session_runtime";
        let lines = self.take().into_iter().filter(ours);
        lines.map(|line| line.event).collect()
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        LISTENING.set(None);
    }
}

/// Gives what is said to the recorder of the thread that says it.
struct ToThisThread;

impl ToThisThread {
    fn keep(line: Line) {
        crate::secrets::assert_unsaid("an event", &line.text);
        LISTENING.with_borrow(|lines| {
            if let Some(lines) = lines {
                lines.lock().push(line);
            }
        });
    }
}

impl<S: Subscriber> Layer<S> for ToThisThread {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::of(event.metadata().target());
        event.record(&mut line);
        Self::keep(line);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut line = Line::of(attributes.metadata().target());
        attributes.record(&mut line);
        Self::keep(line);
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut line = Line::of("span");
        values.record(&mut line);
        Self::keep(line);
    }
}

impl Line {
    fn of(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            ..Self::default()
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            value.clone_into(&mut self.event);
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.text, "{}={value:?} ", field.name()).expect("a string takes everything");
    }
}
