//! The measurements, each in a process of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use guest_generator::fields;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sheaf::cell::{Connector, Guest, Loader, Opened, Program};
use sheaf::connector::Grants;
use sheaf::crawl::crawler::Journal;
use sheaf::crawl::pipeline::Report;
use sheaf::crawl::undefined::Defined;
use sheaf::crawl::{Delivery, Pipeline, ScopeHead, Tolerance, UploadLimits};
use sheaf::document::{
    Access, Body, Content, Crawl as Scope, Document, Mode, Page, PageLimits, Progress,
};
use sheaf::failure::Result;
use sheaf::glean::upload::Upload;
use sheaf::glean::{Client, Endpoint};
use sheaf::intake::{Checking, Pages, Reading, Rules, Source};
use sheaf::ledger::compare::{compare, seal};
use sheaf::ledger::run::Run;
use sheaf::sandbox::Limits;
use sheaf::store::{Location, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Cost, Failure};

#[derive(Clone, Copy, ValueEnum)]
enum Feed {
    Guest,
    Native,
    /// A guest that nobody would stop.
    Unguarded,
}

#[derive(Args)]
pub(crate) struct Crawl {
    #[arg(long)]
    feed: Feed,
    #[arg(long)]
    documents: u64,
    #[arg(long)]
    bytes: usize,
    #[arg(long)]
    sink: String,
    #[arg(long)]
    guest: PathBuf,
    #[arg(long)]
    cache: PathBuf,
    /// Keep a journal and a ledger in this folder, and compare with the crawl before.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// This guest loops beside it, so many times.
    #[arg(long)]
    evil: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    beside: usize,
}

impl Crawl {
    pub(crate) async fn run(&self) -> Result<Cost, Failure> {
        let settings = json!({ "documents": self.documents, "bytes": self.bytes });
        let limits = Limits::default();
        let page = PageLimits { documents: limits.page_documents, bytes: limits.page_bytes };
        let started = Instant::now();
        let documents = match self.feed {
            Feed::Native => {
                let source = Native { next: 0, documents: self.documents, bytes: self.bytes };
                let rules = settings_rules();
                Box::pin(
                    self.upload(async |reading| Ok(Checking::new(source, rules, &reading)), page),
                )
                .await?
            }
            feed => {
                let loader = match feed {
                    Feed::Unguarded => {
                        Loader::unguarded(Program::this(), self.cache.join("unguarded"))?
                    }
                    _ => Loader::new(Program::this(), &self.cache)?,
                };
                let connector = loader.load_file(&self.guest).await?;
                let _neighbours = self.neighbours(&loader).await?;
                let grants =
                    Grants { settings: settings.to_string(), ..Grants::none("bench", limits) };
                let (opened, gone) = open(&connector, grants, "all").await?;
                let read = self.upload(async |reading| opened.read(reading).await, page);
                let read = Box::pin(read).await?;
                // What it computed counts when it has ended.
                gone.await;
                read
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!(documents, self.documents, "every document was uploaded");
        Ok(Cost {
            documents,
            seconds,
            cpu_seconds: cpu_seconds()?,
            peak_memory_mib: peak_memory()?,
        })
    }

    /// Guests that compute for ever, each on its own; they end when they are dropped.
    async fn neighbours(&self, loader: &Loader) -> Result<JoinSet<()>> {
        let mut neighbours = JoinSet::new();
        let Some(evil) = self.evil.as_ref().filter(|_| self.beside > 0) else {
            return Ok(neighbours);
        };
        let connector = loader.load_file(evil).await?;
        for _ in 0..self.beside {
            let hour = Duration::from_secs(3600);
            let limits = Limits { cpu_per_call: hour, wall_per_call: hour, ..Limits::default() };
            let grants = Grants {
                settings: r#"{"misdeed":"endless-loop"}"#.into(),
                ..Grants::none("evil", limits)
            };
            let (mut opened, _) = open(&connector, grants, "0").await?;
            neighbours.spawn(async move {
                let page = PageLimits { documents: 500, bytes: 1 << 20 };
                drop(opened.look(page, "evil", 1 << 20).await);
            });
        }
        Ok(neighbours)
    }

    async fn upload<S: Source>(
        &self,
        source: impl AsyncFnOnce(Reading) -> Result<S>,
        page: PageLimits,
    ) -> Result<u64> {
        let endpoint = Endpoint {
            server_url: self.sink.clone(),
            requests_per_second: 1e6,
            ..Endpoint::default()
        };
        let upload = Upload {
            client: Client::new(endpoint)?,
            datasource: "bench".into(),
            upload_id: "bench".into(),
            beside: None,
            accepted: Arc::default(),
        };
        let ledger = self.ledger.as_deref().map(Ledger::open).transpose()?;
        let (report, _reports) = watch::channel(Report::default());
        let pipeline = Pipeline {
            limits: &UploadLimits::default(),
            report: &report,
            tolerance: &Tolerance::default(),
            cancel: &CancellationToken::new(),
            journal: match &ledger {
                Some(ledger) => Some(ledger.journal.scope("all").await?.0),
                None => None,
            },
            defined: &Defined::default(),
            usage: Arc::default(),
        };
        let (start, delivery) = (ScopeHead::default(), Delivery::session(upload));
        let source = source(delivery.reading(page, pipeline.limits, &start)).await?;
        let read = pipeline.run(source, delivery, start).await?;
        let documents = read.counts.documents;
        if let Some(ledger) = ledger {
            ledger.close(documents).await?;
        }
        Ok(documents)
    }
}

/// A guest of its own cell, whose crawl is open; and when the cell is gone.
async fn open(
    connector: &Connector,
    grants: Grants,
    scope: &str,
) -> Result<(Opened, impl Future<Output = ()> + use<>)> {
    let cell = Arc::new(connector.serve(grants, None).await?);
    let mut guest = Guest::start(&cell, None, Arc::default(), Arc::default()).await?;
    let crawl = Scope { mode: Mode::Full, scope: scope.into(), resume: None };
    let datasource = guest.datasource().await?;
    Ok((guest.open(crawl, &datasource).await?, cell.gone()))
}

/// The journal of this crawl, and the run that the one before left.
struct Ledger {
    store: Store,
    journal: Journal,
    temporary: PathBuf,
}

impl Ledger {
    fn open(folder: &Path) -> Result<Self> {
        let store = Store::open(&Location::Folder(folder.to_owned()))?;
        let journal = Journal::new(&store, "bench", "now");
        Ok(Self { store, journal, temporary: folder.to_owned() })
    }

    /// What the end of a full crawl does.
    async fn close(self, documents: u64) -> Result<()> {
        let before = Run { name: "before".into(), records: documents, hash: None };
        let known = self.store.size(&before.name).await?.is_some();
        let temporary = self.temporary.clone();
        let name = if known { "now" } else { "before" };
        let sealed = seal(&self.store, &self.journal, name.into(), true, temporary).await?;
        assert_eq!(sealed.run.records, documents, "every document is in the ledger");
        if known {
            let found = compare(&self.store, &[before], &[sealed.run]).await?;
            assert_eq!(found.unchanged, documents, "and is found again");
        }
        self.journal.remove().await
    }
}

/// The same rules that the guest's datasource sets.
fn settings_rules() -> Rules {
    Rules::of(&json!({ "urlRegex": r"https://example\.com/documents/.*" }))
}

/// The generator without a sandbox around it.
struct Native {
    next: u64,
    documents: u64,
    bytes: usize,
}

impl Pages for Native {
    async fn next(&mut self, limits: PageLimits) -> Result<Page> {
        let by_bytes = u64::from(limits.bytes) / (self.bytes as u64 + 200);
        let count = u64::from(limits.documents).min(by_bytes.max(1));
        let end = (self.next + count).min(self.documents);
        let documents = (self.next..end)
            .map(|number| {
                let fields = fields(number, self.bytes);
                let mut document =
                    Document::new(&fields.id, "Document", &fields.url, Access::Everyone);
                document.title = Some(fields.title);
                document.body =
                    Some(Content { mime_type: "text/plain".into(), body: Body::Text(fields.body) });
                document.updated_at = Some(fields.updated_at);
                document
            })
            .collect();
        self.next = end;
        let progress = if end < self.documents {
            Progress::More(end.to_string())
        } else {
            Progress::Complete(None)
        };
        Ok(Page {
            documents,
            deleted: Vec::new(),
            access_changes: Vec::new(),
            unreadable: Vec::new(),
            progress,
        })
    }
}

#[derive(Args)]
pub(crate) struct Start {
    #[arg(long)]
    guest: PathBuf,
    #[arg(long)]
    cache: PathBuf,
}

impl Start {
    pub(crate) async fn run(&self) -> Result<Began, Failure> {
        let started = Instant::now();
        let loader = Loader::new(Program::this(), &self.cache)?;
        let connector = loader.load_file(&self.guest).await?;
        let served = Instant::now();
        let cell = Arc::new(connector.serve(Grants::none("bench", Limits::default()), None).await?);
        let mut guest = Guest::start(&cell, None, Arc::default(), Arc::default()).await?;
        let cell_seconds = served.elapsed().as_secs_f64();
        let cell_memory_mib = memory_of_children()?;
        let scope = guest.scopes().await?.remove(0).id;
        let datasource = guest.datasource().await?;
        let crawl = Scope { mode: Mode::Full, scope, resume: None };
        let mut opened = guest.open(crawl, &datasource).await?;
        let page = PageLimits { documents: 1, bytes: 1 << 20 };
        let seen = opened.look(page, "bench", 1 << 20).await?;
        assert!(!seen.documents.is_empty(), "there is a first document");
        Ok(Began { seconds: started.elapsed().as_secs_f64(), cell_seconds, cell_memory_mib })
    }
}

/// How a process came to its first document.
#[derive(Serialize, Deserialize)]
pub(crate) struct Began {
    pub(crate) seconds: f64,
    /// Of these, until the connection's cell had started its guest.
    pub(crate) cell_seconds: f64,
    /// What the cell then held of its own, its guest's memory included.
    pub(crate) cell_memory_mib: f64,
}

/// Memory that is nobody else's, of all processes that this one has started.
fn memory_of_children() -> Result<f64, Failure> {
    let parent = format!("PPid:\t{}\n", std::process::id());
    let mut kib = 0.0;
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        if !status.contains(&parent) {
            continue;
        }
        let memory = std::fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        for line in memory.lines().filter(|line| line.starts_with("Private_")) {
            let number = line.split_whitespace().nth(1).ok_or("no number")?;
            kib += number.parse::<f64>()?;
        }
    }
    Ok(kib / 1024.0)
}

/// Seconds that this process and those that it has started and seen end computed, in user and kernel mode.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let mut ticks = 0.0;
    for field in 11..15 {
        ticks += fields.get(field).ok_or("no times")?.parse::<f64>()?;
    }
    // Linux counts in hundredths of a second on every common machine.
    Ok(ticks / 100.0)
}

/// The most memory that this process ever held, in MiB.
fn peak_memory() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib / 1024.0)
}
