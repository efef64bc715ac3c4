//! A component that was held against the contract, ready to be started again and again.

use wasmtime::component::Component;

use super::call::CallError;
use super::engine::Engine;
use super::grants::Given;
use super::guest::Guest;
use super::v0_1;
use crate::failure::Result;

pub(crate) struct Runnable {
    engine: Engine,
    pre: v0_1::Pre,
}

impl Runnable {
    pub(crate) fn new(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        Ok(Self { engine: engine.clone(), pre: engine.link(component)? })
    }

    /// Starts an instance of its own: nothing is shared with another crawl.
    pub(crate) async fn start(&self, given: Given) -> Result<Guest> {
        Ok(self.start_or_say_why(given).await?)
    }

    pub(super) async fn start_or_say_why(&self, given: Given) -> Result<Guest, CallError> {
        Guest::start(&self.engine, &self.pre, given).await
    }
}
