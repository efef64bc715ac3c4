//! What a cell does: the one job that it is started for.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use super::probe;
use super::protocol::{self, Frame, Job, Said};
use super::walls;
use crate::connector::{self, Compiler, Unloaded};
use crate::failure::Failure;

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
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(mut frame) = protocol::receive(&socket, None)? else { return Ok(()) };
    let job = frame.read()?;
    let (Job::Compile { most, .. } | Job::Describe { most, .. } | Job::Probe { most, .. }) = job;
    die_first();
    walls::put_up(&most)?;
    watch(&socket)?;
    let said = match job {
        Job::Probe { port, .. } => return protocol::send(&socket, &probe::misdeeds(port), &[]),
        Job::Compile { guarded, .. } => {
            let (component, code) = files(&mut frame)?;
            compile(component, code, guarded)
        }
        Job::Describe { guarded, .. } => {
            let (component, code) = files(&mut frame)?;
            describe(component, code, guarded)
        }
    };
    protocol::send(&socket, &said.unwrap_or_else(Said::Not), &[])
}

fn files(frame: &mut Frame) -> io::Result<(File, File)> {
    let files = <[OwnedFd; 2]>::try_from(std::mem::take(&mut frame.files));
    let [component, code] = files.map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((component.into(), code.into()))
}

/// Where memory is short, the system ends a cell before the program that it works for.
fn die_first() {
    if cfg!(target_os = "linux") {
        // Without it, the largest of all processes is ended.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
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

fn compile(mut component: File, mut code: File, guarded: bool) -> Result<Said, Unloaded> {
    let bytes = read(&mut component)?;
    connector::inspect(&bytes).map_err(Unloaded::Refused)?;
    let compiler = Compiler::new(guarded).map_err(Unloaded::Later)?;
    let compiled = compiler.compile(&bytes)?;
    code.write_all(&compiled).map_err(|error| lost(&error))?;
    Ok(Said::Compiled)
}

fn describe(mut component: File, mut code: File, guarded: bool) -> Result<Said, Unloaded> {
    let inspection = connector::inspect(&read(&mut component)?).map_err(Unloaded::Refused)?;
    let compiler = Compiler::new(guarded).map_err(Unloaded::Later)?;
    let Some(loaded) = compiler.load(&read(&mut code)?)? else { return Ok(Said::NoCode) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| lost(&error))?;
    let description = runtime.block_on(compiler.describe(&loaded))?;
    Ok(Said::Connector { inspection: inspection.bounded(), description })
}

fn read(file: &mut File) -> Result<Vec<u8>, Unloaded> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| lost(&error))?;
    Ok(bytes)
}

/// Nothing that the component has to do with.
fn lost(error: &io::Error) -> Unloaded {
    if error.kind() == io::ErrorKind::OutOfMemory {
        return Unloaded::NoMemory;
    }
    Unloaded::Later(Failure::internal(format!("a connector's cell cannot go on: {error}")))
}
