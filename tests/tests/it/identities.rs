//! Who is who: what the source says of users and groups is what decides who finds a document.

use serde_json::json;
use sheaf_local_glean::Fault;
use sheaf_tests::company::{Company, Firm};
use sheaf_tests::temporal::{QUICK, server, worker};
use sheaf_tests::wait::until;
use sheaf_tests::{Site, files};

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
async fn a_connection_without_users_and_groups_is_told_so() {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    site.write("docs/a.md", "# A");
    let none = site.sheaf(&["sync", "docs", "--identities", "--local"]).await;
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stderr.contains("has no users and groups to tell of"), "{none:?}");
    assert_eq!(site.sheaf(&["status"]).await.code, 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_full_crawl_whose_users_and_groups_are_held_ends_as_one_that_is_held() {
    let firm = Firm::new(&["hr"]).await;
    let company = Company::new(&["ann@x.com"], &[("hr", &["ann@x.com"])]);
    firm.people(&company);
    assert_eq!(firm.site.sync("docs", 0).await["identities"], json!(null));
    firm.people(&Company::default());
    let held = firm.site.sync("docs", 5).await;
    assert_eq!((&held["outcome"], &held["identities"]), (&json!("complete"), &json!("held")));
    let text = firm.run(&["sync", "docs", "--local"]).await;
    assert!(text.stdout.contains("users and groups: held, `sheaf status` says why"), "{text:?}");
    let all = firm.run(&["sync", "--all", "--local"]).await;
    assert!(all.code == 5 && all.stdout.contains("! docs"), "{all:?}");
    firm.check(&company, "held").await;
    // Those that cannot be read stop no document either.
    firm.site.write("docs/people.toml", "[[users]");
    let failed = firm.site.sync("docs", 5).await;
    assert_eq!(failed["identities"], "failed", "{failed}");
    firm.people(&company);
    assert_eq!(firm.site.sync("docs", 0).await["identities"], json!(null));
}
