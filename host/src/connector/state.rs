//! What the host keeps for one guest, in its store.

use std::sync::{Arc, Mutex};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::grants::{Given, Grants};
use crate::failure::{Failure, Result};
use crate::sandbox::egress::{Hooks, Incidents};
use crate::sandbox::folders::{Folders, Roots};
use crate::sandbox::limits::{CpuMeter, Exceeded, MemoryMeter};
use crate::sandbox::output::{Log, SharedLog, Stream, Tail};

/// All headers of one request, which the host keeps for the guest.
const FIELD_BYTES: usize = 32 << 10;
/// Random bytes that a guest gets at once: the host makes them before it hands them over.
const RANDOM_BYTES: u64 = 64 << 10;

pub(super) struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    roots: Roots,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(super) memory: MemoryMeter,
    pub(super) cpu: CpuMeter,
    pub(super) grants: Arc<Grants>,
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
    pub(super) fn new(given: &Given) -> Result<Self> {
        let Given { grants, egress, usage, requests } = given;
        let limits = &grants.limits;
        let log = Arc::new(Mutex::new(Log::new(&grants.connection, limits.log_lines_per_second)));
        let stderr = Tail::default();
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(Stream::stdout(log.clone()))
            .stderr(Stream::stderr(log.clone(), stderr.clone()));
        wasi.max_random_size(RANDOM_BYTES);
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
            hooks: Hooks::new(egress.clone(), &grants.credentials, requests.clone()),
            memory: MemoryMeter::new(limits, usage.clone()),
            cpu: CpuMeter::new(limits, usage.clone()),
            grants: grants.clone(),
            log,
            stderr,
        })
    }

    /// A new call begins: its budget is whole, and nothing has gone wrong yet.
    pub(super) fn renew(&mut self) {
        self.cpu.renew();
        self.memory.exceeded = None;
        self.incidents().clear();
    }

    /// The limit that the call ran into, if it did.
    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        self.cpu.exceeded.or(self.memory.exceeded)
    }

    /// What went wrong with the call's requests.
    pub(super) fn incidents(&self) -> &Incidents {
        self.hooks.incidents()
    }

    /// The last that the guest wrote to stderr.
    pub(super) fn last_words(&self) -> String {
        self.stderr.text()
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
