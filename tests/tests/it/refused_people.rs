//! Users, groups and members that Glean refuses: just they are left out, and they are named.

use serde_json::json;
use sheaf_local_glean::Fault;
use sheaf_tests::company::{Company, Firm};

trait Refusals {
    fn refuses(&self, path: &str, row: &str);
    async fn has_no_open_session(&self);
}

impl Refusals for Firm {
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
    firm.site.sync("docs", 5).await;
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
    // Also where whoever is left in it is refused: who left it does not stay for that.
    firm.site.glean.drill().clear();
    firm.people(&first);
    firm.told_or_approved().await;
    firm.refuses("/bulkindexmemberships", "ann@");
    firm.people(&Company::new(&["ann@x.com", "bob@x.com"], &[("hr", &["ann@x.com"])]));
    assert_eq!(firm.told(5).await["refused"]["count"], 1);
    assert!(!firm.sees("bob@x.com", 0).await, "bob has left");
    firm.has_no_open_session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_a_group_leaves_it_whatever_glean_refuses_of_the_others() {
    let firm = Firm::new(&["hr", "it"]).await;
    let new: Vec<String> = (0..12).map(|number| format!("new{number:02}@x.com")).collect();
    let mut members: Vec<&str> = new.iter().map(String::as_str).collect();
    let users = [&["ann@x.com", "bob@x.com"][..], &members].concat();
    let first = Company::new(&users, &[("hr", &["ann@x.com", "bob@x.com"])]);
    firm.people(&first);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    // More than ten in a row are refused.
    firm.refuses("/bulkindexmemberships", "new");
    members.push("ann@x.com");
    firm.people(&Company::new(&users, &[("hr", &members)]));
    let partly = firm.told(5).await;
    assert_eq!(partly["refused"]["count"], 12, "{partly}");
    for (email, may) in [("ann@x.com", true), ("bob@x.com", false), ("new00@x.com", false)] {
        assert_eq!(firm.sees(email, 0).await, may, "{email}");
    }
    firm.has_no_open_session().await;
    // Where Glean takes nothing at all of a group, the crawl says who may be in it, and each crawl tells it again.
    firm.site.glean.drill().clear();
    firm.people(&first);
    firm.told_or_approved().await;
    let (path, status) = ("/bulkindexmemberships".to_owned(), Some(400));
    firm.site.glean.drill().add(Fault { path, status, times: u32::MAX, ..Fault::default() });
    firm.people(&Company::new(&users, &[("hr", &["ann@x.com"])]));
    for _ in 0..2 {
        let partly = firm.told(5).await;
        let named = partly["refused"]["samples"][0].as_str().unwrap_or_default();
        assert!(named.contains("who has left it may still be in it"), "{partly}");
        assert_eq!(partly["changed_groups"], 0, "nothing came of it: {partly}");
        assert_eq!(partly["shifts"], json!(null), "{partly}");
    }
    firm.site.glean.drill().clear();
    assert_eq!(firm.told(0).await["changed_groups"], 1);
    assert!(!firm.sees("bob@x.com", 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_name_glean_refuses_has_nobody_any_more() {
    let firm = Firm::new(&["hr", "it"]).await;
    let mut company =
        Company::new(&["ann@x.com"], &[("hr", &["ann@x.com"]), ("it", &["ann@x.com"])]);
    firm.people(&company);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    firm.refuses("/bulkindexgroups", "\"hr\"");
    // Glean does not say when it deletes a group.
    company.groups.insert("new".into(), Vec::new());
    firm.people(&company);
    let partly = firm.told(5).await;
    assert_eq!(partly["refused"]["count"], 1, "{partly}");
    assert!(!firm.sees("ann@x.com", 0).await && firm.sees("ann@x.com", 1).await);
    let requests = firm.site.glean.drill().requests();
    firm.told(5).await;
    assert_eq!(firm.site.glean.drill().requests(), requests, "nothing is in doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_glean_refuses_many_that_it_had_they_stay_and_it_is_said() {
    let firm = Firm::new(&["hr"]).await;
    let users: Vec<String> = (0..20).map(|number| format!("u{number:02}@x.com")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let first = Company::new(&users, &[("hr", &users)]);
    firm.people(&first);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    for number in 0..6 {
        firm.refuses("/bulkindexusers", &format!("u{:02}@", 3 * number));
    }
    let more = [&users[..], &["new@x.com"]].concat();
    firm.people(&Company::new(&more, &[("hr", &users)]));
    let ended = firm.run(&["sync", "docs", "--identities", "--local"]).await;
    assert!(ended.code != 0 && ended.stderr.contains("that it had would be deleted"), "{ended:?}");
    firm.check(&first, "nobody is lost").await;
}
