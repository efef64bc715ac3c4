//! A machine of its own, as far as the kernel can tell: a network namespace from which the servers of a test are reached
//! over two links, one to the store and one to all others. A link that is down swallows what is sent, as a network does.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::forward::Line;
use crate::wait::in_time;

/// Addresses that are for tests of networks: nobody has them.
const LINKS: [u8; 2] = [18, 19];

/// It ends when it is dropped.
pub struct Namespace {
    name: String,
    /// The ends of its links out here: to others, and to the store.
    ends: Vec<String>,
    _lines: Vec<Line>,
    _inside: Vec<Child>,
}

async fn ip(arguments: &[&str]) -> bool {
    let ended = Command::new("ip").args(arguments).stdin(Stdio::null()).output().await;
    ended.is_ok_and(|ended| ended.status.success())
}

/// Whether this user may make one, and what is needed for it is there.
pub async fn can_be_made() -> bool {
    let name = format!("sheaf-{}-try", std::process::id());
    let made = ip(&["netns", "add", &name]).await && ip(&["netns", "del", &name]).await;
    let socat = Command::new("socat").arg("-V").stdout(Stdio::null()).status().await;
    made && socat.is_ok_and(|status| status.success())
}

impl Namespace {
    /// `servers` and `store` are ports of this machine; in the namespace they are at the same address.
    pub async fn new(number: u8, servers: &[u16], store: u16) -> Self {
        let process = std::process::id();
        let name = format!("sheaf-{process}-{number}");
        assert!(ip(&["netns", "add", &name]).await, "{name} is made");
        assert!(ip(&["-n", &name, "link", "set", "lo", "up"]).await);
        let (mut lines, mut inside, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (link, ports) in LINKS.into_iter().zip([servers, &[store]]) {
            let [here, there] = ["o", "i"].map(|side| format!("sf{link}{side}{number}-{process}"));
            let [near, far] = [1, 2].map(|last| {
                // Of several who test at once each has its own.
                let third = u8::try_from(process % 250).expect("small");
                Ipv4Addr::new(198, link, third, 4 * number + last)
            });
            let pair =
                ["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &name];
            assert!(ip(&pair).await, "{here}");
            let [near_net, far_net] = [near, far].map(|address| format!("{address}/30"));
            assert!(ip(&["addr", "add", &near_net, "dev", &here]).await);
            assert!(ip(&["link", "set", &here, "up"]).await);
            assert!(ip(&["-n", &name, "addr", "add", &far_net, "dev", &there]).await);
            assert!(ip(&["-n", &name, "link", "set", &there, "up"]).await);
            for port in ports {
                lines.push(Line::between((IpAddr::V4(near), *port), *port).await);
                inside.push(passes(&name, *port, near).await);
            }
            ends.push(here);
        }
        Self { name, ends, _lines: lines, _inside: inside }
    }

    /// What a program is started by in it. It ends with whoever started it.
    pub fn enters(&self) -> Vec<&str> {
        vec!["ip", "netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL"]
    }

    /// From now on nothing comes to the store, and nothing from it.
    pub async fn loses_the_store(&self) {
        assert!(ip(&["link", "set", &self.ends[1], "down"]).await);
    }
}

/// In the namespace, what is sent to this port of its own goes to the machine outside.
async fn passes(name: &str, port: u16, to: Ipv4Addr) -> Child {
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr");
    let mut child = Command::new("ip")
        .args(["netns", "exec", name, "setpriv", "--pdeathsig", "KILL", "socat", "-d", "-d"])
        .args([listen, format!("TCP:{to}:{port}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("socat");
    let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    in_time("it listens", async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if line.contains("listening on") {
                return;
            }
        }
        panic!("socat ended");
    })
    .await;
    // Whoever writes to nobody ends.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let ip = |arguments: &[&str]| {
            let ended = std::process::Command::new("ip").args(arguments).output();
            ended.map(|ended| ended.stdout).unwrap_or_default()
        };
        // What its programs have started is not theirs to end.
        let left = ip(&["netns", "pids", &self.name]);
        for process in String::from_utf8_lossy(&left).split_whitespace() {
            let killed = std::process::Command::new("kill").args(["-s", "KILL", process]).status();
            drop(killed);
        }
        for end in &self.ends {
            ip(&["link", "del", end]);
        }
        ip(&["netns", "del", &self.name]);
    }
}
