//! Logs go to stderr, and past the progress lines where there are any.

use std::borrow::Cow;
use std::io::Write;
use std::sync::{LazyLock, OnceLock};

use indicatif::MultiProgress;
use regex::Regex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::redact::redact;
use crate::text;

static LINES: OnceLock<MultiProgress> = OnceLock::new();

/// The live lines of this process's terminal.
pub(super) fn lines() -> &'static MultiProgress {
    LINES.get_or_init(MultiProgress::new)
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. A service says what it does; another command only what goes wrong. `RUST_LOG`
/// decides where it is set.
pub(super) fn start(verbose: u8, is_service: bool, format: Format) {
    let usual = match (verbose, is_service) {
        // A command says itself when Temporal is away.
        (0, false) => {
            "warn,guest=info,sheaf::temporal::dev_server=info,jsonschema=off,temporalio_client=off"
        }
        (0, true) => "warn,sheaf=info,sheaf_local_glean=info,guest=info",
        (1, _) => "warn,sheaf=info,sheaf_local_glean=info,guest=debug",
        (_, _) => "info,sheaf=debug,sheaf_local_glean=debug,guest=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    // What a line is about is told to machines; people read it in the line.
    let about = if format == Format::Json { "crawl=info" } else { "crawl=off" };
    let filter = match about.parse() {
        Ok(about) => filter.add_directive(about),
        Err(_) => filter,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(PastLines(format))
        .with_ansi(console_colours());
    let started = match format {
        Format::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
        Format::Text if is_service => builder.with_target(false).try_init(),
        Format::Text => builder.with_target(false).without_time().try_init(),
    };
    if started.is_err() {
        eprintln!("sheaf: logging was started already");
    }
}

fn console_colours() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A panic is a defect, and what it says is not checked by anyone.
pub(super) fn redact_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = text::bounded(panic.to_string(), 4_000);
        eprintln!("sheaf: a defect, please report it: {}", text::lines(&redact(&said)));
    }));
}

struct PastLines(Format);

impl<'a> MakeWriter<'a> for PastLines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { format: self.0, bytes: Vec::new() }
    }
}

/// One event, written whole, without secrets and what nobody sees.
struct Line {
    format: Format,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let said = String::from_utf8_lossy(&self.bytes);
        let said = redact(&said);
        let shown = shown(self.format, &said);
        lines().suspend(|| {
            let _ = std::io::stderr().write_all(shown.as_bytes());
        });
    }
}

/// Our own colours.
static COLOURS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("\x1b\\[[0-9;]*m").ok());

/// An event as one line, which steers no terminal, whatever it quotes of strangers.
fn shown(format: Format, event: &str) -> Cow<'_, str> {
    if format == Format::Json {
        return text::json(event);
    }
    let mut line = String::with_capacity(event.len());
    let mut rest = event.trim_end();
    while let Some(colour) = COLOURS.as_ref().and_then(|colours| colours.find(rest)) {
        line.push_str(&text::one_line(&rest[..colour.start()]));
        line.push_str(colour.as_str());
        rest = &rest[colour.end()..];
    }
    line.push_str(&text::one_line(rest));
    line.push('\n');
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of an event, with colours.
    fn written(format: Format, id: &str) -> String {
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("bytes").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let builder = tracing_subscriber::fmt().with_ansi(true).with_writer(move || writer.clone());
        let write = || tracing::warn!(id, shown = %id, "it is {id}");
        match format {
            Format::Text => tracing::subscriber::with_default(builder.finish(), write),
            Format::Json => {
                tracing::subscriber::with_default(
                    builder.json().flatten_event(true).finish(),
                    write,
                );
            }
        }
        let bytes = kept.0.lock().expect("bytes").clone();
        shown(format, &String::from_utf8_lossy(&bytes)).into_owned()
    }

    #[test]
    fn what_an_event_quotes_steers_no_terminal() {
        let odd = "a\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{7f}\n ERROR b";
        for letter in ["\u{1b}[2J", "\u{9b}", "\u{202e}", "\u{2028}", "\u{7f}", "\n ERROR"] {
            for format in [Format::Text, Format::Json] {
                let text = written(format, odd);
                assert!(!text.contains(letter), "{letter:?}: {text:?}");
            }
        }
        assert!(written(Format::Text, "b").contains("\u{1b}["), "our own colours stay");
        let json: serde_json::Value =
            serde_json::from_str(&written(Format::Json, odd)).expect("JSON");
        assert_eq!(json["id"], odd, "what a machine reads means the same");
    }
}
