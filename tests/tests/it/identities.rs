//! Who is who: what the source says of users and groups is what decides who finds a document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sheaf_local_glean::{Dropped, Fault};
use sheaf_tests::temporal::{QUICK, server, worker};
use sheaf_tests::wait::until;
use sheaf_tests::{Ended, Site, files};

/// A company as the test sees it: nothing of Sheaf decides here who is in what.
#[derive(Clone, Default)]
struct Company {
    users: BTreeMap<String, Option<String>>,
    groups: BTreeMap<String, Vec<String>>,
}

impl Company {
    fn new(users: &[&str], groups: &[(&str, &[&str])]) -> Self {
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
                let named = self.users.iter().find(|(_, id)| id.as_ref() == Some(member));
                all.extend(named.map(|(email, _)| email.to_lowercase()));
            }
        }
        all
    }
}

/// Documents each for a group of its own name; one for two groups at once.
struct Firm {
    site: Site,
    groups: Vec<String>,
}

impl Firm {
    async fn new(groups: &[&str]) -> Self {
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

    fn people(&self, company: &Company) {
        self.site.write("docs/people.toml", &company.toml());
    }

    async fn told(&self, code: i32) -> Value {
        let ended = self.run(&["sync", "docs", "--identities", "--local", "--json"]).await;
        assert_eq!(ended.code, code, "{ended:?}");
        ended.json()["result"].clone()
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        self.site.sheaf(arguments).await
    }

    /// Whether Glean lets somebody see a group's document.
    async fn sees(&self, email: &str, group: usize) -> bool {
        self.site.sees(email, "docs", "File", &format!("g{group}/one.md")).await
    }

    /// Glean's answers are the company's, for everybody and each group.
    async fn check(&self, company: &Company, what: &str) {
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
}

const LONG: &str = "a-group-with-a-name-of-two-hundred-characters-which-is-as-long-as-an-id-may-be-in-glean-\
    and-so-a-name-that-sources-may-well-have-of-which-nothing-is-cut-off-and-which-no-other-group-has-as-well";

/// A company from change to change.
fn changes(users: &[&str]) -> Vec<(&'static str, Company)> {
    vec![
        ("members by e-mail, in whatever case", Company::new(users, &[("hr", &["ANN@x.com"])])),
        ("by id", Company::new(users, &[("hr", &["bob"]), ("staff", &["cid@x.com"])])),
        (
            "in a group in a group, five deep",
            Company::new(
                users,
                &[
                    ("hr", &["ann@x.com"]),
                    ("staff", &["group:hr", "bob"]),
                    ("Site Owners", &["group:staff"]),
                    ("größe", &["group:Site Owners"]),
                    (LONG, &["group:größe", "dot@x.com"]),
                ],
            ),
        ),
        (
            "in a circle",
            Company::new(
                users,
                &[
                    ("hr", &["ann@x.com", "group:ring"]),
                    ("staff", &["group:hr"]),
                    ("ring", &["group:staff", "cid@x.com"]),
                    ("Site Owners", &[]),
                    ("größe", &[]),
                    (LONG, &[]),
                ],
            ),
        ),
        (
            "one has left a group, and one is new",
            Company::new(
                users,
                &[
                    ("hr", &["dot@x.com"]),
                    ("staff", &["group:hr"]),
                    ("ring", &["cid@x.com"]),
                    ("Site Owners", &["bob"]),
                    ("größe", &["bob"]),
                    (LONG, &[]),
                ],
            ),
        ),
        (
            "all have left",
            Company::new(
                users,
                &[
                    ("hr", &[]),
                    ("staff", &[]),
                    ("ring", &[]),
                    ("Site Owners", &[]),
                    ("größe", &[]),
                    (LONG, &[]),
                ],
            ),
        ),
    ]
}

fn odd_names(users: &[&str]) -> (&'static str, Company) {
    (
        "names that Glean refuses, and an empty group",
        Company::new(
            users,
            &[
                ("hr", &[]),
                ("staff", &[]),
                ("ring", &[]),
                ("Site Owners", &["ann@x.com"]),
                ("größe", &["cid@x.com"]),
                (LONG, &["bob"]),
                ("empty", &[]),
                ("100%", &["dot@x.com", "group:Site Owners"]),
            ],
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_a_document_is_who_the_source_says_after_each_change() {
    let groups = ["hr", "staff", "Site Owners", "größe", LONG, "ring", "empty", "100%"];
    let firm = Firm::new(&groups).await;
    let users = ["ann@x.com", "Bob@x.com=bob", "cid@x.com", "dot@x.com"];
    let mut cases = changes(&users);
    cases.push(odd_names(&users));
    firm.people(&cases[0].1);
    assert_eq!(firm.site.sync("docs", 0).await["documents"], groups.len());
    for (what, company) in &cases {
        firm.people(company);
        let result = firm.told(0).await;
        assert_eq!(result["left_out"]["count"], 0, "{what}: {result}");
        firm.check(company, what).await;
        let requests = firm.site.glean.drill().requests();
        let again = firm.told(0).await;
        assert_eq!(again["changed_groups"], 0, "{what}: {again}");
        // Nothing has changed: nothing is asked of Glean.
        assert_eq!(firm.site.glean.drill().requests(), requests, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_a_list_that_was_cut_off_is_held_and_the_rest_is_done() {
    let firm = Firm::new(&["large", "small"]).await;
    let many: Vec<String> = (0..30).map(|number| format!("u{number}@x.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let whole = Company::new(&many, &[("large", &many[..20]), ("small", &many[..5])]);
    firm.people(&whole);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    firm.check(&whole, "before").await;
    let cut = Company::new(&many, &[("large", &many[..9]), ("small", &many[..1])]);
    firm.people(&cut);
    let held = firm.told(5).await;
    assert_eq!(held["outcome"], "held");
    assert!(
        held["held"][0]["why"].as_str().is_some_and(|why| why.contains("`large` would lose 11")),
        "{held}"
    );
    let partly = Company::new(&many, &[("large", &many[..20]), ("small", &many[..1])]);
    firm.check(&partly, "what is not held is done").await;
    let status = firm.run(&["status"]).await;
    assert_eq!(status.code, 5, "{status:?}");
    assert!(status.stdout.contains("sheaf approve docs --identities --upload"), "{status:?}");
    let shown = firm.run(&["approve", "docs", "--identities", "--dry-run"]).await;
    assert!(shown.stdout.contains("would lose 11 of 20 members"), "{shown:?}");
    let looked = firm.run(&["reject", "docs", "--identities", "--dry-run"]).await;
    assert!(looked.code == 0 && firm.run(&["status"]).await.code == 5, "{looked:?}");
    let rejected = firm.run(&["reject", "docs", "--identities"]).await;
    assert_eq!(rejected.code, 0, "{rejected:?}");
    firm.check(&partly, "rejected").await;
    let status = firm.run(&["status"]).await;
    assert!(status.code == 0 && status.stdout.contains("held, and rejected at"), "{status:?}");
    assert_eq!(firm.approve().await.code, 2, "nothing waits");
    let held = firm.told(5).await;
    let unsaid = firm.run(&["approve", "docs", "--identities"]).await;
    assert_eq!(unsaid.code, 2, "an approval names what it approves: {unsaid:?}");
    // What is approved is what was shown: another list is looked at again.
    let less = Company::new(&many, &[("large", &many[..2]), ("small", &many[..1])]);
    firm.people(&less);
    let shown = held["upload_id"].as_str().expect("an id");
    let other = firm.run(&["approve", "docs", "--identities", "--upload", shown]).await;
    assert_eq!(other.code, 5, "{other:?}");
    assert!(other.stdout.contains("would lose 18"), "{other:?}");
    // An approval that could not be carried out is shown, and can be taken back.
    firm.site.write("docs/people.toml", "[[users]");
    assert_ne!(firm.approve().await.code, 0);
    let status = firm.run(&["status"]).await;
    assert!(status.stdout.contains("approved, and not done yet"), "{status:?}");
    assert_eq!(firm.run(&["reject", "docs", "--identities"]).await.code, 0);
    firm.people(&cut);
    firm.told(5).await;
    assert_eq!(firm.approve().await.code, 0);
    firm.check(&cut, "approved").await;
    // All are gone, or a tenth of them.
    firm.people(&Company::default());
    let none = firm.told(5).await;
    assert!(
        none["held"][0]["why"].as_str().is_some_and(|why| why.contains("neither users nor groups"))
    );
    firm.check(&cut, "nothing was delivered").await;
    firm.people(&Company::new(&many[4..], &[("large", &many[4..9]), ("small", &[])]));
    let gone = firm.told(5).await;
    assert!(
        gone["held"][0]["why"].as_str().is_some_and(|why| why.contains("4 of 30 users")),
        "{gone}"
    );
    assert_eq!(firm.approve().await.code, 0);
    firm.check(&Company::new(&many[4..], &[("large", &many[4..9])]), "users are gone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn glean_that_is_away_or_refuses_leaves_no_session_open_and_nobody_out() {
    let firm = Firm::new(&["hr", "staff"]).await;
    let first = Company::new(&["ann@x.com", "bob@x.com"], &[("hr", &["ann@x.com"])]);
    firm.people(&first);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    let all = Company::new(
        &["ann@x.com", "bob@x.com", "cid@x.com"],
        &[("hr", &["ann@x.com", "bob@x.com"]), ("staff", &["group:hr", "cid@x.com"])],
    );
    for path in ["/bulkindexusers", "/bulkindexgroups", "/bulkindexmemberships"] {
        for (status, drop) in [
            (Some(503), None),
            (Some(429), None),
            (None, Some(Dropped::Before)),
            (None, Some(Dropped::After)),
            (None, Some(Dropped::Half)),
        ] {
            firm.people(&first);
            let approved = firm.told_or_approved().await;
            assert_eq!(approved.code, 0, "{approved:?}");
            firm.check(&first, "before").await;
            let fault = Fault { path: path.into(), times: 1, status, drop, ..Fault::default() };
            firm.site.glean.drill().add(fault);
            firm.people(&all);
            let result = firm.told(0).await;
            assert_eq!(result["outcome"], "complete", "{path} {status:?} {drop:?}");
            firm.check(&all, &format!("{path} {status:?} {drop:?}")).await;
        }
    }
    // A group that Glean refuses whatever is in it keeps its members, and is tried again.
    firm.people(&first);
    assert_eq!(firm.told_or_approved().await.code, 0);
    let refusal = Fault {
        path: "/bulkindexmemberships".into(),
        times: u32::MAX,
        status: Some(400),
        ..Fault::default()
    };
    firm.site.glean.drill().add(refusal);
    firm.people(&all);
    let partly = firm.told(5).await;
    assert_eq!(partly["refused"]["count"], 2, "{partly}");
    firm.site.glean.drill().clear();
    assert_eq!(firm.told(0).await["changed_groups"], 2);
    firm.check(&all, "tried again").await;
}

impl Firm {
    /// What is held is approved: tests of other things take back what they did.
    async fn told_or_approved(&self) -> Ended {
        let ended = self.run(&["sync", "docs", "--identities", "--local"]).await;
        if ended.code == 5 { self.approve().await } else { ended }
    }

    /// Approves what waits, by the command that is shown for it.
    async fn approve(&self) -> Ended {
        let shown = self.run(&["approve", "docs", "--identities", "--dry-run", "--json"]).await;
        if shown.code != 0 {
            return shown;
        }
        let command = shown.json()["result"]["command"].as_str().expect("a command").to_owned();
        let words: Vec<_> = command.split(' ').skip(1).collect();
        self.run(&words).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_users_and_groups_is_told_so() {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    site.write("docs/a.md", "# A");
    let none = site.sheaf(&["sync", "docs", "--identities", "--local"]).await;
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stderr.contains("has no users and groups to tell of"), "{none:?}");
    assert_eq!(site.sheaf(&["status"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_is_killed_at_any_request_is_made_good_by_the_next() {
    let firm = Firm::new(&["hr", "staff"]).await;
    let first =
        Company::new(&["ann@x.com", "bob@x.com"], &[("hr", &["ann@x.com"]), ("staff", &[])]);
    firm.people(&first);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    let all = Company::new(
        &["ann@x.com", "bob@x.com", "cid@x.com"],
        &[("hr", &["bob@x.com"]), ("staff", &["group:hr", "cid@x.com"]), ("new", &["ann@x.com"])],
    );
    let drill = firm.site.glean.drill();
    for skip in 0..20 {
        firm.people(&first);
        assert_eq!(firm.told_or_approved().await.code, 0);
        firm.check(&first, "before").await;
        firm.people(&all);
        let hold = Fault { skip, times: 1, hold: Some(0), ..Fault::default() };
        drill.add(hold);
        let mut crawl = firm
            .site
            .command(&["sync", "docs", "--identities", "--local"])
            .spawn()
            .expect("a crawl");
        let ended = tokio::select! {
            ended = crawl.wait() => Some(ended.expect("it ended")),
            () = until("a request is held", async || drill.held() > 0) => None,
        };
        let Some(ended) = ended else {
            crawl.kill().await.expect("killed");
            // What was asked for takes effect afterwards, or while the next one works.
            if skip % 2 == 0 {
                drill.release().await;
            }
            assert_eq!(firm.told(0).await["outcome"], "complete", "killed at request {skip}");
            drill.release().await;
            firm.check(&all, &format!("killed at request {skip}")).await;
            assert_eq!(firm.told(0).await["changed_groups"], 0, "killed at request {skip}");
            continue;
        };
        assert!(ended.success() && skip > 4, "{skip} requests");
        drill.clear();
        return;
    }
    panic!("it makes more requests than there are");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_temporal_groups_are_told_before_the_documents_that_name_them_and_by_a_schedule() {
    let mut firm = Firm::new(&["hr", "staff"]).await;
    let sheaf_toml = std::fs::read_to_string(firm.site.path("sheaf.toml")).expect("a file");
    let schedule = "\n[connections.docs.schedules]\nidentities = { every = \"2s\" }\n";
    firm.site.write("sheaf.toml", &format!("{QUICK}{sheaf_toml}{schedule}"));
    let company =
        Company::new(&["ann@x.com", "bob@x.com"], &[("hr", &["ann@x.com"]), ("staff", &[])]);
    firm.people(&company);
    let server = server(&mut firm.site).await;
    let worker = worker(&firm.site).await;
    let full = firm.run(&["sync", "docs", "--json"]).await;
    assert_eq!(full.code, 0, "{full:?}");
    firm.check(&company, "a full crawl").await;
    let now = Company::new(
        &["ann@x.com", "bob@x.com"],
        &[("hr", &["bob@x.com"]), ("staff", &["group:hr"])],
    );
    firm.people(&now);
    let told = firm.run(&["sync", "docs", "--identities", "--json"]).await;
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(told.json()["result"]["changed_groups"], 2, "{told:?}");
    firm.check(&now, "on its own").await;
    let applied = firm.run(&["schedules", "apply"]).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    firm.people(&company);
    until("a scheduled crawl has told it", async || {
        firm.sees("ann@x.com", 0).await && !firm.sees("bob@x.com", 0).await
    })
    .await;
    // What a run came to is there a moment after what it did.
    until("the list says how a run ended", async || {
        let listed = firm.run(&["schedules", "list"]).await.stdout;
        listed.contains("identities docs, every 2s") && listed.contains("  complete")
    })
    .await;
    drop(worker);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_glean_and_not_written_down_is_told_again_when_the_source_goes_back() {
    let firm = Firm::new(&["hr", "staff"]).await;
    let first =
        Company::new(&["ann@x.com", "mal@x.com"], &[("hr", &["ann@x.com"]), ("staff", &[])]);
    firm.people(&first);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    let wider = Company::new(
        &["ann@x.com", "mal@x.com"],
        &[("hr", &["ann@x.com", "mal@x.com"]), ("staff", &[])],
    );
    let drill = firm.site.glean.drill();
    for (path, is_late) in [
        ("/processallmemberships", false),
        ("/bulkindexmemberships", false),
        ("/bulkindexmemberships", true),
    ] {
        firm.people(&wider);
        drill.add(Fault { path: path.into(), times: 1, hold: Some(0), ..Fault::default() });
        let mut crawl = firm
            .site
            .command(&["sync", "docs", "--identities", "--local"])
            .spawn()
            .expect("a crawl");
        until("the last request is held", async || drill.held() > 0).await;
        crawl.kill().await.expect("killed");
        // Glean does it; the source has taken it back before anybody wrote it down.
        if !is_late {
            drill.release().await;
        }
        firm.people(&first);
        firm.told(0).await;
        if is_late {
            // What was asked for before comes after what was asked for since: it is told once more.
            drill.release().await;
            firm.told(0).await;
        }
        firm.check(&first, path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_glean_was_told_may_be_lost_or_be_another_datasource_s() {
    let firm = Firm::new(&["hr"]).await;
    let company = Company::new(&["ann@x.com"], &[("hr", &["ann@x.com"])]);
    firm.people(&company);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    let folder = firm.site.path(".sheaf/connections/docs");
    let glean = std::fs::read_dir(&folder).expect("a folder").next().expect("one").expect("one");
    let known = glean.path().join("identities/known-docs");
    let written = std::fs::read(&known).expect("what is known");
    let mut damaged = written.clone();
    *damaged.last_mut().expect("a byte") ^= 1;
    for (what, bytes) in [("damaged", Some(damaged)), ("gone", None)] {
        match bytes {
            Some(bytes) => std::fs::write(&known, bytes).expect("written"),
            None => std::fs::remove_file(&known).expect("removed"),
        }
        let held = firm.told(5).await;
        let why = held["held"][0]["why"].as_str().unwrap_or_default();
        assert!(why.contains("it is not known what Glean was told"), "{what}: {held}");
        assert_eq!(firm.approve().await.code, 0, "{what}");
        firm.check(&company, what).await;
    }
    // With all that is kept of the connection: Glean has still somebody whom the source has not.
    firm.people(&Company::new(&["ann@x.com", "mal@x.com"], &[("hr", &["mal@x.com"])]));
    firm.told(0).await;
    std::fs::remove_dir_all(&folder).expect("removed");
    firm.people(&Company::new(&["ann@x.com"], &[("new", &["ann@x.com"])]));
    let held = firm.told(5).await;
    let why = held["held"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("Glean counts 2 users and 1 group of `docs`"), "{held}");
    assert_eq!(firm.told(5).await["held_as"], held["held_as"], "it still is the same");
    assert_eq!(firm.approve().await.code, 0);
    let none = Company::new(&["ann@x.com"], &[("new", &["ann@x.com"])]);
    firm.check(&none, "what is left of before is gone").await;
    firm.people(&company);
    assert_eq!(firm.told_or_approved().await.code, 0);
    // A datasource that somebody emptied is told again where a person says so.
    let all = firm.run(&["sync", "docs", "--identities", "--local", "--restart", "--json"]).await;
    assert_eq!(all.code, 0, "{all:?}");
    let requests = firm.site.glean.drill().requests();
    firm.told(0).await;
    assert_eq!(firm.site.glean.drill().requests(), requests, "once is enough");
    // Where the connection tells of nobody any more, they do not stay in silence.
    let sheaf_toml = std::fs::read_to_string(firm.site.path("sheaf.toml")).expect("a file");
    firm.site.write("sheaf.toml", &sheaf_toml.replace("people = \"people.toml\"", ""));
    let held = firm.told(5).await;
    assert!(
        held["held"][0]["why"].as_str().is_some_and(|why| why.contains("neither users nor groups"))
    );
    assert_eq!(firm.approve().await.code, 0);
    let nobody = firm.run(&["sync", "docs", "--identities", "--local"]).await;
    assert_eq!(nobody.code, 2, "{nobody:?}");
    assert_eq!(firm.run(&["status"]).await.code, 0);
    // The same connection with another datasource begins anew.
    firm.site.write(
        "sheaf.toml",
        &sheaf_toml.replace("datasource = \"docs\"", "datasource = \"others\""),
    );
    assert_eq!(firm.told(0).await["new_groups"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_local_glean_tells_why_somebody_sees_a_document_and_why_not() {
    let firm = Firm::new(&["staff", "hr"]).await;
    let groups: &[(&str, &[&str])] = &[("hr", &["ann@x.com"]), ("staff", &["group:hr"])];
    firm.people(&Company::new(&["ann@x.com", "bob@x.com"], groups));
    firm.site.sync("docs", 0).await;
    for (email, group, allowed, why) in [
        ("ann@x.com", 0, true, "ann@x.com is in hr, hr is in staff"),
        ("ann@x.com", 1, true, "ann@x.com is in hr"),
        ("bob@x.com", 0, false, "only group staff may; bob@x.com is in no group"),
    ] {
        let id = format!("g{group}/one.md");
        let answer = firm.site.asked("/api/access", email, "docs", "File", &id).await;
        assert_eq!(answer, json!({ "hasAccess": allowed, "why": why }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_fifty_thousand_is_told_page_by_page_and_whole_whenever_it_is_interrupted() {
    let firm = Firm::new(&["all"]).await;
    let emails: Vec<String> = (0..50_000).map(|number| format!("u{number:05}@x.com")).collect();
    let written = |members: &[String]| {
        let members: Vec<_> = members.iter().map(|email| format!("{email:?}")).collect();
        let text = format!("[groups]\nall = [\n{}\n]\n", members.join(",\n"));
        firm.site.write("docs/people.toml", &text);
    };
    written(&emails[..49_999]);
    assert_eq!(firm.told(0).await["memberships"], 49_999);
    firm.site.sync("docs", 0).await;
    for (email, may) in [(&emails[0], true), (&emails[49_998], true), (&emails[49_999], false)] {
        assert_eq!(firm.sees(email, 0).await, may, "{email}");
    }
    // Killed at a page in the middle, and at the last: nobody is left out, and the next crawl tells it whole.
    written(&emails[1..]);
    let drill = firm.site.glean.drill();
    for skip in [20, 50] {
        let path = "/bulkindexmemberships".into();
        drill.add(Fault { path, skip, times: 1, hold: Some(0), ..Fault::default() });
        let arguments = ["sync", "docs", "--identities", "--local"];
        let mut crawl = firm.site.command(&arguments).spawn().expect("a crawl");
        until("a page is held", async || drill.held() > 0).await;
        crawl.kill().await.expect("killed");
        drill.clear();
        assert!(firm.sees(&emails[0], 0).await, "killed at page {skip}");
        assert!(firm.sees(&emails[49_998], 0).await, "killed at page {skip}");
    }
    assert_eq!(firm.told(0).await["changed_groups"], 1);
    drill.release().await;
    for (email, may) in [(&emails[0], false), (&emails[1], true), (&emails[49_999], true)] {
        assert_eq!(firm.sees(email, 0).await, may, "{email}");
    }
}

impl Firm {
    /// Glean refuses pages of this path that have a row with this text.
    fn refuses(&self, path: &str, row: &str) {
        let (path, row) = (path.to_owned(), Some(row.to_owned()));
        self.site.glean.drill().add(Fault { path, row, times: u32::MAX, ..Fault::default() });
    }

    async fn has_no_open_session(&self) {
        let overview = self.site.glean.overview().await.expect("an overview");
        let sessions = overview["sessions"].as_array().expect("sessions").iter();
        let open: Vec<_> = sessions.filter(|session| session["state"] == "ACTIVE").collect();
        assert!(open.is_empty(), "{open:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn just_the_rows_that_glean_refuses_are_left_out_and_they_are_named_and_told_again() {
    let firm = Firm::new(&["all", "hr"]).await;
    let emails: Vec<String> = (0..2_500).map(|number| format!("u{number:04}@x.com")).collect();
    let of = |many: usize| {
        let emails: Vec<&str> = emails[..many].iter().map(String::as_str).collect();
        let groups: &[(&str, &[&str])] = &[("all", &emails), ("hr", &[emails[7], "group:bad"])];
        Company::new(&emails, &[groups, &[("bad", &[emails[8]])]].concat())
    };
    for (path, row) in [
        ("/bulkindexusers", "u1234@"),
        ("/bulkindexusers", "u0003@"),
        ("/bulkindexgroups", "bad"),
        ("/bulkindexmemberships", "u2222@"),
    ] {
        firm.refuses(path, row);
    }
    firm.people(&of(2_499));
    firm.site.sync("docs", 0).await;
    let first = firm.told(5).await;
    assert_eq!((&first["outcome"], &first["refused"]["count"]), (&json!("partial"), &json!(5)));
    let named = first["refused"]["samples"].as_array().expect("samples").iter();
    let named: Vec<_> = named.map(|one| one.as_str().unwrap_or_default().to_owned()).collect();
    for who in
        ["user u0003@x.com: ", "user u1234@x.com: ", "group bad: ", "u2222@x.com of group all: "]
    {
        assert!(
            named.iter().any(|one| one.starts_with(who) && one.contains("refused")),
            "{who}: {named:?}"
        );
    }
    assert!(named.iter().any(|one| one.starts_with("the group bad of group hr")), "{named:?}");
    assert_eq!(
        (&first["users"], &first["groups"], &first["memberships"]),
        (&json!(2_497), &json!(2), &json!(2_499))
    );
    firm.has_no_open_session().await;
    for (email, group, may) in [
        (0, 0, true),
        (2_221, 0, true),
        (2_222, 0, false),
        (2_498, 0, true),
        (7, 1, true),
        (8, 1, false),
    ] {
        assert_eq!(firm.sees(&emails[email], group).await, may, "{email}");
    }
    // Nothing is told again for them alone.
    let requests = firm.site.glean.drill().requests();
    let again = firm.told(5).await;
    assert_eq!((&again["refused"]["count"], &again["changed_groups"]), (&json!(5), &json!(0)));
    assert_eq!(firm.site.glean.drill().requests(), requests);
    let status = firm.run(&["status", "-v"]).await.stdout;
    assert!(status.contains("refused by Glean, and tried again: user u1234@x.com"), "{status}");
    // With the others they are.
    firm.site.glean.drill().clear();
    firm.people(&of(2_500));
    let now = firm.told(5).await;
    assert_eq!(now["refused"]["count"], 2, "a group's name waits, as no group has changed: {now}");
    let all = firm.run(&["sync", "docs", "--identities", "--local", "--restart", "--json"]).await;
    assert_eq!(all.code, 0, "{all:?}");
    firm.has_no_open_session().await;
    for (email, group) in [(2_222, 0), (2_499, 0), (8, 1)] {
        assert!(firm.sees(&emails[email], group).await, "{email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_glean_refuses_everybody_it_is_not_the_rows_and_nobody_loses_anything() {
    let firm = Firm::new(&["hr"]).await;
    let first = Company::new(&["ann@x.com", "bob@x.com"], &[("hr", &["ann@x.com", "bob@x.com"])]);
    firm.people(&first);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    firm.refuses("/bulkindexusers", "@");
    firm.people(&Company::new(&["ann@x.com", "bob@x.com", "cid@x.com"], &[("hr", &["cid@x.com"])]));
    let ended = firm.run(&["sync", "docs", "--identities", "--local"]).await;
    assert!(
        ended.code != 0 && ended.stderr.contains("refused the request to /bulkindexusers"),
        "{ended:?}"
    );
    firm.check(&first, "no user passes").await;
    firm.site.glean.drill().clear();
    // Who has left a group has left it, also where Glean takes nobody else into it.
    firm.refuses("/bulkindexmemberships", "cid@");
    let partly = firm.told(5).await;
    assert_eq!((&partly["refused"]["count"], &partly["users"]), (&json!(1), &json!(3)), "{partly}");
    for email in ["ann@x.com", "bob@x.com", "cid@x.com"] {
        assert!(!firm.sees(email, 0).await, "{email}");
    }
    // Who was in it before, and is refused now, stays.
    firm.site.glean.drill().clear();
    firm.people(&first);
    firm.told_or_approved().await;
    firm.refuses("/bulkindexmemberships", "ann@");
    firm.people(&Company::new(&["ann@x.com", "bob@x.com"], &[("hr", &["ann@x.com"])]));
    assert_eq!(firm.told(5).await["refused"]["count"], 1);
    firm.check(&first, "the group is as it was").await;
}
