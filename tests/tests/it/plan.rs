//! `sheaf plan`: what it says is what a full crawl then does, and it sends nothing.

use std::time::Duration;

use serde_json::{Value, json};
use sheaf_local_glean::Fault;
use sheaf_tests::temporal::{QUICK, replays, server, signal, worker};
use sheaf_tests::wait::until;
use sheaf_tests::{Site, files, odd};

async fn plan(site: &Site, code: i32) -> Value {
    let ended = site.sheaf(&["plan", "docs", "--json"]).await;
    assert_eq!(ended.code, code, "{ended:?}");
    ended.json()["result"].clone()
}

/// What both a plan and a crawl count.
fn numbers(result: &Value) -> Value {
    let mut numbers = json!({});
    for name in ["documents", "added", "changed", "unchanged", "deleted", "quarantined"] {
        numbers[name] = result[name].clone();
    }
    for shift in ["to_everyone", "wider", "narrower", "others"] {
        numbers[shift] = result["access"][shift]["count"].clone();
    }
    numbers
}

fn restricted(site: &Site, rules: &str) {
    site.configure(&files(&format!("people = \"people.toml\"\naccess_rules = [{rules}]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_a_full_crawl_then_does_and_sends_nothing() {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    for number in 0..40 {
        site.write(&format!("docs/{number:02}.md"), &format!("# Page {number}"));
    }
    let first = plan(&site, 0).await;
    assert_eq!((&first["added"], &first["outcome"]), (&json!(40), &json!("complete")));
    assert_eq!(first["added_samples"].as_array().map(Vec::len), Some(20), "{first}");
    let overview = site.glean.overview().await.expect("an overview");
    assert!(overview["sessions"].as_array().is_none_or(Vec::is_empty), "{overview}");
    assert_eq!(numbers(&site.sync("docs", 0).await), numbers(&first));
    // Three others, two new, four gone: one in ten.
    for number in 0..3 {
        site.write(&format!("docs/{number:02}.md"), "# Another");
        std::fs::remove_file(site.path(&format!("docs/{:02}.md", 30 + number))).expect("gone");
    }
    std::fs::remove_file(site.path("docs/33.md")).expect("gone");
    site.write("docs/40.md", "# New");
    site.write("docs/41.md", "# New");
    let second = plan(&site, 0).await;
    assert_eq!((&second["deleted"], &second["of"]), (&json!(4), &json!(40)), "{second}");
    let gone: Vec<_> = second["gone_samples"].as_array().expect("some").iter().collect();
    assert!(gone.iter().any(|one| one["title"] == "Page 30"), "{second}");
    assert_eq!(plan(&site, 0).await["changed"], 3, "a plan changes no plan");
    assert_eq!(numbers(&site.sync("docs", 0).await), numbers(&second));
    // What the guard would hold is said in its words.
    for number in 3..20 {
        std::fs::remove_file(site.path(&format!("docs/{number:02}.md"))).expect("gone");
    }
    let held = plan(&site, 5).await;
    let crawl = site.sync("docs", 5).await;
    assert_eq!(held["held"], crawl["held"]["reasons"], "{held} {crawl}");
    assert_eq!(held["deleted"], crawl["held"]["would_go"]);
    let text = site.sheaf(&["plan", "docs"]).await.stdout;
    assert!(text.contains("would be held: 17 of 38 documents"), "{text}");
    assert!(text.contains("nothing was uploaded"), "{text}");
    // Nothing of it is left.
    let connections = site.path(".sheaf/connections/docs");
    let left = walk(&connections).into_iter().filter(|path| path.contains("/plan/crawls/"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_could_not_ask_glean_is_not_sure_of_the_guard_and_says_so() {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    site.write("docs/one.md", "# One");
    site.sync("docs", 0).await;
    let config = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    site.write("sheaf.toml", &config.replace("[glean]\n", "[glean]\npatience = \"1s\"\n"));
    assert_eq!(plan(&site, 0).await["glean_failure"], json!(null));
    site.glean.drill().add(Fault { times: 1_000, status: Some(503), ..Fault::default() });
    let away = plan(&site, 3).await;
    assert_eq!((&away["outcome"], &away["unchanged"]), (&json!("complete"), &json!(1)), "{away}");
    assert_eq!(away["glean_failure"]["kind"], "Unreachable", "{away}");
    let text = site.sheaf(&["plan", "docs"]).await;
    assert!(text.code == 3 && text.stderr.contains("a crawl may be held"), "{text:?}");
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_who_would_find_what_first_of_all_what_everyone_would() {
    let site = Site::new("").await.connector("sheaf_files");
    for folder in ["a", "b", "c", "d"] {
        for number in 0..5 {
            site.write(&format!("docs/{folder}/{number}.md"), &format!("# {folder}{number}"));
        }
    }
    site.write("docs/people.toml", "[groups]\nhr = [\"ann@x.com\"]\n");
    let rule =
        |folder: &str, access: &str| format!("{{ glob = \"{folder}/**\", access = {access} }}");
    let hr = "{ groups = [\"hr\"] }";
    let both = "{ groups = [\"hr\", \"nobody\"] }";
    let rules = [rule("a", hr), rule("b", hr), rule("c", hr)].join(", ");
    restricted(&site, &rules);
    let first = plan(&site, 0).await;
    // A crawl tells of groups first.
    assert_eq!(first["undefined"], json!({}), "{first}");
    assert_eq!(first["identities"]["new_groups"], 1, "{first}");
    site.sync("docs", 0).await;
    // a for everyone, b for others, c as before, d narrower.
    let rules = [rule("b", both), rule("c", hr), rule("d", hr)].join(", ");
    restricted(&site, &rules);
    let second = plan(&site, 0).await;
    assert_eq!(second["access"]["to_everyone"]["count"], 5, "{second}");
    assert_eq!(second["access"]["to_everyone"]["samples"][0]["title"], "a0", "{second}");
    assert_eq!(second["undefined"]["groups"], json!(["nobody"]), "{second}");
    let text = site.sheaf(&["plan", "docs"]).await.stdout;
    let everyone = text.find("5 documents would be found by everyone").expect("said");
    assert!(everyone < text.find("unchanged").expect("said"), "{text}");
    assert!(text.contains("1 group (`nobody`) named by documents"), "{text}");
    let crawl = site.sync("docs", 0).await;
    assert_eq!(numbers(&crawl), numbers(&second));
    assert_eq!(crawl["access"]["others"]["count"], 5, "{crawl}");
    assert_eq!(crawl["access"]["narrower"]["count"], 5, "{crawl}");
    assert_eq!(crawl["undefined"]["groups"], json!(["nobody"]), "{crawl}");
    let status = site.sheaf(&["status"]).await.stdout;
    assert!(status.contains("`nobody`"), "{status}");
    // An earlier version's ledger knows nothing of that: nothing is said to be as it was.
    assert_eq!(plan(&site, 0).await["unchanged"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_knows_the_access_that_an_incremental_crawl_changed_alone() {
    let odd = |settings: &str| {
        odd(&format!("pages = 1, {settings}")).replace("connections.odd", "connections.docs")
    };
    let site = Site::new(&odd("misdeed = \"closed\"")).await.connector("guest_odd");
    let incremental = async |code| {
        let ended = site.sheaf(&["sync", "docs", "--local", "--incremental", "--json"]).await;
        assert_eq!(ended.code, code, "{ended:?}");
    };
    site.sync("docs", 0).await;
    incremental(0).await;
    // In the source it is open for everyone again, and it says so to nobody but who reads all.
    let again = plan(&site, 0).await;
    assert_eq!(again["access"]["to_everyone"]["count"], 1, "{again}");
    assert_eq!((&again["changed"], &again["unchanged"]), (&json!(1), &json!(9)), "{again}");
    let sample = &again["access"]["to_everyone"]["samples"][0];
    assert_eq!((&sample["id"], &sample["title"]), (&json!("odd-1"), &json!("Page 1")), "{again}");
    assert_eq!(numbers(&site.sync("docs", 0).await), numbers(&again));
    // One that Glean refused first, and took later.
    site.glean.drill().add(Fault {
        path: "/updatepermissions".to_owned(),
        status: Some(400),
        times: 1,
        ..Fault::default()
    });
    incremental(5).await;
    assert_eq!(plan(&site, 0).await["access"]["to_everyone"]["count"], 0, "it is open as yet");
    site.configure(&odd("misdeed = \"empty\""));
    incremental(0).await;
    site.configure(&odd("misdeed = \"closed\""));
    assert_eq!(plan(&site, 0).await["access"]["to_everyone"]["count"], 1);
    // It is still the document of before, by its id and by its address.
    for asked in ["odd-1", "https://odd.example.com/1"] {
        let explained = site.sheaf(&["explain", "docs", asked]).await.stdout;
        assert!(
            explained.contains("Page 1") && explained.contains("uploaded   yes"),
            "{explained}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_resumed_waits_for_no_crawl_and_needs_no_glean() {
    let slow = odd("pages = 4000").replace("connections.odd", "connections.docs");
    let site = Site::new(&slow).await.connector("guest_odd");
    let mut killed = site.command(&["plan", "docs", "--json"]).spawn().expect("a plan");
    let journal = site.path(".sheaf/connections/docs");
    let size = || -> u64 {
        let all = walk(&journal).into_iter().filter(|path| path.contains("/plan/crawls/"));
        all.filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
    };
    until("some of it is read", async || size() > 200_000).await;
    killed.kill().await.expect("killed");
    let resumed = site.sheaf(&["plan", "docs", "--json", "-vv"]).await;
    assert_eq!(resumed.json()["result"]["documents"], 40_000, "{resumed:?}");
    assert!(resumed.stderr.contains("the scope is resumed"), "{resumed:?}");
    // While a crawl is under way.
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, hold: Some(0), times: 1, skip: 1, ..Fault::default() });
    let mut crawl = site.command(&["sync", "docs", "--local"]).spawn().expect("a crawl");
    until("a request is held", async || site.glean.drill().held() > 0).await;
    let beside = plan(&site, 0).await;
    assert_eq!((&beside["documents"], &beside["foreign"]), (&json!(40_000), &json!(0)), "{beside}");
    assert!(beside["under_way"].as_u64() > Some(0), "{beside}");
    site.glean.drill().release().await;
    assert!(crawl.wait().await.expect("ended").success());
    assert_eq!(plan(&site, 0).await["unchanged"], 40_000);
    let config = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    let without = config.lines().filter(|line| !line.starts_with("server_url"));
    site.write("sheaf.toml", &without.collect::<Vec<_>>().join("\n"));
    let alone = site.sheaf(&["plan", "docs", "--json"]).await;
    assert_eq!(alone.code, 0, "{alone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_plans_and_another_goes_on_where_it_was_killed() {
    let slow = odd("pages = 4000").replace("connections.odd", "connections.docs");
    let mut site = Site::new(&format!("{QUICK}{slow}")).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let asked = site.command(&["plan", "docs", "--temporal", "--json"]).spawn().expect("a plan");
    let folder = site.path(".sheaf/connections/docs");
    let begun = || walk(&folder).iter().any(|path| path.contains("/plan/crawls/"));
    until("it has begun", async || begun()).await;
    let anew = site.sheaf(&["plan", "docs", "--temporal", "--restart", "--json"]).await;
    assert_ne!(anew.code, 0, "{anew:?}");
    assert!(anew.stdout.contains("is being read already"), "{anew:?}");
    tokio::time::timeout(Duration::from_secs(60), async {
        signal(&first, "KILL");
        first.wait().await.expect("killed");
    })
    .await
    .expect("in time");
    let _second = worker(&site).await;
    let output = asked.wait_with_output().await.expect("an end");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["result"]["documents"], 40_000, "{answer}");
    assert_eq!(answer["result"]["added"], 40_000, "{answer}");
    replays(&server, "sheaf-docs.plan", "plan").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_who_comes_into_groups_and_who_goes_first_of_all_where_somebody_comes_in() {
    let site = Site::new("").await.connector("sheaf_files");
    site.write("docs/a.md", "# A");
    restricted(&site, "{ glob = \"**\", access = { groups = [\"hr\"] } }");
    let people = |groups: &str| site.write("docs/people.toml", &format!("[groups]\n{groups}"));
    let many: Vec<_> = (0..12).map(|number| format!("\"u{number:02}@x.com\"")).collect();
    people(&format!("hr = [\"ann@x.com\"]\nit = [\"bob@x.com\"]\nall = [{}]", many.join(", ")));
    site.sync("docs", 0).await;
    people(
        "hr = [\"ann@x.com\", \"group:it\"]\nit = [\"cid@x.com\"]\nall = [\"u00@x.com\", \"dot@x.com\"]",
    );
    let foretold = plan(&site, 5).await;
    let shifts = &foretold["identities"]["shifts"];
    assert_eq!(
        shifts["wider"]["samples"][0]["comes_in"]["names"],
        json!(["the group it"]),
        "{foretold}"
    );
    assert_eq!((&shifts["both"]["count"], &shifts["narrower"]["count"]), (&json!(1), &json!(0)));
    let text = site.sheaf(&["plan", "docs"]).await.stdout;
    for line in [
        "\n    1 group gets wider\n      hr: the group it comes in\n",
        "\n    1 group gets wider and narrower\n      it: cid@x.com comes in, bob@x.com goes",
        "\n      all: dot@x.com comes in, u01@x.com, u02@x.com, u03@x.com and 8 more go\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let held = site.sheaf(&["sync", "docs", "--identities", "--local"]).await;
    assert!(held.stdout.contains("\n    all: dot@x.com comes in"), "{held:?}");
    let status = site.sheaf(&["status"]).await.stdout;
    assert!(status.contains("\n      all: dot@x.com comes in"), "{status}");
    let approval = site.sheaf(&["approve", "docs", "--identities", "--dry-run"]).await.stdout;
    assert!(approval.contains("\n    all: dot@x.com comes in"), "{approval}");
}
