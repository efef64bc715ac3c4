//! Lies that can be told at any step: `exit@open` dies when it is to answer that its crawl is open.

use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::thread;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Signal, getpid, kill_process};
use serde::Serialize;

use crate::serve::Cell;

/// Says it, unless the lie is about this step.
pub(crate) fn answer(
    cell: &Cell,
    link: &UnixStream,
    step: &str,
    words: &impl Serialize,
) -> io::Result<()> {
    let words = encoded(words)?;
    match cell.lie.split_once('@') {
        Some((how, at)) if at == step => lie(cell, link, how, &words),
        _ => write(link, &frame(&words)),
    }
}

/// Tells words in one of the ways that no honest cell does. Whoever waits afterwards is not found out later.
pub(crate) fn lie(cell: &Cell, link: &UnixStream, how: &str, words: &[u8]) -> io::Result<()> {
    let honest = frame(words);
    let told = match how {
        "exit" => dies(),
        "segv" => ends_by(Signal::SEGV),
        "kill" => ends_by(Signal::KILL),
        "drop-guest" => return link.shutdown(Shutdown::Both),
        "drop-control" => return cell.control.shutdown(Shutdown::Both),
        "twice" => return write(link, &[&honest[..], &honest].concat()),
        "half" | "half-head" => {
            let length = if how == "half" { honest.len() / 2 } else { 3 };
            write(link, &honest[..length])?;
            dies()
        }
        "files" | "more-files" | "untold-files" | "no-files" => {
            with_files(link, words, how)?;
            wait()
        }
        // It claims four gigabytes.
        "large" => vec![0xff, 0xff, 0xff, 0xff, 0, b'x'],
        "stall" => honest[..honest.len() / 2].to_vec(),
        "silence" => Vec::new(),
        "trailing" => frame(&[words, b"x"].concat()),
        "empty" => frame(b""),
        "garbage" => frame(&[0xff; 64]),
        // A number larger than there are variants, and a text: neither is what was asked for.
        "other" => frame(&encoded(&"no answer at all")?),
        _ => return write(link, &honest),
    };
    write(link, &told)?;
    wait()
}

pub(crate) fn encoded(words: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(words).map_err(io::Error::other)
}

/// The words behind their head.
pub(crate) fn frame(words: &[u8]) -> Vec<u8> {
    let length = u32::try_from(words.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &[0], words].concat()
}

/// All of it at once: no other thread's bytes are between.
pub(crate) fn write(mut socket: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    socket.write_all(bytes)
}

/// Until the other side has had enough of it.
pub(crate) fn wait() -> ! {
    loop {
        thread::park();
    }
}

fn dies() -> ! {
    let _ = writeln!(io::stderr(), "what it said last");
    exit(3)
}

fn ends_by(signal: Signal) -> ! {
    // What looks at faults of memory lets the first pass.
    loop {
        let _ = kill_process(getpid(), signal);
    }
}

/// More files than there may be.
const MANY: usize = 9;

/// A frame that tells of files, or has some.
fn with_files(link: &UnixStream, words: &[u8], how: &str) -> io::Result<()> {
    let (told, count) = match how {
        "files" => (1, 1),
        "more-files" => (9, MANY),
        "untold-files" => (0, 1),
        _ => (2, 0),
    };
    let mut bytes = frame(words);
    bytes[4] = told;
    let stderr = io::stderr();
    let files: Vec<BorrowedFd<'_>> = (0..count).map(|_| stderr.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MANY))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        beside.push(SendAncillaryMessage::ScmRights(&files));
    }
    let sent = sendmsg(link, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    write(link, &bytes[sent..])
}
