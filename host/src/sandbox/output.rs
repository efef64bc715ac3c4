//! What a guest writes to stdout, stderr and the log becomes `tracing` events, bounded in length and
//! rate. The end of stderr is kept, to explain a trap.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::redact::redact;
use crate::text::{bounded_str as cut, one_line};

/// How much of stderr a trap carries.
const TAIL_BYTES: usize = 8 << 10;
/// A line longer than this is cut.
const LINE_BYTES: usize = 4 << 10;
/// So is a field's name or value.
const FIELD_BYTES: usize = 512;

/// An event whose level is only known now.
macro_rules! say {
    ($target:literal, $level:expr, $connection:expr, $text:expr) => {
        match $level {
            Level::TRACE => tracing::trace!(target: $target, connection = $connection, "{}", $text),
            Level::DEBUG => tracing::debug!(target: $target, connection = $connection, "{}", $text),
            Level::INFO => tracing::info!(target: $target, connection = $connection, "{}", $text),
            Level::WARN => tracing::warn!(target: $target, connection = $connection, "{}", $text),
            Level::ERROR => tracing::error!(target: $target, connection = $connection, "{}", $text),
        }
    };
}

/// Who writes lines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writer {
    Guest,
    /// Whoever runs guests, about one of them.
    Host,
}

/// Lets so many lines through in a second, and counts the rest.
#[derive(Debug)]
pub(crate) struct Log {
    writer: Writer,
    connection: String,
    per_second: u32,
    window: Instant,
    passed: u32,
    dropped: u64,
}

impl Log {
    pub(crate) fn new(connection: &str, per_second: u32) -> Self {
        Self::by(Writer::Guest, connection, per_second)
    }

    pub(crate) fn by(writer: Writer, connection: &str, per_second: u32) -> Self {
        Self {
            writer,
            connection: connection.to_owned(),
            per_second,
            window: Instant::now(),
            passed: 0,
            dropped: 0,
        }
    }

    pub(crate) fn line(&mut self, level: Level, message: &str, fields: &[(String, String)]) {
        if self.window.elapsed() >= Duration::from_secs(1) {
            if self.dropped > 0 {
                tracing::warn!(
                    target: "guest",
                    connection = self.connection,
                    dropped = self.dropped,
                    "more log lines than limits.log_lines_per_second allows"
                );
            }
            self.window = Instant::now();
            self.passed = 0;
            self.dropped = 0;
        }
        if self.passed >= self.per_second {
            self.dropped += 1;
            return;
        }
        self.passed += 1;
        // Whole secrets are found only before anything is cut.
        let message = redact(message);
        let mut text = one_line(cut(&message, LINE_BYTES)).into_owned();
        for (name, value) in fields.iter().take(16) {
            let (name, value) = (cut(name, FIELD_BYTES), cut(value, FIELD_BYTES));
            text.push_str(&format!(" {}={value:?}", one_line(name)));
        }
        let connection = self.connection.as_str();
        match self.writer {
            Writer::Guest => say!("guest", level, connection, text),
            Writer::Host => say!("sheaf", level, connection, text),
        }
    }
}

/// A log shared by the guest's log function, its stdout and its stderr.
pub(crate) type SharedLog = Arc<Mutex<Log>>;

/// The last bytes of a guest's stderr.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(bytes.iter().skip(bytes.len().saturating_sub(TAIL_BYTES)));
        let over = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..over);
    }

    pub(crate) fn text(&self) -> String {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(tail.make_contiguous()).into_owned()
    }
}

/// A guest's stdout or stderr.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    log: SharedLog,
    level: Level,
    tail: Option<Tail>,
    line: Arc<Mutex<Vec<u8>>>,
}

impl Stream {
    pub(crate) fn stdout(log: SharedLog) -> Self {
        Self { log, level: Level::INFO, tail: None, line: Arc::default() }
    }

    pub(crate) fn stderr(log: SharedLog, tail: Tail) -> Self {
        Self { log, level: Level::WARN, tail: Some(tail), line: Arc::default() }
    }

    fn write(&self, bytes: &[u8]) {
        if let Some(tail) = &self.tail {
            tail.push(bytes);
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let text = String::from_utf8_lossy(&line);
                let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                log.line(self.level, text.trim_end(), &[]);
                drop(log);
                line.clear();
            }
        }
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    /// Written at once: wasmtime's own would hand each line to a task.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

/// What a guest may write in one go.
const PIECE: usize = 64 << 10;

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Self::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_end() {
        let tail = Tail::default();
        tail.push(&vec![b'a'; TAIL_BYTES]);
        tail.push(b"the end");
        assert_eq!(tail.text().len(), TAIL_BYTES);
        assert!(tail.text().ends_with("athe end"));
    }
}
