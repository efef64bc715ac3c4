//! Why a guest ended, in words for an operator.

use wasmtime::Trap;

use super::backtrace;
use super::host_limit::HostLimit;
use super::state::State;
use crate::failure::{Failure, Kind};
use crate::sandbox::limits::{Exceeded, Limits, over};
use crate::text::{bounded, bytes};

/// Says first what the host itself refused, and only then what the guest died of.
pub(super) fn explain(
    error: &wasmtime::Error,
    call: &str,
    connection: &str,
    state: &State,
    limits: &Limits,
) -> Failure {
    let stderr = state.last_words();
    let detail = format!("{}\n\nthe guest's stderr:\n{stderr}", backtrace::told(error));
    let at = format!("{connection}, in `{call}`");
    let limit = state.exceeded().map(|exceeded| used_up(exceeded, limits));
    let limit = limit.or_else(|| HostLimit::behind(error).map(|limit| refused(limit, limits)));
    if let Some((limit, key)) = limit {
        return over(connection, &limit, key).at(at).detail(detail);
    }
    if let Some(incident) = state.incidents().take() {
        return incident.at(at).detail(detail);
    }
    Failure::new(Kind::Trap, format!("the connector crashed: {}", reason(error, &stderr)))
        .at(at)
        .next("see its stderr and backtrace with `-v`, and tell its author")
        .detail(detail)
}

/// How much of a limit of its own the guest had, and the limit's key.
fn used_up(exceeded: Exceeded, limits: &Limits) -> (String, &'static str) {
    match exceeded {
        Exceeded::CpuPerCall => {
            (format!("{:?} of computing in one call", limits.cpu_per_call), "cpu_per_call")
        }
        Exceeded::CpuPerCrawl => {
            (format!("{:?} of computing in one crawl", limits.cpu_per_crawl), "cpu_per_crawl")
        }
        Exceeded::Memory => (format!("{} of memory", bytes(limits.memory as u64)), "memory"),
        Exceeded::Tables => {
            (format!("{} entries in its tables", limits.table_entries), "table_entries")
        }
    }
}

/// The same of what it used of the host.
fn refused(limit: HostLimit, limits: &Limits) -> (String, &'static str) {
    match limit {
        HostLimit::HandedOver => {
            let most = limits.page_bytes_at_most() >> 20;
            (format!("{most} MiB handed over in one call"), "page_bytes")
        }
        HostLimit::Handles => (format!("{} handles open at once", limits.handles), "handles"),
    }
}

fn reason(error: &wasmtime::Error, stderr: &str) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => {
            panic_message(stderr).unwrap_or_else(|| "it stopped itself (`unreachable`)".to_owned())
        }
        Some(Trap::StackOverflow) => "its stack overflowed".to_owned(),
        _ => {
            let cause = error.root_cause().to_string();
            bounded(cause.lines().next().unwrap_or_default().to_owned(), 300)
        }
    }
}

/// What the guest said last, where its language puts the message of a panic or an exception.
fn panic_message(stderr: &str) -> Option<String> {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let before = |marker: &dyn Fn(&&str) -> bool| {
        lines.iter().position(marker).and_then(|at| lines.get(at.checked_sub(1)?))
    };
    // Python prints a traceback, and then panics itself; JavaScript a stack below the message.
    let message = if stderr.contains("Traceback (most recent call last)") {
        before(&|line| line.starts_with("thread '"))
    } else if lines.contains(&"Stack:") {
        before(&|line| *line == "Stack:")
    } else if let Some(at) = lines.iter().position(|line| line.contains("panicked at")) {
        lines.get(at + 1)
    } else {
        None
    };
    let message = message.or(lines.last())?;
    Some(bounded((*message).to_owned(), 300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_crash_is_found_in_each_language() {
        for (stderr, message) in [
            (
                "thread '<unnamed>' panicked at src/lib.rs:3:5:\nno page 7\nnote: run with\n",
                "no page 7",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'x'\n\nthread 'x' panicked at y:\nPython function threw\n",
                "KeyError: 'x'",
            ),
            (
                "log line\nboom is not defined\nStack:\n  a@b.js\nRedirecting call to abort()\n",
                "boom is not defined",
            ),
            ("only this\n", "only this"),
        ] {
            assert_eq!(panic_message(stderr).as_deref(), Some(message));
        }
        assert_eq!(panic_message("\n"), None);
    }
}
