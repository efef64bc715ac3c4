//! What became of a guest's requests, for whoever follows its crawl.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::redact::redact;
use crate::text::short_line;

/// The most that wait to be told: a guest may make many between two answers.
pub const MOST_REQUESTED: usize = 200;
/// The longest text that is kept of one.
const MOST_TEXT: usize = 500;

/// A request, and how it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Requested {
    pub method: String,
    /// Without its query.
    pub url: String,
    /// The status of the answer, or why there is none.
    pub answer: Result<u16, String>,
    /// How long before this is told it began.
    pub ago: Duration,
    /// How long it took until the head of the answer.
    pub took: Duration,
}

impl Requested {
    /// As it may be told, whoever said it: one line each, without secrets.
    #[must_use]
    pub fn told(self) -> Self {
        let line = |text: String| short_line(&redact(&text), MOST_TEXT);
        let (method, url) = (line(self.method), line(self.url));
        Self { method, url, answer: self.answer.map_err(line), ..self }
    }
}

/// The requests of one guest that nobody was told of so far.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Whether anybody wants to hear of them.
    wanted: bool,
    waiting: Mutex<Vec<(Requested, Instant)>>,
}

impl Requests {
    pub(crate) fn wanted(wanted: bool) -> Arc<Self> {
        Arc::new(Self { wanted, ..Self::default() })
    }

    pub(crate) fn ended(
        &self,
        method: &str,
        url: &str,
        answer: Result<u16, String>,
        began: Instant,
    ) {
        if !self.wanted {
            return;
        }
        let (method, url) = (method.to_owned(), url.to_owned());
        let (ago, took) = (Duration::ZERO, began.elapsed());
        let requested = Requested { method, url, answer, ago, took }.told();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST_REQUESTED {
            waiting.push((requested, began));
        }
    }

    /// Those that ended since it was asked last.
    pub(crate) fn take(&self) -> Vec<Requested> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *waiting).into_iter();
        taken.map(|(requested, began)| Requested { ago: began.elapsed(), ..requested }).collect()
    }
}
