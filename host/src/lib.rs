//! Sheaf's host: what loads connectors and gets their documents into Glean.
//!
//! The way of a document through the rooms: a [`cell`] makes code of a component, [`connector`] runs it as a
//! guest inside [`sandbox`], [`intake`] turns its pages into checked batches of [`wire`]'s documents, [`crawl`]
//! moves them, [`glean`] uploads them, and [`temporal`] makes the whole durable. What a connection has in
//! Glean is kept in its [`ledger`], and that in a [`store`]. [`registry`] finds connectors, [`config`] reads
//! `sheaf.toml`, and [`cli`] is the command line. Which room may use which is held by a test: `house.rs`.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod audience;
pub mod cell;
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub mod cli;
pub mod clock;
pub mod config;
pub mod connector;
pub mod crawl;
pub mod document;
pub mod failure;
pub mod glean;
#[cfg(test)]
mod house;
pub mod identities;
pub mod intake;
pub mod ledger;
pub mod lists;
pub mod machine;
pub mod metrics;
pub mod name;
pub mod observe;
pub mod pace;
mod project;
pub mod redact;
pub mod registry;
pub mod release;
pub mod sandbox;
pub mod secret;
pub mod senders;
pub mod store;
pub mod temporal;
pub mod text;
pub mod tls;
pub mod traces;
pub mod wire;
