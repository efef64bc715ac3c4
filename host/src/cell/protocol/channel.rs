//! Frames for whoever cannot wait: what a connection's cell and the rest of the program say to each other. Their
//! words are in postcard, since a page has many.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::frames::{Frame, HEAD, head, read_head, receive_first, send_first, wrong};
use crate::lists;

/// Room for what has not come yet is made in such pieces: a length that was only claimed takes no memory.
const PIECE: usize = 256 << 10;

impl Frame {
    /// Of words in postcard.
    pub fn words<T: DeserializeOwned>(&self) -> io::Result<T> {
        let read = || postcard::take_from_bytes(&self.bytes);
        let (words, rest) = lists::within(self.bytes.len(), read).map_err(wrong)?;
        if rest.is_empty() { Ok(words) } else { Err(wrong("a frame with more than its words")) }
    }
}

/// Both halves of a socket; no frame has more bytes than `most`.
pub fn pair(socket: Blocking, most: u32) -> io::Result<(Sender, Receiver)> {
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UnixStream::from_std(socket)?);
    let sender = Sender { socket: socket.clone(), most, turn: Mutex::default() };
    let (head, had, bytes, files) = ([0; HEAD], 0, Vec::new(), Vec::new());
    Ok((sender, Receiver { socket, most, head, had, bytes, files }))
}

/// Frames go out whole, one after the other.
pub struct Sender {
    socket: Arc<UnixStream>,
    most: u32,
    turn: Mutex<()>,
}

impl Sender {
    /// Whoever gives up waiting has sent a part of a frame, perhaps: nothing can be sent after that.
    pub async fn send(&self, words: &impl Serialize, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = postcard::to_stdvec(words).map_err(wrong)?;
        let head = head(bytes.len(), self.most, files.len())?;
        let _turn = self.turn.lock().await;
        let socket = self.socket.as_fd();
        let parts = [IoSlice::new(&head), IoSlice::new(&bytes)];
        let first = || send_first(socket, &parts, files);
        let mut sent = self.socket.async_io(Interest::WRITABLE, first).await?;
        while sent < HEAD + bytes.len() {
            let head = head.get(sent..).unwrap_or_default();
            let bytes = &bytes[sent.saturating_sub(HEAD)..];
            let rest = || send_first(socket, &[IoSlice::new(head), IoSlice::new(bytes)], &[]);
            sent += self.socket.async_io(Interest::WRITABLE, rest).await?;
        }
        Ok(())
    }

    /// A few words, for whom there is room: the other side has read all before them.
    pub fn send_at_once(&self, words: &impl Serialize) -> io::Result<()> {
        let bytes = postcard::to_stdvec(words).map_err(wrong)?;
        let head = head(bytes.len(), self.most, 0)?;
        let parts = [IoSlice::new(&head), IoSlice::new(&bytes)];
        let first = || send_first(self.socket.as_fd(), &parts, &[]);
        let sent = self.socket.try_io(Interest::WRITABLE, first)?;
        if sent == HEAD + bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// Whoever gives up waiting for a frame loses nothing of it.
pub struct Receiver {
    socket: Arc<UnixStream>,
    most: u32,
    head: [u8; HEAD],
    /// Bytes of the frame, its head included, that have come.
    had: usize,
    bytes: Vec<u8>,
    files: Vec<OwnedFd>,
}

impl Receiver {
    /// Nothing where the other side has gone before it began a frame.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        let socket = self.socket.clone();
        while self.had < HEAD {
            let (at, head) = (self.had, &mut self.head);
            let first = || receive_first(socket.as_fd(), &mut head[at..]);
            let (received, files) = socket.async_io(Interest::READABLE, first).await?;
            if received == 0 {
                let cut = self.had > 0;
                return if cut { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            }
            self.had += received;
            self.files.extend(files);
        }
        let (length, count) = read_head(self.head, self.most)?;
        if usize::from(count) != self.files.len() {
            return Err(wrong(format!("a frame with {} files", self.files.len())));
        }
        let whole = HEAD + length as usize;
        while self.had < whole {
            let at = self.had - HEAD;
            if at == self.bytes.len() {
                self.bytes.resize((at + PIECE).min(length as usize), 0);
            }
            let received = match socket.try_read(&mut self.bytes[at..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.readable().await?;
                    continue;
                }
                received => received?,
            };
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.had += received;
        }
        self.had = 0;
        let (bytes, files) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.files));
        Ok(Some(Frame { bytes, files }))
    }
}
