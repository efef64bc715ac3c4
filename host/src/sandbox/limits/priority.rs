//! The longer a guest computes in one call, the more others go before it.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static THIS: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// When a guest has its turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Usual,
    /// Others have most of the time, where there is not enough for all.
    Later,
    /// When no other wants to, and not a moment longer.
    Last,
}

impl Turn {
    /// Of one that has computed for so long in this call.
    fn after(time: Duration) -> Self {
        match time.as_millis() {
            0..20 => Self::Usual,
            20..150 => Self::Later,
            _ => Self::Last,
        }
    }
}

/// This thread is one guest's: it may be put behind others. Threads that others work on, too, are not.
pub(crate) fn own_this_thread() {
    THIS.set(Some(Turn::Usual));
}

/// The guest that runs on this thread has computed for so long. Nobody but root could take back what that does to
/// the thread.
pub(super) fn has_computed(time: Duration) {
    let turn = Turn::after(time);
    if THIS.get().is_some_and(|now| now < turn) {
        // Where it cannot be, the others have their turn all the same, only later.
        let _ = put(turn);
        THIS.set(Some(turn));
    }
}

/// Whether this thread is behind others.
pub(crate) fn was_lowered() -> bool {
    THIS.get() > Some(Turn::Usual)
}

#[cfg(target_os = "linux")]
fn put(turn: Turn) -> std::io::Result<()> {
    // Of this thread alone: others are asked for by their own numbers.
    const THIS_THREAD: i32 = 0;
    if turn < Turn::Last {
        return Ok(rustix::process::setpriority_process(None, 10)?);
    }
    let parameter = libc::sched_param { sched_priority: 0 };
    // Even the lowest of the usual priorities ends its slice while others wait; this policy does not.
    // SAFETY: the kernel only reads the parameter, which lives until the call has ended.
    #[allow(unsafe_code)]
    let done =
        unsafe { libc::sched_setscheduler(THIS_THREAD, libc::SCHED_IDLE, &raw const parameter) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn put(_: Turn) -> std::io::Result<()> {
    Ok(())
}
