//! What happens where there are several: deployments in one namespace, files that differ, servers and
//! workers that come and go.

use std::time::Duration;

use serde_json::{Value, json};
use sheaf::crawl::result::AwaitingApproval;
use sheaf::crawl::{CrawlPolicy, CrawlRequest, ModeName};
use sheaf::temporal::connect::connect_to;
use sheaf::temporal::dev_server::DevServer;
use sheaf::temporal::follow;
use sheaf::temporal::workflows::{
    ApprovalInput, ApprovalWorkflow, CrawlInput, ScheduledCrawl, ScheduledInput,
};
use sheaf_local_glean::Fault;
use sheaf_tests::temporal::{QUICK, in_the_middle, lists, server, signal, worker, worker_and_log};
use sheaf_tests::wait::says;
use sheaf_tests::{Site, odd};
use temporalio_client::grpc::WorkflowService as _;
use temporalio_client::schedules::{CreateScheduleOptions, ScheduleAction, ScheduleSpec};
use temporalio_client::tonic::Request;
use temporalio_client::{NamespacedClient as _, WorkflowStartOptions};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::ResetWorkflowExecutionRequest;

/// A deployment's configuration: its task queue, and so many documents that most of them are gone.
fn on(task_queue: &str, settings: &str) -> String {
    format!("[temporal]\ntask_queue = \"{task_queue}\"\n\n{QUICK}{}", odd(settings))
}

/// Another deployment on the same Temporal server, with a Glean, files and a state of its own.
async fn beside(site: &Site, connections: &str) -> Site {
    let mut other = Site::new(connections).await.connector("guest_odd");
    other.environment.clone_from(&site.environment);
    other
}

async fn held(site: &Site) -> String {
    let held = site.sheaf(&["sync", "odd", "--json"]).await;
    assert_eq!(held.code, 5, "{held:?}");
    held.json()["result"]["upload_id"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_of_one_namespace_answer_and_end_nothing_of_each_other() {
    let mut ours = Site::new(&on("sheaf", "pages = 20")).await.connector("guest_odd");
    let server = server(&mut ours).await;
    let theirs = beside(&ours, &on("staging", "pages = 20")).await;
    for site in [&ours, &theirs] {
        site.sync("odd", 0).await;
    }
    ours.configure(&on("sheaf", "pages = 10"));
    theirs.configure(&on("staging", "pages = 5"));
    let _workers = [worker(&ours).await, worker(&theirs).await];
    let (our_upload, their_upload) = (held(&ours).await, held(&theirs).await);
    // Neither's word is heard by the other, whatever it names.
    let wrong = ours.sheaf(&["approve", "odd", "--upload", &their_upload]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let approved = theirs.approve("odd").await;
    assert_eq!(approved.json()["result"]["deleted"], 150, "{approved:?}");
    assert_eq!(ours.ids("odd").await.len(), 200);
    // An approval that an earlier version of theirs started under an id that both had.
    let client = connect_to(&server.address).await.expect("a client");
    let waiting = AwaitingApproval {
        upload_id: String::new().into(),
        would_go: 7,
        of: 50,
        reasons: Vec::new(),
        samples: Vec::new(),
        until: sheaf::clock::Timestamp::now() + Duration::from_secs(3_600),
        wait_seconds: 3_600,
    };
    let input = ApprovalInput {
        connection: "odd".into(),
        upload_id: "sheaf-odd-earlier".into(),
        waiting,
        policy: CrawlPolicy::default(),
        glean: String::new(),
        named: false,
    };
    let rejected = ours.sheaf(&["reject", "odd", "--upload", &our_upload]).await;
    assert_eq!(rejected.code, 0, "{rejected:?}");
    let options = WorkflowStartOptions::new("staging", "sheaf-odd.approval").build();
    let earlier = client.start_workflow(ApprovalWorkflow::run, input, options).await;
    earlier.expect("started");
    for (site, found) in [(&ours, false), (&theirs, true)] {
        // Whoever has no state of its own asks the workflow.
        std::fs::remove_dir_all(site.path(".sheaf")).expect("removed");
        let shown = site.sheaf(&["approve", "odd", "--dry-run"]).await;
        assert_eq!(shown.code == 0, found, "{shown:?}");
        assert_eq!(shown.stdout.contains("--upload sheaf-odd-earlier --deletes 7"), found);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_of_an_earlier_version_are_taken_over_and_not_doubled() {
    let schedules = "\n[connections.odd.schedules]\nfull = { cron = \"0 2 * * *\" }\n";
    let connections = format!("{}{schedules}", on("staging", "pages = 1"));
    let mut site = Site::new(&connections).await;
    let server = server(&mut site).await;
    let list = || async { site.sheaf(&["schedules", "list", "--json"]).await.json() };
    let path = site.path("sheaf.toml");
    let config = sheaf::config::Config::load(Some(&path)).expect("valid");
    let crawl = CrawlInput {
        task_queue: String::new(),
        glean: String::new(),
        ..follow::crawl(
            config.deployment(),
            CrawlRequest::new("odd", ModeName::Full),
            config.digest("odd"),
        )
    };
    let input = ScheduledInput { crawl, schedule: config.schedules["odd"][0].clone() };
    let id = "sheaf-odd.full";
    let action = ScheduleAction::start_workflow(ScheduledCrawl::run, input, "staging", id);
    let spec = ScheduleSpec::builder().cron_strings(vec!["0 2 * * *".to_owned()]).build();
    let options = CreateScheduleOptions::builder().action(action).spec(spec);
    let options = options.paused(true).note("the wiki is being moved").build();
    let client = connect_to(&server.address).await.expect("a client");
    client.create_schedule(id, options).await.expect("a schedule");
    lists(&client, &[id]).await;
    assert_eq!(list().await["result"]["schedules"][0]["id"], id);
    let applied = site.sheaf(&["schedules", "apply", "--json"]).await.json()["result"].clone();
    assert_eq!(applied["created"], json!(["sheaf-odd.full@staging"]), "{applied}");
    assert_eq!(applied["removed"], json!([id]), "{applied}");
    lists(&client, &["sheaf-odd.full@staging"]).await;
    let found = list().await["result"]["schedules"].clone();
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    let found = found[0].clone();
    assert_eq!(found["id"], "sheaf-odd.full@staging", "{found}");
    assert_eq!(found["paused"], true, "{found}");
    assert_eq!(found["note"], "the wiki is being moved", "{found}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_has_the_settings_of_whoever_started_it_or_none() {
    let salted = |salt: &str| format!("{QUICK}{}", odd(&format!("pages = 2, salt = \"{salt}\"")));
    let mut site = Site::new(&salted("before")).await.connector("guest_odd");
    let server = server(&mut site).await;
    let worker = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 0);
    let documents = || async { format!("{:?}", site.glean.documents("odd").await.expect("some")) };
    assert!(documents().await.contains("before"));
    // The worker runs on, and reads what is new.
    site.configure(&salted("after"));
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 0);
    assert!(documents().await.contains("after") && !documents().await.contains("before"));
    // Somebody else's file says something else.
    let glean = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    let other = beside(&site, "").await;
    other.write("sheaf.toml", &glean.replace("after", "theirs"));
    let refused = other.sheaf(&["sync", "odd"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    let process = format!("process {} on ", worker.id().expect("it runs"));
    for part in [process.as_str(), "has had this `odd` since 20", ", worker process "] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    // Or means another Glean.
    other.configure(&salted("after"));
    let refused = other.sheaf(&["sync", "odd"]).await;
    assert!(refused.stderr.contains("different task queues"), "{refused:?}");
    assert!(documents().await.contains("after"));
    assert!(other.ids("odd").await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_costs_no_pause_of_the_policy_and_a_slow_glean_no_attempt() {
    // With pauses of an hour this ends only where none is made.
    let policy = "[temporal.policy]\ninitial_interval = \"1h\"\nmax_interval = \"1h\"\n\
                  heartbeat_timeout = \"4s\"\n\n";
    let mut site =
        Site::new(&format!("{policy}{}", odd("pages = 2000"))).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let sync = in_the_middle(&site).await;
    signal(&first, "KILL");
    first.wait().await.expect("killed");
    site.glean.drill().clear();
    // Nothing moves for longer than the timeout.
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, times: 1, delay_ms: 9_000, ..Fault::default() });
    let (_second, log) = worker_and_log(&site).await;
    let ended = tokio::time::timeout(Duration::from_secs(120), sync.wait_with_output()).await;
    let output = ended.expect("no pause was made").expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    let log = log.lock().expect("a log").clone();
    assert_eq!(log.matches("crawling scopes").count(), 1, "{log}");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_outlives_the_server_and_whoever_began_it() {
    let connections = format!("{QUICK}{}", odd("pages = 2000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let mut server = server(&mut site).await;
    let port: u16 = server.address.rsplit_once(':').expect("a port").1.parse().expect("a port");
    // Nobody listens.
    let mut lost = site.command(&["sync", "odd"]).spawn().expect("a sync");
    says(&mut lost, "no worker listens on the task queue `sheaf`").await;
    lost.kill().await.expect("ended");
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, times: 60, delay_ms: 400, skip: 1, ..Fault::default() });
    let _worker = worker(&site).await;
    // What the lost one began is followed, by each who asks in his way.
    let mut again = site.command(&["sync", "odd", "--json"]).spawn().expect("a sync");
    says(&mut again, "is under way already, and is followed").await;
    let mut follows = site.command(&["sync", "odd", "--follow", "--json"]).spawn().expect("a sync");
    sheaf_tests::temporal::arrived(&site).await;
    server.stop().await;
    let said = says(&mut again, "Temporal does not answer").await;
    assert!(!said.contains("Status {") && !said.contains("gRPC"), "{said}");
    says(&mut follows, "Temporal does not answer").await;
    server = DevServer::start(site.folder.path(), port).await.expect("a server again");
    site.glean.drill().clear();
    for follower in [again, follows] {
        let output = follower.wait_with_output().await.expect("an end");
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(json["result"]["outcome"], "complete", "{json}");
    }
    let none = site.sheaf(&["sync", "odd", "--follow"]).await;
    assert_eq!(none.code, 2, "{none:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_is_reset_goes_on_in_its_session_and_is_followed() {
    let connections = format!("{QUICK}{}", odd("pages = 2000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    let sync = in_the_middle(&site).await;
    let client = connect_to(&server.address).await.expect("a client");
    let request = ResetWorkflowExecutionRequest {
        namespace: client.namespace(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: "sheaf-odd".into(),
            run_id: String::new(),
        }),
        reason: "a test".into(),
        // The first task of the workflow: all of it is done again.
        workflow_task_finish_event_id: 4,
        request_id: "once".into(),
        ..ResetWorkflowExecutionRequest::default()
    };
    let reset = client.clone().reset_workflow_execution(Request::new(request)).await;
    reset.expect("reset");
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    let overview = site.glean.overview().await.expect("an overview");
    assert_eq!(overview["sessions"].as_array().map(Vec::len), Some(1), "{overview}");
    server.stop().await;
}
