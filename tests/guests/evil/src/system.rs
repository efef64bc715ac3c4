//! Tries what the rest of WASI offers.

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};

use sheaf_sdk::{Error, Page, Result};

use crate::done;

fn denied<T: std::fmt::Debug>(what: &str, outcome: std::io::Result<T>) -> Result<Page> {
    match outcome {
        Ok(found) => done(format!("{what}: {found:?}")),
        Err(error) => Err(Error::give_up(format!("{what} was denied: {:?}", error.kind()))),
    }
}

/// Everything that `path` leads to; the attempt that gets somewhere counts.
pub(crate) fn read(path: &str) -> Result<Page> {
    denied("reading", std::fs::read_to_string(path))
}

pub(crate) fn write(folder: &str) -> Result<Page> {
    let attempts = [
        std::fs::write(format!("{folder}/new.txt"), "x"),
        std::fs::write(format!("{folder}/a.txt"), "x"),
        std::fs::remove_file(format!("{folder}/a.txt")),
        std::fs::create_dir(format!("{folder}/new")),
        std::fs::rename(format!("{folder}/a.txt"), format!("{folder}/b.txt")),
        std::fs::hard_link(format!("{folder}/a.txt"), format!("{folder}/c.txt")),
        std::fs::OpenOptions::new().append(true).open(format!("{folder}/a.txt")).map(drop),
    ];
    for attempt in attempts {
        if let Ok(()) = attempt {
            return done("written");
        }
    }
    Err(Error::give_up("writing was denied"))
}

pub(crate) fn listen() -> Result<Page> {
    denied("listening", TcpListener::bind("127.0.0.1:0"))
}

pub(crate) fn connect(target: &str) -> Result<Page> {
    denied("connecting", TcpStream::connect(target))
}

pub(crate) fn resolve(target: &str) -> Result<Page> {
    denied("resolving", (target, 80).to_socket_addrs().map(Iterator::collect::<Vec<_>>))
}

pub(crate) fn environment() -> Result<Page> {
    let found: Vec<_> = std::env::vars().collect();
    let arguments: Vec<_> = std::env::args().collect();
    let folders: Vec<_> = std::fs::read_dir("/").into_iter().flatten().flatten().collect();
    if found.is_empty() && arguments.is_empty() && folders.is_empty() {
        return Err(Error::give_up("the environment was empty"));
    }
    done(format!("{found:?} {arguments:?} {folders:?}"))
}

/// Holds on to more and more of the host's things.
pub(crate) fn leak_handles() -> Result<Page> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(wasip2::http::types::Fields::new());
        std::hint::black_box(&hoard);
    }
}

/// Asks the host for more at once than it should make.
pub(crate) fn random_flood() -> Result<Page> {
    let most = 64 << 10;
    let bytes = wasip2::random::random::get_random_bytes(most);
    let more = wasip2::random::insecure::get_insecure_random_bytes(most + 1);
    done(format!("{} {}", bytes.len(), more.len()))
}
