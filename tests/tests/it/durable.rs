//! What outlives processes: approvals, schedules, crawls that are cancelled, servers that restart.

use serde_json::{Value, json};
use sheaf::temporal::dev_server::DevServer;
use sheaf_local_glean::Fault;
use sheaf_tests::temporal::{
    QUICK, arrived, client, ended, in_the_middle, lists, replays, server, signal, until_schedule,
    worker,
};
use sheaf_tests::wait::{in_time, until};
use sheaf_tests::{Site, files, odd};
use temporalio_client::schedules::ScheduleDescription;
use temporalio_client::{
    RpcOptions, UntypedWorkflow, WorkflowCancelOptions, WorkflowFetchHistoryOptions,
};

fn configured(connections: &str) -> String {
    format!("{QUICK}{connections}")
}

async fn schedules(site: &Site) -> Vec<Value> {
    let listed = site.sheaf(&["schedules", "list", "--json"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    listed.json()["result"]["schedules"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_waits_for_approval_and_lets_incremental_crawls_go_on() {
    let mut site = Site::new(&configured(&odd("pages = 20"))).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 0);
    first.kill().await.expect("ended");
    site.configure(&configured(&odd("pages = 10, misdeed = \"changes\"")));
    let mut second = worker(&site).await;
    let held = site.sheaf(&["sync", "odd", "--json"]).await;
    assert_eq!(held.code, 5, "{held:?}");
    assert_eq!(held.json()["result"]["held"]["would_go"], 100);
    replays(&server, "sheaf-odd", "held").await;
    // A newer crawl takes the place of the one that waits.
    let newer = site.sheaf(&["sync", "odd", "--json"]).await;
    assert_eq!(newer.json()["result"]["held"]["would_go"], 100, "{newer:?}");
    let incremental = site.sheaf(&["sync", "odd", "--incremental", "--json"]).await;
    assert_eq!(incremental.code, 0, "{incremental:?}");
    assert_eq!(site.status().await["waiting"]["would_go"], 100);
    // It waits on the server: no worker has to live for it.
    second.kill().await.expect("ended");
    let _third = worker(&site).await;
    let approved = site.approve("odd").await;
    assert_eq!(approved.code, 0, "{approved:?}");
    assert_eq!(approved.json()["result"]["deleted"], 100);
    let ids = site.ids("odd").await;
    assert!(ids.contains(&"odd-999999".to_owned()) && !ids.contains(&"odd-2".to_owned()));
    assert_eq!(ids.len(), 100);
    replays(&server, "sheaf-odd", "incremental").await;
    replays(&server, "sheaf-odd.approval", "approved").await;
    let again = site.sheaf(&["approve", "odd"]).await;
    assert_eq!(again.code, 2, "{again:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_nobody_gives_expires_and_deletes_nothing() {
    let wait = "\n[connections.odd.deletions]\nwait = \"1s\"\n";
    let with = |settings: &str| configured(&format!("{}{wait}", odd(settings)));
    let mut site = Site::new(&with("pages = 20")).await.connector("guest_odd");
    let server = server(&mut site).await;
    site.sync("odd", 0).await;
    site.configure(&with("pages = 10"));
    let mut worker = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 5);
    ended(&client(&server).await, "sheaf-odd.approval").await;
    let now = site.status().await;
    assert!(now["waiting"].is_null(), "{now}");
    let last = now["last"].clone();
    assert_eq!(last["outcome"], "held");
    assert!(last["reason"].as_str().unwrap_or_default().contains("nobody approved"), "{last}");
    replays(&server, "sheaf-odd.approval", "expired").await;
    // The next one asks again, and is rejected.
    worker.kill().await.expect("ended");
    site.configure(&configured(&odd("pages = 10")));
    let _patient = sheaf_tests::temporal::worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 5);
    let rejected = site.sheaf(&["reject", "odd", "--json"]).await;
    assert_eq!((rejected.code, &rejected.json()["result"]["deleted"]), (0, &json!(0)));
    assert_eq!(site.ids("odd").await.len(), 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_while_no_worker_listens_and_its_time_runs_out_ends() {
    let wait = "\n[connections.odd.deletions]\nwait = \"5s\"\n";
    let with = |settings: &str| configured(&format!("{}{wait}", odd(settings)));
    let mut site = Site::new(&with("pages = 20")).await.connector("guest_odd");
    let server = server(&mut site).await;
    site.sync("odd", 0).await;
    site.configure(&with("pages = 10"));
    let mut first = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 5);
    first.kill().await.expect("ended");
    let client = client(&server).await;
    let handle = client.get_workflow_handle::<UntypedWorkflow>("sheaf-odd.approval");
    handle.cancel(WorkflowCancelOptions::default()).await.expect("asked");
    until("its time has run out", async || {
        let history = handle.fetch_history(WorkflowFetchHistoryOptions::default());
        let json = history.to_json().await.expect("a history");
        String::from_utf8_lossy(&json).contains("TimerFired")
    })
    .await;
    // Both come at once to the next worker.
    let _second = worker(&site).await;
    ended(&client, "sheaf-odd.approval").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_is_cancelled_though_no_worker_listens() {
    let mut site = Site::new(&configured(&odd("pages = 2000"))).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let sync = in_the_middle(&site).await;
    signal(&first, "TERM");
    first.wait().await.expect("ended");
    let cancelled = site.sheaf(&["cancel", "odd", "--json"]).await;
    assert_eq!(cancelled.code, 5, "{cancelled:?}");
    assert_eq!(cancelled.json()["result"]["asked"], true);
    let _second = worker(&site).await;
    assert_ne!(sync.wait_with_output().await.expect("an end").status.code(), Some(0));
    let ended = site.sync("odd", 0).await;
    assert_eq!(ended["outcome"], "complete", "{ended:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_those_of_the_file() {
    let connections = |schedules: &str| {
        configured(&format!(
            "{}\n[connections.docs.schedules]\n{schedules}\n\n{}",
            files(""),
            odd("pages = 1")
        ))
    };
    let first = connections(
        "full = { cron = \"0 2 * * *\", time_zone = \"Europe/Berlin\", jitter = \"5m\" }\n\
         incremental = { every = \"1h\", offset = \"10m\" }\n\
         weekly = { mode = \"full\", at = [{ hour = \"4\", day_of_week = \"SUN\" }], overlap = \"buffer-one\", catch_up = \"2h\" }",
    );
    let mut site = Site::new(&first).await;
    let server = server(&mut site).await;
    let applied = site.sheaf(&["schedules", "apply", "--json"]).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    let created = applied.json()["result"]["created"].clone();
    let ours = ["sheaf-docs.full", "sheaf-docs.incremental", "sheaf-docs.weekly"];
    assert_eq!(created, json!(ours));
    let client = client(&server).await;
    lists(&client, &ours).await;
    assert_eq!(schedules(&site).await.len(), 3);
    let again = site.sheaf(&["schedules", "apply", "--json"]).await.json();
    assert_eq!(again["result"]["unchanged"].as_array().map(Vec::len), Some(3), "{again}");
    let paused = site.sheaf(&["schedules", "pause", "docs", "full", "--note", "a holiday"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    let listed = site.sheaf(&["schedules", "list"]).await;
    for part in ["cron `0 2 * * *`, Europe/Berlin, jitter 5m", "paused", "a holiday", "every 1h"] {
        assert!(listed.stdout.contains(part), "{part}: {listed:?}");
    }
    // Another queue's are not ours, whatever they are called.
    let theirs = format!("[temporal]\ntask_queue = \"theirs\"\n\n{first}").replace("docs", "wiki");
    site.configure(&theirs);
    assert_eq!(site.sheaf(&["schedules", "apply"]).await.code, 0);
    let others = ours.map(|id| format!("{}@theirs", id.replace("docs", "wiki")));
    lists(&client, &[&ours[..], &others.each_ref().map(String::as_str)].concat()).await;
    site.configure(&connections("full = { cron = \"30 3 * * *\" }"));
    assert_eq!(schedules(&site).await.len(), 3, "the others are listed no more than ours");
    let changed = site.sheaf(&["schedules", "apply", "--json"]).await.json()["result"].clone();
    assert_eq!(changed["updated"], json!(["sheaf-docs.full"]), "{changed}");
    assert_eq!(changed["removed"], json!(["sheaf-docs.incremental", "sheaf-docs.weekly"]));
    lists(&client, &[&ours[..1], &others.each_ref().map(String::as_str)].concat()).await;
    let left = schedules(&site).await;
    assert_eq!(left.len(), 1, "they are gone");
    let left = &left[0];
    assert_eq!(
        (&left["paused"], &left["schedule"]["cron"][0]),
        (&json!(true), &json!("30 3 * * *"))
    );
    site.configure(&theirs);
    assert_eq!(schedules(&site).await.len(), 3, "theirs are there");
    // What the server does not take is told with its place.
    site.configure(&connections(
        "full = { cron = \"0 2 * * *\", time_zone = \"Europe/Atlantis\" }",
    ));
    let wrong = site.sheaf(&["schedules", "apply"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("schedules.full"), "{wrong:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_fire_survive_their_server_and_skip_what_overlaps() {
    let connections = configured(&format!(
        "{}\n[connections.odd.schedules]\noften = {{ mode = \"full\", every = \"1s\" }}\n",
        odd("pages = 400")
    ));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    // Each crawl takes some seconds.
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, times: 1000, delay_ms: 700, ..Fault::default() });
    assert_eq!(site.sheaf(&["schedules", "apply"]).await.code, 0);
    let often = "sheaf-odd.often";
    let first = client(&server).await;
    until_schedule(&first, often, "it started, and skipped", |now| {
        now.action_count() >= 1 && now.overlap_skipped() >= 2
    })
    .await;
    let port: u16 = server.address.rsplit_once(':').expect("a port").1.parse().expect("a port");
    server.stop().await;
    site.glean.drill().clear();
    let server = DevServer::start(site.folder.path(), port).await.expect("a server again");
    assert_eq!(server.address.rsplit_once(':').expect("a port").1, port.to_string());
    let before = site.glean.drill().requests();
    let client = client(&server).await;
    let complete = Box::pin(async {
        loop {
            let running = |now: &ScheduleDescription| now.running_actions().pop();
            until_schedule(&client, often, "a crawl runs", |now| running(now).is_some()).await;
            let handle = client.get_schedule_handle(often);
            let now = handle.describe(RpcOptions::default()).await.expect("described");
            let Some(run) = running(&now) else { continue };
            let result = ended(&client, &run.workflow_id).await;
            if result.is_some_and(|result| result["result"]["outcome"] == "complete") {
                return;
            }
        }
    });
    in_time("a crawl is complete after the restart", complete).await;
    assert!(site.glean.drill().requests() > before);
    assert_eq!(site.status().await["last"]["outcome"], "complete");
    assert_eq!(site.sheaf(&["schedules", "pause", "odd"]).await.code, 0);
    let nothing_runs =
        || until_schedule(&client, often, "nothing runs", |now| now.running_actions().is_empty());
    nothing_runs().await;
    let recent = schedules(&site).await[0]["recent"].clone();
    assert_eq!(recent[0]["outcome"], "complete", "{recent}");
    assert_eq!(recent[0]["result"]["documents"], 4000, "{recent}");
    let schedule = client.get_schedule_handle(often);
    let described = schedule.describe(RpcOptions::default()).await.expect("described");
    let actions = described.recent_actions();
    let newest = actions.last().expect("one that ran").workflow_id.clone();
    replays(&server, &newest, "scheduled").await;
    // By hand, and for times that are over.
    let started = described.action_count();
    let more = |by: i64| {
        until_schedule(&client, often, "it started again", move |now| {
            now.action_count() >= started + by
        })
    };
    assert_eq!(site.sheaf(&["schedules", "trigger", "odd", "often"]).await.code, 0);
    more(1).await;
    nothing_runs().await;
    let times = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:00:02Z"];
    let backfill: Vec<_> = ["schedules", "backfill", "odd"].into_iter().chain(times).collect();
    let backfilled = site.sheaf(&backfill).await;
    assert_eq!(backfilled.code, 0, "{backfilled:?}");
    more(2).await;
    let none = site.sheaf(&["schedules", "trigger", "odd", "never"]).await;
    assert_eq!(none.code, 2, "{none:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_crawled_so_many_at_once_and_one_failure_stops_no_other() {
    let one = |name: &str, settings: &str| {
        odd(settings)
            .replace("connections.odd", &format!("connections.{name}"))
            .replace("datasource = \"odd\"", &format!("datasource = \"{name}\""))
    };
    let connections = configured(&format!(
        "{}\n{}\n{}",
        one("first", "pages = 2"),
        one("second", "pages = 2, misdeed = \"give-up\""),
        one("third", "pages = 3")
    ));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    for arguments in [
        vec!["sync", "--all", "--json", "--parallel", "2"],
        vec!["sync", "--all", "--local", "--json"],
    ] {
        let ended = site.sheaf(&arguments).await;
        assert_eq!(ended.code, 4, "{ended:?}");
        let json = ended.json();
        let crawls = json["result"]["connections"].as_array().expect("crawls").clone();
        assert_eq!(crawls[0]["result"]["documents"], 20, "{json}");
        assert_eq!(crawls[1]["failure"]["kind"], "SourceGaveUp", "{json}");
        assert_eq!(crawls[2]["result"]["documents"], 30, "{json}");
    }
    replays(&server, "sheaf.all", "all").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_crawl_is_gone_on_with_in_its_session() {
    let mut site = Site::new(&configured(&odd("pages = 2000"))).await.connector("guest_odd");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    let sync = in_the_middle(&site).await;
    let cancelled = site.sheaf(&["cancel", "odd", "--json"]).await;
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let kept = cancelled.json()["result"]["documents"].as_u64();
    assert!(kept >= Some(2_000), "{cancelled:?}");
    let none = site.sheaf(&["cancel", "odd"]).await;
    assert!(none.stderr.contains("no crawl of `odd` is under way"), "{none:?}");
    let output = sync.wait_with_output().await.expect("an end");
    assert_ne!(output.status.code(), Some(0));
    let said = site.sheaf(&["status"]).await.stdout;
    assert!(said.contains("stopped"), "{said}");
    // It was a workflow's, and is this process's now.
    let ended = site.sync("odd", 0).await;
    assert_eq!(ended["outcome"], "complete", "{ended:?}");
    let overview = site.glean.overview().await.expect("an overview");
    assert_eq!(overview["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(overview["sessions"][0]["documents"], 20_000, "nothing was uploaded twice");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporal_server_that_restarts_in_the_middle_costs_nothing() {
    let mut site = Site::new(&configured(&odd("pages = 2000"))).await.connector("guest_odd");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    let mut sync = in_the_middle(&site).await;
    sync.kill().await.expect("it goes on without us");
    let port: u16 = server.address.rsplit_once(':').expect("a port").1.parse().expect("a port");
    server.stop().await;
    let server = DevServer::start(site.folder.path(), port).await.expect("a server again");
    ended(&client(&server).await, "sheaf-odd").await;
    assert_eq!(site.status().await["last"]["outcome"], "complete");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    let overview = site.glean.overview().await.expect("an overview");
    let uploaded = overview["sessions"][0]["documents"].as_u64().unwrap_or_default();
    assert!(uploaded <= 24_000, "at most a window again: {uploaded}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_serves_the_next_crawl_and_a_running_one_keeps_its_own() {
    let mut site = Site::new(&configured(&odd("pages = 2000"))).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let sync = in_the_middle(&site).await;
    // The same connector with other bytes: a custom section at its end.
    let path = site.path("connectors/guest_odd.wasm");
    let mut bytes = std::fs::read(&path).expect("a component");
    bytes.extend_from_slice(&[0, 4, 3, b'n', b'e', b'w']);
    std::fs::write(&path, &bytes).expect("replaced");
    signal(&first, "KILL");
    first.wait().await.expect("killed");
    let _second = worker(&site).await;
    let output = sync.wait_with_output().await.expect("an end");
    let old: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(old["result"]["outcome"], "complete", "{old}");
    let next = site.sheaf(&["sync", "odd", "--json"]).await.json();
    assert_ne!(next["result"]["digest"], old["result"]["digest"]);
    let digest = next["result"]["digest"].as_str().unwrap_or_default();
    let shown = site.sheaf(&["status"]).await;
    assert!(shown.stdout.contains(&digest["sha256:".len()..][..12]), "{shown:?}");
    // And the old one can be chosen, by its digest.
    let digest = old["result"]["digest"].as_str().unwrap_or_default();
    let chosen = site.sheaf(&["sync", "odd", "--connector", digest, "--json"]).await.json();
    assert_eq!(chosen["result"]["digest"], digest, "{chosen}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_crawl_and_a_workflow_of_one_connection_are_kept_apart() {
    let mut site = Site::new(&configured(&odd("pages = 2000"))).await.connector("guest_odd");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, times: 30, delay_ms: 400, skip: 1, ..Fault::default() });
    let local = site.command(&["sync", "odd", "--local", "--json"]).spawn().expect("a sync");
    arrived(&site).await;
    let refused = site.sheaf(&["sync", "odd"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("is being crawled already, by process "), "{refused:?}");
    let output = local.wait_with_output().await.expect("an end");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 0);
    server.stop().await;
}
