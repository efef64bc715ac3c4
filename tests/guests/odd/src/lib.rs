//! Delivers documents, and misbehaves in the way that its settings name.

#![cfg(target_family = "wasm")]

use serde::Deserialize;
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{
    Access, AccessChange, Comment, Connector, Content, Context, Crawl, Cursor, Datasource,
    Document, DocumentRef, Error, Interactions, Limits, Manifest, Page, Restricted, Result,
    Unreadable, UserRef, category, log,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What goes wrong.
    misdeed: Option<String>,
    /// After how many pages.
    after: Option<u64>,
    /// How many pages of ten documents there are.
    pages: u64,
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

    fn open(settings: Settings, crawl: Crawl) -> Result<Pages> {
        let next = match &crawl.resume {
            None => 0,
            Some(checkpoint) => checkpoint.parse().context("the checkpoint")?,
        };
        if settings.misdeed.as_deref() == Some("old-bookmark") && crawl.mode.bookmark().is_some() {
            return Err(Error::start_over("the bookmark is too old"));
        }
        Ok(Pages {
            settings,
            next,
            resumed: crawl.resume.is_some(),
            incremental: crawl.mode.bookmark().is_some(),
        })
    }
}

struct Pages {
    settings: Settings,
    next: u64,
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
        let mut documents: Vec<_> = (page * 10..page * 10 + 10).map(document).collect();
        if page >= self.settings.after.unwrap_or(0) {
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
                Some("empty") => return Ok(Page::complete(Vec::new(), None)),
                Some("long-id") => documents[3].id = "x".repeat(201),
                Some("foreign-url") => documents[3].view_url = "https://other.example.com/".into(),
                Some("unreadable") => {
                    documents.pop();
                    let unreadable = Unreadable {
                        id: Some("locked".into()),
                        view_url: None,
                        reason: "it is locked".into(),
                    };
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
