//! Whatever is wrong is named in one sentence, with where and what to do next.

use std::os::unix::fs::PermissionsExt as _;

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

/// And all that is told is what the snapshot says.
macro_rules! named {
    ($ended:expr, $code:expr, $what:expr, $next:expr) => {{
        let ended = $ended;
        named(ended, $code, $what, $next);
        insta::assert_snapshot!(ended.told());
    }};
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
    named!(&sync(&site).await, 2, "cannot read the folder", "create it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_granted() {
    let site = site().await;
    let text = files("").replace("\"/content\" = \"docs\"", "\"/other\" = \"docs\"");
    site.configure(&text);
    named!(&sync(&site).await, 2, "grant it", "settings");
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
        named!(&site.sheaf(&["inspect", "x.wasm"]).await, 2, what, next);
    }
    named!(&site.sheaf(&["inspect", "none.wasm"]).await, 2, "cannot read the connector", "path");
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
    named!(&sync(&site).await, 2, what, "upgrade Sheaf");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_broken() {
    let site = site().await;
    for (text, what, place, next) in [
        ("[glean\n", "unclosed table", "sheaf.toml:1", "correct that line"),
        (
            "[glean]\nservr_url = \"x\"\n",
            "unknown field `servr_url`",
            "sheaf.toml:2",
            "did you mean `server_url`?",
        ),
        (
            "[connections.docs]\nconnector = \"files\"\n",
            "missing field `datasource`",
            "sheaf.toml:1",
            "correct that line",
        ),
    ] {
        site.write("sheaf.toml", text);
        let ended = sync(&site).await;
        named!(&ended, 2, what, next);
        assert!(ended.stderr.contains(place), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_schema_does_not_allow() {
    let site = site().await;
    for (settings, what, place, next) in [
        ("rooot = \"/x\"", "there is no setting `rooot`", "settings.rooot", "did you mean `root`?"),
        ("max_bytes = \"many\"", "must be integer", "settings.max_bytes", "sheaf inspect"),
    ] {
        site.configure(&files(settings));
        let ended = sync(&site).await;
        named!(&ended, 2, what, next);
        assert!(ended.stderr.contains(&format!("connections.docs.{place}")), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_typed_into_the_wrong_place_is_not_repeated() {
    let site = site().await;
    for text in ["[glean]\ntoken = \"typed-s3cr3t\"\n", "[glean]\ntoken = \"typed-s3cr3t\n"] {
        site.write("sheaf.toml", text);
        for arguments in [&["status"][..], &["doctor"], &["sync", "docs", "--json", "-vv"]] {
            let ended = site.sheaf(arguments).await;
            assert_eq!(ended.code, 2, "{ended:?}");
            assert!(!format!("{ended:?}").contains("typed-s3cr3t"), "{ended:?}");
            assert!(format!("{ended:?}").contains("sheaf.toml:2, `token`"), "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_asked_for_and_granted_also_when_the_guest_crashes() {
    let grants = "\n[connections.odd.grants]\nhosts = [\"wiki.example.com\"]\n";
    let settings = odd("pages = 1, misdeed = \"crash-in-check\"");
    let site = Site::new(&format!("{settings}{grants}")).await.connector("guest_odd");
    let ended = site.sheaf(&["check", "odd"]).await;
    named!(&ended, 1, "the connector crashed: no check today", "-v");
    assert!(ended.stdout.contains("granted wiki.example.com"), "{ended:?}");
    let ended = site.sheaf(&["check", "odd", "--json"]).await.json();
    assert_eq!(ended["result"]["hosts"]["granted"][0], "wiki.example.com", "{ended}");
    assert_eq!(ended["ok"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_says_what_sync_would_do_with_each_document() {
    for (misdeed, what) in [
        ("long-id", "its id has 201 characters"),
        ("foreign-url", "does not match the datasource's urlRegex"),
        ("repeat-id", "one equal without case, came before it"),
        ("two-types", "one equal without case, came before it"),
        ("unreadable", "would be quarantined: it is locked"),
        ("nameless", "it has no id"),
    ] {
        let settings = odd(&format!("pages = 2, misdeed = \"{misdeed}\", after = 1"));
        let site = Site::new(&settings).await.connector("guest_odd");
        let shown = site.sheaf(&["preview", "odd", "-n", "100"]).await;
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(shown.stdout.contains(what), "{misdeed}: {shown:?}");
        let crawled = site.sheaf(&["sync", "odd", "--local", "--json"]).await.json();
        let aside = crawled["result"]["quarantined"].as_u64().unwrap_or_default();
        assert!(aside > 0, "{crawled}");
        let said = format!(", {aside} would be quarantined; nothing was uploaded");
        assert!(shown.stdout.contains(&said), "{misdeed}, {aside}: {shown:?}");
    }
    let site = Site::new("").await.connector("guest_odd");
    let glean = format!("[glean]\nserver_url = \"{}\"\n", site.glean.url());
    let settings = odd("pages = 1");
    site.write("sheaf.toml", &format!("{glean}document_bytes = \"100 B\"\n\n{settings}"));
    let shown = site.sheaf(&["preview", "odd", "-n", "1"]).await;
    assert!(shown.stdout.contains("bytes as JSON, and 100 is the most"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_set_aside_for_one_reason_are_one_warning_with_their_count() {
    let settings = odd("pages = 40, misdeed = \"unreadable\"");
    let site = Site::new(&settings).await.connector("guest_odd");
    let ended = site.sheaf(&["sync", "odd", "--local", "--log-format", "json"]).await;
    let logged: Vec<serde_json::Value> =
        ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let aside: Vec<_> = logged.iter().filter(|line| line["reason"] == "it is locked").collect();
    assert_eq!(aside.len(), 1, "{ended:?}");
    assert_eq!((&aside[0]["count"], &aside[0]["level"]), (&40.into(), &"WARN".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_or_connection_that_is_not_there() {
    let site = site().await;
    named!(&site.sheaf(&["sync", "other", "--local"]).await, 2, "no connection `other`", "docs");
    std::fs::remove_file(site.path("connectors/sheaf_files.wasm")).expect("removed");
    named!(&sync(&site).await, 2, "no connector `files`", "put its `.wasm` file there");
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
    named!(&sync(&site).await, 3, "Glean does not answer", "sheaf doctor");
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
    named!(&refused, 4, "Glean refused the token", "GLEAN_INDEXING_API_TOKEN");
    // A worker that could upload nothing is not ready.
    let refused = site.sheaf(&["worker"]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("Glean refused the token"), "{refused:?}");
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
    named!(&site.sheaf(&["sync", "docs"]).await, 3, "Temporal does not answer", "--local");
    named!(&site.sheaf(&["worker"]).await, 3, "Temporal does not answer", "sheaf dev");
    // What cannot be asked is said, and told to scripts.
    let status = site.sheaf(&["status", "--json"]).await;
    assert_eq!(status.code, 3, "{status:?}");
    assert_eq!(status.json()["result"]["not_asked"]["kind"], "Unreachable");
    let status = site.sheaf(&["status"]).await;
    assert!(status.stdout.contains("crawls under way there are not shown"), "{status:?}");
    assert_eq!(site.sheaf(&["status", "--offline"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_crashes_says_its_last_words_and_shows_where_under_v() {
    let site =
        Site::new(&odd("pages = 5, misdeed = \"panic\", after = 2")).await.connector("guest_odd");
    let ended = site.sheaf(&["sync", "odd", "--local"]).await;
    named!(&ended, 1, "the connector crashed: no page 2 today", "-v");
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
        named!(&ended, code, what, next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_too_large_or_takes_too_long_to_compile() {
    let mut site = Site::new("").await.connector("sheaf_files");
    // Where others can write, no code is kept: what is compiled already takes no time.
    let cache = site.path("cache");
    std::fs::create_dir(&cache).expect("a folder");
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).expect("set");
    site.environment.push(("XDG_CACHE_HOME".into(), cache.display().to_string()));
    site.write("docs/a.md", "# A");
    for (limit, what, next) in [
        ("max_bytes = \"100 KiB\"", "the limit is 100.0 KiB", "`max_bytes` in [connectors]"),
        ("compile_time = \"1ms\"", "was not compiled within 1ms", "`compile_time` in [connectors]"),
    ] {
        site.configure(&format!("[connectors]\n{limit}\n\n{}", files("")));
        named!(&sync(&site).await, 1, what, next);
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
async fn a_worker_that_could_crawl_nothing_does_not_start() {
    let site = site().await;
    site.configure("");
    named!(&site.sheaf(&["worker"]).await, 2, "there is no connection to crawl", "sheaf inspect");
    site.configure(&files("").replace("\"files\"", "\"fils\""));
    let ended = site.sheaf(&["worker"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("no connector `fils`"), "{ended:?}");
    site.write("state", "a file where a folder should be");
    let text = std::fs::read_to_string(site.path("sheaf.toml")).expect("a configuration");
    site.write("sheaf.toml", &format!("state_folder = \"state\"\n{text}"));
    named!(&site.sheaf(&["worker"]).await, 2, "state cannot be used", "state_folder");
    let doctor = site.sheaf(&["doctor"]).await;
    assert!(doctor.stdout.contains("✗ state: "), "{doctor:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_keeps_the_last_crawl_of_each_mode_and_what_failed_since() {
    let connections = |settings: &str| format!("{}\n{}", files(""), odd(settings));
    let site = Site::new(&connections("pages = 3")).await;
    let site = site.connector("sheaf_files").connector("guest_odd");
    site.write("docs/a.md", "# A");
    let status = async || {
        let ended = site.sheaf(&["status", "--json"]).await;
        (ended.code, ended.json()["result"]["connections"].clone())
    };
    let (code, never) = status().await;
    assert_eq!((code, &never[1]["state"]), (0, &"never".into()), "{never}");
    site.sync("docs", 0).await;
    site.sync("odd", 0).await;
    let incremental = ["sync", "odd", "--local", "--incremental"];
    assert_eq!(site.sheaf(&incremental).await.code, 0);
    let (code, well) = status().await;
    assert_eq!(code, 0, "{well}");
    assert_eq!(well[1]["full"]["last"]["documents"], 30, "{well}");
    assert_eq!(well[1]["incremental"]["last"]["mode"], "incremental", "{well}");
    // It fails while it crawls, and again, before the datasource is configured.
    site.configure(&connections("pages = 3, misdeed = \"give-up\", after = 1"));
    site.sync("odd", 4).await;
    site.configure(&connections("pages = 3").replace("\"odd\"\ndata", "\"gone\"\ndata"));
    assert_eq!(site.sheaf(&["sync", "odd", "--local"]).await.code, 2);
    let (code, failing) = status().await;
    assert_eq!(code, 1, "{failing}");
    // What fails comes first.
    let odd = &failing[0];
    assert_eq!((&odd["connection"], &odd["state"]), (&"odd".into(), &"failing".into()));
    assert_eq!(odd["full"]["failing"]["times"], 2, "{odd}");
    let what = odd["full"]["failing"]["failure"]["what"].as_str().unwrap_or_default();
    assert!(what.contains("no connector `gone`"), "{odd}");
    assert_eq!(odd["full"]["last"]["documents"], 30, "the last that ended is still known");
    let shown = site.sheaf(&["status"]).await;
    let first = shown.stdout.lines().next().unwrap_or_default();
    assert!(first.starts_with("odd: the full crawl fails since 2"), "{shown:?}");
    // An incremental crawl does not hide it, a full one ends it.
    site.configure(&connections("pages = 3"));
    assert_eq!(site.sheaf(&incremental).await.code, 0);
    assert_eq!(status().await.0, 1);
    site.sync("odd", 0).await;
    let (code, well) = status().await;
    assert_eq!(code, 0, "{well}");
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
