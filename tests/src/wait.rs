//! Waiting for what is really waited for, and never for ever.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

/// Nothing takes longer, however busy the machine is.
const MOST: Duration = Duration::from_secs(120);
/// What tells nobody that it has changed is asked so often.
const PAUSE: Duration = Duration::from_millis(25);

/// Waits for something that tells when it is there.
pub async fn in_time<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(MOST, awaited).await.unwrap_or_else(|_| panic!("in time: {what}"))
}

/// Asks again until it is so. Only for what is asked within this process, or of a server: to run a program
/// again and again takes the processors from those that are waited for.
pub async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    in_time(what, async {
        while !ask().await {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
}

/// Reads what a command says on stderr until it says this; all that it said.
pub async fn says(child: &mut Child, text: &str) -> String {
    let mut lines = BufReader::new(child.stderr.as_mut().expect("its stderr")).lines();
    let mut said = String::new();
    in_time(text, async {
        while let Some(line) = lines.next_line().await.expect("text") {
            said.push_str(&format!("{line}\n"));
            if line.contains(text) {
                return;
            }
        }
        panic!("it ended without `{text}`: {said}");
    })
    .await;
    said
}
