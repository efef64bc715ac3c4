//! Makes up documents. [`fields`] is the same for the guest and for native code, so that a benchmark
//! compares nothing but the way in.

use serde::Deserialize;
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{
    Access, Connector, Context, Crawl, Cursor, Datasource, Document, Limits, Manifest, Page,
    Result, category,
};

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How many documents there are.
    pub documents: u64,
    /// How large each body is, in bytes.
    pub bytes: usize,
}

pub struct Fields {
    pub id: String,
    pub url: String,
    pub title: String,
    pub body: String,
    pub updated_at: i64,
}

const WORDS: &str = "the worker loads a connector into its sandbox and pulls typed documents out \
    of it; a page carries its own checkpoint, and counts when Glean has acknowledged it. ";

/// The document of this number.
pub fn fields(number: u64, bytes: usize) -> Fields {
    let mut body = String::with_capacity(bytes + WORDS.len());
    while body.len() < bytes {
        body.push_str(WORDS);
    }
    body.truncate(bytes);
    Fields {
        id: format!("document-{number}"),
        url: format!("https://example.com/documents/{number}"),
        title: format!("Document {number}"),
        body,
        updated_at: 1_700_000_000 + i64::try_from(number).unwrap_or_default(),
    }
}

pub struct Generator;

impl Connector for Generator {
    type Settings = Settings;
    type Cursor = Generated;

    fn manifest() -> Manifest {
        Manifest::new("generator", "0.1.0", "Makes up documents.")
    }

    fn datasource(_: &Settings) -> Result<Datasource> {
        let urls = r"https://example\.com/documents/.*";
        Ok(Datasource::new("Generated", category::KNOWLEDGE_HUB, urls)
            .object("Document", category::KNOWLEDGE_HUB))
    }

    fn open(settings: Settings, crawl: Crawl) -> Result<Generated> {
        let next = match crawl.resume {
            None => 0,
            Some(checkpoint) => checkpoint.parse().context("the checkpoint")?,
        };
        Ok(Generated { settings, next })
    }
}

pub struct Generated {
    settings: Settings,
    next: u64,
}

impl Cursor for Generated {
    fn next(&mut self, limits: Limits) -> Result<Page> {
        let by_bytes = u64::from(limits.bytes) / (self.settings.bytes as u64 + 200);
        let count = u64::from(limits.documents).min(by_bytes.max(1));
        let end = (self.next + count).min(self.settings.documents);
        let documents = (self.next..end)
            .map(|number| {
                let fields = fields(number, self.settings.bytes);
                Document::new(fields.id, "Document", fields.url, Access::Everyone)
                    .title(fields.title)
                    .text(fields.body)
                    .updated_at(fields.updated_at)
            })
            .collect();
        self.next = end;
        Ok(if end < self.settings.documents {
            Page::more(documents, end.to_string())
        } else {
            Page::complete(documents, None)
        })
    }
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code)]
mod exports {
    sheaf_sdk::export!(super::Generator);
}
