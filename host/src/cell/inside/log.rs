//! Lines for the log: the program outside has one, and a cell none.

use std::fmt::{self, Write as _};

use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::cell::protocol::{Say, level_number};
use crate::text::bounded;

/// The longest line.
const LINE_BYTES: usize = 12 << 10;

/// Lines of this level, and of worse ones, are said.
pub(super) fn begin(level: &str, says: mpsc::Sender<Say>) {
    let most: LevelFilter = level.parse().unwrap_or(LevelFilter::INFO);
    let registry = tracing_subscriber::registry().with(Lines(says).with_filter(most));
    // A process that has a log already is none that was started to be a cell.
    let _ = tracing::subscriber::set_global_default(registry);
}

struct Lines(mpsc::Sender<Say>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (target, level) = (event.metadata().target(), *event.metadata().level());
        let is_guests = target == "guest";
        // What libraries say to those who work on them stays here.
        if !is_guests && !target.starts_with("sheaf") && level > Level::WARN {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let line = bounded(line.message + &line.fields, LINE_BYTES);
        // Where nobody takes them any more, lines are lost.
        let _ = self.0.try_send(Say::Log { level: level_number(level), is_guests, line });
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            // Whoever tells of the line knows that.
            "connection" => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
        // A text takes all.
        let _ = written;
    }
}
