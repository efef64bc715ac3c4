//! The contract, in each language: ten documents through the host.

use serde_json::json;
use sheaf_tests::Site;

async fn ten_documents(file: &str, name: &str) {
    let toml = |settings: &str| {
        format!("[connections.hello]\nconnector = \"{name}\"\ndatasource = \"hello\"\n{settings}\n")
    };
    let site = Site::new(&toml("")).await.connector(file);
    let result = site.sync("hello", 0).await;
    assert_eq!((&result["outcome"], &result["documents"]), (&json!("complete"), &json!(10)));
    let mut ids: Vec<_> = (1..=10).map(|number| format!("hello-{number}")).collect();
    ids.sort();
    assert_eq!(site.ids("hello").await, ids);
    let preview = site.sheaf(&["preview", "hello", "-n", "3"]).await;
    assert_eq!(preview.code, 0, "{preview:?}");
    assert!(preview.stdout.contains("Hello from document 3."), "{preview:?}");
    // Its own settings reach it, and wrong ones do not.
    site.configure(&toml("settings = { greeting = \"Moin\" }"));
    let checked = site.sheaf(&["preview", "hello", "-n", "1"]).await;
    assert!(checked.stdout.contains("Moin 1"), "{checked:?}");
    site.configure(&toml("settings = { greeting = 7 }"));
    assert_eq!(site.sheaf(&["check", "hello"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_in_rust_delivers_its_documents() {
    ten_documents("connector_rust", "rust-hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_in_python_delivers_its_documents() {
    ten_documents("python_hello", "python-hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_in_javascript_delivers_its_documents() {
    ten_documents("js_hello", "js-hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_in_python_and_javascript_tell_who_is_who() {
    for (guest, name) in [("python_hello", "python-hello"), ("js_hello", "js-hello")] {
        let toml = format!("[connections.hello]\nconnector = \"{name}\"\ndatasource = \"hello\"\n");
        let site = Site::new(&toml).await.connector(guest);
        let told = site.sheaf(&["sync", "hello", "--identities", "--local", "--json"]).await;
        assert_eq!(told.code, 0, "{told:?}");
        let result = &told.json()["result"];
        let numbers = [&result["users"], &result["groups"], &result["memberships"]];
        assert_eq!(numbers, [1, 1, 1], "{guest}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_says_what_a_connector_is_and_prints_a_connection_to_begin_with() {
    let site = Site::new("").await.connector("sheaf_files");
    let ended = site.sheaf(&["inspect", "connectors/sheaf_files.wasm"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in [
        "files 0.1.0",
        "sha256:",
        "contract  0.1.0",
        "a folder:",
        "base_url",
        "[connections.files]",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {ended:?}");
    }
    let json = site.sheaf(&["inspect", "connectors/sheaf_files.wasm", "--json"]).await.json();
    assert_eq!(json["result"]["manifest"]["name"], "files");
}
