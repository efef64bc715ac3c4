//! Users and groups where Glean fails or a crawl is killed: whatever happened, the next crawl makes it good.

use serde_json::json;
use sheaf_local_glean::{Dropped, Fault};
use sheaf_tests::Site;
use sheaf_tests::company::{Company, Firm};
use sheaf_tests::people_api::{Api, GROUPS, USERS, by_id, people, user};
use sheaf_tests::wait::until;

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
            assert_eq!(firm.site.glean.drill().armed(), 0, "{path} {status:?} {drop:?}: not met");
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
    // What was asked for before may come late: each crawl tells them again.
    firm.site.glean.drill().clear();
    assert_eq!(firm.told(0).await["changed_groups"], 2);
    firm.check(&all, "tried again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_is_killed_at_any_request_is_made_good_by_the_next() {
    let firm = Firm::new(&["hr", "staff", "crowd"]).await;
    // Members of three pages of Glean's.
    let crowd: Vec<String> = (0..2_050).map(|number| format!("u{number}@x.com")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    let first = Company::new(
        &["ann@x.com", "bob@x.com"],
        &[("hr", &["ann@x.com"]), ("staff", &[]), ("crowd", &crowd[1..])],
    );
    firm.people(&first);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    let all = Company::new(
        &["ann@x.com", "bob@x.com", "cid@x.com"],
        &[
            ("hr", &["bob@x.com"]),
            ("staff", &["group:hr", "cid@x.com"]),
            ("new", &["ann@x.com"]),
            ("crowd", &crowd[..crowd.len() - 1]),
        ],
    );
    let ends = [crowd[0], crowd[1], crowd[crowd.len() - 1]];
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
            for email in ends {
                let sees = firm.sees(email, 2).await;
                assert_eq!(sees, all.finds(email, &["crowd"]), "killed at request {skip}: {email}");
            }
            assert_eq!(firm.told(0).await["changed_groups"], 0, "killed at request {skip}");
            continue;
        };
        assert!(ended.success() && skip > 9, "{skip} requests");
        drill.clear();
        return;
    }
    panic!("it makes more requests than there are");
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

/// What a request meets: an answer, or what becomes of it.
type Met = (Option<u16>, Option<Dropped>);

/// A company that changes to and fro, and one fault at each request that a crawl of it makes.
async fn each_request_meets(met: Met) {
    let (status, drop) = met;
    let firm = Firm::new(&["hr", "staff", "new"]).await;
    // So many that one of them may be inactive.
    let others: Vec<String> = (0..10).map(|number| format!("u{number}@x.com")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let users = [&["ann@x.com", "bob@x.com", "cid@x.com"], &others[..]].concat();
    let companies = [
        Company::new(
            &[&["ann@x.com", "-bob@x.com", "cid@x.com"], &others[..]].concat(),
            &[("hr", &["ann@x.com"]), ("staff", &["bob@x.com"]), ("new", &["group:staff"])],
        ),
        Company::new(
            &users,
            &[
                ("hr", &["bob@x.com"]),
                ("staff", &["group:hr", "cid@x.com"]),
                ("new", &["ann@x.com"]),
            ],
        ),
    ];
    // What comes besides each time, so that there are other groups, and goes never: that would be held.
    let mut more = Vec::new();
    firm.people(&companies[0]);
    firm.told(0).await;
    firm.site.sync("docs", 0).await;
    let drill = firm.site.glean.drill();
    // As many as there are without a fault: what follows from one is told again besides.
    let mut requests = 1;
    for at in 0_u32.. {
        if at > requests {
            break;
        }
        let mut company = companies[1 - at as usize % 2].clone();
        more.push((format!("group-{at}"), vec!["dot@x.com".to_owned()]));
        company.groups.extend(more.clone());
        firm.people(&company);
        let before = drill.requests();
        if let Some(skip) = at.checked_sub(1) {
            drill.add(Fault { skip, times: 1, status, drop, ..Fault::default() });
        }
        let result = firm.told(0).await;
        let what = format!("{met:?} at request {at} of {requests}");
        assert_eq!(result["outcome"], "complete", "{what}: {result}");
        firm.check(&company, &what).await;
        if at == 0 {
            requests = u32::try_from(drill.requests() - before).expect("a few");
            assert!(requests > 7, "{requests} requests");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_that_is_refused_once_is_sent_again_and_everybody_finds_what_they_may() {
    let drops = |status| (Some(status), Some(Dropped::After));
    let met = [(Some(429), None), (Some(503), None), drops(503), (None, Some(Dropped::Before))];
    futures::future::join_all(met.map(each_request_meets)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_is_killed_at_any_page_of_the_source_changes_nothing_and_the_next_reads_all() {
    let (api, url) = Api::start().await;
    let names = ["few", "all"];
    let rows = names.map(|name| json!({ "slug": name }));
    api.lists("users", &[vec![user("ann", 1)], vec![user("bob", 2)], vec![user("cid", 3)]]);
    api.says("/groups", json!({ "items": rows }));
    api.says("/documents", json!({}));
    let inner = || json!({ "type": "group", "slug": "few" });
    let says = |first: u32, second: u32| {
        api.lists("groups/few/members", &[vec![by_id(first)]]);
        api.lists("groups/all/members", &[vec![inner()], vec![by_id(second)]]);
    };
    says(1, 2);
    let site = Site::new(&people(&url, &names, &format!("{USERS}{GROUPS}"))).await;
    let site = site.connector("sheaf_rest");
    site.sync("people", 0).await;
    let finds = async |name: &str, group: &str| {
        site.sees(&format!("{name}@x.com"), "people", "Item", group).await
    };
    // Who is in which, by the model.
    let check = async |first: u32, second: u32, what: &str| {
        for (id, name) in [(1, "ann"), (2, "bob"), (3, "cid")] {
            assert_eq!(finds(name, "few").await, id == first, "{what}: {name}");
            assert_eq!(finds(name, "all").await, id == first || id == second, "{what}: {name}");
        }
    };
    check(1, 2, "before").await;
    let members = [(1, 2), (2, 3), (3, 1)];
    for at in 0..20 {
        let (before, now) = (members[at % 3], members[(at + 1) % 3]);
        says(now.0, now.1);
        api.requests(None);
        api.0.lock().expect("answers").holds = Some(at);
        let told = site.glean.drill().requests();
        let arguments = ["sync", "people", "--identities", "--local"];
        let mut crawl = site.command(&arguments).spawn().expect("a crawl");
        let is_asked = || api.0.lock().expect("answers").requests.len() > at;
        let ended = tokio::select! {
            ended = crawl.wait() => Some(ended.expect("it ended")),
            () = until("a page is asked for", async || is_asked()) => None,
        };
        api.0.lock().expect("answers").holds = None;
        if let Some(ended) = ended {
            assert!(ended.success() && at == 7, "{at} requests");
            check(now.0, now.1, "all is read").await;
            return;
        }
        crawl.kill().await.expect("killed");
        let what = format!("killed at page {at}");
        assert_eq!(site.glean.drill().requests(), told, "{what}: nothing was asked of Glean");
        check(before.0, before.1, &what).await;
        let next = site.sheaf(&arguments).await;
        assert_eq!(next.code, 0, "{what}: {next:?}");
        check(now.0, now.1, &what).await;
    }
    panic!("it makes more requests than there are");
}
