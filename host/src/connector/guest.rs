//! One running instance of a connector, with what one connection grants it.
//!
//! A trap, a limit or a fault ends the guest, never the worker: every call comes back as a
//! [`Failure`] that names the connection, and a trap carries the guest's backtrace and last words.

use std::sync::{Arc, Mutex};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{ResourceAny, ResourceTable};
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::engine::Engine;
use super::load::Connector;
use super::v0_1;
use crate::document::{Crawl, Fault, Manifest, Page, PageLimits, Remedy, Scope};
use crate::failure::{Failure, Kind, Result};
use crate::redact::redact;
use crate::sandbox::egress::{Egress, Hooks};
use crate::sandbox::folders::{FolderGrant, Folders, Roots};
use crate::sandbox::limits::{CpuMeter, Exceeded, Limits, MemoryMeter, Usage, over};
use crate::sandbox::output::{Log, SharedLog, Stream, Tail};
use crate::text::{bounded, bytes};

/// A checkpoint or bookmark larger than this is refused.
pub const MAX_CHECKPOINT_BYTES: usize = 64 << 10;

/// All headers of one request, which the host keeps for the guest.
const FIELD_BYTES: usize = 32 << 10;

/// What one connection lets its connector use.
pub struct Grants {
    pub connection: String,
    pub settings: Arc<str>,
    pub folders: Vec<FolderGrant>,
    pub limits: Limits,
    /// Its way out; there is none where it only describes itself.
    pub egress: Option<Arc<Egress>>,
    /// The credentials that the connector asks for.
    pub credentials: Vec<String>,
    pub usage: Arc<Usage>,
    /// Held while the guest lives: its places among those that run at once.
    pub places: Vec<OwnedSemaphorePermit>,
}

impl Grants {
    pub fn none(connection: &str, limits: Limits) -> Self {
        Self {
            connection: connection.into(),
            settings: "{}".into(),
            folders: Vec::new(),
            limits,
            egress: None,
            credentials: Vec::new(),
            usage: Arc::default(),
            places: Vec::new(),
        }
    }
}

/// What the host keeps for one guest.
pub struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    roots: Roots,
    http: WasiHttpCtx,
    hooks: Hooks,
    memory: MemoryMeter,
    cpu: CpuMeter,
    pub(super) settings: Arc<str>,
    pub(super) log: SharedLog,
    stderr: Tail,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Folders for State {
    fn roots(&self) -> Roots {
        self.roots.clone()
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

impl State {
    fn new(grants: &Grants) -> Result<Self> {
        let limits = &grants.limits;
        let log = Arc::new(Mutex::new(Log::new(&grants.connection, limits.log_lines_per_second)));
        let stderr = Tail::default();
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(Stream::stdout(log.clone()))
            .stderr(Stream::stderr(log.clone(), stderr.clone()));
        let roots = Roots::of(&grants.folders)?;
        for folder in &grants.folders {
            wasi.preopened_dir(&folder.host, &folder.guest, FsPerms::ReadOnly).map_err(
                |error| {
                    Failure::settings(format!("cannot grant the folder: {error:#}"))
                        .at(folder.host.display().to_string())
                },
            )?;
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELD_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        Ok(Self {
            table,
            wasi: wasi.build(),
            roots,
            http,
            hooks: Hooks::new(grants.egress.clone(), &grants.credentials),
            memory: MemoryMeter::new(limits, grants.usage.clone()),
            cpu: CpuMeter::new(limits, grants.usage.clone()),
            settings: grants.settings.clone(),
            log,
            stderr,
        })
    }

    fn exceeded(&self) -> Option<Exceeded> {
        self.cpu.exceeded.or(self.memory.exceeded)
    }

    /// What stands for a granted credential.
    pub(super) fn stand_in(&self, name: &str) -> Result<String, String> {
        match self.hooks.stand_in(name) {
            Some(stand_in) => Ok(stand_in.to_owned()),
            None => Err(format!(
                "the credential `{name}` is not granted to this connection, or the connector's manifest does \
                 not ask for it: grant it in [connections.NAME.grants.credentials.{name}]"
            )),
        }
    }
}

/// A started connector.
pub struct Guest {
    store: Store<State>,
    bindings: v0_1::Bindings,
    limits: Limits,
    connection: String,
    usage: Arc<Usage>,
    _places: Vec<OwnedSemaphorePermit>,
}

impl Connector {
    /// Starts an instance of its own: nothing is shared with another crawl.
    pub async fn start(&self, grants: Grants) -> Result<Guest> {
        Guest::start(&self.engine, &self.pre, grants).await
    }
}

impl Guest {
    pub(super) async fn start(engine: &Engine, pre: &v0_1::Pre, grants: Grants) -> Result<Self> {
        let mut store = Store::new(engine.wasmtime(), State::new(&grants)?);
        if engine.is_guarded() {
            guard(&mut store, &grants.limits);
        }
        let Grants { connection, limits, usage, places, .. } = grants;
        let start = usage.measure(pre.instantiate_async(&mut store));
        let started = tokio::time::timeout(limits.wall_per_call, start).await;
        let bindings = match started {
            Ok(Ok(bindings)) => bindings,
            Ok(Err(error)) => return Err(trapped(&store, &limits, &connection, "start", &error)),
            Err(_) => return Err(too_slow(&limits, &connection, "start")),
        };
        Ok(Self { store, bindings, limits, connection, usage, _places: places })
    }

    pub(super) async fn describe(&mut self) -> Result<Manifest> {
        let call = self.bindings.describe(begin(&mut self.store, &self.limits));
        let outcome =
            tokio::time::timeout(self.limits.wall_per_call, self.usage.measure(call)).await;
        self.end("describe", outcome)?.map_err(|reason| {
            Failure::new(
                Kind::Contract,
                format!("the connector describes itself wrongly: {reason}"),
            )
            .next("mend `describe` in the connector")
        })
    }

    /// The JSON of the datasource to register, without its name.
    pub async fn datasource(&mut self) -> Result<serde_json::Value> {
        let call = self.bindings.datasource(begin(&mut self.store, &self.limits));
        let outcome =
            tokio::time::timeout(self.limits.wall_per_call, self.usage.measure(call)).await;
        let json =
            self.end("datasource", outcome)?.map_err(|fault| self.fault("datasource", fault))?;
        serde_json::from_str(&json).map_err(|error| {
            self.broken(format!("`datasource` returned text that is not JSON: {error}"))
        })
    }

    /// Whether the source answers; the connector's own sentence about it.
    pub async fn check(&mut self) -> Result<String> {
        let call = self.bindings.check(begin(&mut self.store, &self.limits));
        let outcome =
            tokio::time::timeout(self.limits.wall_per_call, self.usage.measure(call)).await;
        self.end("check", outcome)?.map_err(|fault| self.fault("check", fault))
    }

    pub async fn scopes(&mut self) -> Result<Vec<Scope>> {
        let call = self.bindings.scopes(begin(&mut self.store, &self.limits));
        let outcome =
            tokio::time::timeout(self.limits.wall_per_call, self.usage.measure(call)).await;
        self.end("scopes", outcome)?.map_err(|fault| self.fault("scopes", fault))
    }

    pub async fn open(mut self, crawl: Crawl) -> Result<Cursor> {
        let call = self.bindings.open(begin(&mut self.store, &self.limits), crawl);
        let outcome =
            tokio::time::timeout(self.limits.wall_per_call, self.usage.measure(call)).await;
        let handle = self.end("open", outcome)?.map_err(|fault| self.fault("open", fault))?;
        Ok(Cursor { guest: self, handle })
    }

    fn end<T>(
        &self,
        call: &str,
        outcome: std::result::Result<wasmtime::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T> {
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                Err(trapped(&self.store, &self.limits, &self.connection, call, &error))
            }
            Err(_) => Err(too_slow(&self.limits, &self.connection, call)),
        }
    }

    fn fault(&self, call: &str, fault: Fault) -> Failure {
        let Fault { remedy, message, retry_after } = fault;
        let (kind, next) = match remedy {
            Remedy::FixSettings => (Kind::Settings, "change the connection's settings"),
            Remedy::Reauthenticate => {
                (Kind::SourceUnauthorized, "renew the connection's credential")
            }
            Remedy::Retry => (Kind::Source, "it is tried again from the last checkpoint"),
            Remedy::StartOver => (Kind::StartOver, "the scope is crawled again from its beginning"),
            Remedy::GiveUp => (Kind::SourceGaveUp, "ask whoever maintains the connector"),
        };
        let message = bounded(redact(&message).into_owned(), 1_000);
        let words = format!("the connector reports: {message}");
        if let Some(incident) = self.store.data().hooks.incidents().take() {
            // What was refused is why it complains.
            return incident.at(format!("{}, in `{call}`", self.connection)).detail(words);
        }
        let next = match self.store.data().hooks.incidents().take_hint() {
            Some(hint) if kind == Kind::Source => format!("{next}; {hint}"),
            _ => next.to_owned(),
        };
        Failure::new(kind, words)
            .at(format!("{}, in `{call}`", self.connection))
            .next(next)
            .retry_after(retry_after)
            .detail(self.store.data().stderr.text())
    }

    fn broken(&self, what: String) -> Failure {
        Failure::new(Kind::Contract, what).at(self.connection.clone()).next("mend the connector")
    }
}

/// Limits what a guest may use while it runs.
fn guard(store: &mut Store<State>, limits: &Limits) {
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(limits.page_bytes_at_most());
    store.set_max_component_handles(limits.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        Ok(if context.data_mut().cpu.tick() {
            // Others have their turn, however long this one computes.
            UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
        } else {
            UpdateDeadline::Interrupt
        })
    });
}

/// A crawl under way in a guest.
pub struct Cursor {
    guest: Guest,
    handle: ResourceAny,
}

impl Cursor {
    pub async fn next(&mut self, limits: PageLimits) -> Result<Page> {
        let guest = &mut self.guest;
        let call = guest.bindings.next(begin(&mut guest.store, &guest.limits), self.handle, limits);
        let outcome =
            tokio::time::timeout(guest.limits.wall_per_call, guest.usage.measure(call)).await;
        guest.end("cursor.next", outcome)?.map_err(|fault| guest.fault("cursor.next", fault))
    }
}

/// A new call: its budget of CPU and of bytes is whole.
fn begin<'a>(store: &'a mut Store<State>, limits: &Limits) -> &'a mut Store<State> {
    let state = store.data_mut();
    state.cpu.renew();
    state.memory.exceeded = None;
    state.hooks.incidents().clear();
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(limits.page_bytes_at_most());
    store
}

/// Explains why a guest ended.
fn trapped(
    store: &Store<State>,
    limits: &Limits,
    connection: &str,
    call: &str,
    error: &wasmtime::Error,
) -> Failure {
    let state = store.data();
    let stderr = state.stderr.text();
    let detail = format!("{error:?}\n\nthe guest's stderr:\n{stderr}");
    let at = format!("{connection}, in `{call}`");
    if let Some(exceeded) = state.exceeded() {
        let (limit, key) = match exceeded {
            Exceeded::CpuPerCall => {
                (format!("{:?} of computing in one call", limits.cpu_per_call), "cpu_per_call")
            }
            Exceeded::CpuPerCrawl => {
                (format!("{:?} of computing in one crawl", limits.cpu_per_crawl), "cpu_per_crawl")
            }
            Exceeded::Memory => (format!("{} of memory", bytes(limits.memory as u64)), "memory"),
            Exceeded::Tables => {
                (format!("{} entries in its tables", limits.table_entries), "table_entries")
            }
        };
        return over(connection, &limit, key).at(at).detail(detail);
    }
    let cause = error.root_cause().to_string();
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        let most = limits.page_bytes_at_most() >> 20;
        let limit = format!("{most} MiB handed over in one call");
        return over(connection, &limit, "page_bytes").at(at).detail(detail);
    }
    if cause.contains("resource table has no free keys") || cause.contains("handle limit exceeded")
    {
        let limit = format!("{} handles open at once", limits.handles);
        return over(connection, &limit, "handles").at(at).detail(detail);
    }
    if let Some(incident) = state.hooks.incidents().take() {
        return incident.at(at).detail(detail);
    }
    let reason = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => {
            panic_message(&stderr).unwrap_or_else(|| "it stopped itself (`unreachable`)".to_owned())
        }
        Some(Trap::StackOverflow) => "its stack overflowed".to_owned(),
        _ => bounded(cause.lines().next().unwrap_or_default().to_owned(), 300),
    };
    Failure::new(Kind::Trap, format!("the connector crashed: {reason}"))
        .at(at)
        .next("see its stderr and backtrace with `-v`, and tell its author")
        .detail(detail)
}

/// What the guest said last, where its language puts the message of a panic or an exception.
fn panic_message(stderr: &str) -> Option<String> {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let before = |marker: &dyn Fn(&&str) -> bool| {
        lines.iter().position(marker).and_then(|at| lines.get(at.checked_sub(1)?))
    };
    // Python prints a traceback, and then panics itself; JavaScript a stack below the message.
    let message = if stderr.contains("Traceback (most recent call last)") {
        before(&|line| line.starts_with("thread '"))
    } else if lines.contains(&"Stack:") {
        before(&|line| *line == "Stack:")
    } else if let Some(at) = lines.iter().position(|line| line.contains("panicked at")) {
        lines.get(at + 1)
    } else {
        None
    };
    let message = message.or(lines.last())?;
    Some(bounded((*message).to_owned(), 300))
}

fn too_slow(limits: &Limits, connection: &str, call: &str) -> Failure {
    Failure::new(
        Kind::TimedOut,
        format!("the connector did not answer within {:?}", limits.wall_per_call),
    )
    .at(format!("{connection}, in `{call}`"))
    .next(format!("raise `wall_per_call` in [connections.{connection}.limits], or see what the source is doing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_crash_is_found_in_each_language() {
        for (stderr, message) in [
            (
                "thread '<unnamed>' panicked at src/lib.rs:3:5:\nno page 7\nnote: run with\n",
                "no page 7",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'x'\n\nthread 'x' panicked at y:\nPython function threw\n",
                "KeyError: 'x'",
            ),
            (
                "log line\nboom is not defined\nStack:\n  a@b.js\nRedirecting call to abort()\n",
                "boom is not defined",
            ),
            ("only this\n", "only this"),
        ] {
            assert_eq!(panic_message(stderr).as_deref(), Some(message));
        }
        assert_eq!(panic_message("\n"), None);
    }
}
