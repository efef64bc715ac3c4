//! Templates in the settings of `rest`.

use std::panic;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

use serde_json::{Value, json};
use sheaf_rest::Template;

/// An unoptimised build needs much more of it than a test's thread has: JMESPath calls itself for each bracket.
const STACK: usize = 64 << 20;
/// Each step of an expression can double what it is given: only what has few steps is tried.
const FEW: usize = 48;
/// More than that few steps can make of the items here.
const MOST: usize = 1 << 20;

/// All inputs are tried on one thread: the connector leaks its JMESPath functions once for each.
static THREAD: LazyLock<Mutex<Thread>> = LazyLock::new(|| Mutex::new(started()));

struct Thread {
    inputs: Sender<Vec<u8>>,
    outcomes: Receiver<thread::Result<bool>>,
}

fn started() -> Thread {
    let (inputs, received) = channel::<Vec<u8>>();
    let (send, outcomes) = channel();
    let work = move || {
        let items = items();
        for input in received {
            let text = String::from_utf8_lossy(&input);
            if send.send(panic::catch_unwind(|| holds(&text, &items))).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread");
    Thread { inputs, outcomes }
}

/// A template: whatever it is, it is refused or filled.
pub fn template(bytes: &[u8]) -> bool {
    let thread = THREAD.lock().expect("one input at a time");
    thread.inputs.send(bytes.to_vec()).expect("it waits");
    let outcome = thread.outcomes.recv().expect("it answers");
    drop(thread);
    outcome.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}

fn items() -> [Value; 4] {
    [
        json!({ "id": -7, "a": [[1, 2], [], {}], "tags": [{ "name": "ä" }, { "name": null }, 0.5] }),
        json!(["a", 1, null, [true]]),
        json!("ä"),
        json!(null),
    ]
}

fn holds(text: &str, items: &[Value]) -> bool {
    let template = match Template::new(text) {
        Ok(template) => template,
        Err(error) => {
            let most = 1_000 + 4 * text.len();
            assert!(error.to_string().len() < most, "it is told in short: {error}");
            return false;
        }
    };
    if text.len() > FEW {
        return true;
    }
    for item in items {
        if let Ok(Some(found)) = template.text(item) {
            assert!(!found.is_empty() && found.len() < MOST, "{} bytes", found.len());
            let url = template.url(item).expect("it was found").expect("it is no less");
            assert!(url.len() >= found.len() && url.len() <= 3 * MOST);
        }
        if let Ok(texts) = template.texts(item) {
            assert!(texts.iter().map(String::len).sum::<usize>() < MOST);
        }
    }
    true
}
