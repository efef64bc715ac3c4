//! Everything that is tested end to end, in one program: it is linked once, and its parts are built once.

mod deployments;
mod durable;
mod errors;
mod evil;
mod faults;
mod feeds;
mod folders;
mod fuzz;
mod glean;
mod glean_sdk;
mod guests;
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
