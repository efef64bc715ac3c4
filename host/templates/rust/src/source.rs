//! The source: notes in pages of JSON, on the web or in a folder. Replace it by yours.

use std::path::PathBuf;

use serde::Deserialize;
use sheaf_sdk::{Context as _, Result, http};

pub const FIRST_PAGE: &str = "notes-1.json";

/// The folder that `sheaf.toml` grants, as the connector sees it.
const SAMPLE: &str = "/sample";

/// A page as it comes.
#[derive(Deserialize)]
pub struct Page {
    pub notes: Vec<Note>,
    /// The name of the next page. The last one has none.
    pub next: Option<String>,
}

#[derive(Deserialize)]
pub struct Note {
    pub id: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub url: String,
    pub author: Option<String>,
    /// Seconds since 1970.
    pub updated: i64,
    #[serde(default)]
    pub deleted: bool,
}

pub enum Source {
    Web(String),
    Folder(PathBuf),
}

impl Source {
    pub fn new(url: Option<&str>) -> Self {
        match url {
            Some(url) => Self::Web(url.trim_end_matches('/').to_owned()),
            None => Self::Folder(SAMPLE.into()),
        }
    }

    pub fn page(&self, name: &str) -> Result<Page> {
        match self {
            // What goes wrong says what to do: 401 asks for another credential, and 429 or 503 is tried again, after
            // what `Retry-After` says.
            Self::Web(url) => http::get(&format!("{url}/{name}"))?.send()?.json(),
            Self::Folder(folder) => {
                let text = std::fs::read_to_string(folder.join(name)).context(name)?;
                serde_json::from_str(&text).context(name)
            }
        }
    }
}
