//! Delivers documents, and misbehaves in the way that its settings name.

#![cfg(target_family = "wasm")]

use serde::Deserialize;
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{
    Access, AccessChange, Comment, Connector, Content, Context, Crawl, Cursor, Datasource,
    Document, DocumentRef, Error, Interactions, Limits, Manifest, Page, Restricted, Result, Scope,
    Unreadable, UserRef, category, log,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What goes wrong.
    misdeed: Option<String>,
    /// After how many pages.
    after: Option<u64>,
    /// The only scope in which it does, or the first ones; otherwise in each.
    only: Option<u64>,
    first: Option<u64>,
    /// How many pages of ten documents there are in each scope.
    pages: u64,
    /// How many scopes there are.
    scopes: Option<u64>,
    /// Stands in each document.
    salt: Option<String>,
    /// Documents whose number is divisible by this are not there.
    without: Option<u64>,
}

struct Odd;

impl Connector for Odd {
    type Settings = Settings;
    type Cursor = Pages;

    fn manifest() -> Manifest {
        Manifest::new("odd", "0.1.0", "Misbehaves.").incremental()
    }

    fn datasource(_: &Settings) -> Result<Datasource> {
        Ok(Datasource::new("Odd", category::KNOWLEDGE_HUB, r"https://odd\.example\.com/.*")
            .object("Page", category::KNOWLEDGE_HUB))
    }

    fn check(settings: &Settings) -> Result<String> {
        assert!(settings.misdeed.as_deref() != Some("crash-in-check"), "no check today");
        Ok("it is odd".into())
    }

    fn scopes(settings: &Settings) -> Result<Vec<Scope>> {
        if settings.misdeed.as_deref() == Some("no-scopes") {
            return Err(Error::retry("the source is asleep"));
        }
        let lost = u64::from(settings.misdeed.as_deref() == Some("lost-scope"));
        let count = settings.scopes.unwrap_or(1) - lost;
        Ok((0..count)
            .map(|scope| Scope::new(scope.to_string(), format!("Scope {scope}")))
            .collect())
    }

    fn open(settings: Settings, crawl: Crawl) -> Result<Pages> {
        let next = match &crawl.resume {
            None => 0,
            Some(checkpoint) => checkpoint.parse().context("the checkpoint")?,
        };
        if settings.misdeed.as_deref() == Some("old-bookmark") && crawl.mode.bookmark().is_some() {
            return Err(Error::start_over("the bookmark is too old"));
        }
        let scope = crawl.scope.parse().context("the scope")?;
        if settings.misdeed.as_deref() == Some("forbidden-scope") && scope == 1 {
            return Err(Error::give_up("403: the space may not be read any more"));
        }
        Ok(Pages {
            settings,
            next,
            scope,
            resumed: crawl.resume.is_some(),
            incremental: crawl.mode.bookmark().is_some(),
        })
    }
}

struct Pages {
    settings: Settings,
    next: u64,
    scope: u64,
    resumed: bool,
    incremental: bool,
}

/// The first document of the page before the next one.
fn page_start(next: u64) -> u64 {
    (next - 1) * 10
}

impl Cursor for Pages {
    fn next(&mut self, _: Limits) -> Result<Page> {
        let page = self.next;
        self.next += 1;
        let first = self.scope * 1_000_000 + page * 10;
        let there =
            |number: &u64| self.settings.without.is_none_or(|without| number % without != 0);
        let mut documents: Vec<_> = (first..first + 10).filter(there).map(document).collect();
        if let Some(salt) = &self.settings.salt {
            documents = documents
                .into_iter()
                .map(|document| document.text(format!("An odd page, with {salt}.")))
                .collect();
        }
        let here = self.settings.only.is_none_or(|only| only == self.scope)
            && self.settings.first.is_none_or(|first| self.scope < first);
        if here && page >= self.settings.after.unwrap_or(0) {
            match self.settings.misdeed.as_deref() {
                None => {}
                Some("panic") => panic!("no page {page} today"),
                Some("loop") => loop {
                    std::hint::black_box(page);
                },
                Some("memory") => {
                    let mut hoard: Vec<Vec<u8>> = Vec::new();
                    loop {
                        hoard.push(vec![1; 1 << 20]);
                    }
                }
                Some("large-page") => {
                    documents.push(document(1_000_000).text("x".repeat(64 << 20)));
                }
                Some("large-checkpoint") => return Ok(Page::more(documents, "x".repeat(70_000))),
                Some("retry") => return Err(Error::retry("the source is asleep").after(1)),
                Some("retry-once") if self.resumed => {}
                Some("retry-once") => return Err(Error::retry("the source is asleep")),
                Some("old-bookmark") => {}
                Some("start-over") => return Err(Error::start_over("the cursor expired")),
                Some("give-up") => return Err(Error::give_up("the source is gone")),
                Some("fix-settings") => {
                    return Err(Error::fix_settings("the space does not exist"));
                }
                Some("partial") => {
                    return Ok(Page::partial(documents, "the source stopped answering"));
                }
                Some("end-early") => return Ok(Page::complete(documents, None)),
                Some("same-page") => {
                    let again = (0..10).map(document).collect();
                    return Ok(Page::more(again, self.next.to_string()));
                }
                Some("same-checkpoint") => return Ok(Page::more(Vec::new(), "again")),
                Some("repeat-id") => documents.push(document(0)),
                Some("repeat-ids") => documents = (0..10).map(document).chain(documents).collect(),
                Some("fold-id") => {
                    let mut folded = document(0);
                    folded.id = folded.id.to_uppercase();
                    documents.push(folded);
                }
                Some("hang") => std::thread::sleep(std::time::Duration::from_secs(3600)),
                Some("backwards") => {
                    // A clock that is set back with each page, to before there were any.
                    documents = documents
                        .into_iter()
                        .map(|document| document.updated_at(-i64::try_from(page).unwrap_or(0)))
                        .collect();
                }
                Some("lost-scope") => {}
                Some("changes" | "forbidden-scope") if self.incremental => {
                    let mut page =
                        Page::complete(vec![document(1).text("Changed.")], Some("later".into()));
                    page.documents.push(document(999_999));
                    page.deleted
                        .push(DocumentRef { id: "odd-2".into(), object_type: "Page".into() });
                    return Ok(page);
                }
                Some("changes" | "forbidden-scope") => {}
                Some("closed") if self.incremental => {
                    let mut page = Page::complete(Vec::new(), Some("later".into()));
                    let target = DocumentRef { id: "odd-1".into(), object_type: "Page".into() };
                    let access = Access::Unknown;
                    page.access_changes.push(AccessChange { target, access });
                    return Ok(page);
                }
                Some("closed") => {}
                Some("empty") => return Ok(Page::complete(Vec::new(), None)),
                Some("long-id") => documents[3].id = "x".repeat(201),
                Some("nameless") => {
                    for document in &mut documents[3..7] {
                        document.id = String::new();
                    }
                    documents[5].view_url = String::new();
                    documents[6].view_url = String::new();
                    let locked = "https://odd.example.com/locked".to_owned();
                    let unreadable =
                        |url| Unreadable { id: None, view_url: url, reason: "it is locked".into() };
                    return Ok(self
                        .page(documents)
                        .unreadable(vec![unreadable(Some(locked)), unreadable(None)]));
                }
                Some("two-types") => {
                    let mut other = document(0);
                    other.object_type = "Note".into();
                    documents.push(other);
                }
                Some("foreign-url") => documents[3].view_url = "https://other.example.com/".into(),
                Some("unreadable") => {
                    let locked = documents.pop().map(|document| document.id);
                    let unreadable =
                        Unreadable { id: locked, view_url: None, reason: "it is locked".into() };
                    return Ok(self.page(documents).unreadable(vec![unreadable]));
                }
                Some("chatter") => {
                    for line in 0..10_000 {
                        log::warn!("line {line}");
                    }
                }
                Some("everything") => return Ok(self.everything(documents)),
                Some(other) => return Err(Error::give_up(format!("no such misdeed: {other}"))),
            }
        }
        Ok(self.page(documents))
    }
}

impl Pages {
    /// Every field of a document, and in an incremental crawl every kind of change.
    fn everything(&self, mut documents: Vec<Document>) -> Page {
        let ann = UserRef::email("ann@example.com").named("Ann");
        documents[0] = document(page_start(self.next))
            .filename("page.txt")
            .summary(Content::text("text/plain", "A summary"))
            .container("A space")
            .author(ann.clone())
            .owner(UserRef::id("u-1"))
            .created_at(1_700_000_000)
            .updated_at(1_700_000_001)
            .tag("odd")
            .status("open")
            .comment(Comment {
                id: "c1".into(),
                author: Some(ann.clone()),
                content: Content::text("text/plain", "A comment"),
                created_at: Some(1_700_000_002),
                updated_at: None,
            })
            .property("priority", 3)
            .property("labels", vec!["a".to_owned(), "b".to_owned()])
            .property("team", "sheaf");
        documents[0].updated_by = Some(ann);
        documents[0].interactions =
            Some(Interactions { views: Some(1), likes: Some(2), comments: Some(3) });
        documents[0].additional_urls = vec!["https://odd.example.com/also".into()];
        documents[0].native_app_url = Some("odd://1".into());
        documents[1].access = Access::Restricted(Restricted {
            users: Vec::new(),
            groups: vec!["g1".into()],
            group_intersections: vec![vec!["g2".into(), "g3".into()]],
        });
        documents[2].access = Access::SourceUsers;
        documents[3].access = Access::Unknown;
        documents[4].body = Some(Content::binary("application/pdf", b"%PDF".to_vec()));
        let first = DocumentRef { id: documents[1].id.clone(), object_type: "Page".into() };
        let second = DocumentRef { id: documents[2].id.clone(), object_type: "Page".into() };
        let mut page = self.page(documents);
        if self.incremental {
            page.access_changes.push(AccessChange { target: first, access: Access::Everyone });
            page.deleted.push(second);
        }
        page
    }

    fn page(&self, documents: Vec<Document>) -> Page {
        if self.next < self.settings.pages {
            Page::more(documents, self.next.to_string())
        } else {
            Page::complete(documents, Some("since then".into()))
        }
    }
}

fn document(number: u64) -> Document {
    let url = format!("https://odd.example.com/{number}");
    Document::new(format!("odd-{number}"), "Page", url, Access::Everyone)
        .title(format!("Page {number}"))
        .text("An odd page.")
}

#[allow(unsafe_code)]
mod exports {
    sheaf_sdk::export!(super::Odd);
}
