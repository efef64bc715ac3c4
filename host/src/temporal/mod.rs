//! A crawl as a Temporal workflow: it survives crashes, retries by a policy, and can be watched.
//!
//! [`workflows`] decide and hold no I/O; [`activities`] do the work, in the steps of
//! [`crate::crawl::crawler`]; [`worker`] offers both to a task queue; [`follow`] starts a workflow and
//! watches it; [`outcomes`] says how those ended that nobody watched; [`approvals`] answers one that
//! waits, and [`cancel`] ends one; [`schedules`] starts them when they are due;
//! [`found`] finds those of this deployment by their [`ids`], and [`queue`] who listens;
//! [`connect`] and [`dev_server`] find a server.

pub mod activities;
pub mod api_key;
pub mod approvals;
mod attempt;
pub mod cancel;
pub mod connect;
pub mod dev_server;
pub mod follow;
pub mod forecasts;
pub mod found;
pub mod identities;
pub mod ids;
pub mod inputs;
pub mod outcomes;
pub mod pause;
pub mod queue;
pub mod rollout;
pub mod schedule;
pub mod schedules;
pub mod settings;
mod store_watch;
pub mod under_way;
pub mod worker;
pub mod workflows;
