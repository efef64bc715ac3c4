//! Who and what `sheaf access` may be asked about: documents that no crawl has seen, people by whatever they are called,
//! and what of a hold is theirs.

use serde_json::json;
use sheaf_local_glean::Fault;
use sheaf_tests::Site;

use super::access::{ask, firm, others_tell, settings, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_no_crawl_has_seen_is_asked_of_glean_all_the_same() {
    let site = firm().await;
    let document = json!({
        "datasource": "docs", "objectType": "File", "id": "others.md",
        "viewURL": "https://docs.example.com/others.md",
        "permissions": { "allowedUsers": [{ "email": "ann@x.com" }] },
    });
    others_tell(&site, "/indexdocument", json!({ "document": document })).await;
    for (user, may, word) in [("ann", true, "may read it"), ("bob@x.com", false, "may not read it")]
    {
        let asked = ask(&site, "docs", "others.md", user).await;
        assert_eq!(asked.code, 0, "{asked:?}");
        for part in ["no crawl has seen `others.md`; Glean has it all the same, and", word] {
            assert!(asked.stdout.contains(part), "{part}: {asked:?}");
        }
        let answer = told(&site, "docs", "others.md", user).await;
        let said = (&answer["here"], &answer["glean"]["allowed"], &answer["object_type"]);
        assert_eq!(said, (&json!(null), &json!(may), &json!("File")), "{answer}");
    }
    let neither = ask(&site, "docs", "none.md", "ann").await;
    assert_eq!(neither.code, 1, "{neither:?}");
    let part = "no crawl has seen `none.md`, and Glean does not have it";
    assert!(neither.stdout.contains(part), "{neither:?}");
    let config = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    site.write("sheaf.toml", &config.replace("[glean]\n", "[glean]\npatience = \"1s\"\n"));
    site.glean.drill().add(Fault { times: 1_000, status: Some(503), ..Fault::default() });
    let away = ask(&site, "docs", "others.md", "ann").await;
    assert!(away.stdout.contains("whether Glean has it is not known"), "{away:?}");
    assert_eq!(away.code, 1, "it is known here that nothing is known: {away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_e_mail_in_whatever_case_and_by_an_id_letter_by_letter() {
    let site = firm().await;
    for user in [" ANN@x.com ", "ann@X.COM", "\tann\n"] {
        assert_eq!(
            told(&site, "docs", "hr/one.md", user).await["here"]["allowed"],
            true,
            "{user:?}"
        );
    }
    let other = ask(&site, "docs", "hr/one.md", "ANN").await;
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stdout.contains("each letter of an id counts, small or not"), "{other:?}");
    let nobody = ask(&site, "docs", "hr/one.md", "  ").await;
    assert!(nobody.code == 2 && nobody.stderr.contains("names nobody"), "{nobody:?}");
    // What is gone from the source, and what was not read for long enough.
    std::fs::remove_file(site.path("docs/hr/one.md")).expect("removed");
    let gone = ask(&site, "docs", "hr/one.md", "ann").await;
    for part in [
        "docs: yes, Ann@x.com may read hr/one.md",
        "who may read it is as it was uploaded",
        "the source does not deliver it any more in scope",
        "Glean has it until a full crawl deletes it, unless another scope delivers it",
    ] {
        assert!(gone.stdout.contains(part), "{part}: {gone:?}");
    }
    let arguments = ["access", "docs", "hr/one.md", "--as", "ann", "--read-for", "1ms"];
    let short = site.sheaf(&arguments).await;
    for part in ["came within 1ms", "`--read-for 1h`"] {
        assert!(short.stdout.contains(part), "{part}: {short:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_held_that_is_told_which_concerns_who_is_asked_about() {
    let rules = ["a", "b", "c"].map(|name| (name, format!("{{ groups = [\"{name}\"] }}")));
    let rules: Vec<_> = rules.iter().map(|(name, rule)| (*name, rule.as_str())).collect();
    let site = Site::new(&settings(&rules)).await.connector("sheaf_files");
    let emails: Vec<String> = (0..40).map(|number| format!("u{number:02}@x.com")).collect();
    let people = |users: &[String], a: &[String], b: &[String]| {
        let users: Vec<_> =
            users.iter().map(|email| format!("[[users]]\nemail = {email:?}\n")).collect();
        let text =
            format!("{}[groups]\na = {a:?}\nb = {b:?}\nc = [\"u31@x.com\"]\n", users.concat());
        site.write("docs/people.toml", &text);
    };
    for name in ["a", "b", "c"] {
        site.write(&format!("docs/{name}/one.md"), "# One");
    }
    people(&emails, &emails[..20], &emails[10..30]);
    site.sync("docs", 0).await;
    // `a` would lose most, `b` most others; a tenth of the users would go.
    people(&emails[..34], &emails[..2], &emails[28..30]);
    let held = site.sheaf(&["sync", "docs", "--identities", "--local"]).await;
    assert_eq!(held.code, 5, "{held:?}");
    for (document, user, part) in [
        ("a/one.md", "u15@x.com", "u15@x.com would leave a"),
        ("b/one.md", "u15@x.com", "u15@x.com would leave b"),
        ("b/one.md", "u05@x.com", "b would lose 18 members, and not u05@x.com"),
        ("b/one.md", "u39@x.com", "u39@x.com would go or be inactive; b would lose"),
        ("c/one.md", "u31@x.com", "neither of them nor of a group that may read it: "),
    ] {
        let answer = ask(&site, "docs", document, user).await;
        assert!(answer.stdout.contains(part), "{part}: {answer:?}");
    }
}
