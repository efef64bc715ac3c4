//! What a connection's guests share with others is the machine, and nothing in it.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use sheaf_tests::Site;
use sheaf_tests::temporal::{QUICK, server, worker};
use sheaf_tests::wait::until;
use sheaf_tests::web::Web;

/// Cells of a process that serve a connection.
fn cells_of(parent: u32) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let said = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let parents = format!("PPid:\t{parent}\n");
        said.split(|byte| *byte == 0).nth(1) == Some(b"cell") && status.contains(&parents)
    };
    let processes = std::fs::read_dir("/proc").expect("processes");
    processes.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one).collect()
}

/// How often each of these is in a process's memory.
fn count(process: &std::path::Path, marks: &[&str]) -> BTreeMap<String, usize> {
    let memory = std::fs::File::open(process.join("mem")).expect("its memory");
    let maps = std::fs::read_to_string(process.join("maps")).expect("its maps");
    let mut found: BTreeMap<String, usize> = marks.iter().map(|&mark| (mark.into(), 0)).collect();
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (range, rights) = (parts.next().expect("a range"), parts.next().expect("rights"));
        let (from, to) = range.split_once('-').expect("a range");
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        // What it cannot write to holds what was in the program's file; the kernel's pages cannot be read.
        if !rights.contains('w') {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).expect("a size")];
        let Ok(read) = memory.read_at(&mut bytes, from) else { continue };
        for (mark, count) in &mut found {
            *count += memchr::memmem::find_iter(&bytes[..read], mark).count();
        }
    }
    found
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_another_connection_or_of_glean_is_in_the_memory_of_a_cell() {
    let web = Web::start().await;
    let url = web.url();
    let connection = |name: &str| {
        format!(
            "[connections.{name}]\nconnector = \"evil\"\ndatasource = \"{name}\"\n\
             settings = {{ misdeed = \"credential-and-hang\", server = \"{url}\" }}\n\
             [connections.{name}.grants]\nhosts = [\"{url}\"]\n\
             credentials = {{ api = {{ bearer = {{ env = \"TOKEN_{name}\" }} }} }}\n\n"
        )
    };
    let toml = format!("{QUICK}{}{}", connection("one"), connection("two"));
    let mut site = Site::new(&toml).await.connector("guest_evil");
    let marks =
        ["marked-secret-of-one-41c7", "marked-secret-of-two-88e0", "marked-secret-of-glean-5f3b"];
    for (name, mark) in ["TOKEN_one", "TOKEN_two", "GLEAN_INDEXING_API_TOKEN"].iter().zip(marks) {
        site.environment.push(((*name).into(), mark.into()));
    }
    let server = server(&mut site).await;
    let worker = worker(&site).await;
    let mut crawls =
        ["one", "two"].map(|name| site.command(&["sync", name]).spawn().expect("a sync"));
    until("both have sent their credential", async || {
        let sent = web.requests().into_iter().filter_map(|(_, authorization)| authorization);
        let sent: Vec<_> = sent.collect();
        marks[..2].iter().all(|mark| sent.iter().any(|sent| sent.contains(mark)))
    })
    .await;
    let cells = cells_of(worker.id().expect("it runs"));
    let mut whose = Vec::new();
    for cell in &cells {
        let found = count(cell, &marks);
        let here: Vec<_> = marks.iter().filter(|&&mark| found[mark] > 0).copied().collect();
        assert_eq!(here.len(), 1, "only its own: {found:?}");
        whose.extend(here);
        // It has no file open: what it reads and writes are sockets, pipes and memory.
        for open in std::fs::read_dir(cell.join("fd")).expect("descriptors") {
            let leads = std::fs::read_link(open.expect("one").path()).unwrap_or_default();
            let leads = leads.to_string_lossy().into_owned();
            let is_none = |start: &&str| leads.starts_with(start);
            let others = ["socket:", "pipe:", "anon_inode:", "/memfd:", "/dev/null"];
            assert!(others.iter().any(is_none), "{leads} is open");
        }
    }
    whose.sort_unstable();
    assert_eq!(whose, marks[..2], "a cell each");
    for crawl in &mut crawls {
        crawl.kill().await.expect("ended");
    }
    server.stop().await;
}

/// What the kernel says of a thread: its name, and the policy by which it gets its turns.
#[cfg(target_os = "linux")]
fn policy(thread: &std::path::Path) -> Option<(String, u32)> {
    let name = std::fs::read_to_string(thread.join("comm")).ok()?;
    let stat = std::fs::read_to_string(thread.join("stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(") ")?;
    Some((name.trim().to_owned(), behind_name.split(' ').nth(38)?.parse().ok()?))
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_computes_for_long_does_it_when_nobody_else_wants_to() {
    const IDLE: u32 = 5;
    let toml = "[connections.evil]\nconnector = \"evil\"\ndatasource = \"evil\"\n\
                settings = { misdeed = \"endless-loop\" }\n";
    let site = Site::new(toml).await.connector("guest_evil");
    let mut crawl = site.command(&["sync", "evil", "--local"]).spawn().expect("a sync");
    let parent = crawl.id().expect("it runs");
    until("its thread is behind all others, and no other thread of its cell", async || {
        let threads = |cell: PathBuf| std::fs::read_dir(cell.join("task")).into_iter().flatten();
        let all: Vec<_> = cells_of(parent)
            .into_iter()
            .flat_map(threads)
            .filter_map(|thread| policy(&thread.ok()?.path()))
            .collect();
        let (behind, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, policy)| *policy == IDLE);
        assert!(behind.iter().all(|(name, _)| name == "guest"), "{behind:?}");
        !behind.is_empty() && !others.is_empty()
    })
    .await;
    crawl.kill().await.expect("ended");
}
