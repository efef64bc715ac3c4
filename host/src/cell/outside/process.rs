//! One cell from outside: started, told its job, and ended with its answer.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::death::Death;
use super::program::Program;
use crate::cell::protocol::{self, Frame, Job};

/// So much of the end of what it writes to its standard error is kept.
const LAST_WORDS: usize = 8 << 10;

/// A cell that does not even read its job is none.
const TELLING: Duration = Duration::from_secs(10);

/// A cell that does one job.
pub(crate) struct Cell {
    child: Child,
    socket: UnixStream,
    /// The end of what it writes to its standard error.
    said: Receiver<String>,
}

/// Ends a cell when it is dropped: nobody waits for its answer any more.
pub(crate) struct Leash(UnixStream);

impl Leash {
    pub(crate) fn another(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Ends it now.
    pub(crate) fn pull(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.pull();
    }
}

impl Cell {
    pub(crate) fn start(program: &Program) -> io::Result<(Self, Leash)> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut command = program.command();
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
        let leash = Leash(socket.try_clone()?);
        let mut child = spawn(command)?;
        let (words, said) = mpsc::channel();
        let stderr = child.stderr.take();
        let cell = Self { child, socket, said };
        if let Some(stderr) = stderr {
            let keep = move || drop(words.send(tail(stderr)));
            thread::Builder::new().name("cell's words".into()).spawn(keep)?;
        }
        Ok((cell, leash))
    }

    /// What it is to do, and the files for that.
    pub(crate) fn tell(&mut self, job: &Job, files: &[BorrowedFd<'_>]) -> Result<(), Death> {
        // It has room for all of it, unless nobody reads.
        let told = self.socket.set_write_timeout(Some(TELLING));
        let told = told.and_then(|()| protocol::send(&self.socket, job, files));
        told.map_err(|error| self.ended(&error))
    }

    /// Blocks until it says something, or has not within this time.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T, Death> {
        let heard = protocol::receive(&self.socket, Some(Instant::now() + within));
        let frame = heard.and_then(|frame| frame.ok_or(io::ErrorKind::UnexpectedEof.into()));
        let words = frame.and_then(Frame::alone).and_then(|frame| frame.read());
        words.map_err(|error| self.ended(&error))
    }

    /// The socket, for whoever talks over it from now on.
    pub(crate) fn socket(&self) -> Result<UnixStream, Death> {
        self.socket.set_write_timeout(None)?;
        Ok(self.socket.try_clone()?)
    }

    /// Ends it, after something has gone wrong with its socket. Blocks until it is known why.
    pub(crate) fn end(mut self, error: &io::Error) -> Death {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.ended(error)
    }

    fn ended(&mut self, error: &io::Error) -> Death {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Death::Late,
            io::ErrorKind::InvalidData => {
                return Death::Other(format!("its answer makes no sense: {error}"));
            }
            _ => {}
        }
        // A limit that it ran into has ended it, or is about to.
        match self.exited() {
            Ok(Some(status)) => {
                // Nobody else should hold the other end.
                let said = self.said.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                Death::of(status, &said)
            }
            Ok(None) => Death::Other("it closed its socket without an answer".into()),
            Err(error) => error.into(),
        }
    }

    /// How it ended, if it does within a moment: the end of its socket comes before its own.
    fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        for _ in 0..20 {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // It has done what it was started for, or it never will.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of what a cell says. It cannot make this process keep more.
fn tail(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut piece) {
        kept.extend_from_slice(&piece[..read]);
        if kept.len() > 2 * LAST_WORDS {
            kept.drain(..kept.len() - LAST_WORDS);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as this program: on Linux a cell ends with the thread
/// that started it.
fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let gone = || io::Error::other("no cell can be started");
    let starter = STARTER.get_or_init(|| {
        let (orders, ordered) = mpsc::channel::<Order>();
        let start = move || {
            for (mut command, answer) in ordered {
                let _ = answer.send(command.spawn());
            }
        };
        // Without the thread every order fails.
        let _ = thread::Builder::new().name("cells".into()).spawn(start);
        orders
    });
    let (answer, started) = mpsc::channel();
    starter.send((command, answer)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}
