//! Everything that is tested end to end, in one program: it is linked once, and its parts are built once.

mod approval;
mod deployments;
mod durable;
mod errors;
mod evil;
mod examples;
mod explain;
mod faults;
mod feeds;
mod folders;
mod forged;
mod fuzz;
mod glean;
mod glean_sdk;
mod guests;
mod incremental;
mod kill;
mod ledger;
mod local;
mod lying;
mod removed;
mod rest;
mod scopes;
mod secrets;
mod temporal;
mod tls;
