//! The documents of a granted folder: Markdown, HTML and text as text, PDF and Office files as they
//! are.
//!
//! Files are visited in the order of their paths, so that a checkpoint is a path. Symbolic links are
//! not followed. An incremental crawl delivers what was modified since the crawl before it began;
//! deletions are found by full crawls.

#![warn(unreachable_pub)]

mod cursor;
mod hash;
mod id;
mod kind;
mod listing;
mod names;
mod people;
mod settings;
mod text;
mod title;
mod walk;

use sheaf_sdk::identities::Identities;
use sheaf_sdk::{Connector, Crawl, Datasource, Manifest, Result, Scope, category};

pub use cursor::FilesCursor;
pub use people::PeopleReading;
use settings::Selection;
pub use settings::Settings;
use walk::{Found, TOP, Walk};

pub struct Files;

impl Connector for Files {
    type Settings = Settings;
    type Cursor = FilesCursor;

    fn manifest() -> Manifest {
        Manifest::new("files", env!("CARGO_PKG_VERSION"), "Reads the documents of a folder.")
            .folders("the documents to index, below the setting `root`")
            .incremental()
    }

    fn datasource(settings: &Settings) -> Result<Datasource> {
        let name = settings.display_name.as_deref().unwrap_or("Files");
        let regex = format!("{}/.*", settings::escape_regex(settings.base_url()?));
        Ok(Datasource::new(name, category::KNOWLEDGE_HUB, &regex)
            .object(settings::OBJECT_TYPE, category::KNOWLEDGE_HUB)
            .field("homeUrl", settings.base_url()?))
    }

    fn check(settings: &Settings) -> Result<String> {
        let selection = Selection::new(settings)?;
        let mut left = COUNTED;
        let at_least =
            if count(settings, &selection, "", &mut left)?.is_some() { "" } else { "at least " };
        Ok(format!("{} holds {at_least}{} documents", settings.root, COUNTED - left))
    }

    fn scopes(settings: &Settings) -> Result<Vec<Scope>> {
        let selection = Selection::new(settings)?;
        let mut left = COUNTED;
        let mut scope = |id: &str, title: &str| -> Result<Scope> {
            let scope = Scope::new(id, title);
            Ok(match count(settings, &selection, id, &mut left)? {
                Some(files) => scope.about(files),
                None => scope,
            })
        };
        if !settings.scope_per_folder {
            return Ok(vec![scope("", &settings.root)?]);
        }
        let mut scopes = vec![scope(TOP, "files in no folder")?];
        for folder in walk::folders(settings)? {
            scopes.push(scope(&folder.id, &folder.name)?);
        }
        Ok(scopes)
    }

    fn open(settings: Settings, crawl: Crawl) -> Result<FilesCursor> {
        FilesCursor::open(settings, &crawl)
    }
}

impl Identities for Files {
    type Reading = PeopleReading;

    fn open(settings: Settings, resume: Option<String>) -> Result<Option<PeopleReading>> {
        PeopleReading::open(&settings, resume.as_deref())
    }
}

/// Counting stops after so many documents of all scopes: an estimate need not be exact.
const COUNTED: u64 = 200_000;

/// Takes a scope's documents from what is left to count; nothing where that does not suffice.
fn count(
    settings: &Settings,
    selection: &Selection,
    scope: &str,
    left: &mut u64,
) -> Result<Option<u64>> {
    let mut walk = Walk::estimate(settings, scope)?;
    let before = *left;
    while *left > 0 {
        match walk.next() {
            None => return Ok(Some(before - *left)),
            Some(Found::File(file)) if selection.kind(&names::shown(&file.path)).is_some() => {
                *left -= 1;
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code)]
mod exports {
    sheaf_sdk::export!(super::Files);
    sheaf_sdk::export_identities!(super::Files);
}
