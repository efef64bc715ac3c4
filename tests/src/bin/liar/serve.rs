//! A cell that serves a connection: its job, and the orders that it takes.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::net::{RecvFlags, recv};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde_json::Value;
use sheaf::cell::protocol::{Job, Order, Reply, receive};
use sheaf::connector::schema::Misfit;

use crate::guest;
use crate::steps::{answer, wait};

/// How long the words are, and how many files lie beside them.
const HEAD: usize = 5;

/// A reply, and whether a connection lay beside it.
pub(crate) type Replied = (u32, Reply, bool);

pub(crate) struct Cell {
    pub(crate) lie: String,
    pub(crate) control: UnixStream,
    replies: Mutex<Receiver<Replied>>,
}

impl Cell {
    /// The next reply to a call.
    pub(crate) fn reply(&self) -> io::Result<Replied> {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.recv().map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Whether it is to serve a connection: only beside that job lies one file. It is left where it is, and more than
/// the piece with its files cannot be seen of it.
pub(crate) fn is_asked_for() -> bool {
    let mut head = [0; HEAD];
    let peeked = recv(io::stdin(), &mut head, RecvFlags::PEEK | RecvFlags::WAITALL);
    peeked.is_ok_and(|(_, length)| length == HEAD) && head[HEAD - 1] == 1
}

pub(crate) fn live() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Nobody reads what a lie leaves of it.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(frame) = receive(&control, None)? else { return Ok(()) };
    let Job::Serve { serving, .. } = frame.read()? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let settings: Value = serde_json::from_str(&serving.grants.settings)?;
    let lie = settings["misdeed"].as_str().unwrap_or_default().to_owned();
    let (replied, replies) = channel();
    attend(&Arc::new(Cell { lie, control, replies: Mutex::new(replies) }), &replied)
}

fn attend(cell: &Arc<Cell>, replied: &Sender<Replied>) -> io::Result<()> {
    while let Some(mut frame) = receive(&cell.control, None)? {
        let beside = frame.files.pop();
        match frame.words()? {
            Order::Reply { .. } if cell.lie == "unread" => wait(),
            Order::Reply { call, reply } => {
                // Where nobody waits for it any more there is nothing to say.
                let _ = replied.send((call, reply, beside.is_some()));
            }
            Order::Fit { .. } => on_its_own(cell, beside, |cell, link| {
                answer(cell, link, "fit", &Ok::<Vec<Misfit>, String>(Vec::new()))
            })?,
            Order::Guest { .. } => on_its_own(cell, beside, guest::live)?,
        }
    }
    if cell.lie.starts_with("drop-control") {
        wait();
    }
    Ok(())
}

/// Whatever waits for ever ends with the process.
fn on_its_own(
    cell: &Arc<Cell>,
    link: Option<OwnedFd>,
    live: impl FnOnce(&Cell, &UnixStream) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let link = UnixStream::from(link.ok_or(io::ErrorKind::InvalidData)?);
    let cell = cell.clone();
    thread::Builder::new().spawn(move || live(&cell, &link)).map(drop)
}
