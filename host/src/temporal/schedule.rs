//! When a connection is crawled, as it travels: a schedule's workflow is started with it, and so it is
//! seen whether the server's schedule is the wanted one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::crawl::ModeName;

/// One schedule of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its key in the file.
    pub name: String,
    pub mode: ModeName,
    /// Users and groups are crawled, and no documents.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identities: bool,
    /// Cron expressions as Temporal reads them: five to seven fields, or `@daily` and the like.
    pub cron: Vec<String>,
    pub every: Option<Duration>,
    /// Moves `every` within its interval.
    pub offset: Option<Duration>,
    pub calendars: Vec<Calendar>,
    /// A name of the IANA database; otherwise UTC.
    pub time_zone: Option<String>,
    /// Each start is moved by a random part of this.
    pub jitter: Option<Duration>,
    pub overlap: Overlap,
    /// Starts that were missed by less than this, because no server was there, are made up for.
    pub catch_up: Duration,
    pub pause_on_failure: bool,
}

/// A point in the calendar, in the ranges that Temporal takes: `"2"`, `"1-5"`, `"0,30"`, `"*/2"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub second: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub minute: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hour: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub day_of_month: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub month: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub year: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub day_of_week: String,
}

/// What happens when a crawl is due while the one before of the same schedule runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    #[default]
    Skip,
    BufferOne,
    BufferAll,
    CancelOther,
    TerminateOther,
    AllowAll,
}
