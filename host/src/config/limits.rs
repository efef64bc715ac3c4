//! `[connections.NAME.limits]`: how much a connector may use.

use serde::Deserialize;

use super::locate::Locate;
use super::values::{Size, Span};
use crate::failure::Result;
use crate::sandbox::limits::{HttpLimits, Limits};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    memory: Option<Size>,
    host_memory: Option<Size>,
    table_entries: Option<usize>,
    cpu_per_call: Option<Span>,
    cpu_per_crawl: Option<Span>,
    wall_per_call: Option<Span>,
    page_documents: Option<u32>,
    page_bytes: Option<Size>,
    log_lines_per_second: Option<u32>,
    handles: Option<usize>,
    guests: Option<usize>,
    open_requests: Option<usize>,
    host_requests: Option<usize>,
    host_requests_per_second: Option<f64>,
    request_bytes: Option<Size>,
    response_bytes: Option<Size>,
    response_header_bytes: Option<Size>,
    connect_timeout: Option<Span>,
    first_byte_timeout: Option<Span>,
    body_timeout: Option<Span>,
}

/// With less a process has no room for its own threads.
const LEAST_HOST_MEMORY: usize = 64 << 20;

impl Section {
    pub(super) fn validate(self, name: &str, locate: &Locate<'_>) -> Result<Limits> {
        let at = |key| ["connections", name, "limits", key];
        for (value, key) in [
            (self.page_documents.map(|number| number as usize), "page_documents"),
            (self.handles, "handles"),
            (self.guests, "guests"),
            (self.open_requests, "open_requests"),
            (self.host_requests, "host_requests"),
        ] {
            if value == Some(0) {
                return Err(locate.failure(&at(key), "it must be at least 1"));
            }
            if value.is_some_and(|value| value > 1_000_000) {
                return Err(locate.failure(&at(key), "1,000,000 is the most"));
            }
        }
        if self.host_memory.is_some_and(|size| size.0 < LEAST_HOST_MEMORY) {
            return Err(locate.failure(&at("host_memory"), "it must be at least 64 MiB"));
        }
        let rate = self.host_requests_per_second;
        if rate.is_some_and(|rate| !(0.001..=1e6).contains(&rate)) {
            return Err(locate.failure(
                &at("host_requests_per_second"),
                "it must be between 0.001 and 1,000,000",
            ));
        }
        let usual = Limits::default();
        let page_bytes = match self.page_bytes.map(|size| u32::try_from(size.0)) {
            None => usual.page_bytes,
            Some(Ok(bytes)) if bytes <= 1 << 30 => bytes,
            Some(_) => return Err(locate.failure(&at("page_bytes"), "1 GiB is the most")),
        };
        let span = |value: Option<Span>, usual| value.map_or(usual, |span| span.0);
        let size = |value: Option<Size>, usual| value.map_or(usual, |size| size.0 as u64);
        let http = usual.http;
        Ok(Limits {
            memory: self.memory.map_or(usual.memory, |size| size.0),
            host_memory: self.host_memory.map_or(usual.host_memory, |size| size.0),
            table_entries: self.table_entries.unwrap_or(usual.table_entries),
            cpu_per_call: span(self.cpu_per_call, usual.cpu_per_call),
            cpu_per_crawl: span(self.cpu_per_crawl, usual.cpu_per_crawl),
            wall_per_call: span(self.wall_per_call, usual.wall_per_call),
            page_documents: self.page_documents.unwrap_or(usual.page_documents),
            page_bytes,
            log_lines_per_second: self.log_lines_per_second.unwrap_or(usual.log_lines_per_second),
            handles: self.handles.unwrap_or(usual.handles),
            guests: self.guests.unwrap_or(usual.guests),
            http: HttpLimits {
                open_requests: self.open_requests.unwrap_or(http.open_requests),
                host_requests: self.host_requests.unwrap_or(http.host_requests),
                host_requests_per_second: rate.unwrap_or(http.host_requests_per_second),
                request_bytes: size(self.request_bytes, http.request_bytes),
                response_bytes: size(self.response_bytes, http.response_bytes),
                response_header_bytes: self
                    .response_header_bytes
                    .map_or(http.response_header_bytes, |size| size.0),
                connect_timeout: span(self.connect_timeout, http.connect_timeout),
                first_byte_timeout: span(self.first_byte_timeout, http.first_byte_timeout),
                body_timeout: span(self.body_timeout, http.body_timeout),
            },
        })
    }
}
