//! The documents of a granted folder: Markdown, HTML and text as text, PDF and Office files as they
//! are.
//!
//! Files are visited in the order of their paths, so that a checkpoint is a path. Symbolic links are
//! not followed. An incremental crawl delivers what was modified since the crawl before it began;
//! deletions are found by full crawls.

mod cursor;
mod id;
mod kind;
mod settings;
mod title;
mod walk;

use sheaf_sdk::{Connector, Crawl, Datasource, Manifest, Result, Scope, category};

pub use cursor::FilesCursor;
use settings::Selection;
pub use settings::Settings;
use walk::{Found, Walk};

pub struct Files;

/// The scope of the files that lie in no folder.
const TOP: &str = ".";

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
        let (files, partly) = count(settings, &selection, "")?;
        let at_least = if partly { "at least " } else { "" };
        Ok(format!("{} holds {at_least}{files} documents", settings.root))
    }

    fn scopes(settings: &Settings) -> Result<Vec<Scope>> {
        let selection = Selection::new(settings)?;
        if !settings.scope_per_folder {
            return Ok(vec![scope(settings, &selection, "", &settings.root)?]);
        }
        let mut scopes = vec![scope(settings, &selection, TOP, "files in no folder")?];
        for folder in walk::folders(settings)? {
            scopes.push(scope(settings, &selection, &folder, &folder)?);
        }
        Ok(scopes)
    }

    fn open(settings: Settings, crawl: Crawl) -> Result<FilesCursor> {
        FilesCursor::open(settings, &crawl)
    }
}

/// Counting stops here: an estimate need not be exact.
const COUNTED: u64 = 200_000;

fn count(settings: &Settings, selection: &Selection, scope: &str) -> Result<(u64, bool)> {
    let mut walk = Walk::new(settings, scope, None)?;
    let mut files = 0;
    while let Some(found) = walk.next() {
        match found {
            Found::File(file) if selection.kind(&file.path).is_some() => files += 1,
            _ => {}
        }
        if files >= COUNTED {
            return Ok((files, true));
        }
    }
    Ok((files, false))
}

fn scope(settings: &Settings, selection: &Selection, id: &str, title: &str) -> Result<Scope> {
    let (files, partly) = count(settings, selection, id)?;
    let scope = Scope::new(id, title);
    Ok(if partly { scope } else { scope.about(files) })
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code)]
mod exports {
    sheaf_sdk::export!(super::Files);
}
