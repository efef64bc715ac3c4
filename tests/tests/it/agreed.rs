//! What a person has agreed to is what runs: what is newer, other, taken back or not trusted any more is told, and waits.

use std::path::PathBuf;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sheaf_tests::registries::{Ours, says};
use sheaf_tests::{Ended, Site, odd};

use crate::publishing::{publish, trust, trusting, version, well};

/// A registry with these versions of `odd`, and a site that has locked the first.
async fn locked(versions: &[&str]) -> (Ours, Site, String) {
    let registry = Ours::start().await;
    let place = format!("oci://{}/odd", registry.address);
    let site = trusting(&odd("pages = 1"), &place).await;
    for number in versions {
        let file = version(&site, "odd", number, false);
        publish(&site, &file, &place, Some("sheaf.key")).await;
    }
    well(&site, &["add", &format!("{place}:{}", versions[0])]).await;
    (registry, site, place)
}

fn lock(site: &Site) -> String {
    std::fs::read_to_string(site.path("sheaf.lock")).expect("a lock")
}

async fn ends(site: &Site, arguments: &[&str], code: i32, words: &str) -> Ended {
    let ended = site.sheaf(arguments).await;
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(ended.code == code && said.contains(words), "{words}: {ended:?}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_no_newer_version_and_another_generation_is_named() {
    let (registry, site, place) = locked(&["0.1.0", "0.1.1", "0.2.0", "0.3.0"]).await;
    for taken_back in ["0.1.1", "0.3.0"] {
        well(&site, &["yank", &format!("{place}:{taken_back}")]).await;
    }
    let other = format!("0.2.0 is of another generation: `sheaf add {place}:0.2.0`");
    ends(&site, &["update"], 0, &format!("odd 0.1.0: the newest; {other}")).await;
    let audit = ends(&site, &["audit"], 0, &other).await;
    assert!(!audit.stdout.contains("0.1.1") && !audit.stdout.contains("0.3.0"), "{audit:?}");
    // Without a version, that is not what was agreed to.
    let before = lock(&site);
    ends(&site, &["add", &place], 2, "it is of another generation").await;
    assert_eq!(lock(&site), before);
    // A tag that is no version says nothing of which one is meant.
    registry.put_manifest("odd", "latest", registry.manifest("odd", "0.2.0"));
    let latest = format!("{place}:latest");
    ends(&site, &["add", &latest], 2, "its tag `latest` is no version").await;
    let none = format!("{place}:0.1.7");
    ends(&site, &["add", &none], 2, "it has: 0.3.0, 0.2.0, 0.1.1, 0.1.0").await;
    // The one that runs is taken back, too, and there is nothing to go to.
    well(&site, &["yank", &format!("{place}:0.1.0"), "--reason", "it loses pages"]).await;
    let words = "odd 0.1.0: its publisher took it back: it loses pages; there is no newer one";
    ends(&site, &["update"], 5, words).await;
    let added = ends(&site, &["add", &format!("{place}:0.2.0")], 0, "instead   of odd 0.1.0").await;
    assert!(added.stdout.contains("signed    by the key"), "{added:?}");
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.2.0");
    well(&site, &["yank", &format!("{place}:0.2.0"), "--reason", "it is too slow"]).await;
    let apart = Site::new("").await;
    ends(&apart, &["add", &place], 2, ":0.3.0").await;
    let shown = ends(&apart, &["inspect", &place], 0, "yanked    its publisher took it back").await;
    assert!(shown.stdout.contains("manifest  sha256:"), "{shown:?}");
    ends(&apart, &["add", &place, "--yanked"], 0, "odd 0.3.0 locked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_is_fetched_where_it_is_not_by_its_digest_and_whatever_became_of_its_tag() {
    let (registry, site, place) = locked(&["0.1.0"]).await;
    let before = lock(&site);
    well(&site, &["yank", &format!("{place}:0.1.0")]).await;
    registry.put_manifest("odd", "0.1.0", json!({ "schemaVersion": 2 }).to_string());
    std::fs::remove_dir_all(site.path(".sheaf")).expect("removed");
    let words = "`sheaf add`, with nothing behind it, fetches what is locked";
    ends(&site, &["sync", "odd", "--local"], 2, words).await;
    ends(&site, &["add"], 0, "odd 0.1.0: fetched from").await;
    ends(&site, &["add"], 0, "odd 0.1.0: is here").await;
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
    assert_eq!(lock(&site), before);
    // Where there is nothing to fetch it from, that is said.
    std::fs::remove_dir_all(site.path(".sheaf")).expect("removed");
    registry.lie(|_| Some(says(StatusCode::NOT_FOUND, &[], "")));
    ends(&site, &["add"], 2, "is not where it was published any more").await;
    ends(&Site::new("").await, &["add"], 2, "it is not said what to add").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_connector_takes_no_files_place_and_of_several_all_or_none_is_locked() {
    let (_registry, site, place) = locked(&["0.1.0"]).await;
    let rest = place.replace("/odd", "/rest");
    publish(&site, &version(&site, "rest", "0.1.0", false), &rest, None).await;
    well(&site, &["add", &rest]).await;
    well(&site, &["bundle", "both.tar"]).await;
    // A connection means a file of the folder, and nobody has locked it.
    let apart = Site::new(&odd("pages = 1")).await.connector("guest_odd");
    assert_eq!(apart.sync("odd", 0).await["connector"], "odd 0.1.0");
    let stranger = version(&apart, "odd", "9.0.0", false);
    let strangers = place.replace("/odd", "/stranger/odd");
    publish(&apart, &stranger, &strangers, None).await;
    let words = "a file of the folder is `odd` already";
    ends(&apart, &["add", &strangers], 2, words).await;
    std::fs::copy(version(&site, "odd", "0.1.1", false), site.path("odd.wasm")).expect("copied");
    std::fs::copy(site.path("both.tar"), apart.path("both.tar")).expect("copied");
    well(&apart, &["add", &strangers, "--accept"]).await;
    let before = lock(&apart);
    ends(&apart, &["add", "both.tar"], 2, "`odd` is locked to").await;
    assert_eq!(lock(&apart), before);
    ends(&apart, &["add", "both.tar", "--accept"], 0, "rest 0.1.0 locked").await;
    // A file is in no bundle, and that is said.
    well(&site, &["add", "odd.wasm", "--accept"]).await;
    ends(&site, &["bundle", "out.tar"], 0, "not in it, as they are files: odd").await;
    ends(&site, &["bundle", "out"], 2, "let its name end with .tar").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_no_version_is_shown_what_is_different_and_asked() {
    let registry = Ours::start().await;
    let place = format!("oci://{}/rest", registry.address);
    let site = trusting("", &place).await;
    for (number, wider) in [("0.1.0", false), ("0.1.1", true)] {
        let file = version(&site, "rest", number, wider);
        publish(&site, &file, &place, Some("sheaf.key")).await;
    }
    well(&site, &["add", &format!("{place}:0.1.0")]).await;
    let before = lock(&site);
    ends(&site, &["add", &place], 2, "it asks for the host {evil_url}").await;
    assert_eq!(lock(&site), before);
    // What asks for no more is taken, whatever waits above it.
    let narrow = version(&site, "rest", "0.1.2", false);
    publish(&site, &narrow, &place, Some("sheaf.key")).await;
    let wide = version(&site, "rest", "0.1.3", true);
    publish(&site, &wide, &place, Some("sheaf.key")).await;
    publish(&site, &version(&site, "rest", "0.1.4", false), &place, None).await;
    let updated = ends(&site, &["update"], 5, "rest 0.1.0: now 0.1.2").await;
    assert!(updated.stdout.contains("rest 0.1.2 stays, 0.1.4 is not taken"), "{updated:?}");
    well(&site, &["add", &format!("{place}:0.1.0")]).await;
    // Whoever names it has looked at it.
    let shown = well(&site, &["inspect", &format!("{place}:0.1.1")]).await;
    assert!(shown.stdout.contains("the host {evil_url}"), "{shown:?}");
    let named = well(&site, &["add", &format!("{place}:0.1.1")]).await;
    assert!(named.stdout.contains("it asks for the host {evil_url}"), "{named:?}");
    // A file is no other: it is known by its name.
    let narrow = version(&site, "rest", "0.1.0", false);
    std::fs::copy(narrow, site.path("rest.wasm")).expect("copied");
    well(&site, &["add", "rest.wasm", "--accept"]).await;
    std::fs::create_dir(site.path("elsewhere")).expect("a folder");
    let wide = version(&site, "rest", "0.1.1", true);
    std::fs::copy(wide, site.path("elsewhere/rest.wasm")).expect("copied");
    ends(&site, &["add", "elsewhere/rest.wasm"], 2, "it asks for the host {evil_url}").await;
    std::fs::copy(version(&site, "rest", "0.0.9", false), site.path("elsewhere/rest.wasm"))
        .expect("copied");
    ends(&site, &["add", "elsewhere/rest.wasm"], 2, "it is version 0.0.9, and 0.1.0 is locked")
        .await;
    let wide = version(&site, "rest", "0.1.1", true);
    std::fs::copy(wide, site.path("elsewhere/rest.wasm")).expect("copied");
    let added = well(&site, &["add", "elsewhere/rest.wasm", "--accept", "--json"]).await.json();
    let added = &added["result"][0];
    assert_eq!(
        (&added["version"], &added["before"][0]["version"]),
        (&json!("0.1.1"), &json!("0.1.0"))
    );
    assert_eq!(added["connector"]["manifest"]["name"], "rest", "{added}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_locked_is_never_another_even_by_its_name() {
    let (registry, site, place) = locked(&["0.1.0"]).await;
    let manifest: Value =
        serde_json::from_slice(&registry.manifest("odd", "0.1.0")).expect("a manifest");
    let mut moved = manifest.clone();
    moved["annotations"]["x"] = "y".into();
    registry.put_manifest("odd", "0.1.0", moved.to_string());
    trust(&site, &odd("pages = 1"), "oci://another.example.com/odd", "sheaf.pub");
    // It is no question of whom one trusts.
    let of = format!("{place}:0.1.0");
    for named in [&of, &place] {
        ends(&site, &["add", named], 2, "0.1.0 is locked, and its tag names another manifest")
            .await;
    }
    well(&site, &["add", &of, "--accept"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_signed_it_the_one_that_was_agreed_to_counts() {
    let (_registry, site, place) = locked(&["0.1.0"]).await;
    well(&site, &["keys", "new", "next"]).await;
    for number in ["0.1.0", "0.1.1"] {
        let file = version(&site, "odd", number, false);
        for key in ["sheaf.key", "next.key"] {
            publish(&site, &file, &place, Some(key)).await;
        }
    }
    for keys in ["[\"next.pub\", \"sheaf.pub\"]", "[\"sheaf.pub\", \"next.pub\"]"] {
        let trusted = format!("[connectors.trust]\n\"{place}\" = {keys}\n\n");
        site.configure(&format!("{trusted}{}", odd("pages = 1")));
        well(&site, &["add", &format!("{place}:0.1.0")]).await;
        assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
        ends(&site, &["update"], 0, "odd 0.1.0: now 0.1.1").await;
    }
    // Its own key is gone from the trusted ones: that is another signer, and has to be agreed to.
    trust(&site, &odd("pages = 1"), &place, "next.pub");
    ends(&site, &["sync", "odd", "--local"], 2, "the key that it is locked with is not trusted")
        .await;
    well(&site, &["add", &format!("{place}:0.1.1")]).await;
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_is_no_verdict() {
    let (registry, site, place) = locked(&["0.1.0"]).await;
    well(&site, &["bundle", "before.tar"]).await;
    well(&site, &["yank", &format!("{place}:0.1.0"), "--reason", "it loses pages"]).await;
    // A bundle knows what its registry says today.
    ends(&site, &["bundle", "out.tar"], 2, "took it back: it loses pages").await;
    assert!(!site.path("out.tar").exists());
    well(&site, &["bundle", "out.tar", "--yanked"]).await;
    ends(&site, &["add", "out.tar"], 2, "took it back: it loses pages").await;
    well(&site, &["add", "before.tar"]).await;
    registry.lie(|_| Some(says(StatusCode::SERVICE_UNAVAILABLE, &[("retry-after", "0")], "")));
    ends(&site, &["update"], 3, "odd 0.1.0 stays").await;
    ends(&site, &["audit"], 3, "not every registry could be asked").await;
    // What was heard of it once counts, also where an older bundle came in since.
    ends(&site, &["bundle", "away.tar"], 2, "took it back: it loses pages").await;
    let words = "its registry cannot be asked";
    ends(&site, &["bundle", "away.tar", "--yanked"], 0, words).await;
    // One that refuses is not away; and one that lost a signature does not lose ours.
    registry.lie(|_| Some(says(StatusCode::FORBIDDEN, &[], "")));
    ends(&site, &["bundle", "refused.tar"], 4, "403").await;
    registry.lie(|asked| {
        let nothing = json!({ "schemaVersion": 2, "manifests": [] }).to_string();
        asked.path.contains("/referrers/").then(|| says(StatusCode::OK, &[], nothing))
    });
    well(&site, &["bundle", "lost.tar", "--yanked"]).await;
    well(&site, &["add", "lost.tar", "--yanked"]).await;
    // What is attached there by others, and cannot be read, stays there.
    registry.be_honest();
    registry.attach("odd", "0.1.0", b"{\"mediaType\":\"x\"}");
    ends(&site, &["audit"], 5, "took it back: it loses pages").await;
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
    registry.detach();
    // What is denied is in no bundle.
    let locked = well(&site, &["add", "before.tar", "--json"]).await.json();
    for digest in ["manifest", "wasm"] {
        let deny = format!("[connectors]\ndeny = [{}]\n", locked["result"][0][digest]);
        site.configure(&deny);
        ends(&site, &["bundle", "denied.tar"], 2, "`deny` in [connectors] names it").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_or_not_trusted_any_more_stops_also_where_only_the_file_is_known() {
    let (_registry, site, place) = locked(&["0.1.0"]).await;
    let added = well(&site, &["add", &format!("{place}:0.1.0"), "--json"]).await.json();
    let of = |key: &str| added["result"][0][key].as_str().expect(key).to_owned();
    let connector = format!("connector = \"{}\"", of("wasm"));
    let pinned = odd("pages = 1").replace("connector = \"odd\"", &connector);
    assert!(pinned.contains(&connector), "{pinned}");
    trust(&site, &pinned, &place, "sheaf.pub");
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
    site.configure(&format!("[connectors]\ndeny = [\"{}\"]\n\n{pinned}", of("manifest")));
    ends(&site, &["sync", "odd", "--local"], 2, "`deny` in [connectors] names it").await;
    well(&site, &["keys", "new", "next"]).await;
    trust(&site, &pinned, &place, "next.pub");
    ends(&site, &["sync", "odd", "--local"], 2, "a key that is not trusted for it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_need_not_be_there_and_another_file_in_it_is_told() {
    let (registry, site, place) = locked(&["0.1.0", "0.1.1"]).await;
    let _ = std::fs::remove_dir_all(site.path("connectors"));
    let doctor = site.sheaf(&["doctor"]).await;
    assert!(!doctor.stdout.contains("folder of connectors"), "{doctor:?}");
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
    // As people pack what they have unpacked.
    well(&site, &["bundle", "out.tar"]).await;
    let folder = site.path("unpacked");
    let tar = |arguments: &[&str]| {
        let done =
            std::process::Command::new("tar").args(arguments).current_dir(site.path(".")).status();
        assert!(done.expect("tar").success(), "{arguments:?}");
    };
    std::fs::create_dir(&folder).expect("a folder");
    tar(&["xf", "out.tar", "-C", "unpacked"]);
    tar(&["cf", "again.tar", "-C", "unpacked", "./"]);
    well(&site, &["add", "again.tar"]).await;
    // What no connection uses is looked at, too; and what was heard of it once is not forgotten.
    site.configure(&format!("[connectors.trust]\n\"{place}\" = \"sheaf.pub\"\n"));
    well(&site, &["yank", &format!("{place}:0.1.0"), "--reason", "it loses pages"]).await;
    let again = well(&site, &["yank", &format!("{place}:0.1.0"), "--reason", "another"]).await;
    assert!(again.stdout.contains("its reason stays (it loses pages)"), "{again:?}");
    ends(&site, &["audit"], 5, "odd 0.1.0, which no connection uses").await;
    let digest =
        well(&site, &["add", "again.tar", "--json"]).await.json()["result"][0]["wasm"].clone();
    site.configure(&format!("[connectors]\ndeny = [{digest}]\n"));
    ends(&site, &["audit"], 5, "`deny` in [connectors] names it").await;
    site.configure(&format!("[connectors.trust]\n\"{place}\" = \"sheaf.pub\"\n"));
    registry.lie(|_| Some(says(StatusCode::SERVICE_UNAVAILABLE, &[("retry-after", "0")], "")));
    ends(&site, &["bundle", "away.tar"], 2, "took it back: it loses pages").await;
    // A file that was built since does not run, and that is said.
    let site = Site::new(&odd("pages = 1")).await.connector("guest_odd");
    well(&site, &["add", "guest_odd.wasm"]).await;
    let newer = version(&site, "odd", "0.2.0", false);
    std::fs::copy(newer, site.path("connectors/guest_odd.wasm")).expect("copied");
    let words = "the folder has another `guest_odd.wasm` than the one that is locked";
    ends(&site, &["audit"], 0, words).await;
    ends(&site, &["preview", "odd"], 0, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_needs_no_glean_and_a_lock_that_is_broken_says_what_to_do() {
    let (_registry, site, place) = locked(&["0.1.0"]).await;
    let configured = std::fs::read_to_string(site.path("sheaf.toml")).expect("a configuration");
    let token = "[glean]\ntoken = { env = \"NOBODY_SET_THIS\" }\n";
    let elsewhere: PathBuf = site.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    let trusted: String = configured
        .lines()
        .skip_while(|line| !line.starts_with("[connectors"))
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::copy(site.path("sheaf.pub"), elsewhere.join("sheaf.pub")).expect("copied");
    std::fs::write(elsewhere.join("sheaf.toml"), format!("{token}\n{trusted}")).expect("written");
    let config = elsewhere.join("sheaf.toml").display().to_string();
    for arguments in [
        &["add", &*format!("{place}:0.1.0")][..],
        &["update"],
        &["audit"],
        &["bundle", "elsewhere/out.tar"],
        &["inspect", &place],
    ] {
        well(&site, &[arguments, &["--config", &config]].concat()).await;
    }
    ends(&site, &["sync", "odd", "--local", "--config", &config], 2, "NOBODY_SET_THIS").await;
    for broken in ["", "version = 1\n[[connector", "version = 1\nconnector = 1\n"] {
        std::fs::write(site.path("sheaf.lock"), broken).expect("written");
        for arguments in [&["update"][..], &["add", &place], &["sync", "odd", "--local"]] {
            ends(&site, arguments, 2, "or delete it, and add its connectors again").await;
        }
    }
}
