//! Ctrl-C and SIGTERM: stop what is under way, and remember which it was for the exit code.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

static CODE: AtomicU8 = AtomicU8::new(0);

/// The exit code of the signal that stopped us, if one did.
pub(super) fn code() -> Option<u8> {
    match CODE.load(Ordering::Relaxed) {
        0 => None,
        code => Some(code),
    }
}

/// A token that the first signal cancels. A second one ends the process at once.
pub(super) fn token() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let code = wait().await;
        CODE.store(code, Ordering::Relaxed);
        cancelled.cancel();
        let code = wait().await;
        std::process::exit(i32::from(code));
    });
    token
}

#[cfg(unix)]
async fn wait() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return 130;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => 130,
        _ = terminate.recv() => 143,
    }
}

#[cfg(not(unix))]
async fn wait() -> u8 {
    let _ = tokio::signal::ctrl_c().await;
    130
}
