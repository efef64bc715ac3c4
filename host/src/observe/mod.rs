//! Telling people what happens: logs on stderr, and the progress of a crawl.

pub mod logging;
pub mod numbers;
pub mod progress;
