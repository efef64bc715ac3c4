//! The progress of a crawl: on a terminal one live line a scope, elsewhere one line every ten seconds.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::logging::lines;
use super::numbers::{bytes, count, grouped};
use crate::crawl::CrawlView;
use crate::crawl::view::{Phase, ScopeState, ScopeView};

const REDRAW: Duration = Duration::from_millis(200);
const REPORT: Duration = Duration::from_secs(10);
/// More scopes than this are shown as a number.
const MAX_LINES: usize = 12;

/// Shows what `views` says until its sender is gone.
pub async fn show(views: watch::Receiver<CrawlView>) {
    if std::io::stderr().is_terminal() {
        live(views).await;
    } else {
        plain(views).await;
    }
}

async fn live(mut views: watch::Receiver<CrawlView>) {
    let mut bars: BTreeMap<String, (ProgressBar, Rate)> = BTreeMap::new();
    let heading = lines().add(ProgressBar::new_spinner());
    heading.set_style(style("{spinner:.green} {msg}"));
    heading.enable_steady_tick(Duration::from_millis(120));
    loop {
        let view = views.borrow_and_update().clone();
        heading.set_message(title(&view));
        for scope in view.scopes.iter().filter(|scope| scope.state != ScopeState::Waiting) {
            if bars.len() >= MAX_LINES && !bars.contains_key(&scope.id) {
                retire(&mut bars, &view);
                if bars.len() >= MAX_LINES {
                    continue;
                }
            }
            let (bar, rate) = bars.entry(scope.id.clone()).or_insert_with(|| {
                let bar = lines().add(ProgressBar::new(scope.estimate.unwrap_or(0)));
                bar.set_style(style(match scope.estimate {
                    Some(_) => {
                        "  {prefix:<24.24} {bar:24.green/black.dim} {percent:>3}%  {wide_msg}"
                    }
                    None => "  {prefix:<24.24} {wide_msg}",
                }));
                bar.set_prefix(scope.title.clone());
                (bar, Rate::default())
            });
            let done = scope.progress.documents + scope.progress.quarantined;
            bar.set_length(scope.estimate.unwrap_or(0).max(done));
            bar.set_position(done);
            bar.set_message(line(scope, rate.per_second(scope.progress.documents)));
        }
        if views.has_changed().is_err() {
            break;
        }
        tokio::time::sleep(REDRAW).await;
    }
    for (bar, _) in bars.values() {
        bar.abandon();
    }
    heading.finish_and_clear();
}

/// Makes room by taking away lines of scopes that are done.
fn retire(bars: &mut BTreeMap<String, (ProgressBar, Rate)>, view: &CrawlView) {
    for scope in view.scopes.iter().filter(|scope| scope.state == ScopeState::Done) {
        if let Some((bar, _)) = bars.remove(&scope.id) {
            bar.finish_and_clear();
        }
    }
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
        let total = view.total();
        let done = view.scopes.iter().filter(|scope| scope.state == ScopeState::Done).count();
        let mut text = format!(
            "{}: {}, {}/s, {}",
            title(&view),
            count(total.documents, "document"),
            grouped(rate.per_second(total.documents)),
            bytes(total.bytes),
        );
        if view.scopes.len() > 1 {
            text.push_str(&format!(", {done} of {} scopes", view.scopes.len()));
        }
        if total.quarantined > 0 {
            text.push_str(&format!(", {} set aside", grouped(total.quarantined)));
        }
        if let Some(waits) = view.scopes.iter().find_map(|scope| scope.progress.waits()) {
            text.push_str(&format!(", {waits}"));
        }
        if let Some(note) = view.scopes.iter().find_map(|scope| scope.note.as_ref()) {
            text.push_str(&format!(", {note}"));
        }
        eprintln!("{text}");
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸━")
}

fn title(view: &CrawlView) -> String {
    let phase = match view.phase {
        Phase::Configuring => "configuring",
        Phase::Crawling => "crawling",
        Phase::Completing => "completing",
        Phase::Ended => "ended",
    };
    match (view.datasource.as_str(), &view.note) {
        (_, Some(note)) => note.clone(),
        ("", None) => phase.to_owned(),
        (datasource, None) => {
            format!("{phase} {} into {datasource} ({})", view.connection, view.mode)
        }
    }
}

fn line(scope: &ScopeView, rate: u64) -> String {
    let progress = &scope.progress;
    let mut text = format!("{} · {}", count(progress.documents, "document"), bytes(progress.bytes));
    match scope.state {
        ScopeState::Done => text.push_str(" · done"),
        ScopeState::Failed => text.push_str(" · failed"),
        _ => match progress.waits() {
            Some(waits) => text.push_str(&format!(" · {waits}")),
            None => {
                text.push_str(&format!(
                    " · {}/s · {} in flight",
                    grouped(rate),
                    progress.in_flight
                ));
            }
        },
    }
    if progress.quarantined > 0 {
        text.push_str(&format!(" · {} set aside", grouped(progress.quarantined)));
    }
    if let Some(note) = &scope.note {
        text.push_str(&format!(" · {note}"));
    }
    text
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
