//! A page as a crawl would judge it, for people who look at it before anything is uploaded.

use serde::{Deserialize, Serialize};

use super::rules::Rules;
use crate::document::{self, Access, Body, Document, Page, Progress, Unreadable};
use crate::text::{bounded, bytes, count, cut, short_line};
use crate::wire::document::DocumentDefinition;
use crate::wire::size;

/// So much of an id, a title or an address is shown.
const LONGEST: usize = 1_000;
/// So much of a body.
const EXCERPT: usize = 160;

/// What was seen of a page.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen {
    #[serde(deserialize_with = "crate::lists::counted")]
    pub documents: Vec<Judged>,
    #[serde(deserialize_with = "crate::lists::counted")]
    pub unreadable: Vec<Unreadable>,
    pub more: bool,
    /// Why the rest of the scope is not delivered.
    pub partial: Option<String>,
}

/// A document, and what a crawl would do with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Judged {
    pub key: u128,
    pub has_id: bool,
    /// In words, each a line.
    pub id: String,
    pub title: String,
    pub url: String,
    pub object_type: String,
    /// Who would find it.
    pub seen_by: String,
    pub body: String,
    pub excerpt: Option<String>,
    /// As it would be sent.
    pub json: String,
    /// Why it would be quarantined.
    pub problem: Option<String>,
    /// What is odd about it, though it would be uploaded.
    pub note: Option<String>,
}

impl Seen {
    /// The same as if it was judged here: another process did, and can say anything.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        for judged in &mut self.documents {
            let Judged {
                id, title, url, object_type, seen_by, body, excerpt, problem, note, ..
            } = judged;
            let texts = [id, title, url, object_type, seen_by, body].into_iter();
            for text in texts.chain(excerpt).chain(problem).chain(note) {
                *text = short_line(text, LONGEST);
            }
        }
        for found in &mut self.unreadable {
            found.reason = short_line(&found.reason, LONGEST);
        }
        if let Some(why) = &mut self.partial {
            *why = short_line(why, LONGEST);
        }
        self
    }
}

/// `most`: bytes of one encoded document.
pub(crate) fn page(page: Page, rules: &Rules, datasource: &str, most: usize) -> Seen {
    let more = matches!(page.progress, Progress::More(_));
    let judge = |document: &Document| judged(document, rules, datasource, most);
    let documents = page.documents.iter().map(judge).collect();
    let unreadable = page.unreadable.into_iter();
    let unreadable = unreadable.map(|found| Unreadable {
        id: found.id.map(|id| cut(&id, LONGEST)),
        view_url: found.view_url.map(|url| cut(&url, LONGEST)),
        ..found
    });
    let partial = match page.progress {
        Progress::Partial(why) => Some(cut(&why, LONGEST)),
        Progress::More(_) | Progress::Complete(_) => None,
    };
    Seen { documents, unreadable: unreadable.collect(), more, partial }
}

fn judged(document: &Document, rules: &Rules, datasource: &str, most: usize) -> Judged {
    let wire = DocumentDefinition::new(datasource, document);
    let problem = rules.broken(document).or_else(|| {
        let size = size::encoded(&wire);
        (size > most).then(|| format!("it has {size} bytes as JSON, and {most} is the most"))
    });
    let title = document.title.as_deref().unwrap_or("(no title)");
    let [id, title, url, object_type] =
        [document.id.as_str(), title, &document.view_url, &document.object_type]
            .map(|text| short_line(text, LONGEST));
    Judged {
        key: document::key(&document.id),
        has_id: !document.id.is_empty(),
        id,
        title,
        url,
        object_type,
        seen_by: seen_by(&document.access),
        body: body(document),
        excerpt: excerpt(document),
        json: serde_json::to_string(&wire).unwrap_or_default(),
        problem,
        note: rules.odd(document),
    }
}

fn seen_by(access: &Access) -> String {
    match access {
        Access::Everyone => "everyone".to_owned(),
        Access::SourceUsers => "all users of the datasource".to_owned(),
        Access::Unknown => "nobody: the connector does not know".to_owned(),
        Access::Restricted(to) => format!(
            "{}, {}",
            count(to.users.len() as u64, "user"),
            count((to.groups.len() + to.group_intersections.len()) as u64, "group")
        ),
    }
}

fn body(document: &Document) -> String {
    let Some(content) = &document.body else { return "no body".to_owned() };
    let size = match &content.body {
        Body::Text(text) => text.len(),
        Body::Binary(bytes) => bytes.len(),
    };
    format!("{}, {}", short_line(&content.mime_type, LONGEST), bytes(size as u64))
}

fn excerpt(document: &Document) -> Option<String> {
    let Some(Body::Text(body)) = document.body.as_ref().map(|content| &content.body) else {
        return None;
    };
    let start: String = body.split_whitespace().take(25).collect::<Vec<_>>().join(" ");
    Some(bounded(start, EXCERPT))
}
