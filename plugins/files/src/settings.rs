//! What the operator sets, and what follows from it.

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use serde::Deserialize;
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{Access, Error, Result};

use crate::kind::Kind;
use crate::people;

pub(crate) const OBJECT_TYPE: &str = "File";

/// Settings of the files connector.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The granted folder to read, by the path it is granted under, such as "/content".
    pub(crate) root: String,
    /// A document's view URL is this, a slash, and its path below the root.
    pub(crate) base_url: String,
    /// Globs of paths below the root to read, such as "**/*.md". Without any: every file of a type
    /// that is known.
    #[serde(default)]
    pub(crate) include: Vec<String>,
    /// Globs of paths to leave out, such as "drafts/**".
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Read files and folders whose names begin with a dot, too, such as ".git".
    #[serde(default)]
    pub(crate) hidden: bool,
    /// Who may find the documents. Nothing said means that nobody may.
    pub(crate) access: Option<AccessSetting>,
    /// Access of particular paths: the first rule whose glob matches decides.
    #[serde(default)]
    pub(crate) access_rules: Vec<AccessRule>,
    /// A file below the root that says who is who, such as "people.toml": see the connector's README. It is no
    /// document.
    pub(crate) people: Option<String>,
    /// Crawl each top-level folder as a scope of its own.
    #[serde(default)]
    pub(crate) scope_per_folder: bool,
    /// Files of more bytes than this are quarantined.
    #[serde(default = "max_bytes")]
    pub(crate) max_bytes: u64,
    /// What Glean calls the datasource.
    pub(crate) display_name: Option<String>,
}

fn max_bytes() -> u64 {
    8 << 20
}

/// "everyone", "source-users", or { users = [...], groups = [...] }.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum AccessSetting {
    Named(NamedAccess),
    Only(OnlyAccess),
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NamedAccess {
    /// Everyone in the company.
    Everyone,
    /// Everyone with an account in the datasource.
    SourceUsers,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnlyAccess {
    /// By e-mail.
    #[serde(default)]
    pub users: Vec<String>,
    /// By the group's name in the datasource.
    #[serde(default)]
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessRule {
    /// A glob of paths below the root, such as "hr/**".
    pub glob: String,
    pub access: AccessSetting,
}

impl AccessSetting {
    fn access(&self) -> Access {
        match self {
            Self::Named(NamedAccess::Everyone) => Access::Everyone,
            Self::Named(NamedAccess::SourceUsers) => Access::SourceUsers,
            Self::Only(only) => Access::only(only.users.clone(), only.groups.clone()),
        }
    }
}

impl Settings {
    pub(crate) fn base_url(&self) -> Result<&str> {
        let url = self.base_url.trim_end_matches('/');
        let is_web = ["http://", "https://"].iter().any(|scheme| {
            url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
        if is_web {
            return Ok(url);
        }
        Err(Error::fix_settings(format!(
            "`base_url` must be the address of a web site, such as https://docs.example.com, not {:?}",
            self.base_url
        )))
    }
}

/// The settings' globs, ready for use.
pub(crate) struct Selection {
    include: Option<GlobSet>,
    exclude: GlobSet,
    hidden: bool,
    people: Option<String>,
    access: Vec<(GlobMatcher, Access)>,
    otherwise: Access,
}

impl Selection {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        if !settings.root.starts_with('/') {
            return Err(Error::fix_settings(format!(
                "`root` must be the path that the folder is granted under, such as \"/content\", not {:?}",
                settings.root
            )));
        }
        Ok(Self {
            include: match settings.include.as_slice() {
                [] => None,
                globs => Some(glob_set("include", globs)?),
            },
            exclude: glob_set("exclude", &settings.exclude)?,
            hidden: settings.hidden,
            people: settings.people.as_deref().map(people::below_root).transpose()?,
            access: settings
                .access_rules
                .iter()
                .map(|rule| {
                    let glob = glob("access_rules", &rule.glob)?;
                    Ok((glob.compile_matcher(), rule.access.access()))
                })
                .collect::<Result<_>>()?,
            otherwise: settings.access.as_ref().map_or(Access::Unknown, AccessSetting::access),
        })
    }

    /// How to read a path, or nothing if it is not read.
    pub(crate) fn kind(&self, path: &str) -> Option<Kind> {
        let is_hidden = path.split('/').any(|name| name.starts_with('.'));
        let is_people = self.people.as_deref() == Some(path);
        if self.exclude.is_match(path) || is_people || (is_hidden && !self.hidden) {
            return None;
        }
        match &self.include {
            Some(include) => {
                include.is_match(path).then(|| Kind::of(path).unwrap_or(Kind::Text("text/plain")))
            }
            None => Kind::of(path),
        }
    }

    pub(crate) fn access(&self, path: &str) -> Access {
        let rule = self.access.iter().find(|(glob, _)| glob.is_match(path));
        rule.map_or(&self.otherwise, |(_, access)| access).clone()
    }
}

fn glob(key: &str, pattern: &str) -> Result<Glob> {
    GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
        Error::fix_settings(format!("`{key}` has a glob that cannot be read: {error}"))
    })
}

fn glob_set(key: &str, patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(key, pattern)?);
    }
    set.build().map_err(|error| Error::fix_settings(format!("`{key}` cannot be used: {error}")))
}

pub(crate) fn escape_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(character) && character != '-' && character != '~' {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Settings {
        serde_json::from_str(json).expect("settings")
    }

    fn selection(more: &str) -> Selection {
        let json = format!(r#"{{"root": "/c", "base_url": "https://x.com"{more}}}"#);
        Selection::new(&settings(&json)).expect("a selection")
    }

    #[test]
    fn known_types_are_read_unless_globs_say_otherwise() {
        let usual = selection("");
        assert_eq!(usual.kind("a/b.md"), Some(Kind::Text("text/markdown")));
        assert_eq!(usual.kind("a/b.bin"), None);
        let chosen = selection(r#", "include": ["**/*.bin", "*.md"], "exclude": ["x/**"]"#);
        assert_eq!(chosen.kind("a/b.bin"), Some(Kind::Text("text/plain")));
        assert_eq!(chosen.kind("b.md"), Some(Kind::Text("text/markdown")));
        assert_eq!(chosen.kind("a/b.md"), None);
        assert_eq!(chosen.kind("x/b.bin"), None);
    }

    #[test]
    fn what_begins_with_a_dot_is_read_only_where_that_is_said() {
        let usual = selection(r#", "include": ["**"]"#);
        let all = selection(r#", "hidden": true"#);
        for path in [".env.txt", ".git/notes.txt", "a/.b/c.md"] {
            assert_eq!((usual.kind(path), all.kind(path).is_some()), (None, true), "{path}");
        }
        assert!(usual.kind("a.b/c..md").is_some());
        assert_eq!(
            selection(r#", "include": ["**"], "people": "a/p.toml""#).kind("a/p.toml"),
            None
        );
    }

    #[test]
    fn the_first_access_rule_that_matches_decides_and_nothing_said_means_unknown() {
        let chosen = selection(
            r#", "access_rules": [
                {"glob": "hr/**", "access": {"groups": ["hr"]}},
                {"glob": "**", "access": "everyone"}]"#,
        );
        assert_eq!(chosen.access("hr/pay/a.md"), Access::only([""; 0], ["hr"]));
        assert_eq!(chosen.access("a.md"), Access::Everyone);
        assert_eq!(selection("").access("a.md"), Access::Unknown);
    }

    #[test]
    fn a_base_url_must_be_one() {
        for (url, right) in [("https://x.com/", true), ("x.com", false), ("https:///a", false)] {
            let settings = settings(&format!(r#"{{"root": "/c", "base_url": "{url}"}}"#));
            assert_eq!(settings.base_url().is_ok(), right, "{url}");
        }
    }
}
