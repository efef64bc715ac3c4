//! What is allowed, each limit under its key.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};

/// Limits of one connection, each under its key in `[connections.NAME.limits]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory, in bytes, of all the guest's memories together.
    pub memory: usize,
    /// What the host keeps for all guests of the connection in their process, in bytes: their code, pages, requests
    /// and answers.
    pub host_memory: usize,
    /// Entries of all of the guest's tables together, which hold functions and the like.
    pub table_entries: usize,
    /// Time the guest itself may compute in one call.
    pub cpu_per_call: Duration,
    /// Time a crawl's guests may compute in all: over its pages, its scopes in one process, and the
    /// attempts of each.
    pub cpu_per_crawl: Duration,
    /// Time one call may take, waiting included.
    pub wall_per_call: Duration,
    /// Documents the host asks for in one page.
    pub page_documents: u32,
    /// Bytes the host asks for in one page. Twice as many, and at least 16 MiB, are the law.
    pub page_bytes: u32,
    /// Lines a guest may log in one second; more are dropped and counted.
    pub log_lines_per_second: u32,
    /// Things of the host that a guest holds at once: requests, streams, open files.
    pub handles: usize,
    /// Guests of the connection that run at once in one process. More wait.
    pub guests: usize,
    pub http: HttpLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            host_memory: 512 << 20,
            table_entries: 1 << 20,
            cpu_per_call: Duration::from_secs(60),
            cpu_per_crawl: Duration::from_secs(2 * 3600),
            wall_per_call: Duration::from_secs(300),
            page_documents: 500,
            page_bytes: 1 << 20,
            log_lines_per_second: 100,
            handles: 1_000,
            guests: 8,
            http: HttpLimits::default(),
        }
    }
}

impl Limits {
    /// What a call may hand over at most, in bytes: refused before it is allocated.
    pub(crate) fn page_bytes_at_most(&self) -> usize {
        (self.page_bytes as usize * 2).max(16 << 20)
    }

    /// The limits of a component that was granted nothing and only describes itself.
    pub(crate) fn for_describe() -> Self {
        Self {
            cpu_per_call: Duration::from_secs(5),
            wall_per_call: Duration::from_secs(20),
            handles: 200,
            ..Self::default()
        }
    }
}

/// How much HTTP a connection's guests may do, each under its key in `[connections.NAME.limits]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpLimits {
    /// Requests that one guest has open at once, responses that are not read to their end included.
    pub open_requests: usize,
    /// Requests to one host at once, of all crawls of the connection in this process. More wait.
    pub host_requests: usize,
    /// Requests to one host in a second. More wait.
    pub host_requests_per_second: f64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// All headers of a response together.
    pub response_header_bytes: usize,
    pub connect_timeout: Duration,
    /// Until the first byte of the response: resolving, connecting and sending included.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a response.
    pub body_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            open_requests: 16,
            host_requests: 8,
            host_requests_per_second: 20.0,
            request_bytes: 16 << 20,
            response_bytes: 64 << 20,
            response_header_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
        }
    }
}

/// What is told of each limit: how much it was, and the key that raises it.
pub(crate) fn over(connection: &str, limit: &str, key: &str) -> Failure {
    Failure::new(Kind::Limit, format!("the connector used up its limit of {limit}"))
        .at(connection)
        .next(format!("raise `{key}` in [connections.{connection}.limits], or mend the connector"))
}
