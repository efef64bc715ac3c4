//! A cell that was taken over: `liar` is the whole program, whose cell serves a connection and lies in the way that
//! the connection's settings name. The worker names what is wrong, loses nothing and deletes nothing.

use std::fmt::Write as _;
use std::path::Path;

use futures::stream::{self, StreamExt as _};
use serde_json::Value;
use sheaf_tests::{Ended, Site};

/// What a crawl comes to whose cell tells the lie.
#[derive(Clone, Copy)]
pub(super) struct Lie {
    pub(super) lie: &'static str,
    pub(super) code: i32,
    /// Of the failure; nothing where the crawl ends without one.
    kind: &'static str,
    /// In the failure, or in the reason of a crawl that is not complete.
    says: &'static str,
}

pub(super) const fn lie(
    lie: &'static str,
    code: i32,
    kind: &'static str,
    says: &'static str,
) -> Lie {
    Lie { lie, code, kind, says }
}

/// What makes no sense, and so breaks the cell.
pub(super) const fn senseless(name: &'static str, says: &'static str) -> Lie {
    lie(name, 1, "Trap", says)
}

/// What changes nothing that matters.
pub(super) const fn harmless(name: &'static str) -> Lie {
    lie(name, 0, "", "")
}

/// After so many lies an honest cell has a turn.
const ROUND: usize = 4;
/// Two crawls go on at once on each processor that the tests have.
const AT_ONCE: usize = 4;

pub(super) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_liar"))
}

/// No call may take long: whoever does not answer is ended half a minute after that.
fn connections(lie: &str) -> String {
    format!(
        "[temporal.policy]\nattempts = 1\n\n\
         [connections.odd]\nconnector = \"odd\"\ndatasource = \"odd\"\n\
         settings = {{ pages = 1, misdeed = \"{lie}\" }}\n\n[connections.odd.limits]\nwall_per_call = \"100ms\"\n\n\
         [connections.other]\nconnector = \"odd\"\ndatasource = \"other\"\nsettings = {{ pages = 1 }}\n"
    )
}

async fn crawl(site: &Site, name: &str) -> Ended {
    site.run(program(), &["sync", name, "--local", "--json"]).await
}

/// All documents of both datasources, as they were uploaded.
async fn documents(site: &Site) -> [Vec<(String, String)>; 2] {
    let of = async |name| site.glean.documents(name).await.expect("documents");
    [of("odd").await, of("other").await]
}

/// A site whose cells were honest so far.
async fn site() -> Site {
    let site = Site::new(&connections("")).await.connector("guest_odd");
    for name in ["odd", "other"] {
        let ended = crawl(&site, name).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.json()["result"]["documents"], 7);
    }
    site
}

/// What is wrong with how a lie ended, if anything is.
async fn tell(site: &Site, told: Lie) -> Result<(), String> {
    let before = documents(site).await;
    site.configure(&connections(told.lie));
    let ended = crawl(site, "odd").await;
    let mut wrong = judged(&ended, told);
    if documents(site).await != before {
        wrong.push_str("a document was changed or deleted; ");
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}: {wrong}{ended:?}", told.lie)) }
}

/// It was no end: an honest cell completes, and has nothing to mend.
async fn goes_on(site: &Site, after: Lie) -> Result<(), String> {
    let before = documents(site).await;
    site.configure(&connections(""));
    let ended = crawl(site, "odd").await;
    let is_complete = ended.code == 0 && ended.json()["result"]["outcome"] == "complete";
    if is_complete && documents(site).await == before {
        return Ok(());
    }
    Err(format!("an honest cell after `{}`: {ended:?}", after.lie))
}

pub(super) fn judged(ended: &Ended, told: Lie) -> String {
    let Lie { lie: _, code, kind, says } = told;
    let mut wrong = String::new();
    let json: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let (result, error) = (&json["result"], &json["error"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if ended.code != code || json["ok"] != (code == 0) {
        let _ = write!(wrong, "it ended with {}; ", ended.code);
    }
    if text(&error["kind"]) != kind {
        let _ = write!(wrong, "it failed with {}; ", error["kind"]);
    }
    let words = format!("{} {}", text(&error["what"]), text(&result["reason"]));
    if !words.contains(says) {
        let _ = write!(wrong, "it says `{words}`; ");
    }
    // Of what its source said, it said all.
    let is_its_own = ["broken", "call"].iter().any(|made| told.lie.starts_with(made));
    if !kind.is_empty()
        && (text(&error["at"]).is_empty() || !is_its_own && text(&error["next"]).is_empty())
    {
        wrong.push_str("it does not say where, or what to do next; ");
    }
    if code != 0 && result["deleted"].as_u64().unwrap_or_default() > 0 {
        wrong.push_str("it counts deletions; ");
    }
    let all = format!("{}{}", ended.stdout, ended.stderr);
    for word in ["panicked", "defect", "\u{1b}"] {
        if all.contains(word) {
            let _ = write!(wrong, "it shows `{}`; ", word.escape_debug());
        }
    }
    if all.len() > 200_000 {
        let _ = write!(wrong, "it says {} bytes; ", all.len());
    }
    wrong
}

/// Tells all of them, some at once.
async fn tell_each(lies: &[Lie]) {
    let some = lies.chunks(lies.len().div_ceil(AT_ONCE)).map(|lies| async move {
        let site = site().await;
        let mut wrong = Vec::new();
        for (number, told) in lies.iter().enumerate() {
            wrong.extend(tell(&site, *told).await.err());
            if number % ROUND == 0 || number + 1 == lies.len() {
                wrong.extend(goes_on(&site, *told).await.err());
            }
        }
        wrong
    });
    let wrong: Vec<_> = stream::iter(some).buffer_unordered(AT_ONCE).concat().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What it answers with at any step.
const ANSWERS: &[Lie] = &[
    senseless("large@fit", "a frame of 4294967295 bytes"),
    senseless("large@start", "a frame of 4294967295 bytes"),
    senseless("large@first-page", "a frame of 4294967295 bytes"),
    senseless("half@open", "exit code 3"),
    senseless("half@last-page", "exit code 3"),
    senseless("half-head@scopes", "exit code 3"),
    senseless("trailing@fit", "a frame with more than its words"),
    senseless("trailing@datasource", "a frame with more than its words"),
    senseless("trailing@last-page", "a frame with more than its words"),
    senseless("empty@open", "makes no sense"),
    senseless("empty@first-page", "makes no sense"),
    senseless("garbage@fit", "makes no sense"),
    senseless("garbage@scopes", "makes no sense"),
    senseless("garbage@last-page", "makes no sense"),
    senseless("other@start", "makes no sense"),
    senseless("other@scopes", "makes no sense"),
    senseless("other@open", "makes no sense"),
    senseless("other@first-page", "makes no sense"),
    senseless("files@datasource", "files that nobody wants"),
    senseless("files@first-page", "files that nobody wants"),
    senseless("more-files@scopes", "more files beside a frame than there may be"),
    senseless("untold-files@open", "a frame with 1 files"),
    senseless("no-files@last-page", "a frame with 0 files"),
    senseless("twice@start", "makes no sense"),
    senseless("twice@open", "makes no sense"),
    // Whatever comes first is the answer, and one that is too many is that to the next question.
    harmless("twice@scopes"),
    harmless("early-page"),
    senseless("say:large", "a frame of 4294967295 bytes"),
    senseless("say:half", "exit code 3"),
    senseless("say:trailing", "a frame with more than its words"),
    senseless("say:empty", "makes no sense"),
    senseless("say:garbage", "makes no sense"),
    senseless("say:other", "makes no sense"),
    senseless("say:files", "files that nobody wants"),
    senseless("say:more-files", "more files beside a frame than there may be"),
    senseless("say:untold-files", "a frame with 1 files"),
];

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_make_no_sense_end_a_cell_by_name() {
    tell_each(ANSWERS).await;
}

/// Its death, and that of its sockets.
const DEATHS: &[Lie] = &[
    senseless("exit@fit", "exit code 3: what it said last"),
    senseless("exit@start", "exit code 3: what it said last"),
    senseless("exit@datasource", "exit code 3"),
    senseless("exit@scopes", "exit code 3"),
    senseless("exit@open", "exit code 3"),
    senseless("exit@first-page", "exit code 3"),
    senseless("exit@last-page", "exit code 3"),
    senseless("segv@fit", "a fault of memory"),
    senseless("segv@start", "a fault of memory"),
    senseless("segv@open", "a fault of memory"),
    senseless("segv@last-page", "a fault of memory"),
    lie("kill@fit", 1, "Internal", "ended from outside"),
    lie("kill@datasource", 1, "Internal", "ended from outside"),
    lie("kill@scopes", 1, "Internal", "ended from outside"),
    lie("kill@first-page", 1, "Internal", "ended from outside"),
    lie("kill@last-page", 1, "Internal", "ended from outside"),
    senseless("drop-guest@fit", "dropped its guest"),
    senseless("drop-guest@scopes", "dropped its guest"),
    senseless("drop-guest@open", "dropped its guest"),
    senseless("drop-guest@last-page", "dropped its guest"),
    senseless("drop-control@fit", "closed its socket without an answer"),
    senseless("drop-control@start", "closed its socket without an answer"),
    senseless("drop-control@open", "closed its socket without an answer"),
    senseless("drop-control@last-page", "closed its socket without an answer"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_dies_at_any_step_is_told_with_what_became_of_it() {
    tell_each(DEATHS).await;
}

/// What it hands over.
const PAGES: &[Lie] = &[
    senseless("ends-overlap", "document 2: it is no object"),
    senseless("ends-go-down", "document 1: it is no document"),
    senseless("ends-swapped", "no comma behind document"),
    senseless("ends-past-file", "no batch"),
    senseless("ends-huge", "a batch of 4294967295 bytes"),
    senseless("ends-of-one", "it keeps back 2 documents"),
    senseless("emptied", "no batch"),
    senseless("empty-batch", "a batch without documents"),
    senseless("wide-cuts", "makes no sense"),
    senseless("wide-rows", "makes no sense"),
    senseless("empty-documents", "no comma behind document 1"),
    senseless("no-comma", "no comma behind document 1"),
    senseless("other-datasource", "it is of another datasource"),
    senseless("other-id", "it has another id than was told"),
    senseless("id-twice", "it is no document"),
    senseless("id-hidden", "it is no document"),
    senseless("closes-request", "it is no document"),
    senseless("two-in-one", "it is no document"),
    senseless("no-json", "it is no object"),
    senseless("deep-json", "document 2: it goes too deep"),
    senseless("not-unicode", "it is no document"),
    senseless("large-document", "a batch of"),
    senseless("large-batch", "a batch of"),
    senseless("many-documents", "a batch of 1001 documents"),
    senseless("untold", "documents that it has not told of"),
    senseless("kept-back", "it keeps back 3 documents"),
    senseless("kept-back-one", "it keeps back 1 document"),
    senseless("told-twice", "it has another id than was told"),
    lie("delivered-twice", 5, "", "would be deleted"),
    senseless("long-id", "a document without an id that Glean takes"),
    senseless("no-id", "a document without an id that Glean takes"),
    senseless("nameless", "a document without an id that Glean takes"),
    harmless("other-key"),
    lie("quarantines", 5, "", ""),
    senseless("deletes", "deletions or changes of access in a full crawl"),
    senseless("changes-access", "deletions or changes of access in a full crawl"),
    senseless("large-checkpoint", "a checkpoint of 1048576 bytes"),
    senseless("large-bookmark", "a checkpoint of 1048576 bytes"),
    lie("partial", 5, "", "it is away"),
    senseless("endless-nothing", "loops"),
    senseless("endless-quarantine", "loops"),
    senseless("endless-same", "loops"),
    senseless("endless-empty", "empty pages in a row"),
    senseless("aged-other", "other documents than those that wait"),
    harmless("read-at-never"),
    harmless("read-at-first"),
    lie("swapped", 5, "", "would be deleted"),
    lie("all-early", 5, "", "would be deleted"),
    lie("broken", 4, "Source", "it is gone"),
    senseless("broken-untold", "documents that it has not told of"),
    senseless("broken-kept-back", "it keeps back 1 document"),
    lie("broken-for-hours", 4, "Source", "it is gone"),
    lie("broken-session", 1, "Internal", "it says so"),
    lie("broken-interrupted", 1, "Internal", "it says so"),
    lie("broken-damaged", 1, "Internal", "it says so"),
    lie("broken-start-over", 4, "StartOver", "it says so"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_page_is_named_and_deletes_nothing() {
    tell_each(PAGES).await;
}

/// What it says of itself, and what it wants of the world.
const SAYS: &[Lie] = &[
    lie("datasource-text", 2, "Contract", "not JSON"),
    lie("datasource-list", 2, "Contract", "not an object"),
    lie("datasource-deep", 2, "Contract", "not JSON"),
    harmless("datasource-other"),
    lie("datasource-large", 4, "Refused", "too large"),
    lie("scopes-many", 2, "Contract", "10,001 scopes"),
    lie("scopes-twice", 2, "Contract", "the scope `all` twice"),
    lie("scopes-long", 2, "Contract", "500 is the most"),
    lie("scopes-none", 5, "", "would be deleted"),
    harmless("scopes-count"),
    harmless("scopes-title"),
    harmless("usage"),
    harmless("log-endless"),
    harmless("log-large"),
    harmless("log-odd"),
    harmless("wait-large"),
    lie("call:dial https://example.com/", 4, "SourceGaveUp", "7: Blocked"),
    lie("call:dial http://169.254.169.254/", 4, "SourceGaveUp", "7: Blocked"),
    lie("call:dial http://127.0.0.1:1/", 4, "SourceGaveUp", "7: Blocked"),
    lie("call:dial no URL", 4, "SourceGaveUp", "7: Blocked"),
    lie(
        "call:credential OTHER",
        4,
        "SourceGaveUp",
        "7: a credential was asked for that the connector does not ask for",
    ),
    lie("call:forget OTHER", 4, "SourceGaveUp", "7: forgot false"),
    lie("call:helped OTHER", 4, "SourceGaveUp", "7: noted"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_of_itself_and_wants_of_the_world_is_bounded() {
    tell_each(SAYS).await;
}

/// What does not say what it should, or does not listen.
const SILENT: &[Lie] = &[
    lie("silence@fit", 1, "TimedOut", "did not answer in time"),
    lie("silence@scopes", 1, "TimedOut", "did not answer in time"),
    lie("stall@first-page", 1, "TimedOut", "did not answer in time"),
    lie("say:stall", 1, "TimedOut", "did not answer in time"),
    senseless("unread", "it wants more at once than it may"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_falls_silent_is_ended_in_time() {
    let some = SILENT.iter().map(async |told| {
        let site = site().await;
        tell(&site, *told).await?;
        goes_on(&site, *told).await
    });
    let wrong: Vec<_> = stream::iter(some).buffer_unordered(SILENT.len()).collect().await;
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
