//! How a command ends: text or one JSON object on stdout, and an exit code.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::redact::redact;
use crate::text;

/// What a command found out or did.
pub(super) struct Report {
    /// One sentence.
    pub summary: String,
    /// For `--json`.
    pub result: Value,
    /// What people read; the summary if there is no more to say.
    pub text: Option<String>,
    pub exit_code: u8,
    /// Why it failed, where there is a result all the same.
    pub failure: Option<Failure>,
}

impl Report {
    pub(super) fn new(summary: impl Into<String>, result: Value) -> Self {
        Self { summary: summary.into(), result, text: None, exit_code: 0, failure: None }
    }

    #[must_use]
    pub(super) fn text(mut self, text: String) -> Self {
        self.text = Some(text);
        self
    }

    /// One more field of the result.
    #[must_use]
    pub(super) fn with(mut self, field: &str, value: Value) -> Self {
        self.result[field] = value;
        self
    }

    #[must_use]
    pub(super) fn exit_code(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }

    #[must_use]
    pub(super) fn failure(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }
}

pub(super) fn finish(command: &str, outcome: Result<Report>, json: bool, verbose: u8) -> ExitCode {
    let (report, failure) = match outcome {
        Ok(mut report) => {
            let failure = report.failure.take();
            (Some(report), failure)
        }
        Err(failure) => (None, Some(failure)),
    };
    let code = match (&report, &failure) {
        (Some(report), Some(failure)) if report.exit_code == 0 => failure.kind.exit_code(),
        (Some(report), _) => report.exit_code,
        (None, Some(failure)) => super::signals::code().unwrap_or(failure.kind.exit_code()),
        (None, None) => 0,
    };
    if json {
        let summary = match (&report, &failure) {
            (Some(report), _) => report.summary.clone(),
            (None, Some(failure)) => failure.to_string(),
            (None, None) => String::new(),
        };
        let object = json!({
            "command": command,
            "ok": code == 0,
            "summary": summary,
            "result": report.as_ref().map(|report| &report.result),
            "error": failure,
        });
        write(&text::json(&redact(&object.to_string())));
    } else {
        if let Some(report) = &report {
            let text = report.text.as_deref().unwrap_or(&report.summary);
            if !text.is_empty() {
                print(text);
            }
        }
        if let Some(failure) = &failure {
            eprint!("{}", explain(failure, verbose));
        }
    }
    ExitCode::from(code)
}

/// Prints text for people.
pub(super) fn print(text: &str) {
    write(&text::lines(&redact(text.trim_end())));
}

/// Someone who reads only the beginning (`| head`) is no error.
fn write(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// What, where, and the next thing to do.
fn explain(failure: &Failure, verbose: u8) -> String {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (red, bold, end) = if colour { ("\x1b[31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    // One of an earlier version's may be as it was said.
    let mut text = format!("{red}error:{end} {bold}{}{end}\n", text::one_line(&failure.what));
    if let Some(at) = &failure.at {
        text.push_str(&format!("   at: {}\n", text::one_line(at)));
    }
    if let Some(next) = &failure.next {
        text.push_str(&format!(" next: {}\n", text::one_line(next)));
    }
    match &failure.detail {
        Some(detail) if verbose > 0 => {
            text.push_str(&format!("\n{}\n", text::lines(detail.trim_end())));
        }
        Some(_) => text.push_str("       (more with -v)\n"),
        None => {}
    }
    text
}

/// A reason as it fits into a few lines; `-v` shows all of it.
pub(super) fn bounded_reason(reason: &str, verbose: u8) -> Cow<'_, str> {
    if verbose > 0 || reason.len() <= REASON {
        return text::one_line(reason);
    }
    let reason = text::one_line(text::bounded_str(reason, REASON));
    Cow::Owned(format!("{reason}… (all of it with -v)"))
}

/// The longest reason that is printed without `-v`, in bytes.
const REASON: usize = 400;
