//! A crawl as a Temporal workflow: it survives crashes, retries by a policy, and can be watched.
//!
//! [`workflows`] decide and hold no I/O; [`activities`] do the work, in the steps of
//! [`crate::crawl::steps`]; [`worker`] offers both to a task queue; [`follow`] starts a workflow and
//! watches it; [`approvals`] answers one that waits; [`schedules`] starts them when they are due;
//! [`connect`] and [`dev_server`] find a server.

pub mod activities;
pub mod api_key;
pub mod approvals;
pub mod connect;
pub mod dev_server;
pub mod follow;
pub mod schedules;
pub mod worker;
pub mod workflows;

/// One workflow id per connection: Temporal itself keeps two crawls of one datasource apart.
pub fn workflow_id(connection: &str) -> String {
    format!("sheaf-{connection}")
}

/// The workflow that waits for a person's word on a connection's deletions.
pub fn approval_id(connection: &str) -> String {
    format!("sheaf-{connection}.approval")
}
