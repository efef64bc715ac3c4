//! What all guests of a connection share.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;

use super::loading;
use crate::cell::protocol::{most_of_a_guest, pair};
use crate::connector::{Compiler, Given, Grants, Guest, Runnable, Unloaded, schema};
use crate::failure::{Failure, Result};
use crate::sandbox::egress::{Egress, Requests};
use crate::sandbox::limits::Usage;

pub(super) struct Room {
    grants: Arc<Grants>,
    guarded: bool,
    egress: Option<Arc<Egress>>,
    /// What is started; or the code that it is made of, which the first guest does.
    runnable: Mutex<Result<Arc<Runnable>, File>>,
    /// What each crawl has computed.
    crawls: Mutex<HashMap<String, Arc<AtomicU64>>>,
    pub(super) runtime: Handle,
}

impl Room {
    pub(super) fn new(
        grants: Grants,
        guarded: bool,
        egress: Option<Arc<Egress>>,
        code: File,
        runtime: Handle,
    ) -> Self {
        Self {
            grants: Arc::new(grants),
            guarded,
            egress,
            runnable: Mutex::new(Err(code)),
            crawls: Mutex::default(),
            runtime,
        }
    }

    /// The largest frame that a guest's socket takes.
    pub(super) fn most(&self) -> u32 {
        most_of_a_guest(&self.grants.limits)
    }

    pub(super) fn usage(&self, crawl: Option<(String, u64)>) -> Arc<Usage> {
        let Some((name, before)) = crawl else { return Arc::default() };
        let mut crawls = self.crawls.lock().unwrap_or_else(PoisonError::into_inner);
        let crawl = crawls.entry(name).or_default().clone();
        Usage::of_crawl(crawl, Duration::from_nanos(before))
    }

    /// Blocks while the first guest is started.
    pub(super) async fn start(&self, usage: Arc<Usage>, requests: Arc<Requests>) -> Result<Guest> {
        let runnable = self.load()?;
        let (grants, egress) = (self.grants.clone(), self.egress.clone());
        runnable.start(Given { grants, egress, usage, requests }).await
    }

    fn load(&self) -> Result<Arc<Runnable>> {
        let broken = |unloaded| match unloaded {
            Unloaded::Refused(failure) | Unloaded::Later(failure) => failure,
            Unloaded::NoMemory => Failure::internal("its code finds no memory in its process"),
        };
        let mut runnable = self.runnable.lock().unwrap_or_else(PoisonError::into_inner);
        let code = match &*runnable {
            Ok(runnable) => return Ok(runnable.clone()),
            Err(code) => code,
        };
        let bytes = loading::read(code).map_err(broken)?;
        let compiler = Compiler::new(self.guarded)?;
        let loaded = compiler.load(&bytes).map_err(broken)?;
        let loaded =
            loaded.ok_or_else(|| Failure::internal("its code is none of this program's"))?;
        let made = Arc::new(compiler.runnable(&loaded).map_err(broken)?);
        *runnable = Ok(made.clone());
        Ok(made)
    }

    /// Holds the settings against a schema.
    pub(super) async fn fit(&self, schema: &str, socket: UnixStream) {
        let Ok((sender, _)) = pair(socket, self.most()) else { return };
        let held = || {
            let [schema, settings] = [schema, &self.grants.settings]
                .map(|text| serde_json::from_str::<Value>(text).map_err(|error| error.to_string()));
            schema::misfits(&schema?, &settings?)
        };
        // Where nobody listens any more there is nothing to say.
        let _ = sender.send(&held(), &[]).await;
    }
}
