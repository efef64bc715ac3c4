//! A company and who is in what, as a test sees it; and a site whose documents tell who sees what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sheaf::wire::identities::group_name;

use crate::{Ended, Site, files, http};

/// A company as the test sees it: nothing of Sheaf decides here who is in what.
#[derive(Clone, Default)]
pub struct Company {
    /// By e-mail.
    pub users: BTreeMap<String, User>,
    pub groups: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Default)]
pub struct User {
    pub id: Option<String>,
    pub is_inactive: bool,
}

impl Company {
    /// Users are `email` or `email=id`, with a `-` in front inactive; members are `email`, `id` or `group:name`.
    pub fn new(users: &[&str], groups: &[(&str, &[&str])]) -> Self {
        let user = |text: &&str| {
            let (text, is_inactive) = match text.strip_prefix('-') {
                Some(text) => (text, true),
                None => (*text, false),
            };
            let (email, id) = match text.split_once('=') {
                Some((email, id)) => (email, Some(id.to_owned())),
                None => (text, None),
            };
            (email.to_owned(), User { id, is_inactive })
        };
        let group = |(name, members): &(&str, &[&str])| {
            ((*name).to_owned(), members.iter().map(|member| (*member).to_owned()).collect())
        };
        Self { users: users.iter().map(user).collect(), groups: groups.iter().map(group).collect() }
    }

    fn toml(&self) -> String {
        let mut text = String::new();
        for (email, User { id, is_inactive }) in &self.users {
            text.push_str(&format!("[[users]]\nemail = {email:?}\n"));
            if let Some(id) = id {
                text.push_str(&format!("id = {id:?}\n"));
            }
            if *is_inactive {
                text.push_str("active = false\n");
            }
        }
        text.push_str("[groups]\n");
        for (name, members) in &self.groups {
            text.push_str(&format!("{name:?} = {members:?}\n"));
        }
        text
    }

    /// Whether somebody finds what all of these groups find.
    pub fn finds(&self, email: &str, groups: &[&str]) -> bool {
        let is_active = self.users.get(email).is_none_or(|user| !user.is_inactive);
        let is_in = |group: &&str| {
            self.in_group(group, &mut BTreeSet::new()).contains(&email.to_lowercase())
        };
        is_active && groups.iter().all(is_in)
    }

    /// Everyone who is in a group, directly or not.
    fn in_group(&self, name: &str, seen: &mut BTreeSet<String>) -> BTreeSet<String> {
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
                let named = self.users.iter().find(|(_, user)| user.id.as_ref() == Some(member));
                all.extend(named.map(|(email, _)| email.to_lowercase()));
            }
        }
        all
    }
}

/// Documents each for a group, and some for whoever is in all of several.
pub struct Firm {
    pub site: Site,
    groups: Vec<Vec<String>>,
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
        Self { site, groups: groups.iter().map(|group| vec![(*group).to_owned()]).collect() }
    }

    /// One more document, which only those find who are in all of these groups. Its source cannot say so: Glean is told
    /// by somebody else.
    pub async fn requires_all(&mut self, groups: &[&str]) {
        let id = format!("g{}/one.md", self.groups.len());
        let names: Vec<_> = groups.iter().map(|name| group_name(name)).collect();
        let url = format!("{}/api/index/v1/indexdocument", self.site.glean.url());
        let document = json!({ "document": {
            "datasource": "docs", "objectType": "File", "id": id,
            "viewURL": format!("https://docs.example.com/{id}"),
            "permissions": { "allowedGroupIntersections": [{ "requiredGroups": names }] },
        } });
        let answer = http().post(url).json(&document).send().await.expect("told");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        self.groups.push(groups.iter().map(|group| (*group).to_owned()).collect());
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
        self.check_also(&Company::default(), company, what).await;
    }

    /// The same, and for everybody who was a user before.
    pub async fn check_also(&self, before: &Company, company: &Company, what: &str) {
        let emails: BTreeSet<_> = before.users.keys().chain(company.users.keys()).collect();
        for (number, groups) in self.groups.iter().enumerate() {
            let groups: Vec<_> = groups.iter().map(String::as_str).collect();
            for email in &emails {
                let sees = self.sees(email, number).await;
                assert_eq!(sees, company.finds(email, &groups), "{what}: {email}, {groups:?}");
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
