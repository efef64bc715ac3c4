//! Logs go to stderr, and past the progress lines where there are any.

use std::io::Write;
use std::sync::OnceLock;

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::redact::redact;
use crate::text::bounded;

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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(PastLines)
        .with_ansi(console_colours());
    let started = match format {
        Format::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
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
        let text = bounded(panic.to_string(), 4_000);
        eprintln!("sheaf: a defect, please report it: {}", redact(&text));
    }));
}

struct PastLines;

impl<'a> MakeWriter<'a> for PastLines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

/// One event, written whole and without secrets.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lines().suspend(|| {
            let text = String::from_utf8_lossy(&self.0);
            let _ = std::io::stderr().write_all(redact(&text).as_bytes());
        });
    }
}
