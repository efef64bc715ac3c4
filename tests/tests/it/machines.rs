//! Three workers as they are on three machines: each with a folder of its own, and a way of its own to the bucket that
//! they share.

use std::process::Stdio;

use sheaf_local_glean::Fault;
use sheaf_tests::bucket::Bucket;
use sheaf_tests::forward::Line;
use sheaf_tests::namespace::{self, Namespace};
use sheaf_tests::temporal::{ready, server};
use sheaf_tests::wait::until;
use sheaf_tests::{Site, odd};
use tokio::process::Child;

/// Documents of all scopes.
const ALL: usize = 6 * 1_000;

/// Each try on the machine that has lost the store counts as one that failed, and it asks for work as the others do
/// until it knows: so many are allowed.
fn configure(site: &Site, store: &str, machine: &str) {
    let text = format!(
        "state_folder = \"{machine}\"\n{store}[glean]\nserver_url = \"{}\"\nrequests_per_second = 1000.0\n\
         batch_documents = 20\n\n[temporal.policy]\ninitial_interval = \"100ms\"\nmax_interval = \"1s\"\n\
         heartbeat_timeout = \"3s\"\n\n{}",
        site.glean.url(),
        odd("pages = 100, scopes = 6")
    );
    site.write(&format!("{machine}.toml"), &text);
}

/// A machine's network.
enum Network {
    /// As the kernel has it.
    Own(Namespace),
    /// Where nobody may make one: a line of its own to the bucket.
    Line(Line),
}

impl Network {
    async fn new(number: u8, servers: &[u16], bucket: u16, own: bool) -> Self {
        if own {
            return Self::Own(Namespace::new(number, servers, bucket).await);
        }
        Self::Line(Line::to(bucket).await)
    }

    async fn loses_the_store(&self) {
        match self {
            Self::Own(namespace) => namespace.loses_the_store().await,
            Self::Line(line) => line.cut(),
        }
    }
}

/// A worker on a machine. `clock`: what its program is started by, where its clock is another.
async fn worker(site: &Site, machine: &str, network: &Network, clock: &[&str]) -> Child {
    let config = format!("{machine}.toml");
    let mut words = match network {
        Network::Own(namespace) => namespace.enters(),
        Network::Line(_) => vec!["setpriv", "--pdeathsig", "KILL"],
    };
    words.extend(clock);
    words.extend([sheaf_tests::binary().to_str().expect("a path"), "worker", "--config", &config]);
    let mut command = site.command_of(words[0].as_ref(), &words[1..]);
    command.stdout(Stdio::null());
    if let Network::Line(line) = network {
        command.env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", line.port));
    }
    ready(command).await.0
}

/// How a program is started whose clock is five minutes off. Nothing, where there is no `faketime`.
fn another_clock() -> &'static [&'static str] {
    let is_there = std::process::Command::new("faketime").arg("--version").output().is_ok();
    if is_there {
        // It stays before the program, which has to end with it.
        return &["faketime", "-f", "+5m", "setpriv", "--pdeathsig", "KILL"];
    }
    eprintln!("SKIPPED: no `faketime` is there, so no clock is off");
    &[]
}

fn port(url: &str) -> u16 {
    url.rsplit_once(':').expect("a port").1.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_machines_one_dies_one_loses_the_store_and_one_has_another_time() {
    let Some(bucket) = Bucket::start().await else { return };
    let mut site = Site::new("").await.connector("guest_odd");
    let store = bucket.keeps(&mut site, "state");
    let server = server(&mut site).await;
    for machine in ["one", "two", "three", "sheaf"] {
        configure(&site, &store, machine);
    }
    let own = namespace::can_be_made().await;
    if !own {
        eprintln!("SKIPPED: no network namespace can be made, so each has a line of its own");
    }
    let servers = [port(&server.address), port(&site.glean.url())];
    let network = async |number| Network::new(number, &servers, bucket.port, own).await;
    let networks = [network(0).await, network(1).await, network(2).await];
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, delay_ms: 100, times: 1_000_000, ..Fault::default() });
    let mut dies = worker(&site, "one", &networks[0], &[]).await;
    let _cut_off = worker(&site, "two", &networks[1], &[]).await;
    let _other_clock = worker(&site, "three", &networks[2], another_clock()).await;
    let crawl = site.command(&["sync", "odd", "--json"]).spawn().expect("a crawl");
    let arrived = async || site.glean.documents("odd").await.map_or(0, |documents| documents.len());
    until("some documents are there", async || arrived().await > ALL / 10).await;
    dies.kill().await.expect("ended");
    until("more documents are there", async || arrived().await > ALL / 4).await;
    networks[1].loses_the_store().await;
    let ended = crawl.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said} {}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("\"outcome\":\"complete\""), "{said}");
    assert_eq!(arrived().await, ALL);
    server.stop().await;
}
