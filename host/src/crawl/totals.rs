//! What a crawl's scopes came to, all together.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use super::bookmarks::bookmarks;
use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use super::plan::Plan;
use super::progress::{Counts, Ending, FailedScope, ScopeHead};
use super::request::ModeName;
use crate::document::Scope;
use crate::failure::{Failure, Result};
use crate::ledger::compare::Sealed;
use crate::text::count;

/// What is known of a crawl's scopes when it ends.
#[derive(Default)]
pub(super) struct Found {
    pub read: BTreeMap<String, ScopeHead>,
    /// Those that failed for good.
    pub failed: BTreeMap<String, FailedScope>,
}

impl Found {
    /// Titles of scopes that the last full crawl had, and this one has not.
    pub(super) fn lost_scopes(&self, state: &ConnectionState) -> Vec<String> {
        let lost = state.scopes.iter().filter(|(id, _)| !self.read.contains_key(*id));
        lost.map(|(_, title)| title.clone()).collect()
    }

    fn failure(&self, scope: &str) -> Option<&Failure> {
        self.failed.get(scope).and_then(|failed| failed.for_good.as_ref())
    }

    /// Why the first scope failed, where all did.
    pub(super) fn in_vain(&self, plan: &Plan) -> Option<Failure> {
        let mut scopes = plan.scopes.iter();
        let first = self.failure(&scopes.next()?.id)?;
        scopes.all(|scope| self.failure(&scope.id).is_some()).then(|| first.clone())
    }

    /// Whether the next crawl of its mode is to resume this one: all that is missing was away, and
    /// some of it was read for a good part.
    pub(super) fn resumable(&self, plan: &Plan, reasons: &[String]) -> bool {
        let ending = |scope: &Scope| self.read.get(&scope.id)?.frontier.ending.as_ref();
        plan.mode == ModeName::Full
            && reasons.len() == self.failed.len()
            && self.failed.values().any(FailedScope::is_worth_resuming)
            && plan.scopes.iter().all(|scope| match (ending(scope), self.failure(&scope.id)) {
                (Some(Ending::Complete { .. }), _) => true,
                (_, Some(failure)) => failure.kind.is_away(),
                _ => false,
            })
    }
}

/// What a crawl's scopes came to.
pub(super) struct Account {
    pub counts: Counts,
    /// Why not everything was read.
    pub reasons: Vec<String>,
    /// The bookmarks of what was read.
    pub read: Vec<(String, String)>,
}

/// What all scopes together did.
pub(super) struct Total {
    pub counts: Counts,
    /// Why not everything was read.
    missing: Vec<String>,
}

impl Total {
    pub(super) fn of(plan: &Plan, found: &Found) -> Self {
        let mut counts = Counts::default();
        let mut missing = Vec::new();
        for scope in &plan.scopes {
            let read = found.read.get(&scope.id);
            if let Some(read) = read {
                counts.add(&read.counts);
            }
            let ending = read.and_then(|read| read.frontier.ending.as_ref());
            match (ending, found.failure(&scope.id)) {
                (Some(Ending::Complete { .. }), _) => {}
                (Some(Ending::Partial { reason }), _) => {
                    missing.push(format!("{}: {reason}", scope.title));
                }
                (None, Some(failure)) => missing.push(format!("{}: {}", scope.title, failure.what)),
                (None, None) if read.is_some() => {
                    missing.push(format!("{} was not read to its end", scope.title));
                }
                (None, None) => missing.push(format!("{} was not crawled", scope.title)),
            }
        }
        Self { counts, missing }
    }

    fn count_doubles(&mut self, sealed: &Sealed) {
        self.counts.documents = self.counts.documents.saturating_sub(sealed.doubles);
        for double in &sealed.double_samples {
            self.counts.quarantine(&double.id, &double.reason);
        }
        let named = sealed.double_samples.len() as u64;
        self.counts.quarantined += sealed.doubles.saturating_sub(named);
    }
}

impl Crawler {
    pub(super) async fn found(&self, plan: &Plan) -> Result<Found> {
        let journal = self.journal(&plan.connection, &plan.upload_id);
        let kept = journal.failed_scopes().await?;
        let mut asked: Vec<BoxFuture<'_, Result<_>>> = Vec::new();
        for scope in &plan.scopes {
            let (journal, kept) = (&journal, &kept);
            asked.push(Box::pin(async move {
                let (_, head) = journal.scope(&scope.id).await?;
                if head.as_ref().is_some_and(|head| head.frontier.ending.is_some()) {
                    return Ok((head, None));
                }
                let failed = journal.failed_scope::<FailedScope>(kept, &scope.id).await?;
                Ok((head, failed.filter(|failed| failed.for_good.is_some())))
            }));
        }
        let each = self.store.each(asked).await?;
        let mut found = Found::default();
        for (scope, (head, failed)) in plan.scopes.iter().zip(each) {
            found.read.extend(head.map(|head| (scope.id.clone(), head)));
            found.failed.extend(failed.map(|failed| (scope.id.clone(), failed)));
        }
        Ok(found)
    }

    /// Groups and users that Glean was told of while the crawl was under way are not missing any more.
    pub(super) async fn forget_defined(&self, plan: &Plan, counts: &mut Counts) -> Result<()> {
        if counts.undefined.is_empty() {
            return Ok(());
        }
        let known = self.kept_identities(&plan.connection).known(&plan.datasource).await?;
        let known = known.ok().flatten().unwrap_or_default();
        counts.undefined.forget_defined(&known.roster.defined(false));
        Ok(())
    }

    /// What a crawl's scopes came to.
    pub(super) fn account(
        &self,
        plan: &Plan,
        found: &Found,
        sealed: &Sealed,
        new: bool,
    ) -> Result<Account> {
        let connection = self.connection_of(plan)?;
        let mut total = Total::of(plan, found);
        total.count_doubles(sealed);
        let Total { counts, missing: mut reasons } = total;
        let mut read = bookmarks(&found.read);
        if let Err(failure) = connection.quarantine.check(&counts) {
            reasons.push(failure.what);
            read.clear();
        }
        if plan.mode == ModeName::Full {
            reasons.extend(nameless(&counts));
            if sealed.uploaded == 0 && new {
                read.clear();
                if reasons.is_empty() {
                    reasons.push(
                        "the source delivered no documents; check the settings. Nothing was deleted"
                            .into(),
                    );
                }
            }
        }
        Ok(Account { counts, reasons, read })
    }
}

/// Why documents without an id keep a crawl from deleting.
fn nameless(counts: &Counts) -> Option<String> {
    (counts.nameless > 0).then(|| {
        format!(
            "{} could not be read and have no id, so nothing was deleted: they may be in Glean",
            count(counts.nameless, "document")
        )
    })
}
