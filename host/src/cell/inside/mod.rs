//! What a cell does: the one job that it is started for.
//!
//! `loading` is about a component. `serve` runs the guests of a connection, which share a `room`: each is a
//! `guest`, asked over its own socket, whose `pages` are checked and cut here; what its requests need of the
//! `world` the program outside does, and `log` lines go there, too.

mod guest;
mod loading;
mod log;
mod pages;
mod room;
mod serve;
mod world;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use super::probe;
use super::protocol::{self, Frame, Job, Said};
use super::walls;

/// The cell's whole life. Its socket is its standard input.
pub fn main_of_a_cell() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        // The other side has gone, or nothing can be said to it but this.
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> io::Result<()> {
    die_with_the_parent()?;
    be_named();
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(mut frame) = protocol::receive(&socket, None)? else { return Ok(()) };
    let job: Job = frame.read()?;
    die_first();
    walls::put_up(&job.most(), job.folders())?;
    // One that serves hears of its end itself.
    if !matches!(job, Job::Serve { .. }) {
        watch(&socket)?;
    }
    let said = match job {
        Job::Serve { serving, .. } => {
            let [code] = files(&mut frame)?;
            return serve::run(*serving, code, socket);
        }
        Job::Probe { port, folders, .. } => {
            return protocol::send(&socket, &probe::misdeeds(port, &folders), &[]);
        }
        Job::Compile { guarded, .. } => {
            let [component, code] = files(&mut frame)?;
            loading::compile(&component, code, guarded)
        }
        Job::Describe { guarded, .. } => {
            let [component, code] = files(&mut frame)?;
            loading::describe(&component, &code, guarded)
        }
    };
    protocol::send(&socket, &said.unwrap_or_else(Said::Not), &[])
}

fn files<const COUNT: usize>(frame: &mut Frame) -> io::Result<[File; COUNT]> {
    let files = <[OwnedFd; COUNT]>::try_from(std::mem::take(&mut frame.files));
    Ok(files.map_err(|_| io::ErrorKind::InvalidData)?.map(File::from))
}

/// Where memory is short, the system ends a cell before the program that it works for.
fn die_first() {
    if cfg!(target_os = "linux") {
        // Without it, the largest of all processes is ended.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
}

/// What tools show that know a process by a short name.
fn be_named() {
    #[cfg(target_os = "linux")]
    // It would have that of the link that it was started by.
    let _ = rustix::thread::set_name(c"sheaf-cell");
}

#[cfg(target_os = "linux")]
fn die_with_the_parent() -> io::Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

#[cfg(not(target_os = "linux"))]
fn die_with_the_parent() -> io::Result<()> {
    Ok(())
}

/// Ends the cell when nobody waits for its answer any more.
fn watch(socket: &UnixStream) -> io::Result<()> {
    let mut socket = socket.try_clone()?;
    let gone = move || {
        // Nothing more is ever sent: what comes is the end.
        let _ = socket.read(&mut [0]);
        std::process::exit(1);
    };
    std::thread::Builder::new().name("watch".into()).spawn(gone).map(drop)
}
