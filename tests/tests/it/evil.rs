//! One evil guest, its misdeed chosen by name. Each ends in an error that names what it ran into, in
//! bounded time and memory, and nothing that it was after comes to Glean.

use std::fmt::Write as _;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use sheaf_tests::temporal::QUICK;
use sheaf_tests::web::Web;
use sheaf_tests::{Ended, Site, guest};
use tokio::io::AsyncReadExt as _;

/// What the guest does, with what it is granted, and how that ends.
#[derive(Clone, Copy, Default)]
struct Case {
    misdeed: &'static str,
    /// `SERVER` stands for the test's web server, `PORT` for its port.
    target: &'static str,
    limits: &'static str,
    /// More of the grants.
    grants: &'static str,
    code: i32,
    /// In the error; of a crawl that ends well, in the log.
    what: &'static str,
    /// In the next step.
    next: &'static str,
}

const TOKEN: &str = "marked-secret-evil-9d2f";

fn toml(case: &Case, web: &Web) -> String {
    let target = case.target.replace("SERVER", &web.url()).replace("PORT", &web.port.to_string());
    let limits = if case.limits.is_empty() { "" } else { case.limits };
    let url = web.url();
    let grants = if case.grants.contains("hosts =") {
        case.grants.to_owned()
    } else {
        format!("hosts = [\"{url}\"]\n{}", case.grants)
    };
    let mut toml = format!(
        "{QUICK}[connections.evil]\nconnector = \"evil\"\ndatasource = \"evil\"\n\
         settings = {{ misdeed = \"{}\", server = \"{url}\", target = \"{target}\" }}\n",
        case.misdeed
    );
    let _ =
        write!(toml, "[connections.evil.limits]\n{limits}\n[connections.evil.grants]\n{grants}\n");
    toml
}

/// Runs a crawl, and watches how much memory its process ever had.
async fn crawl(site: &Site) -> (Ended, u64) {
    let mut child = site.command(&["sync", "evil", "--local"]).spawn().expect("sheaf runs");
    let status = format!("/proc/{}/status", child.id().unwrap_or_default());
    let (mut out, mut err) =
        (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let (mut stdout, mut stderr) = (String::new(), Vec::new());
    let mut most = 0;
    let reading =
        async { tokio::join!(out.read_to_string(&mut stdout), err.read_to_end(&mut stderr)) };
    let watching = async {
        loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
            let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
            most = most.max(kilobytes.unwrap_or(0u64));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        read = reading => drop(read),
        () = watching => {}
        () = tokio::time::sleep(Duration::from_secs(120)) => panic!("it did not end"),
    }
    let code = child.wait().await.expect("ended").code().unwrap_or(-1);
    (Ended { code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }, most >> 10)
}

/// What is told of it.
async fn run(case: Case) -> String {
    let web = Web::start().await;
    let mut site = Site::new(&toml(&case, &web)).await.connector("guest_evil");
    site.environment.push(("EVIL_TOKEN".into(), TOKEN.into()));
    // A proxy that nobody answers for: what is reached is reached without it.
    for proxy in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        site.environment.push((proxy.into(), "http://127.0.0.1:9".into()));
    }
    site.environment.push(("NO_PROXY".into(), "127.0.0.1".into()));
    site.write("granted/a.txt", "granted");
    site.write("other/secret.txt", "not granted");
    std::os::unix::fs::symlink(site.path("other"), site.path("granted/out")).expect("a link");
    std::os::unix::fs::symlink("/etc/passwd", site.path("granted/passwd")).expect("a link");
    let (ended, megabytes) = crawl(&site).await;
    let misdeed = case.misdeed;
    assert_eq!(ended.code, case.code, "{misdeed}: {ended:?}");
    let said = |start: &str| {
        let line = ended.stderr.lines().find(|line| line.trim_start().starts_with(start));
        line.unwrap_or_default().to_owned()
    };
    let told = if case.code == 0 { ended.stderr.clone() } else { said("error:") };
    assert!(told.contains(case.what), "{misdeed}: `{}` is not in {ended:?}", case.what);
    assert!(said("next:").contains(case.next), "{misdeed}: {ended:?}");
    assert!(!ended.stderr.contains("panicked at host/"), "{misdeed}: {ended:?}");
    assert!(megabytes < 200, "{misdeed}: {megabytes} MiB");
    assert_eq!(std::fs::read_to_string(site.path("granted/a.txt")).expect("there"), "granted");
    assert_eq!(std::fs::read_dir(site.path("granted")).expect("there").count(), 3, "{misdeed}");
    let documents = site.glean.documents("evil").await.unwrap_or_default();
    if case.code != 0 {
        assert!(documents.is_empty(), "{misdeed}: {documents:?}");
    }
    for (_, text) in documents {
        assert!(!format!("{text:?}").contains("not granted"), "{misdeed}");
    }
    assert!(!ended.stderr.contains(TOKEN) && !ended.stdout.contains(TOKEN), "{misdeed}: {ended:?}");
    if case.target.ends_with("/busy") {
        assert_eq!(web.requests().len(), 2, "the host waited and asked again");
    }
    if misdeed == "spellings" {
        assert_eq!(web.requests().len(), 1, "only localhost was reached");
    }
    // Only what is granted was ever requested, and only there the credential went.
    for (line, authorization) in web.requests() {
        assert!(authorization.is_none() || misdeed == "credential", "{misdeed}: {line}");
        assert!(!line.contains("sheaf-credential"), "{misdeed}: {line}");
    }
    ended.told()
}

const CREDENTIAL: &str = "credentials = { api = { bearer = { env = \"EVIL_TOKEN\" } }, secret = { bearer = { env = \"EVIL_TOKEN\" } } }";
/// One that only reads.
const READING: &str =
    "methods = [\"GET\"]\ncredentials = { api = { bearer = { env = \"EVIL_TOKEN\" } } }";
const FOLDER: &str = "folders = { \"/content\" = \"granted\" }";

/// The guest's own trouble: it ends, and names it.
#[rustfmt::skip]
const OWN: &[Case] = &[
    Case { misdeed: "endless-loop", target: "", limits: "cpu_per_call = \"300ms\"", grants: "", code: 1, what: "300ms of computing in one call", next: "cpu_per_call" },
    Case { misdeed: "loop-over-pages", target: "", limits: "cpu_per_crawl = \"500ms\"", grants: "", code: 1, what: "500ms of computing in one crawl", next: "cpu_per_crawl" },
    Case { misdeed: "endless-recursion", target: "", limits: "", grants: "", code: 1, what: "its stack overflowed", next: "tell its author" },
    Case { misdeed: "memory-by-steps", target: "", limits: "memory = \"64 MiB\"", grants: "", code: 1, what: "64.0 MiB of memory", next: "`memory`" },
    Case { misdeed: "memory-at-once", target: "", limits: "", grants: "", code: 1, what: "256.0 MiB of memory", next: "`memory`" },
    Case { misdeed: "trap", target: "", limits: "table_entries = 3", grants: "", code: 1, what: "3 entries in its tables", next: "table_entries" },
    Case { misdeed: "trap", target: "", limits: "", grants: "", code: 1, what: "crashed: on purpose", next: "-v" },
    Case { misdeed: "odd-words", target: "", limits: "", grants: "", code: 4, what: r"gone  error: nothing is wrong\u{1b}[2J\u{9b}31m\u{202e}  next: trust me", next: "maintains the connector" },
    Case { misdeed: "hang", target: "", limits: "wall_per_call = \"1s\"", grants: "", code: 1, what: "did not answer within 1s", next: "wall_per_call" },
    Case { misdeed: "huge-string", target: "", limits: "", grants: "", code: 1, what: "16 MiB handed over in one call", next: "page_bytes" },
    Case { misdeed: "million-empty-documents", target: "", limits: "memory = \"1 GiB\"", grants: "", code: 1, what: "16 MiB handed over in one call", next: "page_bytes" },
    Case { misdeed: "declared-gigabyte", target: "", limits: "", grants: "", code: 1, what: "crashed", next: "author" },
    Case { misdeed: "invalid-utf-8", target: "", limits: "", grants: "", code: 1, what: "utf-8", next: "author" },
    Case { misdeed: "lying-length", target: "", limits: "", grants: "", code: 1, what: "crashed", next: "author" },
    Case { misdeed: "log-flood", target: "", limits: "log_lines_per_second = 10", grants: "", code: 0, what: "line 0", next: "" },
    Case { misdeed: "stdout-flood", target: "", limits: "log_lines_per_second = 10", grants: "", code: 0, what: "line 0", next: "" },
    Case { misdeed: "huge-checkpoint", target: "", limits: "", grants: "", code: 4, what: "checkpoint has 70000 bytes", next: "maintains the connector" },
    Case { misdeed: "checkpoint-names-a-file", target: "", limits: "", grants: "", code: 0, what: "", next: "" },
    Case { misdeed: "next-after-the-end", target: "", limits: "", grants: "", code: 0, what: "", next: "" },
    Case { misdeed: "handle-leak", target: "", limits: "handles = 1000", grants: "", code: 1, what: "1000 handles open at once", next: "`handles`" },
    Case { misdeed: "random-flood", target: "", limits: "", grants: "", code: 1, what: "requested len 65537 exceeds limit 65536", next: "author" },
    Case { misdeed: "scopes-without-number", target: "", limits: "", grants: "", code: 2, what: "100,000 scopes", next: "fewer" },
];

/// What it has no business with on this machine.
#[rustfmt::skip]
const MACHINE: &[Case] = &[
    Case { misdeed: "environment", target: "", limits: "", grants: "", code: 4, what: "the environment was empty", next: "" },
    Case { misdeed: "read-another-folder", target: "/etc/passwd", limits: "", grants: FOLDER, code: 4, what: "reading was denied", next: "" },
    Case { misdeed: "read-another-folder", target: "/content/../other/secret.txt", limits: "", grants: FOLDER, code: 4, what: "reading was denied", next: "" },
    Case { misdeed: "read-another-folder", target: "/content/out/secret.txt", limits: "", grants: FOLDER, code: 4, what: "reading was denied", next: "" },
    Case { misdeed: "read-another-folder", target: "/content/passwd", limits: "", grants: FOLDER, code: 4, what: "reading was denied", next: "" },
    Case { misdeed: "write", target: "/content", limits: "", grants: FOLDER, code: 4, what: "writing was denied", next: "" },
    Case { misdeed: "listen", target: "", limits: "", grants: "", code: 4, what: "listening was denied", next: "" },
    Case { misdeed: "connect", target: "127.0.0.1:PORT", limits: "", grants: "", code: 4, what: "connecting was denied", next: "" },
    Case { misdeed: "resolve", target: "localhost", limits: "", grants: "", code: 4, what: "resolving was denied", next: "" },
];

/// What it has no business with on the network.
#[rustfmt::skip]
const NETWORK: &[Case] = &[
    Case { misdeed: "get", target: "SERVER/", limits: "", grants: "hosts = []", code: 2, what: "the host is not granted", next: "hosts = [\"http://localhost:" },
    Case { misdeed: "get", target: "http://evil.example.com/", limits: "", grants: "", code: 2, what: "it does not ask for the host", next: "manifest" },
    Case { misdeed: "get", target: "http://other.example.com/", limits: "", grants: "hosts = [\"http://other.example.com\"]", code: 2, what: "it does not ask for the host", next: "manifest" },
    Case { misdeed: "get-quietly", target: "http://evil.example.com/", limits: "", grants: "", code: 0, what: "may not reach http://evil.example.com", next: "" },
    Case { misdeed: "spellings", target: "PORT", limits: "", grants: "", code: 4, what: "no such request", next: "" },
    Case { misdeed: "get", target: "file:///etc/passwd", limits: "", grants: "", code: 2, what: "cannot be requested", next: "settings" },
    Case { misdeed: "follow", target: "SERVER/redirect?to=http://169.254.169.254/latest/meta-data/", limits: "", grants: "", code: 2, what: "may not reach http://169.254.169.254", next: "manifest" },
    Case { misdeed: "request-hoard", target: "", limits: "", grants: "", code: 1, what: "1000 handles open at once", next: "`handles`" },
    Case { misdeed: "method-hoard", target: "", limits: "guests = 1\nhost_memory = \"200 MiB\"\npage_bytes = \"512 MiB\"", grants: "", code: 1, what: "456.0 MiB of memory of its process", next: "`host_memory`" },
    Case { misdeed: "get", target: "SERVER/busy", limits: "", grants: "", code: 0, what: "", next: "" },
    Case { misdeed: "request-flood", target: "", limits: "open_requests = 4", grants: "", code: 1, what: "4 requests open at once", next: "open_requests" },
    Case { misdeed: "get", target: "SERVER/slow-answer", limits: "first_byte_timeout = \"300ms\"", grants: "", code: 4, what: "did not answer in time", next: "first_byte_timeout" },
    Case { misdeed: "get", target: "SERVER/drip", limits: "body_timeout = \"300ms\"", grants: "", code: 4, what: "connection read timeout", next: "body_timeout" },
    Case { misdeed: "get", target: "SERVER/half", limits: "", grants: "", code: 4, what: "/half", next: "tried again" },
    Case { misdeed: "get", target: "SERVER/endless", limits: "response_bytes = \"1 MiB\"", grants: "", code: 1, what: "1.0 MiB in one response", next: "response_bytes" },
    Case { misdeed: "get", target: "SERVER/headers", limits: "", grants: "", code: 1, what: "64.0 KiB of headers in one response", next: "response_header_bytes" },
    Case { misdeed: "method", target: "TRACE", limits: "", grants: CREDENTIAL, code: 2, what: "may not send TRACE to http://localhost", next: "author" },
    Case { misdeed: "method", target: "X-INVENTED", limits: "", grants: CREDENTIAL, code: 2, what: "may not send X-INVENTED to http://localhost", next: "author" },
    Case { misdeed: "method", target: "DELETE", limits: "", grants: READING, code: 2, what: "may not send DELETE to http://localhost", next: r#"methods = ["GET", "DELETE"]"# },
    Case { misdeed: "slow-write", target: "", limits: "wall_per_call = \"1s\"", grants: "", code: 1, what: "did not answer within 1s", next: "wall_per_call" },
    Case { misdeed: "huge-request", target: "", limits: "request_bytes = \"1 MiB\"", grants: "", code: 1, what: "1.0 MiB in one request", next: "request_bytes" },
    Case { misdeed: "huge-headers", target: "", limits: "", grants: "", code: 1, what: "size of fields exceeds", next: "" },
    Case { misdeed: "credential", target: "", limits: "", grants: CREDENTIAL, code: 0, what: "", next: "" },
    Case { misdeed: "credential-in-url", target: "", limits: "", grants: CREDENTIAL, code: 2, what: "stands in the URL", next: "author" },
    Case { misdeed: "credential-in-body", target: "", limits: "", grants: CREDENTIAL, code: 2, what: "headers only", next: "author" },
    Case { misdeed: "credential-in-another-header", target: "", limits: "", grants: CREDENTIAL, code: 2, what: "not `x-other`", next: "author" },
    Case { misdeed: "credential-to-another-host", target: "http://evil.example.com", limits: "", grants: CREDENTIAL, code: 2, what: "may not reach http://evil.example.com", next: "manifest" },
    Case { misdeed: "another-credential", target: "", limits: "", grants: CREDENTIAL, code: 4, what: "`secret` is not granted", next: "" },
];

/// What is told of each.
async fn each(cases: &[Case]) -> String {
    guest("guest_evil");
    let ends: Vec<_> = stream::iter(cases.to_vec())
        .map(|case| async move { (case, tokio::spawn(run(case)).await) })
        .buffered(2)
        .collect()
        .await;
    let failed = ends.iter().filter(|(_, told)| told.is_err());
    let failed: Vec<_> = failed.map(|(case, _)| case.misdeed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let told = ends.into_iter().map(|(Case { misdeed, target, .. }, told)| {
        let case = format!("{misdeed} {target}");
        format!("# {}\n{}", case.trim_end(), told.expect("it did not fail"))
    });
    told.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_wastes_or_lies_ends_in_its_named_error() {
    insta::assert_snapshot!(each(OWN).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_finds_nothing_of_the_machine_but_its_folders() {
    insta::assert_snapshot!(each(MACHINE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_reaches_no_host_and_no_credential_that_is_not_granted() {
    insta::assert_snapshot!(each(NETWORK).await);
}

/// Any name of `/etc/hosts` that leads to this machine, but is not `localhost`.
fn private_name() -> Option<(String, String)> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    hosts.lines().find_map(|line| {
        let (address, names) = line.trim().split_once(char::is_whitespace)?;
        let name = names.split_whitespace().find(|name| !name.contains("localhost"))?;
        address.starts_with("127.").then(|| (name.to_owned(), address.to_owned()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_a_private_address_is_not_followed() {
    let web = Web::start().await;
    let Some((name, address)) = private_name() else {
        eprintln!(
            "SKIPPED: /etc/hosts names nothing but localhost; unit tests have their own names"
        );
        return;
    };
    let url = format!("http://{name}:{}", web.port);
    let case = Case { misdeed: "get", ..Case::default() };
    let text = toml(&case, &web).replace(&web.url(), &url);
    let text = text.replace("target = \"\"", &format!("target = \"{url}/\""));
    let site = Site::new(&text).await.connector("guest_evil");
    let ended = site.sheaf(&["sync", "evil", "--local"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains(&format!("{address} is a loopback address")), "{ended:?}");
    assert!(ended.stderr.contains(&format!("networks = [\"{address}/32\"]")), "{ended:?}");
    assert!(web.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_misbehaves_before_it_has_settings_is_refused() {
    let component = std::fs::read(guest("guest_evil")).expect("a component");
    let marker = b"misdeed-at-start:";
    let at = component.windows(marker.len()).position(|window| window == marker).expect("a marker");
    let misdeeds = [
        ("loop-in-describe", 1, "5s of computing in one call"),
        ("abort-in-start-up", 1, "crashed"),
        ("sleep-in-describe", 1, "did not answer within 20s"),
    ];
    // Most of this is to wait for limits: all at once.
    let ended = misdeeds.map(|(misdeed, code, what)| {
        let mut evil = component.clone();
        evil[at + marker.len()..][..misdeed.len()].copy_from_slice(misdeed.as_bytes());
        async move {
            let web = Web::start().await;
            let site = Site::new(&toml(&Case { misdeed: "trap", ..Case::default() }, &web)).await;
            std::fs::write(site.path("connectors/evil.wasm"), evil).expect("written");
            let inspect = site.sheaf(&["inspect", "connectors/evil.wasm"]);
            let (inspected, crawled) =
                tokio::join!(inspect, site.sheaf(&["sync", "evil", "--local"]));
            for ended in [&inspected, &crawled] {
                assert_eq!(ended.code, code, "{misdeed}: {ended:?}");
                assert!(ended.stderr.contains(what), "{misdeed}: {ended:?}");
            }
            [inspected, crawled]
        }
    });
    for ended in join_all(ended).await.into_iter().flatten() {
        insta::assert_snapshot!(ended.told());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_shows_no_second_block_to_paste() {
    let mut evil = std::fs::read(guest("guest_evil")).expect("a component");
    let (marker, misdeed) = (b"misdeed-at-start:", b"second-block");
    let at = evil.windows(marker.len()).position(|window| window == marker).expect("a marker");
    evil[at + marker.len()..][..misdeed.len()].copy_from_slice(misdeed);
    let site = Site::new("").await;
    std::fs::write(site.path("connectors/evil.wasm"), evil).expect("written");
    let ended = site.sheaf(&["inspect", "connectors/evil.wasm"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let tables = ended.stdout.lines().filter(|line| line.trim_start().starts_with('['));
    assert_eq!(tables.collect::<Vec<_>>(), ["[connections.evil]", "[connections.evil.grants]"]);
    assert!(ended.stdout.contains("hosts = [\"xn--pple-43d.com\"]"), "{ended:?}");
    assert!(ended.stdout.contains("look twice: it reads `\u{430}pple.com`"), "{ended:?}");
    let odd = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
    assert!(!ended.stdout.contains(odd), "{ended:?}");
    let json = site.sheaf(&["inspect", "connectors/evil.wasm", "--json"]).await;
    assert!(!json.stdout.contains(odd), "{json:?}");
    assert_eq!(json.json()["result"]["manifest"]["hosts"][0], "https://\u{430}pple.com:443");
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_documents_fill_no_log() {
    let toml = "[connections.evil]\nconnector = \"evil\"\ndatasource = \"evil\"\n\
                settings = { misdeed = \"quarantine-flood\" }\n\
                [connections.evil.quarantine]\nmax_percent = 100.0\n";
    let mut site = Site::new(toml).await.connector("guest_evil");
    site.environment.push(("RUST_LOG".into(), "sheaf=debug".into()));
    let ended = site.sheaf(&["sync", "evil", "--local"]).await;
    let last = ended.stderr.lines().rev().take(5).collect::<Vec<_>>();
    assert_eq!(ended.code, 0, "{last:?}");
    let said = ended.stderr.lines().filter(|line| line.contains("a document is quarantined"));
    assert_eq!(said.count(), 200);
    assert!(ended.stderr.contains("more were quarantined than are logged one by one"));
    assert!(ended.stderr.len() < 1_000_000, "{}", ended.stderr.len());
    let listed = site.sheaf(&["quarantine", "list", "evil"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.stdout.len() < 500_000, "{}", listed.stdout.len());
    assert!(!listed.stdout.contains('\u{1b}'));
}
