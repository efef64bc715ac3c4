//! The `log` crate's macros reach the host.

use std::sync::Once;

use log::{Level, Log, Metadata, Record};

use crate::bindings::sheaf::connector::host;

struct ToHost;

impl Log for ToHost {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => host::Level::Error,
            Level::Warn => host::Level::Warn,
            Level::Info => host::Level::Info,
            Level::Debug => host::Level::Debug,
            Level::Trace => host::Level::Trace,
        };
        host::log(level, &record.args().to_string(), &[]);
    }

    fn flush(&self) {}
}

/// Called at each way in: a component has no start-up of its own to do it in.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&ToHost).is_ok() {
            log::set_max_level(log::LevelFilter::Debug);
        }
    });
}
