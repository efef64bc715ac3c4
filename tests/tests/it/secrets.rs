//! Marked secrets, in every place that one can stand: afterwards none of them is in anything that
//! Sheaf wrote.

use std::path::Path;

use sheaf_tests::Site;
use sheaf_tests::temporal::{QUICK, server, worker_and_log};
use sheaf_tests::web::Web;
use temporalio_client::{UntypedWorkflow, WorkflowFetchHistoryOptions};

const GLEAN: &str = "marked-secret-glean-41a7";
const BEARER: &str = "marked-secret-bearer-72c0";
const PASSWORD: &str = "marked-secret-password-0b9e";
const HEADER: &str = "marked-secret-header-5d13";
const CLIENT: &str = "marked-secret-client-e8f2";
const REFRESH: &str = "marked-secret-refresh-3c64";
/// What the test's token server gives.
const TOKEN: &str = "marked-secret-token";

/// `misdeed = "echo-fault"` puts whatever the host answers into its log, its stderr and its fault.
fn connection(name: &str, misdeed: &str, url: &str, credential: &str) -> String {
    format!(
        "[connections.{name}]\nconnector = \"evil\"\ndatasource = \"{name}\"\n\
         settings = {{ misdeed = \"{misdeed}\", server = \"{url}\" }}\n\
         [connections.{name}.grants]\nhosts = [\"{url}\"]\n\
         credentials = {{ api = {{ {credential} }} }}\n\n"
    )
}

/// Every file below a folder that holds one of the secrets.
fn scan(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            scan(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes);
            if leaked(&text) {
                found.push(path.display().to_string());
            }
        }
    }
}

fn leaked(text: &str) -> bool {
    // As it is, or as `Basic` writes it.
    let basic = ["bWFya2VkLXNlY3JldC", "1hcmtlZC1zZWNyZXQt", "tYXJrZWQtc2VjcmV0L"];
    text.contains("marked-secret") || basic.iter().any(|part| text.contains(part))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_a_log_a_history_a_recording_or_the_state() {
    let web = Web::start().await;
    let url = web.url();
    let token_url = format!("{url}/token");
    let connections = [
        connection("bearer", "echo-fault", &url, "bearer = { env = \"TEST_BEARER\" }"),
        connection("basic", "echo-fault", &url, "basic = { username = \"ann\", password = { file = \"secrets/password\" } }"),
        connection("header", "echo-header", &url, "header = { name = \"x-api-key\", value = { command = [\"cat\", \"secrets/header\"] } }"),
        connection("oauth", "echo-fault", &url, &format!("oauth = {{ token_url = \"{token_url}\", client_id = \"sheaf\", client_secret = {{ env = \"TEST_CLIENT\" }}, refresh_token = {{ file = \"secrets/refresh\" }} }}")),
        connection("refused", "echo-fault", &url, &format!("oauth = {{ token_url = \"{token_url}-refused\", client_id = \"sheaf\", client_secret = {{ env = \"TEST_CLIENT\" }} }}")),
        connection("well", "credential-unread", &url, "bearer = { env = \"TEST_BEARER\" }"),
    ]
    .concat();
    let glean = sheaf_local_glean::Options { token: Some(GLEAN.into()), ..Default::default() };
    let glean = sheaf_local_glean::LocalGlean::start(glean).await.expect("a local Glean");
    let mut site = Site::with(&format!("{QUICK}{connections}"), glean).connector("guest_evil");
    for (name, secret) in [("password", PASSWORD), ("header", HEADER), ("refresh", REFRESH)] {
        site.write(&format!("secrets/{name}"), secret);
    }
    for (name, secret) in [
        ("TEST_BEARER", BEARER),
        ("TEST_CLIENT", CLIENT),
        ("GLEAN_INDEXING_API_TOKEN", GLEAN),
        ("RUST_LOG", "debug"),
    ] {
        site.environment.push((name.into(), secret.into()));
    }
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let mut said = String::new();
    for name in ["bearer", "basic", "header", "oauth", "refused", "well"] {
        for arguments in [
            &["check", name][..],
            &["sync", name, "-v"],
            &["sync", name, "--json", "-v"],
            &["sync", name, "--local", "--anew", "-vv"],
            &["status", name, "--json"],
        ] {
            let ended = site.sheaf(arguments).await;
            said.push_str(&format!("{arguments:?}\n{}\n{}\n", ended.stdout, ended.stderr));
        }
    }
    // The guest did what it does: what it got back was said, without the secret.
    assert!(said.contains("[redacted]"), "{said}");
    assert!(!leaked(&said), "{said}");
    assert!(site.ids("well").await.len() == 1, "{said}");
    // The secrets were really sent.
    let sent: Vec<_> =
        web.requests().into_iter().filter_map(|(_, authorization)| authorization).collect();
    for secret in [BEARER, TOKEN] {
        assert!(sent.iter().any(|sent| sent.contains(secret)), "{secret}: {sent:?}");
    }
    let log = log.lock().expect("a log").clone();
    assert!(log.contains("[redacted]"), "{log}");
    assert!(!leaked(&log), "{log}");
    let client = sheaf::temporal::connect::connect_to(&server.address).await.expect("a client");
    for name in ["bearer", "basic", "header", "oauth", "refused", "well"] {
        let handle = client.get_workflow_handle::<UntypedWorkflow>(format!("sheaf-{name}"));
        let history = handle.fetch_history(WorkflowFetchHistoryOptions::default());
        let history =
            String::from_utf8_lossy(&history.to_json().await.expect("a history")).into_owned();
        assert!(history.len() > 1000 && !leaked(&history), "{name}: {history}");
    }
    server.stop().await;
    std::fs::remove_dir_all(site.path("secrets")).expect("removed");
    let mut found = Vec::new();
    scan(site.folder.path(), &mut found);
    assert!(found.is_empty(), "{found:?}");
}
