//! A cell that was taken over and lies about who is who: what makes no sense is named, what has no end is bounded, and
//! Glean is told nothing of it.

use futures::stream::{self, StreamExt as _};
use serde_json::json;
use sheaf_tests::{Ended, Site, http};

use super::taken_over::{Lie, judged, lie, program, senseless};

const USERS: [&str; 4] = ["ann@x.com", "bob@x.com", "cid@x.com", "eve@x.com"];

/// The lie takes the place of the connector's settings, which only its cell would look at.
fn connections(lie: &str) -> String {
    format!(
        "[temporal.policy]\nattempts = 1\n\n\
         [connections.people]\nconnector = \"files\"\ndatasource = \"people\"\n\
         settings = {{ root = \"/content\", misdeed = \"{lie}\" }}\n\
         grants = {{ folders = {{ \"/content\" = \"docs\" }} }}\n"
    )
}

async fn crawl(site: &Site) -> Ended {
    site.run(program(), &["sync", "people", "--identities", "--local", "--json"]).await
}

/// A document for each group, and an honest crawl.
async fn site() -> Site {
    site_of("").await
}

async fn site_of(lie: &str) -> Site {
    let site = Site::new(&connections(lie)).await.connector("sheaf_files");
    std::fs::create_dir(site.path("docs")).expect("a folder");
    let ended = crawl(&site).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for group in ["hr", "staff"] {
        let url = format!("{}/api/index/v1/indexdocument", site.glean.url());
        let document = json!({ "document": {
            "datasource": "people", "objectType": "Page", "id": group,
            "viewURL": format!("https://odd.example.com/{group}"),
            "permissions": { "allowedGroups": [group] },
        } });
        let answer = http().post(url).json(&document).send().await.expect("told");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }
    assert_eq!(finders(&site).await, ["ann@x.com: hr", "bob@x.com: hr", "cid@x.com: staff"]);
    site
}

/// Who finds what.
async fn finders(site: &Site) -> Vec<String> {
    let mut found = Vec::new();
    for user in USERS {
        for group in ["hr", "staff"] {
            if site.sees(user, "people", "Page", group).await {
                found.push(format!("{user}: {group}"));
            }
        }
    }
    found
}

async fn tell(site: &Site, told: Lie) -> Result<(), String> {
    let before = finders(site).await;
    site.configure(&connections(told.lie));
    let ended = crawl(site).await;
    let mut wrong = judged(&ended, told);
    if finders(site).await != before {
        wrong.push_str("somebody finds something else; ");
    }
    // It was no end: an honest cell has nothing to mend.
    site.configure(&connections(""));
    let honest = crawl(site).await;
    if honest.code != 0 || finders(site).await != before {
        wrong.push_str(&format!("an honest cell after it: {honest:?}; "));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}: {wrong}{ended:?}", told.lie)) }
}

const LIES: &[Lie] = &[
    lie("people-users", 2, "Contract", "take more than 256"),
    lie("people-groups", 2, "Contract", "take more than 256"),
    lie("people-members", 2, "Contract", "take more than 256"),
    lie("people-unreadable", 2, "Contract", "take more than 256"),
    lie("people-nothing", 2, "Contract", "the connector loops"),
    lie("people-same", 2, "Contract", "the connector loops"),
    senseless("people-wide-users", "makes no sense"),
    senseless("people-wide-groups", "makes no sense"),
    lie("people-wide-members", 2, "Contract", "take more than 256"),
    senseless("people-large-page", "a frame of"),
    senseless("people-large-checkpoint", "a checkpoint of 1048576 bytes"),
    lie("people-large-names", 5, "", ""),
    lie("people-escapes", 5, "", ""),
    lie("people-other-midway", 2, "Contract", "and `staff` came next"),
    lie("people-ended", 2, "Contract", "the group `hr` came twice"),
    lie("people-open", 2, "Contract", "and none came"),
    lie("people-open-and-partial", 5, "", ""),
    lie("people-early", 5, "", ""),
    lie("people-none", 5, "", ""),
    senseless("garbage@identities", "makes no sense"),
    senseless("large@identities", "a frame of 4294967295 bytes"),
    senseless("trailing@identities", "a frame with more than its words"),
    senseless("other@open-identities", "makes no sense"),
];

/// Two on each processor that the tests have.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_users_and_groups_is_named_and_told_to_nobody() {
    // Dealt out, so that those without end, which stand side by side, are apart.
    let some = (0..AT_ONCE).map(|first| async move {
        let site = site().await;
        let mut wrong = Vec::new();
        for told in LIES.iter().skip(first).step_by(AT_ONCE) {
            wrong.extend(tell(&site, *told).await.err());
        }
        wrong
    });
    let wrong: Vec<_> = stream::iter(some).buffer_unordered(AT_ONCE).concat().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_datasource_knows_users_by_id_members_are_told_by_id() {
    let site = site_of("people-by-id").await;
    let again = crawl(&site).await.json()["result"].clone();
    assert_eq!(
        (&again["changed_groups"], &again["memberships"]),
        (&json!(0), &json!(3)),
        "{again}"
    );
    // By e-mail they are others to Glean, and all are told again.
    site.configure(&connections(""));
    let by_email = crawl(&site).await;
    assert_eq!(by_email.code, 0, "{by_email:?}");
    assert_eq!(by_email.json()["result"]["changed_groups"], 2, "{by_email:?}");
    assert_eq!(finders(&site).await, ["ann@x.com: hr", "bob@x.com: hr", "cid@x.com: staff"]);
}
