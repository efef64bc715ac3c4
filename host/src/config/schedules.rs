//! `[connections.X.schedules]`: when a connection is crawled.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::locate::Locate;
use super::values::Span;
use crate::crawl::ModeName;
use crate::failure::Result;
use crate::temporal::schedule::{Calendar, Overlap, Schedule};

/// A missed night is made up for in the morning, and not each hour of a lost weekend.
const CATCH_UP: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    mode: Option<Mode>,
    cron: Option<OneOrMore>,
    every: Option<Span>,
    offset: Option<Span>,
    #[serde(default)]
    at: Vec<Calendar>,
    time_zone: Option<String>,
    jitter: Option<Span>,
    #[serde(default)]
    overlap: Overlap,
    catch_up: Option<Span>,
    #[serde(default)]
    pause_on_failure: bool,
}

/// What a schedule crawls.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Full,
    Incremental,
    Identities,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

pub(super) fn validate(
    connection: &str,
    sections: BTreeMap<String, Section>,
    locate: &Locate<'_>,
) -> Result<Vec<Schedule>> {
    sections.into_iter().map(|(name, section)| section.validate(connection, name, locate)).collect()
}

impl Section {
    fn validate(self, connection: &str, name: String, locate: &Locate<'_>) -> Result<Schedule> {
        let wrong = |key: &str, what: String| {
            locate.failure(&["connections", connection, "schedules", &name, key], what)
        };
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(wrong("", format!("`{name}` is not a schedule's name"))
                .next("use letters, digits, `-` and `_`"));
        }
        let mode = match (self.mode, name.as_str()) {
            (Some(mode), _) => mode,
            (None, "full") => Mode::Full,
            (None, "incremental") => Mode::Incremental,
            (None, "identities") => Mode::Identities,
            (None, _) => {
                return Err(wrong("mode", "the schedule does not say what it crawls".into())
                    .next("add `mode = \"full\"`, `\"incremental\"` or `\"identities\"`"));
            }
        };
        let cron = match self.cron {
            None => Vec::new(),
            Some(OneOrMore::One(one)) => vec![one],
            Some(OneOrMore::More(more)) => more,
        };
        for expression in &cron {
            let fields = expression.split_whitespace().count();
            if !expression.starts_with('@') && !(5..=7).contains(&fields) {
                return Err(wrong("cron", format!("`{expression}` is not a cron expression"))
                    .next("write five fields: minute, hour, day of month, month, day of week"));
            }
        }
        if cron.is_empty() && self.every.is_none() && self.at.is_empty() {
            return Err(wrong("cron", "the schedule never starts".into()).next(
                "add `cron = \"0 2 * * *\"`, `every = \"1h\"`, or `at = [{ hour = \"2\" }]`",
            ));
        }
        if self.offset.is_some() && self.every.is_none() {
            return Err(wrong("offset", "it moves `every`, which is not set".into())
                .next("set `every`, or remove `offset`"));
        }
        let second = |span: Option<Span>| span.map(|span| span.0);
        if let Some(every) = second(self.every)
            && every < Duration::from_secs(1)
        {
            return Err(wrong("every", "it must be at least one second".into()));
        }
        Ok(Schedule {
            mode: match mode {
                Mode::Full | Mode::Identities => ModeName::Full,
                Mode::Incremental => ModeName::Incremental,
            },
            identities: mode == Mode::Identities,
            cron,
            every: second(self.every),
            offset: second(self.offset),
            calendars: self.at,
            time_zone: self.time_zone,
            jitter: second(self.jitter),
            overlap: self.overlap,
            catch_up: second(self.catch_up).unwrap_or(CATCH_UP),
            pause_on_failure: self.pause_on_failure,
            name,
        })
    }
}
