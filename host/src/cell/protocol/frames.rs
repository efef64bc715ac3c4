//! Frames of a bounded size, with open files beside them, for whoever can wait: a cell's job and its result,
//! whose words are JSON.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest frame, in bytes: a settings schema is a megabyte at most.
const MOST_BYTES: u32 = 4 << 20;
/// Files beside one frame.
pub(super) const MOST_FILES: usize = 2;
/// The length of what follows, and how many files there are beside it.
pub(super) const HEAD: usize = 5;

/// A frame that was received.
pub struct Frame {
    pub(super) bytes: Vec<u8>,
    pub files: Vec<OwnedFd>,
}

impl Frame {
    /// Where no file lies beside it: none that a cell opens is of use outside.
    pub fn alone(self) -> io::Result<Self> {
        if self.files.is_empty() { Ok(self) } else { Err(wrong("files that nobody wants")) }
    }

    /// Of words in JSON.
    pub fn read<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.bytes).map_err(wrong)
    }
}

/// What stands before so many bytes and files.
pub(super) fn head(bytes: usize, most: u32, files: usize) -> io::Result<[u8; HEAD]> {
    let length = u32::try_from(bytes).ok().filter(|length| *length <= most);
    let length = length.ok_or_else(|| wrong(format!("a frame of {bytes} bytes")))?;
    let [a, b, c, d] = length.to_le_bytes();
    Ok([a, b, c, d, u8::try_from(files).map_err(wrong)?])
}

/// What a head says: bytes and files.
pub(super) fn read_head([a, b, c, d, files]: [u8; HEAD], most: u32) -> io::Result<(u32, u8)> {
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > most {
        return Err(wrong(format!("a frame of {length} bytes")));
    }
    Ok((length, files))
}

/// Sends the beginning of a frame, and all of its files with it. How much was sent. A cell has no files to send, and
/// no right to: with an address beside it, the same call reaches anybody.
pub(super) fn send_first(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    files: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if files.is_empty() {
        return Ok(retry_on_intr(|| rustix::io::writev(socket, parts))?);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(wrong(format!("{} files beside a frame", files.len())));
    }
    Ok(retry_on_intr(|| sendmsg(socket, parts, &mut beside, SendFlags::NOSIGNAL))?)
}

/// Receives the beginning of a frame, with its files.
pub(super) fn receive_first(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [IoSliceMut::new(bytes)];
    let flags = receive_flags();
    let received = retry_on_intr(|| recvmsg(socket, parts, &mut beside, flags))?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(wrong("more files beside a frame than there may be"));
    }
    let files = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    Ok((received.bytes, files.flatten().collect()))
}

pub fn send(
    mut socket: &UnixStream,
    words: &impl Serialize,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(words)?;
    let head = head(bytes.len(), MOST_BYTES, files.len())?;
    let sent = send_first(socket.as_fd(), &[IoSlice::new(&head)], files)?;
    socket.write_all(&head[sent..])?;
    socket.write_all(&bytes)
}

/// The next frame, all of it until then; nothing where the other side has gone before it began one.
pub fn receive(socket: &UnixStream, until: Option<Instant>) -> io::Result<Option<Frame>> {
    let mut socket = Patient { socket, until };
    let mut head = [0; HEAD];
    socket.wait()?;
    let (received, files) = receive_first(socket.socket.as_fd(), &mut head)?;
    if received == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut head[received..])?;
    let (length, count) = read_head(head, MOST_BYTES)?;
    if usize::from(count) != files.len() {
        return Err(wrong(format!("a frame with {} files", files.len())));
    }
    let mut bytes = Vec::new();
    socket.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Frame { bytes, files }))
}

/// Waits for all of a frame until then, however slowly its bytes come.
struct Patient<'a> {
    socket: &'a UnixStream,
    until: Option<Instant>,
}

impl Patient<'_> {
    fn wait(&self) -> io::Result<()> {
        let Some(until) = self.until else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))
    }
}

impl io::Read for Patient<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.socket.read(bytes)
    }
}

/// No program that is started from here gets the files.
fn receive_flags() -> RecvFlags {
    #[cfg(target_os = "linux")]
    return RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    RecvFlags::empty()
}

pub(super) fn wrong(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("a pair")
    }

    #[test]
    fn words_arrive_with_their_files() {
        let (here, there) = pair();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"inside").expect("written");
        send(&here, &"words", &[file.as_fd()]).expect("sent");
        let mut frame = receive(&there, None).expect("a frame").expect("one");
        assert_eq!(frame.read::<String>().expect("words"), "words");
        let mut received = std::fs::File::from(frame.files.remove(0));
        received.rewind().expect("rewound");
        assert_eq!(io::read_to_string(received).expect("read"), "inside");
        drop(here);
        assert!(receive(&there, None).expect("no error").is_none());
    }

    #[test]
    fn a_frame_that_is_too_large_cut_short_or_no_json_is_an_error_and_takes_no_memory() {
        for bytes in [
            &[0xff, 0xff, 0xff, 0xff, 0][..],
            &[10, 0, 0, 0, 0, b'"'],
            &[1, 0, 0],
            // It says that a file lies beside it.
            &[2, 0, 0, 0, 1, b'"', b'"'],
        ] {
            let (mut here, there) = pair();
            here.write_all(bytes).expect("written");
            drop(here);
            assert!(receive(&there, None).is_err(), "{bytes:?}");
        }
        // One byte after the other does not stretch the time.
        let (mut here, there) = pair();
        here.write_all(&[100, 0, 0, 0, 0, b'"']).expect("written");
        let late = receive(&there, Some(Instant::now())).map(drop).expect_err("too late");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let (mut here, there) = pair();
        here.write_all(&[1, 0, 0, 0, 0, b'{']).expect("written");
        let frame = receive(&there, None).expect("a frame").expect("one");
        assert!(frame.read::<String>().is_err());
        assert!(send(&here, &"x".repeat(5 << 20), &[]).is_err());
    }
}
