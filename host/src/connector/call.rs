//! The one way into a guest: each call has a whole budget and so much time, and what ends it is explained.

use std::sync::Arc;

use futures::future::BoxFuture;
use wasmtime::{Store, UpdateDeadline};

use super::engine::Engine;
use super::grants::{Given, Grants};
use super::state::State;
use super::trap;
use crate::failure::{Failure, Kind, Result};
use crate::sandbox::limits::{Limits, Usage};

/// A guest's store, and what its calls may use.
pub(super) struct Running {
    store: Store<State>,
    grants: Arc<Grants>,
    usage: Arc<Usage>,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// It took too long: the same call may be quicker another time.
    TooSlow(Failure),
    /// The guest crashed, used up a limit or broke the contract.
    Failed(Failure),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::TooSlow(failure) | CallError::Failed(failure) => failure,
        }
    }
}

impl Running {
    pub(super) fn new(engine: &Engine, given: Given) -> Result<Self> {
        let mut store = engine.store(State::new(&given)?);
        let Given { grants, usage, .. } = given;
        if engine.is_guarded() {
            guard(&mut store, &grants.limits);
        }
        Ok(Self { store, grants, usage })
    }

    /// Calls `function` of `exports`; `name` is for people.
    pub(super) async fn call<E, T>(
        &mut self,
        name: &str,
        exports: &E,
        function: impl for<'a> FnOnce(&'a E, &'a mut Store<State>) -> BoxFuture<'a, wasmtime::Result<T>>,
    ) -> Result<T, CallError> {
        let most = self.grants.limits.wall_per_call;
        self.renew();
        let call = self.usage.measure(function(exports, &mut self.store));
        match tokio::time::timeout(most, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let (Grants { connection, limits, .. }, state) = (&*self.grants, self.store.data());
                Err(CallError::Failed(trap::explain(&error, name, connection, state, limits)))
            }
            Err(_) => Err(CallError::TooSlow(self.too_slow(name))),
        }
    }

    pub(super) fn state(&self) -> &State {
        self.store.data()
    }

    pub(super) fn connection(&self) -> &str {
        &self.grants.connection
    }

    /// The budget of CPU and of bytes is whole again.
    fn renew(&mut self) {
        self.store.data_mut().renew();
        self.store.set_epoch_deadline(1);
        self.store.set_hostcall_fuel(self.grants.limits.page_bytes_at_most());
    }

    fn too_slow(&self, call: &str) -> Failure {
        let what =
            format!("the connector did not answer within {:?}", self.grants.limits.wall_per_call);
        Failure::new(Kind::TimedOut, what)
            .at(format!("{}, in `{call}`", self.grants.connection))
            .next(format!(
                "raise `wall_per_call` in [connections.{}.limits], or see what the source is doing",
                self.grants.connection
            ))
    }
}

/// Limits what a guest may use while it runs.
fn guard(store: &mut Store<State>, limits: &Limits) {
    store.limiter(|state| &mut state.memory);
    store.set_max_component_handles(limits.handles);
    store.epoch_deadline_callback(|mut context| {
        Ok(if context.data_mut().cpu.tick() {
            // Others have their turn, however long this one computes.
            UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
        } else {
            UpdateDeadline::Interrupt
        })
    });
}
