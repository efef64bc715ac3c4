//! Bodies, streamed and metered.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::incidents::Incidents;
use crate::failure::Failure;

/// A response's body: it ends with an error when it is too long or stands still, and gives back its
/// turns when it is done.
pub(super) struct Metered {
    inner: Incoming,
    left: u64,
    most: u64,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    over: Option<Failure>,
    incidents: Incidents,
    turns: Vec<OwnedSemaphorePermit>,
}

impl Metered {
    /// `over` is what the operator reads when more than `most` bytes come.
    pub(super) fn new(
        inner: Incoming,
        most: u64,
        over: Failure,
        idle: Duration,
        incidents: Incidents,
        turns: Vec<OwnedSemaphorePermit>,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(idle));
        Self {
            inner,
            left: most,
            most,
            idle,
            timer,
            waiting: false,
            over: Some(over),
            incidents,
            turns,
        }
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            // The time counts from when somebody waits, not from when the last piece came.
            if !std::mem::replace(&mut this.waiting, true) {
                this.timer.as_mut().reset(Instant::now() + this.idle);
            }
            ready!(this.timer.as_mut().poll(context));
            this.turns.clear();
            this.incidents.slow("body_timeout", this.idle);
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        Poll::Ready(match frame {
            None => {
                this.turns.clear();
                None
            }
            Some(Err(error)) => {
                this.turns.clear();
                Some(Err(super::error::wasi_error(&error)))
            }
            Some(Ok(frame)) => {
                this.waiting = false;
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                if bytes > this.left {
                    this.turns.clear();
                    if let Some(over) = this.over.take() {
                        this.incidents.record(over);
                    }
                    Some(Err(Error::HttpResponseBodySize(Some(this.most))))
                } else {
                    this.left -= bytes;
                    Some(Ok(frame))
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How long a refused request may still be written by its guest.
const DRAIN: Duration = Duration::from_secs(10);

/// Reads what a guest is writing to a request that was refused, so that it does not hang on that.
pub(super) async fn drain(mut body: WasiBody, most: u64) {
    let all = async {
        let mut left = most;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Either way the guest finds its body closed.
    let _ = tokio::time::timeout(DRAIN, all).await;
}

/// Finds a text in a stream of pieces, wherever it is cut.
#[derive(Clone, Debug)]
pub(super) struct Finder {
    needles: Vec<Vec<u8>>,
    /// The end of what came before.
    tail: Vec<u8>,
}

impl Finder {
    pub(super) fn new(needles: impl IntoIterator<Item = String>) -> Self {
        let needles = needles.into_iter().map(String::into_bytes);
        Self { needles: needles.filter(|needle| !needle.is_empty()).collect(), tail: Vec::new() }
    }

    pub(super) fn finds_in(&mut self, piece: &[u8]) -> bool {
        let Some(longest) = self.needles.iter().map(Vec::len).max() else { return false };
        self.tail.extend_from_slice(piece);
        let text = &self.tail;
        let found = self.needles.iter().any(|needle| memchr::memmem::find(text, needle).is_some());
        let over = self.tail.len().saturating_sub(longest - 1);
        self.tail.drain(..over);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_it_is_cut() {
        let text = b"some text with a needle in it";
        for cut in 0..text.len() {
            let mut finder = Finder::new(["needle".to_owned(), "nothing".to_owned()]);
            let first = finder.finds_in(&text[..cut]);
            assert!(first | finder.finds_in(&text[cut..]), "{cut}");
        }
        assert!(!Finder::new(["needle".to_owned()]).finds_in(b"need le"));
        assert!(!Finder::new([]).finds_in(b"needle"));
    }
}
