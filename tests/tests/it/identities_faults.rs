//! Users and groups where Glean fails or a crawl is killed: whatever happened, the next crawl makes it good.

use sheaf_local_glean::{Dropped, Fault};
use sheaf_tests::company::{Company, Firm};
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
            firm.check(&all, &format!("{path} {status:?} {drop:?}")).await;
        }
    }
    // A group that Glean refuses keeps its members, and is tried again.
    firm.people(&first);
    assert_eq!(firm.told_or_approved().await.code, 0);
    // It is asked twice: another session might have been in the way.
    let refusal = Fault {
        path: "/bulkindexmemberships".into(),
        times: 2,
        status: Some(400),
        ..Fault::default()
    };
    firm.site.glean.drill().add(refusal);
    firm.people(&all);
    let partly = firm.told(5).await;
    assert_eq!(partly["refused"]["count"], 1, "{partly}");
    assert_eq!(firm.told(0).await["changed_groups"], 1);
    firm.check(&all, "tried again").await;
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
