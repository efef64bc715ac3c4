//! The files connector over folders that live: files are replaced while it reads, names are not UTF-8.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use sheaf_tests::{Site, copy, files};

async fn site(settings: &str) -> Site {
    Site::new(&files(settings)).await.connector("sheaf_files")
}

/// Does something again and again until it is dropped.
struct Again(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Again {
    fn and_again(mut what: impl FnMut(usize) + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = over.clone();
            move || {
                let mut turn = 0;
                while !over.load(Ordering::Relaxed) {
                    what(turn);
                    turn += 1;
                }
            }
        });
        Self(over, Some(thread))
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let ended = self.1.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking());
    }
}

fn rename_over(path: &Path) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, "replaced").expect("written");
    fs::rename(&temporary, path).expect("renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_living_document_is_missed_while_others_are_renamed_over_it() {
    let site = site("").await;
    let mut ids: Vec<_> = (0..1500).map(|number| format!("in/{number:04}.md")).collect();
    for id in &ids {
        site.write(&format!("docs/{id}"), "first");
    }
    let paths: Vec<_> = ids.iter().map(|id| site.path("docs").join(id)).collect();
    let renaming = Again::and_again(move |turn| rename_over(&paths[turn % paths.len()]));
    for _ in 0..4 {
        let ended = site.sheaf(&["sync", "docs", "--local", "--json"]).await;
        let result = &ended.json()["result"];
        // Complete where the folder was quiet for a moment, and partial otherwise.
        assert!(matches!(ended.code, 0 | 5), "{ended:?}");
        assert_eq!(
            (&result["documents"], &result["deleted"]),
            (&json!(1500), &json!(0)),
            "{ended:?}"
        );
        assert_eq!(site.ids("docs").await, ids);
    }
    drop(renaming);
    fs::remove_file(site.path("docs").join(ids.remove(7))).expect("removed");
    assert_eq!(site.sync("docs", 0).await["deleted"], 1);
    assert_eq!(site.ids("docs").await, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_in_a_file_s_place_holds_no_crawl() {
    let site = site("").await;
    for number in 0..50 {
        site.write(&format!("docs/{number:02}.md"), "a file");
    }
    let fifo = site.path("docs/always.md");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    assert_eq!(site.sync("docs", 0).await["documents"], 50);
    // Now the files turn into FIFOs and back while they are read.
    let docs = site.path("docs");
    let turning = Again::and_again(move |turn| {
        let path = docs.join(format!("{:02}.md", turn / 2 % 50));
        let temporary = path.with_extension("tmp");
        match turn % 2 {
            0 => fs::hard_link(&fifo, &temporary).expect("another name of it"),
            _ => fs::write(&temporary, "a file").expect("written"),
        }
        fs::rename(&temporary, &path).expect("renamed");
    });
    for _ in 0..4 {
        let ended = site.sheaf(&["sync", "docs", "--local", "--json"]).await;
        assert!(matches!(ended.code, 0 | 5), "{ended:?}");
    }
    drop(turning);
}

fn document(documents: &[(String, String)], id: &str) -> Value {
    let (_, json) = documents
        .iter()
        .find(|(found, _)| found == id)
        .unwrap_or_else(|| panic!("no {id} in {documents:?}"));
    serde_json::from_str(json).expect("JSON")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_name_is_not_utf_8_is_a_document_like_any_other() {
    let site = site("").await;
    let write = |name: &[u8], text: &str| {
        let path = site.path("docs").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    write(b"people/caf\xe9.md", "in Latin-1");
    write(b"people/caf%E9.md", "named so");
    write("people/caf\u{e9}.md".as_bytes(), "in UTF-8");
    write("people/caf\u{efe9}.md".as_bytes(), "with what stands for it in a guest");
    write(b"\xff\xfe/deep/a.md", "in a folder");
    write(b"people/sibling.md", "a sibling");
    let at_once = site.sync("docs", 0).await;
    assert_eq!((&at_once["documents"], &at_once["quarantined"]), (&json!(6), &json!(0)));
    let documents = site.glean.documents("docs").await.expect("documents");
    for (id, url, text, filename) in [
        ("people//caf%E9.md", "people/caf%E9.md", "in Latin-1", "caf%E9.md"),
        ("people/caf%E9.md", "people/caf%25E9.md", "named so", "caf%E9.md"),
        ("people/caf\u{e9}.md", "people/caf%C3%A9.md", "in UTF-8", "caf\u{e9}.md"),
        ("/%FF%FE/deep/a.md", "%FF%FE/deep/a.md", "in a folder", "a.md"),
        ("people/sibling.md", "people/sibling.md", "a sibling", "sibling.md"),
    ] {
        let found = document(&documents, id);
        assert_eq!(found["viewURL"], format!("https://docs.example.com/{url}"));
        assert_eq!(found["body"]["textContent"], text, "{id}");
        assert_eq!(found["filename"], filename);
    }
    // By scopes they are the same documents, and each of them is found again.
    let ids = site.ids("docs").await;
    let by_scopes = self::site("scope_per_folder = true").await;
    copy(&site.path("docs"), &by_scopes.path("docs"));
    by_scopes.sync("docs", 0).await;
    assert_eq!(by_scopes.ids("docs").await, ids);
    assert_eq!(by_scopes.sync("docs", 0).await["unchanged"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_in_utf_16_is_read() {
    let site = site("").await;
    site.write("docs/a.md", "a sibling");
    let text = "# Übersicht\n\n日本語";
    for (name, mark, order) in [
        ("little.md", [0xff, 0xfe], u16::to_le_bytes as fn(u16) -> [u8; 2]),
        ("big.md", [0xfe, 0xff], u16::to_be_bytes),
    ] {
        let bytes: Vec<u8> = mark.into_iter().chain(text.encode_utf16().flat_map(order)).collect();
        fs::write(site.path("docs").join(name), bytes).expect("written");
    }
    site.sync("docs", 0).await;
    let documents = site.glean.documents("docs").await.expect("documents");
    for id in ["little.md", "big.md"] {
        let found = document(&documents, id);
        assert_eq!(
            (&found["title"], &found["body"]["textContent"]),
            (&json!("Übersicht"), &json!(text))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_replaced_during_a_crawl_is_not_taken_for_an_empty_one() {
    let site = site("").await;
    let fill = |folder: &str| {
        for number in 0..400 {
            site.write(&format!("{folder}/in/{number:03}.md"), &"text ".repeat(2000));
        }
    };
    fill("docs");
    site.sync("docs", 0).await;
    let ids = site.ids("docs").await;
    // As a site that is published by moving the new version into the old one's place.
    let (root, model) = (site.path("."), site.path("model"));
    fill("model");
    let publishing = Again::and_again(move |_| {
        copy(&model, &root.join("new"));
        fs::rename(root.join("docs"), root.join("old")).expect("renamed");
        fs::rename(root.join("new"), root.join("docs")).expect("renamed");
        fs::remove_dir_all(root.join("old")).expect("removed");
    });
    for _ in 0..4 {
        // It ends as it may; what lives in each version stays.
        site.sheaf(&["sync", "docs", "--local", "--json"]).await;
        assert_eq!(site.ids("docs").await, ids);
    }
    drop(publishing);
    assert_eq!(site.sync("docs", 0).await["documents"], 400);
}
