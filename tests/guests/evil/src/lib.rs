//! Attacks its host and whatever it can reach, in the way that its settings name.

#![cfg(target_family = "wasm")]

mod abi;
mod http;
mod system;

use serde::Deserialize;
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{
    Access, Connector, Crawl, Cursor, Datasource, Document, Error, Limits, Manifest, Page, Result,
    Scope, Unreadable, category, log,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What it does.
    misdeed: String,
    /// A host that it asks for.
    server: Option<String>,
    /// What it does it to.
    target: Option<String>,
}

struct Evil;

impl Connector for Evil {
    type Settings = Settings;
    type Cursor = Attack;

    fn manifest() -> Manifest {
        if abi::at_start() == "loop-in-describe" {
            spin();
        }
        if abi::at_start() == "sleep-in-describe" {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
        if abi::at_start() == "second-block" {
            // As if what it wants to be granted were what `inspect` suggests.
            let block = "for sheaf.toml\r\n\n[connections.other]\nconnector = \"evil\"\n\n\
                         [connections.other.grants]\nhosts = [\"*.example.com\"]\u{1b}[2J\u{202e}";
            return Manifest::new("evil", block, block)
                .host("https://\u{430}pple.com:443")
                .credential("api", block)
                .folders(block);
        }
        Manifest::new("evil", "0.1.0", "Attacks its host.")
            .host("{server}")
            .credential("api", "to steal it")
            .folders("whatever there is")
    }

    fn datasource(_: &Settings) -> Result<Datasource> {
        Ok(Datasource::new("Evil", category::KNOWLEDGE_HUB, r"https://evil\.example\.com/.*")
            .object("Page", category::KNOWLEDGE_HUB))
    }

    fn scopes(settings: &Settings) -> Result<Vec<Scope>> {
        let count = if settings.misdeed == "scopes-without-number" { 100_000 } else { 1 };
        Ok((0..count).map(|scope| Scope::new(scope.to_string(), "A scope")).collect())
    }

    fn open(settings: Settings, _: Crawl) -> Result<Attack> {
        Ok(Attack { settings, pages: 0 })
    }
}

struct Attack {
    settings: Settings,
    pages: u64,
}

fn document(id: &str) -> Document {
    let url = format!("https://evil.example.com/{id}");
    Document::new(id, "Page", url, Access::Everyone).title("Evil").text("A page.")
}

/// Computes until it is stopped.
fn spin() -> ! {
    let mut number = 0u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth + 1)) + 1)
}

/// As much as a page may hold of documents that cannot be read.
fn quarantined(page: u64) -> Page {
    let long = "\u{1b}x\n".repeat(10_000);
    let unreadable = (0..200).map(|number| Unreadable {
        id: Some(format!("{page}-{number} {long}")),
        view_url: None,
        reason: format!("{page}-{number} {long}"),
    });
    let documents = vec![document(&page.to_string())];
    Page::more(documents, format!("page {page}")).unreadable(unreadable.collect())
}

/// What an attack found out becomes a document, so that a success would be seen in Glean.
fn done(found: impl Into<String>) -> Result<Page> {
    Ok(Page::complete(vec![document("found").text(found)], None))
}

impl Cursor for Attack {
    fn next(&mut self, _: Limits) -> Result<Page> {
        self.pages += 1;
        let server = self.settings.server.clone().unwrap_or_default();
        let target = self.settings.target.clone().unwrap_or_default();
        match self.settings.misdeed.as_str() {
            "endless-loop" => spin(),
            "loop-over-pages" => {
                let since = std::time::Instant::now();
                while since.elapsed().as_millis() < 50 {
                    std::hint::black_box(since);
                }
                Ok(Page::more(Vec::new(), self.pages.to_string()))
            }
            "endless-recursion" => done(recurse(0).to_string()),
            "memory-by-steps" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1u8; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            "memory-at-once" => done(std::hint::black_box(vec![1u8; 1 << 30]).len().to_string()),
            "trap" => panic!("on purpose"),
            "odd-words" => Err(Error::give_up(
                "gone\r\nerror: nothing is wrong\u{1b}[2J\u{9b}31m\u{202e}\u{2028} next: trust me",
            )),
            "hang" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                done("slept")
            }
            "huge-string" => {
                Ok(Page::complete(vec![document("huge").title("x".repeat(100 << 20))], None))
            }
            "million-empty-documents" => {
                let empty = Document::new("", "", "", Access::Everyone);
                Ok(Page::complete(vec![empty; 1_000_000], None))
            }
            "declared-gigabyte" => {
                Ok(Page::complete(vec![abi::long_title(document("long"))], None))
            }
            "invalid-utf-8" => {
                Ok(Page::complete(vec![abi::broken_title(document("broken"))], None))
            }
            "lying-length" => Ok(abi::long_list(document("list"))),
            "log-flood" => {
                for line in 0..1_000_000 {
                    log::error!("line {line} {}", "x".repeat(100));
                }
                done("flooded")
            }
            "stdout-flood" => {
                for line in 0..20_000 {
                    println!("line {line} {}", "x".repeat(100));
                    eprintln!("line {line} {}", "x".repeat(100));
                }
                done("flooded")
            }
            "quarantine-flood" if self.pages <= 5 => Ok(quarantined(self.pages)),
            "quarantine-flood" => Ok(Page::complete(Vec::new(), None)),
            "huge-checkpoint" => Ok(Page::more(Vec::new(), "x".repeat(70_000))),
            "checkpoint-names-a-file" if self.pages < 3 => {
                Ok(Page::more(vec![document("a")], "../../../../etc/passwd"))
            }
            "checkpoint-names-a-file" => Ok(Page::complete(vec![document("b")], None)),
            "next-after-the-end" if self.pages == 1 => {
                Ok(Page::complete(vec![document("a")], None))
            }
            "next-after-the-end" => panic!("called again"),
            "handle-leak" => system::leak_handles(),
            "random-flood" => system::random_flood(),
            "environment" => system::environment(),
            "read-another-folder" => system::read(&target),
            "write" => system::write(&target),
            "listen" => system::listen(),
            "connect" => system::connect(&target),
            "resolve" => system::resolve(&target),
            "get" => http::get(&target),
            "get-quietly" => http::get_quietly(&target),
            "spellings" => http::spellings(&target),
            "follow" => http::follow(&target),
            "request-hoard" => http::hoard(),
            "method-hoard" => http::hoard_methods(),
            "request-flood" => http::flood(&server),
            "method" => http::method(&server, &target),
            "slow-write" => http::slow_write(&server),
            "huge-request" => http::huge_request(&server),
            "huge-headers" => http::huge_headers(&server),
            "credential" => http::credential(&server, "authorization"),
            "credential-and-hang" => {
                http::credential_unread(&server)?;
                std::thread::sleep(std::time::Duration::from_secs(3600));
                done("slept")
            }
            "credential-unread" => http::credential_unread(&server),
            "echo-fault" => http::echo_fault(&server, "authorization"),
            "echo-header" => http::echo_fault(&server, "x-api-key"),
            "credential-in-url" => http::credential_in_url(&server),
            "credential-in-body" => http::credential_in_body(&server),
            "credential-in-another-header" => http::credential(&server, "x-other"),
            "credential-to-another-host" => http::credential(&target, "authorization"),
            "another-credential" => http::another_credential(),
            other => Err(Error::give_up(format!("no such misdeed: {other}"))),
        }
    }
}

#[allow(unsafe_code)]
mod exports {
    sheaf_sdk::export!(super::Evil);
}
