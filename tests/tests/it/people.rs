//! A source's users and groups before Glean is told of them: what is wrong with `people.toml`, what `check` and
//! `preview` say of it, and several connections at once.

use serde_json::json;
use sheaf_tests::temporal::{QUICK, server, worker};
use sheaf_tests::{Site, files};

const PEOPLE: &str = "[[users]]\nemail = \"ann@x.com\"\n[[users]]\nemail = \"bob@x.com\"\n\
                      [groups]\nhr = [\"ann@x.com\"]\n";

async fn site() -> Site {
    let site = Site::new(&files("people = \"people.toml\"")).await.connector("sheaf_files");
    site.write("docs/one.md", "# One");
    site.write("docs/people.toml", PEOPLE);
    site
}

/// A connection without users and groups beside it.
fn and_plain(site: &Site) {
    let sheaf_toml = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    let plain = files("").replace("connections.docs", "connections.plain");
    let plain = plain.replace("datasource = \"docs\"", "datasource = \"plain\"");
    site.write("sheaf.toml", &format!("{sheaf_toml}\n{plain}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_people_toml_is_told_with_its_line_and_what_to_correct() {
    let site = site().await;
    let arguments = ["sync", "docs", "--identities", "--local"];
    site.write("docs/people.toml", &format!("{PEOPLE}staff = 7\n"));
    let wrong = site.sheaf(&arguments).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    for part in ["correct line 7 of people.toml, `staff = 7`: ", "or what they name"] {
        assert!(wrong.stderr.contains(part), "{part}: {wrong:?}");
    }
    let twice =
        PEOPLE.replace("[groups]", "[[users]]\nemail = \"Ann@x.com\"\nid = \"7\"\n[groups]");
    site.write("docs/people.toml", &twice);
    let told = site.sheaf(&arguments).await;
    assert_eq!(told.code, 0, "{told:?}");
    let part = "line 5: Ann@x.com is in line 1 already, and differs in id";
    assert!(told.stderr.contains(part), "{told:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_place_of_people_toml_and_is_no_file_is_told_by_what_it_is() {
    let site = site().await;
    let path = site.path("docs/people.toml");
    let arguments = ["sync", "docs", "--identities", "--local"];
    std::fs::rename(&path, site.path("docs/other.toml")).expect("renamed");
    std::os::unix::fs::symlink("other.toml", &path).expect("a link");
    let link = site.sheaf(&arguments).await;
    assert_eq!(link.code, 2, "{link:?}");
    assert!(link.stderr.contains("people.toml is a symbolic link"), "{link:?}");
    std::fs::remove_file(&path).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    let pipe = site.sheaf(&arguments).await;
    assert_eq!(pipe.code, 2, "{pipe:?}");
    assert!(pipe.stderr.contains("people.toml is a pipe, a socket or a device"), "{pipe:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_preview_say_whom_glean_would_be_told_of() {
    let site = site().await;
    and_plain(&site);
    for (name, has_any, said) in [
        ("docs", true, "users and groups, which Glean is told of"),
        ("plain", false, "no users and groups"),
    ] {
        let check = site.sheaf(&["check", name]).await;
        assert!(check.code == 0 && check.stdout.contains(said), "{check:?}");
        let json = site.sheaf(&["check", name, "--json"]).await.json();
        assert_eq!(json["result"]["identities"], has_any, "{json}");
    }
    let preview = site.sheaf(&["preview", "docs"]).await;
    assert!(preview.stdout.contains("Glean would be told of 2 users and 1 group\n"), "{preview:?}");
    let json = site.sheaf(&["preview", "docs", "--json"]).await.json();
    let counts = json!({ "users": 2, "groups": 1, "more": false, "error": null });
    assert_eq!(json["result"]["identities"], counts, "{json}");
    let plain = site.sheaf(&["preview", "plain"]).await;
    assert!(plain.code == 0 && !plain.stdout.contains("told of"), "{plain:?}");
    site.write("docs/people.toml", "[groups");
    let wrong = site.sheaf(&["preview", "docs"]).await;
    assert!(
        wrong.code == 0 && wrong.stdout.contains("users and groups cannot be read"),
        "{wrong:?}"
    );
    assert_eq!(site.sheaf(&["check", "docs"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_that_have_users_and_groups_tell_of_them_here_and_on_temporal() {
    let mut site = site().await;
    and_plain(&site);
    let here = site.sheaf(&["sync", "--all", "--identities", "--local"]).await;
    assert_eq!(here.code, 0, "{here:?}");
    for part in [
        "✓ docs: 2 users, 1 group",
        "without users and groups: plain",
        "1 of 1 connection complete",
    ] {
        assert!(here.stdout.contains(part), "{part}: {here:?}");
    }
    let sheaf_toml = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    site.write("sheaf.toml", &format!("{QUICK}{sheaf_toml}"));
    let server = server(&mut site).await;
    let worker = worker(&site).await;
    site.write("docs/people.toml", &format!("{PEOPLE}staff = [\"bob@x.com\"]\n"));
    let told = site.sheaf(&["sync", "--all", "--identities", "--json"]).await;
    assert_eq!(told.code, 0, "{told:?}");
    let connections = &told.json()["result"]["connections"];
    assert_eq!(connections[0]["result"]["new_groups"], 1, "{connections}");
    assert_eq!(
        (&connections[1]["connection"], &connections[1]["result"]),
        (&json!("plain"), &json!(null))
    );
    // What is left out is told as it is of one alone.
    site.write("docs/people.toml", &format!("{PEOPLE}staff = [\"bob@x.com\", \"dot\"]\n"));
    let all = site.sheaf(&["sync", "--all", "--identities"]).await;
    assert!(all.stdout.contains("\n  left out: the id dot of group staff"), "{all:?}");
    // One that fails is told, and stops no other.
    site.write("docs/people.toml", "[groups");
    let failed = site.sheaf(&["sync", "--all", "--identities"]).await;
    assert_eq!(failed.code, 2, "{failed:?}");
    assert!(failed.stdout.contains("✗ docs: ") && failed.stdout.contains("plain"), "{failed:?}");
    drop(worker);
    server.stop().await;
}
