//! What a cell takes from itself before it looks at anything of a stranger's.
//!
//! Limits count what it uses, Landlock takes the file system and the network away, a filter of system
//! calls leaves what computing and talking over an open socket need. Each is put up as far as the system
//! has it; [`super::probe`] tells what holds, by trying.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
mod limits;
#[cfg(target_os = "linux")]
mod rights;

use std::io;

#[cfg(target_os = "linux")]
use calls::Files;

pub(super) use limits::Most;

use crate::sandbox::folders::FolderGrant;

/// Puts up all walls that there are here, but for reading these folders. The process must have one thread: those
/// that begin later are behind them, too.
pub(super) fn put_up(most: &Most, folders: &[FolderGrant]) -> io::Result<()> {
    limits::set(most)?;
    #[cfg(target_os = "linux")]
    {
        // What is missing the trial finds, which `sheaf doctor` shows: a connector is not to blame for it.
        let holds = files::leave(folders).unwrap_or(false);
        let _ = rights::leave_none();
        let _ = calls::leave_few(match (folders.is_empty(), holds) {
            (true, _) => Files::None,
            (false, true) => Files::Granted,
            (false, false) => Files::Any,
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folders;
    Ok(())
}
