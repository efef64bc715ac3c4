//! Guests that compute for long do it when nobody else wants to.

use std::cell::Cell;

thread_local! {
    static THIS: Cell<Thread> = const { Cell::new(Thread::Shared) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// Others work on it, too.
    Shared,
    /// One guest's.
    Own,
    Lowered,
}

/// This thread is one guest's: it may be put behind all others.
pub(crate) fn own_this_thread() {
    THIS.set(Thread::Own);
}

/// The guest that runs on this thread goes on when no other wants to. Nobody but root could take that back.
pub(super) fn lower() {
    if THIS.get() == Thread::Own {
        // Where it cannot be, the others have their turn all the same, only later.
        let _ = set_lowest();
        THIS.set(Thread::Lowered);
    }
}

/// Whether this thread is behind all others.
pub(crate) fn was_lowered() -> bool {
    THIS.get() == Thread::Lowered
}

#[cfg(target_os = "linux")]
fn set_lowest() -> rustix::io::Result<()> {
    // Of this thread alone: others are asked for by their own numbers.
    rustix::process::setpriority_process(None, 19)
}

#[cfg(not(target_os = "linux"))]
fn set_lowest() -> rustix::io::Result<()> {
    Ok(())
}
