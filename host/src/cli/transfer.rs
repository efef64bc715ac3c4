//! How much of a transfer is done, where somebody watches.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

use super::logging::lines;

/// Less than this is there before anybody looks.
const SHOWN: u64 = 1 << 20;

/// A bar for so many bytes; gone when it is dropped.
pub(super) struct Transfer(Option<ProgressBar>);

impl Transfer {
    pub(super) fn new(what: &str, bytes: u64) -> Self {
        if bytes < SHOWN || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = lines().add(ProgressBar::new(bytes));
        let style = "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}";
        bar.set_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(what.to_owned());
        Self(Some(bar))
    }

    pub(super) fn progress(&self) -> impl Fn(u64) + Send + Sync + use<> {
        let bar = self.0.clone();
        move |done| {
            if let Some(bar) = &bar {
                bar.set_length(bar.length().unwrap_or(done).max(done));
                bar.set_position(done);
            }
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
