//! Visits the files of a folder in the order of their paths, from any point on.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use sheaf_sdk::{Error, Result};

use crate::settings::Settings;
use crate::{TOP, id};

/// What a walk meets.
pub enum Found {
    File(File),
    /// A folder that cannot be read: its files are unknown, so the crawl cannot be complete.
    Unreadable {
        path: String,
        reason: String,
    },
}

pub struct File {
    /// Below the root, with slashes.
    pub path: String,
    /// The path, made unique without regard to case.
    pub id: String,
    pub on_disk: PathBuf,
}

struct Entry {
    name: String,
    is_folder: bool,
    /// The name, or with a hash where a sibling differs by case only: Glean compares ids without it.
    id_part: String,
}

struct Folder {
    path: String,
    id_path: String,
    on_disk: PathBuf,
    entries: IntoIter<Entry>,
}

pub struct Walk {
    folders: Vec<Folder>,
    /// Folders are entered; not so in the scope of the files that lie in none.
    deep: bool,
    failed: Option<Found>,
}

impl Walk {
    /// Everything below the root, or one of its folders, after the path `after`.
    pub fn new(settings: &Settings, scope: &str, after: Option<&str>) -> Result<Self> {
        let root = Path::new(&settings.root);
        let entries = list(root).map_err(|error| ungranted(settings, &error))?;
        let mut walk = Self { folders: Vec::new(), deep: scope != TOP, failed: None };
        let entries = match scope {
            "" | TOP => entries,
            folder => entries
                .into_iter()
                .filter(|entry| entry.is_folder && entry.name == folder)
                .collect(),
        };
        let skipped = after.map(|after| after.split('/').collect::<Vec<_>>());
        walk.enter(String::new(), String::new(), root.to_owned(), entries, skipped.as_deref());
        Ok(walk)
    }

    fn enter(
        &mut self,
        path: String,
        id_path: String,
        on_disk: PathBuf,
        mut entries: Vec<Entry>,
        after: Option<&[&str]>,
    ) {
        let mut inside = None;
        if let Some([name, rest @ ..]) = after {
            // A folder on the way to the last file is entered again; the file itself is done.
            let here = |entry: &Entry| !rest.is_empty() && entry.is_folder && entry.name == *name;
            entries.retain(|entry| entry.name.as_str() > *name || here(entry));
            if entries.first().is_some_and(here) {
                inside = Some((entries.remove(0), rest));
            }
        }
        let folder = Folder { path, id_path, on_disk, entries: entries.into_iter() };
        let next = inside.map(|(entry, rest)| (descend(&folder, &entry), rest));
        self.folders.push(folder);
        if let Some(((path, id_path, on_disk), rest)) = next {
            self.open(path, id_path, on_disk, Some(rest));
        }
    }

    fn open(&mut self, path: String, id_path: String, on_disk: PathBuf, after: Option<&[&str]>) {
        match list(&on_disk) {
            Ok(entries) => self.enter(path, id_path, on_disk, entries, after),
            // Gone since it was listed: nothing is missing.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                self.failed = Some(Found::Unreadable { path, reason: error.to_string() });
            }
        }
    }

    pub fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(failed) = self.failed.take() {
                return Some(failed);
            }
            let folder = self.folders.last_mut()?;
            let Some(entry) = folder.entries.next() else {
                self.folders.pop();
                continue;
            };
            let (path, id, on_disk) = descend(folder, &entry);
            if !entry.is_folder {
                return Some(Found::File(File { path, id, on_disk }));
            }
            if self.deep {
                self.open(path, id, on_disk, None);
            }
        }
    }
}

fn descend(folder: &Folder, entry: &Entry) -> (String, String, PathBuf) {
    let join = |above: &str, part: &str| match above {
        "" => part.to_owned(),
        above => format!("{above}/{part}"),
    };
    (
        join(&folder.path, &entry.name),
        join(&folder.id_path, &entry.id_part),
        folder.on_disk.join(&entry.name),
    )
}

/// How WASI says that a name is not UTF-8.
const ILLEGAL_BYTES: i32 = 25;
/// The names behind such a one are not heard: the folder as a whole is unreadable, and the crawl
/// partial.
fn not_utf8() -> std::io::Error {
    let what = "a file name in it is not UTF-8: rename it; `find . | grep -axv '.*'` shows it";
    std::io::Error::new(ErrorKind::InvalidData, what)
}

/// A folder's files and folders by name. Links and devices are left out.
fn list(folder: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry.map_err(|error| match error.raw_os_error() {
            Some(ILLEGAL_BYTES) => not_utf8(),
            _ => error,
        })?;
        let kind = entry.file_type()?;
        if !kind.is_file() && !kind.is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().map_err(|_| not_utf8())?;
        entries.push(Entry { id_part: name.clone(), name, is_folder: kind.is_dir() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    tell_apart(&mut entries);
    Ok(entries)
}

/// Gives each name after the first that differs from it by case only an id of its own.
fn tell_apart(entries: &mut [Entry]) {
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry.name.to_lowercase()) {
            entry.id_part = format!("{}~{}", entry.name, id::hash(&entry.name, 8));
        }
    }
}

/// The root's folders by name.
pub fn folders(settings: &Settings) -> Result<Vec<String>> {
    let entries = list(Path::new(&settings.root)).map_err(|error| ungranted(settings, &error))?;
    Ok(entries.into_iter().filter(|entry| entry.is_folder).map(|entry| entry.name).collect())
}

fn ungranted(settings: &Settings, error: &std::io::Error) -> Error {
    let root = &settings.root;
    if error.kind() == ErrorKind::InvalidData {
        return Error::fix_settings(format!("the folder {root} cannot be read: {error}"));
    }
    Error::fix_settings(format!(
        "the folder {root} cannot be read ({error}); grant it: `folders = {{ \"{root}\" = \"path/on/this/machine\" }}` in the connection's grants, or correct the setting `root`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry { name: name.into(), id_part: name.into(), is_folder: false }
    }

    #[test]
    fn names_that_differ_by_case_only_get_ids_of_their_own() {
        let mut entries = [entry("README.md"), entry("a.md"), entry("readme.md")];
        tell_apart(&mut entries);
        assert_eq!(entries[0].id_part, "README.md");
        assert_eq!(entries[1].id_part, "a.md");
        assert!(entries[2].id_part.starts_with("readme.md~"));
    }

    fn walked(root: &Path, after: Option<&str>) -> Vec<String> {
        let json = format!(r#"{{"root": {root:?}, "base_url": "https://x.com"}}"#);
        let settings: Settings = serde_json::from_str(&json).expect("settings");
        let mut walk = Walk::new(&settings, "", after).expect("a walk");
        let mut paths = Vec::new();
        while let Some(Found::File(file)) = walk.next() {
            paths.push(file.path);
        }
        paths
    }

    #[test]
    fn a_walk_goes_on_after_any_of_its_files() {
        let root = std::env::temp_dir().join(format!("sheaf-walk-{}", std::process::id()));
        for path in ["a.md", "b/a.md", "b/c/d.md", "b/z.md", "b.md", "c/a.md"] {
            let file = root.join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, "x").expect("written");
        }
        let whole = walked(&root, None);
        assert_eq!(whole.len(), 6);
        for (number, path) in whole.iter().enumerate() {
            assert_eq!(walked(&root, Some(path)), whole[number + 1..], "after {path}");
        }
        // A file that is gone since does not lose its place.
        assert_eq!(walked(&root, Some("b/c/x.md")), ["b/z.md", "b.md", "c/a.md"]);
        fs::remove_dir_all(&root).expect("removed");
    }
}
