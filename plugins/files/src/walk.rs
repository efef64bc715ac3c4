//! Visits the files of a folder in the order of their paths, from any point on.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use sheaf_sdk::{Error, Result};

use crate::listing::{self, Doubt, Kind, Links, Listing};
use crate::names;
use crate::settings::Settings;

/// What a walk meets.
pub(crate) enum Found {
    File(File),
    /// A folder that may hold more than could be listed: the crawl cannot be complete.
    Unreadable {
        path: String,
        reason: String,
    },
}

pub(crate) struct File {
    /// Below the root, with slashes; names as the host hands them over.
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

/// The scope of the files that lie in no folder.
pub(crate) const TOP: &str = ".";

/// How folders are listed.
type Lister = fn(&Path, Links) -> Option<Listing>;

pub(crate) struct Walk {
    folders: Vec<Folder>,
    /// Whether folders are entered: not in the scope of the files that lie in no folder.
    deep: bool,
    list: Lister,
    failed: Vec<Found>,
}

impl Walk {
    /// Everything below the root, or one of its folders, after the path `after`.
    pub(crate) fn new(settings: &Settings, scope: &str, after: Option<&str>) -> Result<Self> {
        Self::by(listing::read, settings, scope, after)
    }

    /// Everything, for an estimate: each folder is listed once, whether it is modified or not.
    pub(crate) fn estimate(settings: &Settings, scope: &str) -> Result<Self> {
        Self::by(listing::glance, settings, scope, None)
    }

    fn by(list: Lister, settings: &Settings, scope: &str, after: Option<&str>) -> Result<Self> {
        let root = Path::new(&settings.root);
        let mut walk = Self { folders: Vec::new(), deep: scope != TOP, list, failed: Vec::new() };
        let mut skipped = after.map(|after| after.split('/').collect::<Vec<_>>());
        if matches!(scope, "" | TOP) {
            let entries = walk.entries("", listed(settings, list)?);
            walk.enter(String::new(), String::new(), root.to_owned(), entries, skipped.as_deref());
        } else {
            // The scope says what the folder's siblings mean for its id: they are not listed.
            std::fs::metadata(root).map_err(|error| ungranted(settings, &error.to_string()))?;
            let name = names::of_id_part(scope);
            if let Some(skipped) = &mut skipped {
                skipped.remove(0);
            }
            let on_disk = root.join(&name);
            walk.open(name, scope.to_owned(), on_disk, skipped.as_deref());
        }
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
        // Gone since it was met: nothing is missing.
        let Some(listing) = (self.list)(&on_disk, Links::Leave) else { return };
        let entries = self.entries(&path, listing);
        self.enter(path, id_path, on_disk, entries, after);
    }

    /// The entries of a listing. A doubt about it is found before them.
    fn entries(&mut self, path: &str, listing: Listing) -> Vec<Entry> {
        if let Some(reason) = listing.doubt {
            let path = if path.is_empty() { "." } else { path };
            let (path, reason) = (names::shown(path).into_owned(), reason.to_string());
            self.failed.push(Found::Unreadable { path, reason });
        }
        entries(listing.names)
    }

    pub(crate) fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(failed) = self.failed.pop() {
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

fn entries(names: BTreeMap<String, Kind>) -> Vec<Entry> {
    let entry = |(name, kind): (String, Kind)| {
        let id_part = names::id_part(&name);
        Entry { name, is_folder: kind == Kind::Folder, id_part }
    };
    let mut entries: Vec<_> = names.into_iter().map(entry).collect();
    tell_apart(&mut entries);
    entries
}

/// Gives each name after the first that differs from it by case only an id of its own.
fn tell_apart(entries: &mut [Entry]) {
    let mut seen = std::collections::HashSet::new();
    for entry in entries {
        let is_first = seen.insert(entry.id_part.to_lowercase());
        // A name that looks as if it had been told apart would be another's id.
        if !is_first || names::without_hash(&entry.id_part).is_some() {
            entry.id_part = names::with_hash(&entry.id_part);
        }
    }
}

/// A top-level folder, which can be a scope of its own.
pub(crate) struct TopFolder {
    /// As the first part of its documents' ids, from which a walk finds it again.
    pub id: String,
    pub name: String,
}

/// The root's folders. They have to be all: what lies in a folder that is not named would be deleted.
pub(crate) fn folders(settings: &Settings) -> Result<Vec<TopFolder>> {
    let listing = listed(settings, listing::read)?;
    match listing.doubt {
        // No folder is missing then: only an empty one can be renamed over, and every listing has the
        // entries that nobody touches.
        None | Some(Doubt::Modified) => {}
        Some(Doubt::Error(error)) => {
            let root = &settings.root;
            return Err(Error::retry(format!("the folders of {root} cannot be listed: {error}")));
        }
    }
    let folders = entries(listing.names).into_iter().filter(|entry| entry.is_folder);
    Ok(folders
        .map(|entry| TopFolder { id: entry.id_part, name: names::shown(&entry.name).into_owned() })
        .collect())
}

fn listed(settings: &Settings, list: Lister) -> Result<Listing> {
    match list(Path::new(&settings.root), Links::Follow) {
        Some(Listing { names, doubt: Some(doubt) }) if names.is_empty() => {
            Err(ungranted(settings, &doubt.to_string()))
        }
        Some(listing) => Ok(listing),
        None => Err(ungranted(settings, &std::io::Error::from(ErrorKind::NotFound).to_string())),
    }
}

fn ungranted(settings: &Settings, reason: &str) -> Error {
    let root = &settings.root;
    Error::fix_settings(format!(
        "the folder {root} cannot be read ({reason}); grant it: `folders = {{ \"{root}\" = \"path/on/this/machine\" }}` in the connection's grants, or correct the setting `root`"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn entry(name: &str) -> Entry {
        Entry { name: name.into(), id_part: name.into(), is_folder: false }
    }

    #[test]
    fn names_that_differ_by_case_only_get_ids_of_their_own() {
        let taken = names::with_hash("readme.md");
        let mut entries = [entry("README.md"), entry("a.md"), entry("readme.md"), entry(&taken)];
        tell_apart(&mut entries);
        assert_eq!(entries[0].id_part, "README.md");
        assert_eq!(entries[1].id_part, "a.md");
        assert_eq!(entries[2].id_part, taken);
        assert_ne!(entries[3].id_part, taken);
        for entry in entries {
            assert_eq!(names::of_id_part(&entry.id_part), entry.name);
        }
    }

    fn settings(root: &Path) -> Settings {
        let json = format!(r#"{{"root": {root:?}, "base_url": "https://x.com"}}"#);
        serde_json::from_str(&json).expect("settings")
    }

    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for path in paths {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, "x").expect("written");
        }
        root
    }

    fn walked(root: &Path, scope: &str, after: Option<&str>) -> Vec<(String, String)> {
        let mut walk = Walk::new(&settings(root), scope, after).expect("a walk");
        let mut files = Vec::new();
        while let Some(found) = walk.next() {
            if let Found::File(file) = found {
                files.push((file.path, file.id));
            }
        }
        files
    }

    #[test]
    fn a_walk_resumes_after_any_of_its_files() {
        let root = tree(&["a.md", "b/a.md", "b/c/d.md", "b/z.md", "b.md", "c/a.md"]);
        let whole = walked(root.path(), "", None);
        assert_eq!(whole.len(), 6);
        for (number, (path, _)) in whole.iter().enumerate() {
            assert_eq!(walked(root.path(), "", Some(path)), whole[number + 1..], "after {path}");
        }
        // A file that is gone since does not lose its place.
        let rest = walked(root.path(), "", Some("b/c/x.md"));
        let rest: Vec<_> = rest.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(rest, ["b/z.md", "b.md", "c/a.md"]);
    }

    #[test]
    fn the_scopes_of_folders_have_the_files_and_ids_that_the_whole_has() {
        let root = tree(&["a.md", "B/a.md", "b/a.md", "b/c/d.md", "b/z.md", "c/a.md"]);
        let mut together = walked(root.path(), TOP, None);
        for folder in folders(&settings(root.path())).expect("folders") {
            let files = walked(root.path(), &folder.id, None);
            for (number, (path, _)) in files.iter().enumerate() {
                let rest = walked(root.path(), &folder.id, Some(path));
                assert_eq!(rest, files[number + 1..], "after {path}");
            }
            together.extend(files);
        }
        let mut whole = walked(root.path(), "", None);
        whole.sort();
        together.sort();
        assert_eq!(together, whole);
        assert_eq!(walked(root.path(), "gone", None), []);
    }

    #[test]
    fn no_walk_misses_a_file_that_others_are_renamed_over() {
        let paths: Vec<_> = (0..300).map(|number| format!("in/{number}.md")).collect();
        let root = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for path in paths.iter().cycle() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let temporary = root.path().join(format!("{path}.tmp"));
                    fs::write(&temporary, "y").expect("written");
                    fs::rename(&temporary, root.path().join(path)).expect("renamed");
                }
            });
            for _ in 0..20 {
                let files = walked(root.path(), "", None);
                let living = files
                    .iter()
                    .filter(|(path, _)| path.rsplit_once('.').is_some_and(|(_, kind)| kind == "md"))
                    .count();
                over.store(living != paths.len(), Ordering::Relaxed);
                assert_eq!(living, paths.len());
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
