//! The deletion guard: what a full crawl may delete without asking a person. Pure policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quarantine::percent;
use crate::ledger::Difference;
use crate::text::{count, grouped, one_line};

/// `[connections.X.deletions]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deletions {
    /// More than this share of what Glean has needs an approval.
    pub max_percent: f64,
    /// More documents than this need an approval.
    pub max_count: Option<u64>,
    /// How long an approval is waited for.
    pub wait: Duration,
}

impl Default for Deletions {
    fn default() -> Self {
        Self { max_percent: 10.0, max_count: None, wait: Duration::from_secs(24 * 3600) }
    }
}

/// What a complete full crawl is about to do.
#[derive(Clone, Debug, Default)]
pub struct Intent {
    pub difference: Difference,
    pub uploaded: u64,
    /// Documents in Glean that neither this crawl nor an earlier one put there.
    pub foreign: u64,
    /// Glean's counts are older than this crawl: what looks foreign may be what it brought again.
    pub in_doubt: bool,
    /// Documents that came by full crawls which were not complete: rejected ones, partial ones. What
    /// took the place of what was not allowed to go makes no room for deletions.
    pub unsettled: u64,
    /// Titles of scopes that the last full crawl had and this one has not.
    pub lost_scopes: Vec<String>,
    /// Why the ledger does not know all that Glean has, if so.
    pub doubt: Option<String>,
}

impl Intent {
    /// What ending the session would delete.
    pub fn deleted(&self) -> u64 {
        self.difference.gone + self.difference.withheld + self.foreign
    }

    /// What the deletions are a share of: what was there to lose before this crawl.
    pub fn before(&self) -> u64 {
        let before = self.difference.before + self.foreign;
        if self.unsettled < before { before - self.unsettled } else { before }
    }
}

impl Deletions {
    /// Why a person has to look first; nothing where the session may be ended.
    pub fn objections(&self, intent: &Intent) -> Vec<String> {
        let (deleted, before) = (intent.deleted(), intent.before());
        if deleted == 0 && intent.lost_scopes.is_empty() && intent.doubt.is_none() {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        let of = format!("{} of {}", grouped(deleted), count(before, "document"));
        let share = percent(deleted, before);
        if intent.uploaded == 0 {
            reasons.push(format!(
                "the source delivered no documents: all {} would be deleted",
                grouped(deleted)
            ));
        } else if share > self.max_percent {
            reasons.push(format!(
                "{of} ({share:.1} %) would be deleted, and {} % may be without approval",
                self.max_percent
            ));
        }
        if intent.foreign > 0 && !reasons.is_empty() {
            let doubt = if intent.in_doubt {
                "; Glean's counts may be older than this crawl, so a full crawl in some hours may find \
                 fewer"
            } else {
                ""
            };
            reasons.push(format!(
                "{} of them are in no ledger of Sheaf's: others put them there, or its state was \
                 lost{doubt}",
                grouped(intent.foreign)
            ));
        }
        if let Some(most) = self.max_count
            && deleted > most
        {
            reasons.push(format!(
                "{of} would be deleted, and {} may be without approval",
                grouped(most)
            ));
        }
        if let Some(doubt) = &intent.doubt {
            reasons.push(format!(
                "what Glean has is not fully known, and what it has besides would be deleted: {doubt}"
            ));
        }
        if intent.difference.withheld > 0 {
            let first = intent.difference.withheld_samples.first();
            let first = first.map_or_else(String::new, |first| {
                format!(", for example `{}`: {}", one_line(&first.id), one_line(&first.reason))
            });
            reasons.push(format!(
                "{} that Glean has from before could not be uploaded today and would be deleted{first}",
                count(intent.difference.withheld, "document")
            ));
        }
        for scope in &intent.lost_scopes {
            reasons.push(format!(
                "`{}` was crawled last time, and the connector does not offer it now",
                one_line(scope)
            ));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(before: u64, gone: u64, uploaded: u64) -> Intent {
        Intent {
            difference: Difference { before, gone, ..Difference::default() },
            uploaded,
            ..Intent::default()
        }
    }

    #[test]
    fn a_tenth_may_go_and_more_needs_a_person() {
        let usual = Deletions::default();
        assert!(usual.objections(&intent(1000, 0, 1000)).is_empty());
        assert!(usual.objections(&intent(1000, 100, 900)).is_empty());
        let reasons = usual.objections(&intent(3183, 335, 2848));
        assert_eq!(
            reasons,
            ["335 of 3,183 documents (10.5 %) would be deleted, and 10 % may be without approval"]
        );
        let few = Deletions { max_count: Some(5), ..Deletions::default() };
        assert!(few.objections(&intent(1000, 5, 995)).is_empty());
        assert_eq!(few.objections(&intent(1000, 6, 994)).len(), 1);
    }

    #[test]
    fn what_was_not_allowed_to_go_does_not_make_itself_a_smaller_share() {
        // Rejected yesterday: Glean has what is gone and what is new.
        let rejected = Intent { unsettled: 3919 - 3183, ..intent(3919, 335, 3584) };
        assert_eq!(Deletions::default().objections(&rejected).len(), 1);
    }

    #[test]
    fn the_share_is_of_what_is_there_to_lose() {
        // All of it came after an emptying.
        let reasons = Deletions::default().objections(&intent(100, 15, 85));
        assert!(reasons[0].starts_with("15 of 100 documents (15.0 %)"), "{reasons:?}");
        // All of it by crawls that were not complete.
        let unsettled = Intent { unsettled: 100, ..intent(100, 15, 85) };
        assert_eq!(Deletions::default().objections(&unsettled).len(), 1);
        // What a crawl brings is not there to lose, however much it is.
        let mut found = intent(0, 0, 10_000);
        (found.difference.added, found.foreign) = (10_000, 490);
        assert!(Deletions::default().objections(&found)[0].starts_with("490 of 490 documents"));
    }

    #[test]
    fn an_emptied_source_is_never_believed_whatever_is_allowed() {
        let all = Deletions { max_percent: 100.0, ..Deletions::default() };
        assert!(all.objections(&intent(3, 3, 0))[0].contains("no documents"));
        assert!(all.objections(&intent(3, 2, 1)).is_empty());
    }

    #[test]
    fn documents_that_others_put_there_count_as_deleted() {
        let mut intent = intent(0, 0, 10);
        intent.difference.added = 10;
        intent.foreign = 490;
        assert_eq!((intent.deleted(), intent.before()), (490, 490));
        assert!(!Deletions::default().objections(&intent).is_empty());
    }

    #[test]
    fn what_could_not_be_uploaded_and_scopes_that_vanished_need_a_person() {
        let mut found = intent(1000, 1, 998);
        found.difference.withheld = 1;
        assert!(Deletions::default().objections(&found)[0].contains("could not be uploaded today"));
        let mut found = intent(1000, 1, 999);
        found.lost_scopes.push("Secrets".into());
        assert!(Deletions::default().objections(&found)[0].contains("`Secrets`"));
    }
}
