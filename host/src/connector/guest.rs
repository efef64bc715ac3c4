//! One running instance of a connector, with what one connection grants it.
//!
//! A trap, a limit or a fault ends the guest, never the worker: every call comes back as a
//! [`Failure`] that names the connection, and a trap carries the guest's backtrace and last words.

use futures::future::BoxFuture;
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::call::{CallError, Running};
use super::engine::Engine;
use super::fault::{Fault, Faulty, Remedy};
use super::grants::Given;
use super::manifest::Description;
use super::state::State;
use super::{delivered, v0_1};
use crate::document::{Crawl, Page, PageLimits, Scope};
use crate::failure::{Failure, Kind, Result};
use crate::identities;

/// A started connector.
pub struct Guest {
    running: Running,
    bindings: v0_1::Bindings,
}

impl Guest {
    pub(super) async fn start(
        engine: &Engine,
        pre: &v0_1::Pre,
        given: Given,
    ) -> Result<Self, CallError> {
        let mut running = Running::new(engine, given).map_err(CallError::Failed)?;
        let start = running.call("start", pre, |pre, store| Box::pin(pre.instantiate(store)));
        let bindings = start.await?;
        Ok(Self { running, bindings })
    }

    async fn call<T>(
        &mut self,
        name: &str,
        function: impl for<'a> FnOnce(
            &'a v0_1::Bindings,
            &'a mut Store<State>,
        ) -> BoxFuture<'a, wasmtime::Result<T>>,
    ) -> Result<T, CallError> {
        self.running.call(name, &self.bindings, function).await
    }

    /// The same of a function that may report a fault.
    async fn ask<T>(
        &mut self,
        name: &str,
        function: impl for<'a> FnOnce(
            &'a v0_1::Bindings,
            &'a mut Store<State>,
        ) -> BoxFuture<'a, Faulty<T>>,
    ) -> Result<T> {
        self.call(name, function).await?.map_err(|fault| self.fault(name, fault))
    }

    pub(super) async fn describe(&mut self) -> Result<Description, CallError> {
        self.call("describe", |guest, store| Box::pin(guest.describe(store))).await
    }

    /// The JSON of the datasource to register, without its name.
    pub async fn datasource(&mut self) -> Result<serde_json::Value> {
        let json = self.ask("datasource", |guest, store| Box::pin(guest.datasource(store))).await?;
        serde_json::from_str(&json).map_err(|error| {
            let what = format!("`datasource` returned text that is not JSON: {error}");
            Failure::new(Kind::Contract, what)
                .at(self.running.connection())
                .next("mend the connector")
        })
    }

    /// Whether the source answers; the connector's own sentence about it.
    pub async fn check(&mut self) -> Result<String> {
        let said = self.ask("check", |guest, store| Box::pin(guest.check(store))).await?;
        Ok(delivered::sentence(&said))
    }

    pub async fn scopes(&mut self) -> Result<Vec<Scope>> {
        let scopes = self.ask("scopes", |guest, store| Box::pin(guest.scopes(store))).await?;
        delivered::scopes(scopes).map_err(|fault| self.fault("scopes", fault))
    }

    pub async fn open(mut self, crawl: Crawl) -> Result<Cursor> {
        let handle = self.ask("open", |guest, store| Box::pin(guest.open(store, crawl))).await?;
        Ok(Cursor { guest: self, handle })
    }

    /// A reading of users and groups; nothing where the connection has none.
    pub async fn open_identities(
        mut self,
        resume: Option<String>,
    ) -> Result<Option<IdentityCursor>> {
        let opened = self.ask("identities.open", move |guest, store| {
            Box::pin(async move {
                match guest.identities() {
                    Some(identities) => identities.open(store, resume.as_ref()).await,
                    None => Ok(Ok(None)),
                }
            })
        });
        let handle = opened.await?;
        Ok(handle.map(|handle| IdentityCursor { guest: self, handle }))
    }

    fn fault(&self, call: &str, fault: Fault) -> Failure {
        let Fault { remedy, message, retry_after } = fault;
        let (kind, next) = remedy.means();
        let words = format!("the connector reports: {}", delivered::sentence(&message));
        let at = format!("{}, in `{call}`", self.running.connection());
        let state = self.running.state();
        if let Some(incident) = state.incidents().take() {
            // What was refused is why it complains.
            return incident.at(at).detail(words);
        }
        let next = match state.incidents().take_hint() {
            Some(hint) if remedy == Remedy::Retry => format!("{next}; {hint}"),
            _ => next.to_owned(),
        };
        Failure::new(kind, words)
            .at(at)
            .next(next)
            .retry_after(retry_after)
            .detail(state.last_words())
    }
}

/// A crawl under way in a guest.
pub struct Cursor {
    guest: Guest,
    handle: ResourceAny,
}

impl Cursor {
    pub async fn next(&mut self, limits: PageLimits) -> Result<Page> {
        let (name, handle) = ("cursor.next", self.handle);
        let page = self
            .guest
            .ask(name, move |guest, store| Box::pin(guest.next(store, handle, limits)))
            .await?;
        delivered::page(page).map_err(|fault| self.guest.fault(name, fault))
    }
}

/// A reading of users and groups under way in a guest.
pub struct IdentityCursor {
    guest: Guest,
    handle: ResourceAny,
}

impl IdentityCursor {
    pub async fn next(&mut self, limit: u32) -> Result<identities::Page> {
        let (name, handle) = ("reading.next", self.handle);
        let next = self.guest.ask(name, move |guest, store| {
            Box::pin(async move {
                let identities = guest.identities();
                let identities = identities.ok_or_else(|| wasmtime::Error::msg("no identities"))?;
                identities.next(store, handle, limit).await
            })
        });
        let page = next.await?;
        delivered::identities(page).map_err(|fault| self.guest.fault(name, fault))
    }
}
