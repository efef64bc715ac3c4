//! The progress of a crawl: on a terminal live lines, elsewhere one line every ten seconds.
//!
//! A line says first what matters most: how far, how fast, and why it waits or is tried again. What does
//! not fit into the terminal's width gives way.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use console::{Term, measure_text_width, pad_str, truncate_str};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::logging::lines;
use crate::crawl::CrawlView;
use crate::crawl::progress::Shown;
use crate::crawl::view::{Phase, ScopeState, ScopeView};
use crate::text::{bytes, count, grouped, one_line};

const REDRAW: Duration = Duration::from_millis(200);
const REPORT: Duration = Duration::from_secs(10);
/// More scopes than this are shown as a number.
const MAX_LINES: usize = 12;
/// A title's column, at the most; wider where there is room for it.
const TITLE: usize = 20;
const WIDE_TITLE: usize = 36;
const WIDE: usize = 100;

/// Shows what `views` says until its sender is gone.
pub(super) async fn show(views: watch::Receiver<CrawlView>) {
    if std::io::stderr().is_terminal() {
        live(views).await;
    } else {
        plain(views).await;
    }
}

async fn live(mut views: watch::Receiver<CrawlView>) {
    let terminal = Term::stderr();
    let mut shown: Vec<ProgressBar> = Vec::new();
    let mut rates: BTreeMap<String, Rate> = BTreeMap::new();
    let mut rate = Rate::default();
    let heading = lines().add(ProgressBar::new_spinner());
    heading.set_style(style("{spinner:.green} {msg}"));
    heading.enable_steady_tick(Duration::from_millis(120));
    loop {
        let view = views.borrow_and_update().clone();
        let (rows, columns) = terminal.size();
        // The cursor stands behind a line: one that is as wide as the terminal would wrap.
        let width = usize::from(columns).saturating_sub(1);
        let room = usize::from(rows).saturating_sub(3).clamp(1, MAX_LINES);
        let chosen = choose(&view, room);
        rates.retain(|id, _| chosen.iter().any(|scope| scope.id == *id));
        let titles = title_width(&chosen, width);
        heading.set_message(title(
            &view,
            rate.per_second(view.total.counts.documents),
            width.saturating_sub(2),
        ));
        for (at, scope) in chosen.iter().enumerate() {
            let rate = rates.entry(scope.id.clone()).or_default();
            let text = line(scope, rate.per_second(scope.progress.counts.documents), titles, width);
            if shown.len() <= at {
                let bar = lines().add(ProgressBar::new_spinner());
                bar.set_style(style("{msg}"));
                shown.push(bar);
            }
            shown[at].set_message(text);
        }
        for bar in shown.drain(chosen.len().min(shown.len())..) {
            bar.finish_and_clear();
        }
        if views.has_changed().is_err() {
            break;
        }
        tokio::time::sleep(REDRAW).await;
    }
    for bar in &shown {
        bar.abandon();
    }
    heading.finish_and_clear();
}

/// The scopes that are worth a line, in their own order: what is wrong before what runs, and what runs
/// before what is done.
fn choose(view: &CrawlView, most: usize) -> Vec<&ScopeView> {
    let rank = |scope: &ScopeView| match scope.state {
        ScopeState::Failed => 0,
        ScopeState::Retrying => 1,
        ScopeState::Running => 2,
        ScopeState::Done => 3,
        ScopeState::Waiting => 4,
    };
    let mut chosen: Vec<_> = view
        .scopes
        .iter()
        .enumerate()
        .filter(|(_, scope)| scope.state != ScopeState::Waiting)
        .collect();
    // Of those that are done, the last ones.
    chosen.sort_by_key(|(at, scope)| {
        let done = scope.state == ScopeState::Done;
        (rank(scope), if done { usize::MAX - at } else { *at })
    });
    chosen.truncate(most);
    chosen.sort_by_key(|(at, _)| *at);
    chosen.into_iter().map(|(_, scope)| scope).collect()
}

fn title_width(scopes: &[&ScopeView], width: usize) -> usize {
    let most = if width >= WIDE { WIDE_TITLE } else { TITLE };
    let longest = scopes.iter().map(|scope| measure_text_width(&scope.title)).max();
    longest.unwrap_or(0).min(most)
}

async fn plain(views: watch::Receiver<CrawlView>) {
    let mut rate = Rate::default();
    rate.per_second(0);
    let mut ticks = tokio::time::interval(REPORT);
    ticks.tick().await;
    loop {
        let mut closing = views.clone();
        tokio::select! {
            _ = ticks.tick() => {}
            () = async { while closing.changed().await.is_ok() {} } => return,
        }
        let view = views.borrow().clone();
        let total = &view.total.counts;
        let mut text = title(&view, rate.per_second(total.documents), usize::MAX);
        if view.identities.is_none() {
            text.push_str(&format!(" · {}", bytes(total.bytes)));
        }
        if total.quarantined > 0 {
            text.push_str(&format!(" · {} quarantined", grouped(total.quarantined)));
        }
        if let Some(waits) = view.scopes.iter().find_map(|scope| scope.progress.live.waits()) {
            text.push_str(&format!(" · {waits}"));
        }
        if let Some(note) = view.scopes.iter().find_map(|scope| scope.note.as_ref()) {
            text.push_str(&format!(" · {note}"));
        }
        eprintln!("{}", one_line(&text));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The whole crawl in one line.
fn title(view: &CrawlView, rate: u64, width: usize) -> String {
    if let Some(note) = &view.note {
        return truncate_str(&one_line(note), width, "…").into_owned();
    }
    if let Some(progress) = &view.identities {
        let text = format!("users and groups of {} · {progress}", view.connection);
        return truncate_str(&one_line(&text), width, "…").into_owned();
    }
    let phase = match view.phase {
        Phase::Configuring => "configuring",
        Phase::Crawling => "crawling",
        Phase::Completing => "completing",
        Phase::Ended => "ended",
    };
    let mut parts = vec![format!("{phase} {} ({})", view.connection, view.mode)];
    if view.phase != Phase::Configuring {
        let total = &view.total.counts;
        let known = view.estimate.filter(|known| *known > 0);
        parts.push(documents(total.documents, known));
        if view.phase == Phase::Crawling {
            parts.push(format!("{}/s", grouped(rate)));
            parts.extend(left(total.documents + total.quarantined, known, rate));
        }
        if view.of > 1 {
            let (done, of) = (grouped(view.done as u64), grouped(view.of as u64));
            parts.push(format!("{done} of {of} scopes"));
        }
        if view.failed > 0 {
            parts.push(format!("{} failed", grouped(view.failed as u64)));
        }
        if view.datasource != view.connection {
            parts.push(format!("into {}", view.datasource));
        }
    }
    truncate_str(&one_line(&parts.join(" · ")), width, "…").into_owned()
}

/// `1,200 of 6,000 documents (20%)`; without an estimate what is there. An estimate that was passed is
/// none.
fn documents(done: u64, estimate: Option<u64>) -> String {
    match estimate.filter(|estimate| *estimate >= done && *estimate > 0) {
        Some(estimate) => format!(
            "{} of {} ({}%)",
            grouped(done),
            count(estimate, "document"),
            done.saturating_mul(100) / estimate
        ),
        None => count(done, "document"),
    }
}

/// How long it may still take.
fn left(done: u64, estimate: Option<u64>, rate: u64) -> Option<String> {
    let left = estimate?.checked_sub(done).filter(|left| *left > 0)?;
    let seconds = left.checked_div(rate)?;
    Some(match seconds {
        0..60 => format!("{seconds}s left"),
        60..3_600 => format!("{}m left", seconds / 60),
        _ => format!("{}h {}m left", seconds / 3_600, seconds % 3_600 / 60),
    })
}

/// One scope's line.
fn line(scope: &ScopeView, rate: u64, titles: usize, width: usize) -> String {
    let Shown { counts, live } = &scope.progress;
    let mut parts = vec![documents(counts.documents, scope.estimate)];
    let mark = match scope.state {
        ScopeState::Done => '✓',
        ScopeState::Failed => '✗',
        ScopeState::Retrying => '↻',
        ScopeState::Running | ScopeState::Waiting => '·',
    };
    match scope.state {
        ScopeState::Done => {}
        ScopeState::Failed => {
            parts[0] = format!("failed; {} kept", count(counts.documents, "document"));
        }
        ScopeState::Retrying => parts.push("is tried again".to_owned()),
        ScopeState::Running | ScopeState::Waiting => {
            parts.push(format!("{}/s", grouped(rate)));
            let done = counts.documents + counts.quarantined;
            parts.extend(left(done, scope.estimate, rate).filter(|_| live.waiting.is_none()));
        }
    }
    if scope.state != ScopeState::Done {
        parts.extend(live.waits());
        parts.extend(scope.note.clone());
    }
    if counts.quarantined > 0 {
        parts.push(format!("{} quarantined", grouped(counts.quarantined)));
    }
    parts.push(bytes(counts.bytes));
    if live.in_flight > 0 {
        parts.push(format!("{} in flight", live.in_flight));
    }
    let title = one_line(&scope.title);
    let title = pad_str(&title, titles, console::Alignment::Left, Some("…"));
    let parts = parts.join(" · ");
    truncate_str(&format!("{mark} {title}  {}", one_line(&parts)), width, "…").into_owned()
}

/// Documents per second over the last few seconds.
#[derive(Default)]
struct Rate(Vec<(Instant, u64)>);

const RATE_OVER: Duration = Duration::from_secs(5);

impl Rate {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn per_second(&mut self, documents: u64) -> u64 {
        let now = Instant::now();
        self.0.push((now, documents));
        while self.0.len() > 2 && now - self.0[0].0 > RATE_OVER {
            self.0.remove(0);
        }
        let (then, before) = self.0[0];
        let seconds = (now - then).as_secs_f64();
        if seconds < 0.1 { 0 } else { (documents.saturating_sub(before) as f64 / seconds) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::Counts;
    use crate::crawl::progress::Live;

    fn scope(title: &str, state: ScopeState, documents: u64) -> ScopeView {
        ScopeView {
            id: title.into(),
            title: title.into(),
            estimate: Some(6_000),
            state,
            progress: Shown {
                counts: Counts { documents, bytes: 5 << 20, quarantined: 3, ..Counts::default() },
                live: Live { in_flight: 2, ..Live::default() },
            },
            note: None,
        }
    }

    #[test]
    fn a_narrow_terminal_keeps_documents_rate_and_the_reason() {
        let mut running = scope("The engineering handbook", ScopeState::Running, 1_234);
        for (width, more) in [(79, ""), (119, "Glean, 12s · 3 quarantined · 5.0 MiB")] {
            running.progress.live.waiting = Some("Glean, 12s".into());
            let text = line(&running, 120, title_width(&[&running], width), width);
            assert!(measure_text_width(&text) <= width, "{text}");
            for part in ["1,234 of 6,000 documents (20%)", "120/s", "waits for Gl", more] {
                assert!(text.contains(part), "{width}: {text}");
            }
        }
        let mut failed = scope("Travel", ScopeState::Failed, 1_234);
        failed.note =
            Some("attempt 3: the source is asleep, and was so for a very long time".into());
        let text = line(&failed, 0, title_width(&[&failed], 79), 79);
        assert!(text.contains("failed; 1,234 documents kept · attempt 3: the source is"), "{text}");
        assert!(measure_text_width(&text) <= 79, "{text}");
    }

    #[test]
    fn of_thousands_of_scopes_those_are_shown_that_fail_or_run() {
        let mut view = CrawlView { phase: Phase::Crawling, ..CrawlView::default() };
        for number in 0..5_000 {
            let state = match number {
                4_000 => ScopeState::Failed,
                4_001..4_005 => ScopeState::Running,
                0..4_000 => ScopeState::Done,
                _ => ScopeState::Waiting,
            };
            view.scopes.push(scope(&number.to_string(), state, 1));
        }
        view.total.counts.documents = 5_000;
        view.estimate = Some(30_000_000);
        let chosen: Vec<_> = choose(&view, 7).iter().map(|scope| scope.id.as_str()).collect();
        assert_eq!(chosen, ["3998", "3999", "4000", "4001", "4002", "4003", "4004"]);
        let heading = title(&view, 500, 79);
        assert!(heading.contains("5,000 of 30,000,000 documents (0%) · 500/s · 16h"), "{heading}");
    }

    #[test]
    fn the_time_that_is_left_is_told_where_it_is_known() {
        assert_eq!(left(0, Some(60), 2).as_deref(), Some("30s left"));
        assert_eq!(left(0, Some(600), 2).as_deref(), Some("5m left"));
        assert_eq!(left(0, Some(36_000), 2).as_deref(), Some("5h 0m left"));
        assert_eq!(left(0, Some(60), 0), None);
        assert_eq!(left(70, Some(60), 2), None);
        assert_eq!(documents(70, Some(60)), "70 documents");
    }
}
