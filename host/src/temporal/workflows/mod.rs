//! The workflows. These modules are deterministic: no I/O, no clock but the workflow's, nothing
//! random. A test reads them for what must not be here, another replays recorded histories.
//!
//! [`indexing`] is one crawl, under one id a connection: Temporal itself keeps two apart. [`approval`]
//! waits for a person where a crawl would delete too much, under an id of its own, so that incremental
//! crawls may run meanwhile. [`identities`] tells who is who, [`forecast`] what a crawl would do. [`scheduled`] is
//! what a schedule starts, and [`all`] crawls many connections; both run crawls as children.

mod activity;
pub mod all;
pub mod approval;
mod claim;
pub mod forecast;
pub mod identities;
pub mod indexing;
mod reported;
pub mod scheduled;
mod share;
mod timer;

pub use all::{AllInput, AllWorkflow};
pub use approval::{ApprovalInput, ApprovalWorkflow};
pub use forecast::ForecastWorkflow;
pub use identities::IdentitiesWorkflow;
pub use indexing::{CrawlInput, IndexingWorkflow};
pub use reported::reported;
pub use scheduled::{ScheduledCrawl, ScheduledInput, ScheduledResult};

#[cfg(test)]
mod tests {
    #[test]
    fn workflow_code_has_no_clock_no_randomness_and_no_io() {
        for code in [
            include_str!("indexing.rs"),
            include_str!("identities.rs"),
            include_str!("forecast.rs"),
            include_str!("approval.rs"),
            include_str!("scheduled.rs"),
            include_str!("all.rs"),
            include_str!("activity.rs"),
            include_str!("claim.rs"),
            include_str!("share.rs"),
            include_str!("timer.rs"),
            include_str!("reported.rs"),
        ] {
            for forbidden in
                ["tokio", "Instant", "SystemTime", "rand::", "std::fs", "std::env", "reqwest"]
            {
                assert!(!code.contains(forbidden), "{forbidden}");
            }
        }
    }
}
