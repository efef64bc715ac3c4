//! Users and groups, out of one TOML file of the folder. A reading that is resumed reads it again: a checkpoint counts
//! what was delivered of the file as it was, which its hash tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Component, Path};

use serde::Deserialize;
use sheaf_sdk::identities::{Group, Member, Page, Reading, User};
use sheaf_sdk::{Error, Result, log};
use toml::Spanned;

use crate::hash::hash;
use crate::settings::Settings;

/// Larger files are refused.
const MAX_BYTES: u64 = 64 << 20;
/// Letters of a line that are shown.
const SHOWN: usize = 100;
/// Users who are listed twice are named up to so many times.
const TWICE: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct People {
    #[serde(default)]
    users: Vec<Spanned<Person>>,
    /// Members by the group's name: `group:NAME`, the id of a user who is listed, an e-mail, or else an id.
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    email: String,
    id: Option<String>,
    name: Option<String>,
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

/// A reading of the file under way.
pub struct PeopleReading {
    hash: String,
    /// What is still to be delivered, the next one last.
    users: Vec<User>,
    groups: Vec<Group>,
    delivered: usize,
}

impl PeopleReading {
    pub(crate) fn open(settings: &Settings, resume: Option<&str>) -> Result<Option<Self>> {
        let Some(name) = &settings.people else { return Ok(None) };
        let text = read(&settings.root, name)?;
        let people: People = toml::from_str(&text).map_err(|error| wrong(name, &text, &error))?;
        let hash = hash(&text, 16);
        if resume.is_none() {
            let twice = listed_twice(name, &text, &people.users);
            for said in twice.iter().take(TWICE) {
                log::warn!("{said}");
            }
            if let Some(more @ 1..) = twice.len().checked_sub(TWICE) {
                log::warn!("{name}: {more} more users are listed twice");
            }
        }
        let users: Vec<_> = people.users.into_iter().map(Spanned::into_inner).map(user).collect();
        let ids: BTreeSet<&str> = users.iter().filter_map(|user| user.id.as_deref()).collect();
        let all = |members: Vec<String>| members.into_iter().map(|named| member(named, &ids));
        let groups = people.groups.into_iter();
        let groups: Vec<_> =
            groups.map(|(name, members)| Group::new(name, all(members).collect())).collect();
        let mut cursor = Self { hash, users, groups, delivered: 0 };
        cursor.users.reverse();
        cursor.groups.reverse();
        if let Some(checkpoint) = resume {
            cursor.skip_to(checkpoint)?;
        }
        Ok(Some(cursor))
    }

    fn checkpoint(&self) -> String {
        format!("{}:{}", self.hash, self.delivered)
    }

    fn skip_to(&mut self, checkpoint: &str) -> Result<()> {
        let (hash, delivered) = checkpoint.split_once(':').unwrap_or_default();
        let Ok(delivered) = delivered.parse::<usize>() else {
            return Err(Error::start_over("the checkpoint is none of this connector's"));
        };
        if hash != self.hash {
            return Err(Error::start_over("the file of `people` was changed meanwhile"));
        }
        while self.delivered < delivered {
            if self.users.pop().is_none() && self.groups.pop().is_none() {
                break;
            }
            self.delivered += 1;
        }
        Ok(())
    }
}

impl Reading for PeopleReading {
    fn next(&mut self, limit: u32) -> Result<Page> {
        let (mut users, mut groups, mut count) = (Vec::new(), Vec::new(), 0);
        while count < limit as usize {
            if let Some(user) = self.users.pop() {
                users.push(user);
                count += 1;
            } else if let Some(group) = self.groups.pop() {
                count += group.members.len() + 1;
                groups.push(group);
            } else {
                return Ok(Page::complete(users, groups));
            }
            self.delivered += 1;
        }
        Ok(Page::more(users, groups, self.checkpoint()))
    }
}

/// The file below the root, in the spelling that the walk has for it.
pub(crate) fn below_root(name: &str) -> Result<String> {
    let parts: Option<Vec<_>> = Path::new(name)
        .components()
        .map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/")).ok_or_else(|| {
        Error::fix_settings(format!(
            "`people` must be the path of a file below the root, such as \"people.toml\", not {name:?}"
        ))
    })
}

fn read(root: &str, name: &str) -> Result<String> {
    let name = below_root(name)?;
    let path = Path::new(root).join(&name);
    let refused = |error: std::io::Error| {
        Error::fix_settings(format!("`people`: {name} cannot be read: {error}"))
    };
    let found = fs::symlink_metadata(&path).map_err(refused)?;
    let kind = found.file_type();
    if !kind.is_file() {
        let what = match (kind.is_symlink(), kind.is_dir()) {
            (true, _) => "is a symbolic link, and those are not followed",
            (_, true) => "is a folder",
            _ => "is a pipe, a socket or a device",
        };
        return Err(Error::fix_settings(format!("`people`: {name} {what}: put a file there")));
    }
    let size = found.len();
    if size > MAX_BYTES {
        return Err(Error::fix_settings(format!(
            "`people`: {name} has {size} bytes, more than 64 MiB"
        )));
    }
    fs::read_to_string(&path).map_err(refused)
}

/// What is wrong, in which line; the line has the key.
fn wrong(name: &str, text: &str, error: &toml::de::Error) -> Error {
    let message: String = error.message().trim().chars().take(3 * SHOWN).collect();
    let Some(Range { start, .. }) = error.span() else {
        return Error::fix_settings(format!("correct {name}: {message}"));
    };
    let number = line(text, start);
    let shown = text.lines().nth(number - 1).unwrap_or_default().trim();
    let shown: String = shown.chars().take(SHOWN).collect();
    Error::fix_settings(format!("correct line {number} of {name}, `{shown}`: {message}"))
}

/// The line of a place in a text; the first is 1.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Users that the host makes one of, though the file says different things of them.
fn listed_twice(name: &str, text: &str, users: &[Spanned<Person>]) -> Vec<String> {
    let mut first: BTreeMap<String, &Spanned<Person>> = BTreeMap::new();
    let mut said = Vec::new();
    for user in users {
        let before = first.entry(user.as_ref().email.to_ascii_lowercase()).or_insert(user);
        let (was, now) = (before.as_ref(), user.as_ref());
        let mut differs = Vec::new();
        for (is_other, what) in [
            (was.id != now.id, "id"),
            (was.name != now.name, "name"),
            (was.active != now.active, "active"),
        ] {
            if is_other {
                differs.push(what);
            }
        }
        if differs.is_empty() {
            continue;
        }
        let (again, line_before) = (line(text, user.span().start), line(text, before.span().start));
        said.push(format!(
            "{name}, line {again}: {} is in line {line_before} already, and differs in {}: they are one user, with the \
             first id and name, and active if one of them is",
            now.email,
            differs.join(", ")
        ));
    }
    said
}

fn user(person: Person) -> User {
    let Person { email, id, name, active } = person;
    User { email, id, name, active }
}

/// `ids`: of the users that are listed. Many a source's ids look like e-mails.
fn member(named: String, ids: &BTreeSet<&str>) -> Member {
    match named.strip_prefix("group:") {
        Some(group) => Member::Group(group.to_owned()),
        None if ids.contains(named.as_str()) => Member::Id(named),
        None if named.contains('@') => Member::Email(named),
        None => Member::Id(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sheaf_sdk::identities::Progress;

    const PEOPLE: &str = r#"
        [[users]]
        email = "ann@example.com"
        name = "Ann"

        [[users]]
        email = "bob@example.com"
        id = "bob"
        active = false

        [groups]
        hr = ["ann@example.com"]
        staff = ["group:hr", "bob"]
    "#;

    fn settings(folder: &Path, people: &str) -> Settings {
        let (root, people) = (folder.to_str().expect("UTF-8"), format!("{people:?}"));
        let json =
            format!(r#"{{"root": {root:?}, "base_url": "https://x.com", "people": {people}}}"#);
        serde_json::from_str(&json).expect("settings")
    }

    #[test]
    fn everyone_in_the_file_is_delivered_once_whatever_the_size_of_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("people.toml"), PEOPLE).expect("written");
        let settings = settings(folder.path(), "people.toml");
        for limit in [1, 2, 3, 100] {
            let (mut users, mut groups, mut resume) = (Vec::new(), Vec::new(), None);
            loop {
                // A new cursor for each page: each of them may be the last before a crash.
                let open = PeopleReading::open(&settings, resume.as_deref()).expect("opens");
                let page = open.expect("a cursor").next(limit).expect("a page");
                users.extend(page.users);
                groups.extend(page.groups);
                match page.progress {
                    Progress::More(checkpoint) => resume = Some(checkpoint),
                    progress => break assert_eq!(progress, Progress::Complete),
                }
            }
            let ann = User::new("ann@example.com").name("Ann");
            let bob = User::new("bob@example.com").id("bob").active(false);
            assert_eq!(users, [ann, bob]);
            let hr = Group::new("hr", vec![Member::Email("ann@example.com".into())]);
            let members = vec![Member::Group("hr".into()), Member::Id("bob".into())];
            assert_eq!(groups, [hr, Group::new("staff", members)]);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_who_is_listed_twice_as_well() {
        for (text, said) in [
            ("[groups]\nhr = 1", "correct line 2 of people.toml, `hr = 1`: "),
            (
                "[[users]]\nemail = \"a@x.com\"\nemial = 2",
                "correct line 3 of people.toml, `emial = 2`: ",
            ),
            ("[[users]]\nname = \"Ann\"", "missing field `email`"),
            ("[groups\n", "correct line 1 of people.toml"),
        ] {
            let error = toml::from_str::<People>(text).expect_err(text);
            let error = wrong("people.toml", text, &error).to_string();
            assert!(error.contains(said) && !error.contains('\n'), "{text}: {error}");
        }
        let long = format!("hr = {:?}", "ö".repeat(500));
        let error = toml::from_str::<People>(&format!("[groups]\n{long}")).expect_err("long");
        assert!(
            wrong("people.toml", &format!("[groups]\n{long}"), &error).to_string().len() < 1_000
        );
        let twice = format!("{PEOPLE}\n[[users]]\nemail = \"ANN@example.com\"\nid = \"ann\"\n")
            + "[[users]]\nemail = \"bob@example.com\"\nid = \"bob\"\nactive = false\n";
        let people: People = toml::from_str(&twice).expect("people");
        let said = listed_twice("people.toml", &twice, &people.users);
        assert_eq!(said.len(), 1, "{said:?}");
        let part = "line 15: ANN@example.com is in line 2 already, and differs in id, name";
        assert!(said[0].contains(part), "{said:?}");
    }

    #[test]
    fn a_listed_id_is_that_id_though_it_looks_like_an_e_mail() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "[[users]]\nemail = \"ann@example.com\"\nid = \"ann@corp\"\n\
                    [groups]\nhr = [\"ann@corp\", \"ann@example.com\", \"bob@example.com\", \"bob\"]";
        fs::write(folder.path().join("people.toml"), text).expect("written");
        let open = PeopleReading::open(&settings(folder.path(), "people.toml"), None);
        let page = open.expect("opens").expect("a cursor").next(100).expect("a page");
        let email = |email: &str| Member::Email(email.into());
        let id = |id: &str| Member::Id(id.into());
        let all =
            vec![id("ann@corp"), email("ann@example.com"), email("bob@example.com"), id("bob")];
        assert_eq!(page.groups, [Group::new("hr", all)]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_told_by_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("folder")).expect("a folder");
        std::os::unix::fs::symlink("folder", folder.path().join("link")).expect("a link");
        std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("a socket");
        for (name, what) in
            [("folder", "is a folder"), ("link", "is a symbolic link"), ("socket", "is a pipe")]
        {
            let error = PeopleReading::open(&settings(folder.path(), name), None).err();
            let said = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains(what), "{name}: {said}");
        }
    }

    #[test]
    fn a_checkpoint_of_another_file_starts_over_and_a_wrong_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("people.toml");
        fs::write(&path, PEOPLE).expect("written");
        let good = settings(folder.path(), "people.toml");
        let mut cursor = PeopleReading::open(&good, None).expect("opens").expect("a cursor");
        let Progress::More(checkpoint) = cursor.next(1).expect("a page").progress else {
            panic!("more follows");
        };
        fs::write(&path, "[groups]\nhr = []").expect("written");
        for wrong in [checkpoint.as_str(), "7", ""] {
            assert!(PeopleReading::open(&good, Some(wrong)).is_err(), "{wrong}");
        }
        fs::write(&path, "[groups]\nhr = 1").expect("written");
        assert!(PeopleReading::open(&good, None).is_err());
        for outside in ["../people.toml", "/etc/passwd", "", "none.toml"] {
            assert!(
                PeopleReading::open(&settings(folder.path(), outside), None).is_err(),
                "{outside}"
            );
        }
        let none: Settings = serde_json::from_str(r#"{"root": "/c", "base_url": "https://x.com"}"#)
            .expect("settings");
        assert!(PeopleReading::open(&none, None).expect("opens").is_none());
    }
}
