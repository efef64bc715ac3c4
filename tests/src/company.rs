//! A company and who is in what, as a test sees it; and a site whose documents tell who sees what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Ended, Site, files};

/// A company as the test sees it: nothing of Sheaf decides here who is in what.
#[derive(Clone, Default)]
pub struct Company {
    pub users: BTreeMap<String, Option<String>>,
    pub groups: BTreeMap<String, Vec<String>>,
}

impl Company {
    pub fn new(users: &[&str], groups: &[(&str, &[&str])]) -> Self {
        let user = |text: &&str| match text.split_once('=') {
            Some((email, id)) => (email.to_owned(), Some(id.to_owned())),
            None => ((*text).to_owned(), None),
        };
        let group = |(name, members): &(&str, &[&str])| {
            ((*name).to_owned(), members.iter().map(|member| (*member).to_owned()).collect())
        };
        Self { users: users.iter().map(user).collect(), groups: groups.iter().map(group).collect() }
    }

    fn toml(&self) -> String {
        let mut text = String::new();
        for (email, id) in &self.users {
            text.push_str(&format!("[[users]]\nemail = {email:?}\n"));
            if let Some(id) = id {
                text.push_str(&format!("id = {id:?}\n"));
            }
        }
        text.push_str("[groups]\n");
        for (name, members) in &self.groups {
            text.push_str(&format!("{name:?} = {members:?}\n"));
        }
        text
    }

    /// Everyone who is in a group, directly or not.
    pub fn in_group(&self, name: &str, seen: &mut BTreeSet<String>) -> BTreeSet<String> {
        if !seen.insert(name.to_owned()) {
            return BTreeSet::new();
        }
        let mut all = BTreeSet::new();
        for member in self.groups.get(name).into_iter().flatten() {
            if let Some(inner) = member.strip_prefix("group:") {
                all.extend(self.in_group(inner, seen));
            } else if member.contains('@') {
                all.insert(member.to_lowercase());
            } else {
                let named = self.users.iter().find(|(_, id)| id.as_ref() == Some(member));
                all.extend(named.map(|(email, _)| email.to_lowercase()));
            }
        }
        all
    }
}

/// Documents each for a group of its own name; one for two groups at once.
pub struct Firm {
    pub site: Site,
    groups: Vec<String>,
}

impl Firm {
    pub async fn new(groups: &[&str]) -> Self {
        let rules = groups.iter().enumerate().map(|(number, group)| {
            format!("{{ glob = \"g{number}/**\", access = {{ groups = [{group:?}] }} }}")
        });
        let rules: Vec<_> = rules.collect();
        let settings = format!("people = \"people.toml\"\naccess_rules = [{}]", rules.join(", "));
        let site = Site::new(&files(&settings)).await.connector("sheaf_files");
        for number in 0..groups.len() {
            site.write(&format!("docs/g{number}/one.md"), "# One");
        }
        Self { site, groups: groups.iter().map(|group| (*group).to_owned()).collect() }
    }

    pub fn people(&self, company: &Company) {
        self.site.write("docs/people.toml", &company.toml());
    }

    pub async fn told(&self, code: i32) -> Value {
        let ended = self.run(&["sync", "docs", "--identities", "--local", "--json"]).await;
        assert_eq!(ended.code, code, "{ended:?}");
        ended.json()["result"].clone()
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        self.site.sheaf(arguments).await
    }

    /// Whether Glean lets somebody see a group's document.
    pub async fn sees(&self, email: &str, group: usize) -> bool {
        self.site.sees(email, "docs", "File", &format!("g{group}/one.md")).await
    }

    /// Glean's answers are the company's, for everybody and each group.
    pub async fn check(&self, company: &Company, what: &str) {
        for (number, group) in self.groups.iter().enumerate() {
            let inside = company.in_group(group, &mut BTreeSet::new());
            for email in company.users.keys() {
                let sees = self.sees(email, number).await;
                assert_eq!(
                    sees,
                    inside.contains(&email.to_lowercase()),
                    "{what}: {email}, {group}"
                );
            }
        }
    }

    /// What is held is approved: tests of other things take back what they did.
    pub async fn told_or_approved(&self) -> Ended {
        let ended = self.run(&["sync", "docs", "--identities", "--local"]).await;
        if ended.code == 5 { self.approve().await } else { ended }
    }

    /// Approves what waits, by the command that is shown for it.
    pub async fn approve(&self) -> Ended {
        let shown = self.run(&["approve", "docs", "--identities", "--dry-run", "--json"]).await;
        if shown.code != 0 {
            return shown;
        }
        let command = shown.json()["result"]["command"].as_str().expect("a command").to_owned();
        let words: Vec<_> = command.split(' ').skip(1).collect();
        self.run(&words).await
    }
}
