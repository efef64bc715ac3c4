//! What is said between a cell and the rest of the program: words in JSON, in frames of a bounded size, with
//! open files beside them.

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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::walls::Most;
use crate::connector::{Description, Inspection, Unloaded};

/// The largest frame, in bytes: a settings schema is a megabyte at most.
const MOST_BYTES: u32 = 4 << 20;
/// Files beside one frame.
const MOST_FILES: usize = 2;
/// The length of what follows, and how many files there are beside it.
const HEAD: usize = 5;

/// What a cell is to do; it does one thing, and ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// Compile a component. Beside it lies the component's file, and one that the code goes into.
    Compile { most: Most, guarded: bool },
    /// Say what a component is. Beside it lies the component's file, and that of its code.
    Describe { most: Most, guarded: bool },
    /// Try what a guest would that had got out of its sandbox.
    Probe { most: Most, port: u16 },
}

/// What came of a component.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// The file of code holds all of it.
    Compiled,
    Connector {
        inspection: Inspection,
        description: Description,
    },
    /// The file of code holds none that this program can run.
    NoCode,
    Not(Unloaded),
}

/// A frame that was received.
pub(super) struct Frame {
    bytes: Vec<u8>,
    pub(super) files: Vec<OwnedFd>,
}

impl Frame {
    pub(super) fn read<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.bytes).map_err(wrong)
    }
}

pub(super) fn send(
    mut socket: &UnixStream,
    words: &impl Serialize,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(words)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MOST_BYTES);
    let length = length.ok_or_else(|| wrong(format!("a frame of {} bytes", bytes.len())))?;
    let [a, b, c, d] = length.to_le_bytes();
    let count = u8::try_from(files.len()).map_err(wrong)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(wrong(format!("{} files beside a frame", files.len())));
    }
    let head = [a, b, c, d, count];
    let head_of = &[IoSlice::new(&head)];
    let sent =
        retry_on_intr(|| sendmsg(socket.as_fd(), head_of, &mut beside, SendFlags::NOSIGNAL))?;
    socket.write_all(&head[sent..])?;
    socket.write_all(&bytes)
}

/// The next frame, all of it until then; nothing where the other side has gone before it began one.
pub(super) fn receive(socket: &UnixStream, until: Option<Instant>) -> io::Result<Option<Frame>> {
    let mut socket = Patient { socket, until };
    let mut head = [0; HEAD];
    let (received, files) = socket.receive(&mut head)?;
    if received == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut head[received..])?;
    let [a, b, c, d, count] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > MOST_BYTES || usize::from(count) != files.len() {
        return Err(wrong(format!("a frame of {length} bytes, with {} files", files.len())));
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

    /// The first bytes, and the files beside them.
    fn receive(&self, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.wait()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(bytes)];
        let flags = receive_flags();
        let received = retry_on_intr(|| recvmsg(self.socket.as_fd(), parts, &mut beside, flags))?;
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(wrong("more files beside a frame than there may be"));
        }
        let files = beside.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        Ok((received.bytes, files.flatten().collect()))
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

fn wrong(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
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
