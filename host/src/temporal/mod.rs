//! A crawl as a Temporal workflow: it survives crashes, retries by a policy, and can be watched.
//!
//! [`workflow`] decides and holds no I/O; [`activities`] do the work, in the steps of
//! [`crate::crawl::steps`]; [`worker`] offers both to a task queue; [`follow`] starts a workflow and
//! watches it; [`connect`] and [`dev_server`] find a server.

pub mod activities;
pub mod connect;
pub mod dev_server;
pub mod follow;
pub mod worker;
pub mod workflow;

/// One workflow id per connection: Temporal itself keeps two crawls of one datasource apart.
pub fn workflow_id(connection: &str) -> String {
    format!("sheaf-{connection}")
}
