//! The status page: one page without scripts and without anything from elsewhere. Whatever a source or a connector says
//! is escaped by the template.

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use super::look::Live;
use super::schedules::Kind;
use super::seen::{Held, Seen, SeenConnection, SeenKind};
use crate::clock::Timestamp;
use crate::crawl::CrawlView;
use crate::crawl::status::State;
use crate::crawl::view::{Phase, ScopeView};
use crate::failure::Failure;
use crate::machine::this_process;
use crate::release::{COMMIT, VERSION};
use crate::text::{bytes, count, grouped, one_line};

pub(super) const STYLE: &str = include_str!("page.css");

/// How often the page is read again: sooner where something moves.
const MOVES: u32 = 5;
const RESTS: u32 = 30;

/// What whoever looks may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Look,
    /// There is a token, and it was not shown yet.
    SignIn,
    Act,
}

/// The whole page.
pub(super) fn page(seen: &Seen, live: &Live, may: May, now: Timestamp) -> Markup {
    let moves = live.as_ref().is_ok_and(|crawls| !crawls.is_empty());
    let mut all: Vec<_> = seen.connections.iter().collect();
    // What is worse comes first; what stands alike keeps the order of its names.
    all.sort_by_key(|one| one.state);
    let content = html! {
        (under_way(live, may))
        section {
            h2 { (count(all.len() as u64, "connection")) }
            @if all.is_empty() {
                p { "There is none yet. Add a " code { "[connections.NAME]" } " to sheaf.toml; "
                    code { "sheaf inspect FILE" } " prints one to begin with." }
            }
            @if let Some(why) = &seen.no_schedules {
                p .note { "What is due next is not known now: " (one_line(why)) }
            }
            @for one in all { (connection(one, now)) }
        }
        @if may == May::SignIn {
            p { a href="/sign-in" { "Sign in" } " to pause, resume or cancel." }
        }
    };
    framed(Some(if moves { MOVES } else { RESTS }), &counts(seen), &content)
}

/// A page that does not read itself again under whoever types.
pub(super) fn sign_in() -> Markup {
    let content = html! {
        section {
            h2 { "Sign in" }
            p { "It is what " code { "token" } " in " code { "[observe]" } " of sheaf.toml names." }
            form method="post" action="/sign-in" {
                label { "Token " input type="password" name="token" autocomplete="current-password" required autofocus; }
                button { "Sign in" }
            }
            p { a href="/" { "Back to the status" } }
        }
    };
    framed(None, &html! {}, &content)
}

/// What went wrong with something that was asked for from the page.
pub(super) fn failed(failure: &Failure) -> Markup {
    let content = html! {
        section {
            h2 { "It was not done" }
            p { (one_line(&failure.what)) }
            @if let Some(next) = &failure.next { p { "Next: " (one_line(next)) } }
            p { a href="/" { "Back to the status" } }
        }
    };
    framed(None, &html! {}, &content)
}

fn framed(refresh: Option<u32>, counts: &Markup, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(seconds) = refresh { meta http-equiv="refresh" content=(seconds); }
                title { "Sheaf" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header { h1 { "Sheaf" } (counts) }
                main { (content) }
                footer { (this_process()) " · version " (VERSION) " " (COMMIT) }
            }
        }
    }
}

/// How many connections stand how.
fn counts(seen: &Seen) -> Markup {
    let states = State::ALL
        .into_iter()
        .map(|state| (state, seen.connections.iter().filter(|one| one.state == state).count()));
    html! {
        p .counts {
            @for (state, number) in states.filter(|(_, number)| *number > 0) {
                span class=(state.name()) { (grouped(number as u64)) " " (state.words()) }
                " "
            }
        }
    }
}

fn under_way(live: &Live, may: May) -> Markup {
    html! {
        section {
            h2 { "Under way" }
            @match live {
                Err(why) => p .note { "Not known now: " (one_line(why)) },
                Ok(crawls) if crawls.is_empty() => p .quiet { "No crawl." },
                Ok(crawls) => @for crawl in crawls { (running(crawl, may)) },
            }
        }
    }
}

/// Scopes that are listed.
const SCOPES: usize = 10;

fn running(crawl: &CrawlView, may: May) -> Markup {
    let total = &crawl.total.counts;
    let phase = match crawl.phase {
        Phase::Configuring => "configuring",
        Phase::Crawling => "crawling",
        Phase::Completing => "completing",
        Phase::Ended => "ended",
    };
    let paused = crawl.paused.is_some();
    html! {
        article .crawl {
            h3 { (crawl.connection.as_str()) " " small { (crawl.mode) " · " (phase) } }
            @if let Some(note) = &crawl.note { p .note { (one_line(note)) } }
            p {
                (count(total.documents, "document"))
                @if let Some(of) = crawl.estimate.filter(|of| *of > 0) { " of about " (grouped(of)) }
                " · " (bytes(total.bytes))
                @if crawl.of > 1 { " · " (crawl.done) " of " (count(crawl.of as u64, "scope")) }
                @if crawl.failed > 0 { " · " (crawl.failed) " failed" }
                @if total.quarantined > 0 { " · " (grouped(total.quarantined)) " quarantined" }
            }
            @if let Some(of) = crawl.estimate.filter(|of| *of > 0) {
                progress max=(of) value=(total.documents.min(of)) {}
            }
            ul { @for scope in crawl.scopes.iter().take(SCOPES) { (self::scope(scope)) } }
            @if may == May::Act {
                form method="post" {
                    @let at = format!("/crawls/{}/", crawl.connection.as_str());
                    @if paused {
                        button formaction=(format!("{at}resume")) { "Resume" }
                    } @else {
                        button formaction=(format!("{at}pause")) { "Pause" }
                    }
                    button formaction=(format!("{at}cancel")) { "Cancel" }
                }
            }
        }
    }
}

fn scope(scope: &ScopeView) -> Markup {
    let name = if scope.title.is_empty() { &scope.id } else { &scope.title };
    let waits = scope.progress.live.waits();
    html! {
        li {
            (one_line(name)) ": " (count(scope.progress.counts.documents, "document"))
            @if let Some(waits) = waits { " · " (one_line(&waits)) }
            @if let Some(note) = &scope.note { " · " (one_line(note)) }
        }
    }
}

fn connection(one: &SeenConnection, now: Timestamp) -> Markup {
    let is_well = matches!(one.state, State::Well | State::Never);
    let first = match one.state {
        State::Well => recently(one, now),
        _ => one.headline.lines().next().unwrap_or_default().to_owned(),
    };
    html! {
        details class=(one.state.name()) open[!is_well] {
            summary {
                strong { (one.name) } " "
                span .state { (one.state.words()) } " "
                @if first != one.state.words() { span .first { (one_line(&first)) } }
            }
            @for line in one.headline.lines().skip(1) { p { (one_line(line.trim())) } }
            @if let Some(held) = &one.held { (self::held(held, now)) }
            @for note in &one.notes { p .note { (one_line(note)) } }
            @if let Some(full) = one.full.filter(|full| full.quarantined + full.access_unknown > 0) {
                p .note {
                    "of the last full crawl " (count(full.quarantined, "document")) " quarantined, "
                    (count(full.access_unknown, "document")) " found by nobody"
                }
            }
            @if !one.kinds.is_empty() {
                table {
                    tr { th { "crawl" } th { "last" } th { "complete" } th { "next" } }
                    @for kind in &one.kinds { (self::kind(kind, now)) }
                }
            }
            (connector(one))
        }
    }
}

/// What there is to say of a connection that is well: its newest crawl, and the next one.
fn recently(one: &SeenConnection, now: Timestamp) -> String {
    let kinds = || one.kinds.iter();
    let newest = kinds().filter_map(|kind| Some((kind.last?.ended, kind))).max_by_key(|of| of.0);
    let mut text = newest.map_or_else(String::new, |(ended, kind)| {
        format!("{} crawl {} ago", kind.kind.name(), length(now.since(ended)))
    });
    if let Some(full) = one.full {
        text.push_str(&format!(" · {}", count(full.documents, "document")));
    }
    let next = kinds().filter_map(|kind| kind.rhythm.as_ref()?.next).min();
    if let Some(next) = next {
        text.push_str(&format!(" · next in {}", length(next.since(now))));
    }
    text
}

fn connector(one: &SeenConnection) -> Markup {
    let of = &one.connector;
    html! {
        p .quiet {
            "datasource " (one.datasource) " · " (one_line(&of.name)) " " (one_line(&of.version))
            @if !of.digest.is_empty() {
                " · " code { (of.digest) }
                " · " @if of.signer.is_empty() { "signed by nobody" } @else { "signed by " code { (of.signer) } }
            }
        }
        @if let Some(failure) = &of.failure { p .note { (one_line(failure)) } }
    }
}

fn held(held: &Held, now: Timestamp) -> Markup {
    html! {
        p .note { "held for " (length(now.since(held.since))) ": " (one_line(&held.why)) }
        p { code { (one_line(&held.command)) } }
    }
}

fn kind(kind: &SeenKind, now: Timestamp) -> Markup {
    let ago = |at: Timestamp| format!("{} ago", length(now.since(at)));
    html! {
        tr {
            th { (kind.kind.name()) }
            td {
                @match &kind.last {
                    None => "never",
                    Some(last) => {
                        (last.outcome) ", " (ago(last.ended))
                        @if kind.kind != Kind::Identities { ", " (count(last.documents, "document")) }
                    }
                }
                @if kind.failures > 0 { " · failed " (count(kind.failures, "time")) " since" }
            }
            td { @if let Some(complete) = kind.complete { (ago(complete)) } @else { "never" } }
            td {
                @match &kind.rhythm {
                    None => "no schedule",
                    Some(rhythm) if rhythm.paused => "paused",
                    Some(rhythm) => @match rhythm.next {
                        Some(next) => { "in " (length(next.since(now))) }
                        None => "not known",
                    }
                }
            }
        }
    }
}

/// A stretch of time in its largest two units.
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::Outcome;
    use crate::crawl::view::ScopeState;
    use crate::observe::schedules::Rhythm;
    use crate::observe::seen::{Last, SeenConnector};

    const HOSTILE: &str = "<script>alert('x')</script>\"><img src=x onerror=y>\u{202e}\u{1b}[2J";

    fn connection(name: &str, state: State) -> SeenConnection {
        let at = Timestamp::from_seconds(1_000_000);
        let rhythm =
            Rhythm { interval: None, next: Some(at + Duration::from_secs(90)), paused: false };
        let last = Last { outcome: Outcome::Complete, ended: at, documents: 1_234 };
        SeenConnection {
            name: name.to_owned(),
            datasource: name.to_owned(),
            connector: SeenConnector {
                name: HOSTILE.to_owned(),
                version: HOSTILE.to_owned(),
                digest: "sha256:12345678".to_owned(),
                signer: String::new(),
                failure: Some(HOSTILE.to_owned()),
            },
            state,
            headline: format!("{HOSTILE}\n  {HOSTILE}"),
            kinds: vec![SeenKind {
                kind: Kind::Full,
                rhythm: Some(rhythm),
                complete: Some(at),
                last: Some(last),
                failures: 2,
            }],
            held: Some(Held { since: at, why: HOSTILE.to_owned(), command: HOSTILE.to_owned() }),
            refused: 0,
            notes: vec![HOSTILE.to_owned()],
            full: None,
            ledger_bytes: 0,
            at_work: false,
        }
    }

    fn crawl() -> CrawlView {
        CrawlView {
            connection: "docs".into(),
            note: Some(HOSTILE.to_owned()),
            of: 2,
            estimate: Some(10),
            scopes: vec![ScopeView {
                id: HOSTILE.to_owned(),
                title: HOSTILE.to_owned(),
                estimate: None,
                state: ScopeState::Running,
                progress: crate::crawl::progress::Shown::default(),
                note: Some(HOSTILE.to_owned()),
            }],
            ..CrawlView::default()
        }
    }

    fn shown(connections: Vec<SeenConnection>, live: &Live, may: May) -> String {
        let no_schedules = Some(HOSTILE.to_owned());
        let seen = Seen { at: Timestamp::default(), connections, no_schedules };
        page(&seen, live, may, Timestamp::from_seconds(1_004_000)).into_string()
    }

    #[test]
    fn nothing_that_a_source_says_is_read_as_html() {
        let html = shown(vec![connection("docs", State::Failing)], &Ok(vec![crawl()]), May::Act);
        let away = shown(Vec::new(), &Err(HOSTILE.to_owned()), May::Look);
        for html in [html, away] {
            for text in ["<script", "<img", "\u{202e}", "\u{1b}"] {
                assert!(!html.contains(text), "{text:?}: {html}");
            }
            assert!(html.contains("&lt;script&gt;"), "{html}");
            assert!(
                !html.contains("http:") && !html.contains("//"),
                "nothing from elsewhere: {html}"
            );
        }
    }

    #[test]
    fn what_is_worse_comes_first_and_only_who_may_act_sees_buttons() {
        let all = vec![connection("a", State::Well), connection("b", State::Failing)];
        let html = shown(all.clone(), &Ok(vec![crawl()]), May::Act);
        assert!(html.find("<strong>b</strong>") < html.find("<strong>a</strong>"), "{html}");
        assert!(html.contains("formaction=\"/crawls/docs/pause\""), "{html}");
        for may in [May::Look, May::SignIn] {
            let html = shown(all.clone(), &Ok(vec![crawl()]), may);
            assert!(!html.contains("formaction"), "{html}");
            assert_eq!(html.contains("Sign in"), may == May::SignIn);
        }
        let paused = CrawlView { paused: Some("somebody".into()), ..crawl() };
        let html = shown(all, &Ok(vec![paused]), May::Act);
        assert!(html.contains("/crawls/docs/resume") && !html.contains("/crawls/docs/pause"));
    }

    #[test]
    fn a_stretch_of_time_is_told_in_its_largest_units() {
        for (seconds, text) in
            [(59, "59 s"), (60, "1 min"), (4_000, "1 h 6 min"), (200_000, "2 d 7 h")]
        {
            assert_eq!(length(Duration::from_secs(seconds)), text);
        }
    }
}
