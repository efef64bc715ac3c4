//! Whether the walls of a cell hold on this machine: one tries to get out.

use std::net::TcpListener;
use std::time::Duration;

use super::blocking::blocking;
use super::death::Death;
use super::process::Cell;
use super::program::Program;
use crate::cell::protocol::Job;
use crate::cell::walls::Most;
use crate::failure::{Failure, Result};
use crate::sandbox::folders::FolderGrant;
use crate::text::bounded;

const PATIENCE: Duration = Duration::from_secs(10);

/// What guest code could do that had got out of its sandbox, where it may read these folders; nothing where all
/// walls hold.
pub async fn misdeeds(program: &Program, folders: &[FolderGrant]) -> Result<Vec<String>> {
    let unable = |why: String| Failure::internal(format!("a cell could not be tried: {why}"));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| unable(error.to_string()))?;
    let port = listener.local_addr().map_err(|error| unable(error.to_string()))?.port();
    let most = Most { memory: 1 << 30, cpu_seconds: 60, file_bytes: 1 << 20, descriptors: 64 };
    let (mut cell, leash) = Cell::start(program).map_err(|error| unable(error.to_string()))?;
    let folders = folders.to_vec();
    let tried = blocking(move || {
        cell.tell(&Job::Probe { most, port, folders }, &[])?;
        cell.hear::<Vec<String>>(PATIENCE)
    });
    let tried: Result<_, Death> = tried.await?;
    drop((leash, listener));
    let misdeeds = tried.map_err(|death| unable(death.to_string()))?;
    Ok(misdeeds.into_iter().take(50).map(|misdeed| bounded(misdeed, 100)).collect())
}

/// What is told of misdeeds that succeed.
pub fn missing_walls(misdeeds: &[String]) -> String {
    format!(
        "walls around connectors are missing here (seccomp and Landlock of Linux, which a container may forbid): \
         what breaks out of its sandbox {}",
        misdeeds.join(", ")
    )
}
