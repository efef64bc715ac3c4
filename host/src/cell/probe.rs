//! What guest code would try that had got out of its sandbox: each misdeed that a cell lets happen.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::sandbox::folders::FolderGrant;

/// The names of those that succeed. `port`: somebody listens there, on this machine's own address. `folders`: what
/// may be read; that it cannot be is told as well.
pub(super) fn misdeeds(port: u16, folders: &[FolderGrant]) -> Vec<String> {
    let own = format!("/proc/{}/environ", std::process::id());
    let parents = format!("/proc/{}/environ", parent());
    let granted = |succeeds: fn(&Path) -> bool| folders.iter().any(|folder| succeeds(&folder.host));
    let tried: [(&str, bool); 18] = [
        ("reads a file", reads("/etc/passwd")),
        ("lists a folder", std::fs::read_dir("/").is_ok()),
        ("writes a file", writes(&std::env::temp_dir())),
        ("cannot list a folder that is granted", granted(|folder| folder.read_dir().is_err())),
        ("writes into a folder that is granted", granted(writes)),
        ("leaves a folder that is granted", granted(|folder| folder.join("..").read_dir().is_ok())),
        ("makes a link in a folder that is granted", granted(links)),
        ("reads its own environment", reads(&own)),
        ("reads its parent's environment", reads(&parents)),
        ("connects", connects(port)),
        ("listens", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("sends datagrams", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("sends datagrams by the file system", UnixDatagram::pair().is_ok()),
        ("uses a socket of the file system", sockets()),
        ("starts a program", Command::new("/proc/self/exe").arg("--version").output().is_ok()),
        ("signals its parent", signals()),
        ("makes its own limits larger", grows()),
        ("has a variable of its parent's", std::env::vars_os().next().is_some()),
    ];
    tried.into_iter().filter(|(_, succeeds)| *succeeds).map(|(name, _)| name.to_owned()).collect()
}

fn reads(path: &str) -> bool {
    let file = std::fs::File::open(path);
    file.is_ok_and(|mut file| file.read(&mut [0; 1]).is_ok())
}

fn links(folder: &Path) -> bool {
    let link = folder.join(format!("sheaf-misdeed-{}.link", std::process::id()));
    let made = std::os::unix::fs::symlink("/", &link).is_ok();
    let _ = std::fs::remove_file(link);
    made
}

fn writes(folder: &Path) -> bool {
    let path = folder.join(format!("sheaf-misdeed-{}", std::process::id()));
    let written = std::fs::write(&path, b"misdeed").is_ok();
    if written {
        let _ = std::fs::remove_file(path);
    }
    written
}

fn connects(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn sockets() -> bool {
    let path = std::env::temp_dir().join(format!("sheaf-misdeed-{}.socket", std::process::id()));
    let bound = UnixListener::bind(&path).is_ok();
    let _ = std::fs::remove_file(&path);
    bound || UnixStream::connect(Path::new("/run/systemd/private")).is_ok()
}

fn parent() -> i32 {
    rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get())
}

fn grows() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum.map(|most| most.saturating_add(1));
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok()
}

fn signals() -> bool {
    rustix::process::getppid()
        .is_some_and(|parent| rustix::process::test_kill_process(parent).is_ok())
}
