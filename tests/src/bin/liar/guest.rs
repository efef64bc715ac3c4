//! A guest that is none: what it is asked, and what it says.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use sheaf::cell::protocol::{Answer, Ask, Told, Used, receive};

use crate::pages::Pages;
use crate::serve::Cell;
use crate::steps::answer;
use crate::{control, people, scopes};

/// Until nobody asks any more.
pub(crate) fn live(cell: &Cell, link: &UnixStream) -> io::Result<()> {
    answer(cell, link, "start", &said(cell, ()))?;
    let mut pages = None;
    let mut resume = None;
    let mut is_early = false;
    // Pages of users and groups.
    let mut told = 0;
    while let Some(mut frame) = receive(link, None)? {
        let file = frame.files.pop().map(File::from);
        match frame.words()? {
            Ask::Datasource => {
                answer(cell, link, "datasource", &said(cell, datasource(&cell.lie)))?;
            }
            Ask::Check => answer(cell, link, "check", &said(cell, "it is there"))?,
            Ask::Scopes => {
                control::tell(cell)?;
                answer(cell, link, "scopes", &said(cell, scopes::named(&cell.lie)))?;
            }
            Ask::Open { crawl, .. } => {
                resume = crawl.resume;
                if cell.lie == "unread" {
                    return control::unread(cell);
                }
                answer(cell, link, "open", &said(cell, ()))?;
            }
            Ask::Read(reading) => {
                let file = file.ok_or(io::ErrorKind::InvalidData)?;
                let mut begun = Pages::new(cell, *reading, resume.take(), file);
                // A page that nobody has asked for yet.
                is_early = cell.lie == "early-page";
                if is_early {
                    hand_over(cell, link, &mut begun)?;
                }
                pages = Some(begun);
            }
            Ask::Next => {
                let pages = pages.as_mut().ok_or(io::ErrorKind::InvalidData)?;
                if std::mem::take(&mut is_early) {
                    continue;
                }
                hand_over(cell, link, pages)?;
            }
            Ask::OpenIdentities { resume } => {
                told = resume.and_then(|at| at.parse().ok()).unwrap_or_default();
                answer(cell, link, "open-identities", &said(cell, true))?;
            }
            Ask::Identities { .. } => {
                let page = people::page(&cell.lie, told);
                told += 1;
                answer(cell, link, "identities", &said(cell, page))?;
            }
            Ask::Look { .. } => return Ok(()),
        }
    }
    Ok(())
}

fn hand_over(cell: &Cell, link: &UnixStream, pages: &mut Pages) -> io::Result<()> {
    let (step, handed) = pages.next()?;
    answer(cell, link, step, &said(cell, handed))
}

fn said<T: Serialize>(cell: &Cell, words: T) -> Answer<T, Told> {
    let all = u64::MAX;
    let used = match cell.lie.as_str() {
        "usage" => Used { memory: all, cpu: all, crawl: all },
        _ => Used { memory: 1 << 20, cpu: nanoseconds(Duration::from_millis(1)), crawl: 0 },
    };
    Answer { used, requests: Vec::new(), said: Ok(words) }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn datasource(lie: &str) -> String {
    let mut datasource = json!({
        "displayName": "Odd",
        "datasourceCategory": "KNOWLEDGE_HUB",
        "urlRegex": r"https://odd\.example\.com/.*",
        "isUserReferencedByEmail": true,
        "objectDefinitions": [{ "name": "Page", "docCategory": "KNOWLEDGE_HUB" }],
    });
    match lie {
        "datasource-text" => return "no JSON".into(),
        "datasource-list" => return "[1]".into(),
        "datasource-deep" => return "[".repeat(1 << 20),
        "people-by-id" => datasource["isUserReferencedByEmail"] = false.into(),
        // It is called what the operator says.
        "datasource-other" => datasource["name"] = "other".into(),
        "datasource-large" => datasource["displayName"] = "x".repeat(8 << 20).into(),
        _ => {}
    }
    datasource.to_string()
}
