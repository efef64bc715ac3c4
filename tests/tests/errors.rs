//! Whatever is wrong is named in one sentence, with where and what to do next.

use sheaf_tests::{Ended, Site, files, guest, odd};

/// One sentence, a place, a next step, an exit code; never a panic.
fn named(ended: &Ended, code: i32, what: &str, next: &str) {
    assert_eq!(ended.code, code, "{ended:?}");
    let line = |prefix: &str| {
        ended.stderr.lines().find(|line| line.trim_start().starts_with(prefix)).unwrap_or_default()
    };
    assert!(line("error:").contains(what), "{ended:?}");
    assert!(line("next:").contains(next), "{ended:?}");
    assert!(!ended.stderr.contains("panicked at host/"), "{ended:?}");
}

async fn site() -> Site {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    site.write("docs/a.md", "# A");
    site
}

async fn sync(site: &Site) -> Ended {
    site.sheaf(&["sync", "docs", "--local"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there() {
    let site = site().await;
    std::fs::remove_dir_all(site.path("docs")).expect("removed");
    named(&sync(&site).await, 2, "cannot read the folder", "create it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_granted() {
    let site = site().await;
    let text = files("").replace("\"/content\" = \"docs\"", "\"/other\" = \"docs\"");
    site.configure(&text);
    named(&sync(&site).await, 2, "grant it", "settings");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_connector() {
    let site = site().await;
    for (bytes, what, next) in [
        (b"hello".to_vec(), "not WebAssembly", "component"),
        (b"\0asm\x01\0\0\0".to_vec(), "a core WebAssembly module", "wasm32-wasip2"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "not a connector", "document-connector"),
        (b"\0asm\x0d\0\x01\0\x07\xff\xff".to_vec(), "damaged", "again"),
    ] {
        std::fs::write(site.path("x.wasm"), bytes).expect("written");
        named(&site.sheaf(&["inspect", "x.wasm"]).await, 2, what, next);
    }
    named(&site.sheaf(&["inspect", "none.wasm"]).await, 2, "cannot read the connector", "path");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_of_another_contract_version() {
    let site = site().await;
    let mut bytes = std::fs::read(guest("sheaf_files")).expect("a component");
    let (from, to) = (b"@0.1.0", b"@0.9.0");
    for at in 0..bytes.len() - from.len() {
        let is_ours = bytes[..at].ends_with(b"/connector")
            || bytes[..at].ends_with(b"/documents")
            || bytes[..at].ends_with(b"/host")
            || bytes[..at].ends_with(b"/base")
            || bytes[..at].ends_with(b"/document");
        if is_ours && bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    std::fs::write(site.path("connectors/sheaf_files.wasm"), &bytes).expect("written");
    std::fs::rename(site.path("connectors/sheaf_files.wasm"), site.path("connectors/files.wasm"))
        .expect("renamed");
    let what = "the connector speaks contract 0.9.0, and this host speaks 0.1.0";
    named(&sync(&site).await, 2, what, "upgrade Sheaf");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_broken() {
    let site = site().await;
    for (text, what, place) in [
        ("[glean\n", "unclosed table", "sheaf.toml:1"),
        ("[glean]\nservr_url = \"x\"\n", "unknown field `servr_url`", "sheaf.toml:2"),
        (
            "[connections.docs]\nconnector = \"files\"\n",
            "missing field `datasource`",
            "sheaf.toml:1",
        ),
    ] {
        site.write("sheaf.toml", text);
        let ended = sync(&site).await;
        named(&ended, 2, what, "correct that line");
        assert!(ended.stderr.contains(place), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_schema_does_not_allow() {
    let site = site().await;
    for (settings, what, place) in [
        ("rot = \"/x\"", "'rot' was unexpected", "connections.docs.settings"),
        ("max_bytes = \"many\"", "\"many\" is not", "connections.docs.settings.max_bytes"),
    ] {
        site.configure(&files(settings));
        let ended = sync(&site).await;
        named(&ended, 2, what, "sheaf inspect");
        assert!(ended.stderr.contains(place), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_or_connection_that_is_not_there() {
    let site = site().await;
    named(&site.sheaf(&["sync", "other", "--local"]).await, 2, "no connection `other`", "docs");
    std::fs::remove_file(site.path("connectors/sheaf_files.wasm")).expect("removed");
    named(&sync(&site).await, 2, "no connector `files`", "put its `.wasm` file there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glean_that_is_out_of_reach() {
    let site = site().await;
    site.write(
        "sheaf.toml",
        &format!(
            "[glean]\nserver_url = \"http://127.0.0.1:9\"\npatience = \"1s\"\n\n{}",
            files("")
        ),
    );
    named(&sync(&site).await, 3, "Glean does not answer", "sheaf doctor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused() {
    let options = sheaf_local_glean::Options {
        token: Some("right".into()),
        ..sheaf_local_glean::Options::default()
    };
    let glean = sheaf_local_glean::LocalGlean::start(options).await.expect("a local Glean");
    let mut site = Site::with(&files(""), glean).connector("sheaf_files");
    site.write("docs/a.md", "# A");
    let refused = site.sheaf(&["sync", "docs", "--local"]).await;
    named(&refused, 4, "Glean refused the token", "GLEAN_INDEXING_API_TOKEN");
    site.environment.push(("TEST_TOKEN".into(), "right".into()));
    let url = site.glean.url();
    site.write(
        "sheaf.toml",
        &format!(
            "[glean]\nserver_url = \"{url}\"\ntoken = {{ env = \"TEST_TOKEN\" }}\n\n{}",
            files("")
        ),
    );
    assert_eq!(sync(&site).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporal_server_that_is_out_of_reach() {
    let site = site().await;
    let text = format!("[temporal]\naddress = \"127.0.0.1:9\"\n\n{}", files(""));
    site.configure(&text);
    named(&site.sheaf(&["sync", "docs"]).await, 3, "Temporal does not answer", "--local");
    named(&site.sheaf(&["worker"]).await, 3, "Temporal does not answer", "sheaf dev");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_crashes_says_its_last_words_and_shows_where_under_v() {
    let site =
        Site::new(&odd("pages = 5, misdeed = \"panic\", after = 2")).await.connector("guest_odd");
    let ended = site.sheaf(&["sync", "odd", "--local"]).await;
    named(&ended, 1, "the connector crashed: no page 2 today", "-v");
    assert!(!ended.stderr.contains("wasm backtrace"), "{ended:?}");
    let ended = site.sheaf(&["sync", "odd", "--local", "-v"]).await;
    assert!(ended.stderr.contains("wasm backtrace"), "{ended:?}");
    assert!(ended.stderr.contains("the guest's stderr"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_named_with_their_keys() {
    for (misdeed, limit, what, next) in [
        ("loop", "cpu_per_call = \"200ms\"", "200ms of computing in one call", "cpu_per_call"),
        ("memory", "memory = \"64 MiB\"", "64.0 MiB of memory", "memory"),
        ("large-page", "page_bytes = \"1 MiB\"", "16 MiB handed over in one call", "page_bytes"),
        ("large-checkpoint", "", "checkpoint has 70000 bytes", "connector"),
    ] {
        let settings = odd(&format!("pages = 5, misdeed = \"{misdeed}\", after = 1"));
        let site = Site::new(&format!("{settings}\n[connections.odd.limits]\n{limit}\n"))
            .await
            .connector("guest_odd");
        let ended = site.sheaf(&["sync", "odd", "--local"]).await;
        let code = if misdeed == "large-checkpoint" { 4 } else { 1 };
        named(&ended, code, what, next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_too_large_or_takes_too_long_to_compile() {
    let mut site = Site::new("").await.connector("sheaf_files");
    // A cache of its own: what is compiled already takes no time.
    let cache = site.path("cache").display().to_string();
    site.environment.push(("XDG_CACHE_HOME".into(), cache));
    site.write("docs/a.md", "# A");
    for (limit, what, next) in [
        ("max_bytes = \"100 KiB\"", "the limit is 100.0 KiB", "`max_bytes` in [connectors]"),
        ("compile_time = \"1ms\"", "was not compiled within 1ms", "`compile_time` in [connectors]"),
    ] {
        site.configure(&format!("[connectors]\n{limit}\n\n{}", files("")));
        named(&sync(&site).await, 1, what, next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chattering_guest_is_cut_and_counted() {
    let site = Site::new(&odd("pages = 2, misdeed = \"chatter\"")).await.connector("guest_odd");
    let ended = site.sheaf(&["sync", "odd", "--local"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.lines().count() < 1_000, "{}", ended.stderr.lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_each_problem_and_says_the_next_step() {
    let site = site().await;
    let ended = site.sheaf(&["doctor", "--json"]).await;
    let findings = ended.json()["result"]["findings"].clone();
    let part = |name: &str| {
        findings.as_array().into_iter().flatten().find(|found| found["part"] == name).cloned()
    };
    assert_eq!(part("connection docs").expect("found")["ok"], true);
    assert_eq!(part("Glean").expect("found")["ok"], true);
    std::fs::remove_dir_all(site.path("docs")).expect("removed");
    site.write("connectors/broken.wasm", "text");
    let ended = site.sheaf(&["doctor"]).await;
    assert_eq!(ended.code, 2);
    assert!(
        ended.stdout.contains("✗ connector broken.wasm: the file is not WebAssembly"),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("✗ connection docs: cannot read the folder"), "{ended:?}");
}
