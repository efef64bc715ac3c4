//! How many scopes one activity takes.

use crate::crawl::CrawlRef;
use crate::crawl::plan::Scopes;

/// An activity of its own for each scope, while there are not more than this.
const ACTIVITIES: usize = 200;
/// Whatever the policy's number of lanes: what the largest crawl makes of a history's 51,200 events.
const MAX_ACTIVITIES: usize = 1_000;

/// How many of the scopes that are left the next activity takes. The last ones are small, so that no
/// lane has much left to do when the others are idle.
///
/// A crawl whose scopes are listed was configured for a workflow of an earlier version: its history has
/// an activity for each.
pub(super) fn share(crawl: &CrawlRef, left: usize, lanes: usize) -> usize {
    match &crawl.scopes {
        Scopes::Listed(_) => 1.min(left),
        Scopes::Count(of) => {
            let fair = left / (2 * lanes);
            fair.clamp(of.div_ceil(MAX_ACTIVITIES), of.div_ceil(ACTIVITIES).max(1)).min(left)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Digest;
    use crate::document::Scope;

    /// The sizes of the activities of a crawl, as its lanes take them.
    fn sizes(scopes: &Scopes, lanes: usize) -> Vec<usize> {
        let json = serde_json::json!({
            "connection": "c", "datasource": "c", "connector": "c 1", "digest": Digest::of(b""),
            "mode": "full", "upload_id": "u", "scopes": scopes,
        });
        let crawl: CrawlRef = serde_json::from_value(json).expect("a crawl");
        let (mut sizes, mut left) = (Vec::new(), crawl.scopes.count());
        while left > 0 {
            sizes.push(share(&crawl, left, lanes));
            left -= sizes[sizes.len() - 1];
        }
        sizes
    }

    #[test]
    fn few_scopes_are_an_activity_each_and_many_make_few_activities() {
        assert_eq!(sizes(&Scopes::Count(12), 4), [1; 12]);
        assert_eq!(sizes(&Scopes::Count(200), 4), [1; 200]);
        for lanes in [1, 4, 64, 2_000, 10_000] {
            let sizes = sizes(&Scopes::Count(10_000), lanes);
            assert_eq!(sizes.iter().sum::<usize>(), 10_000);
            assert!(sizes.iter().all(|size| (1..=50).contains(size)), "{sizes:?}");
            assert!(sizes.len() <= MAX_ACTIVITIES, "{lanes} lanes: {}", sizes.len());
        }
        assert!(sizes(&Scopes::Count(10_000), 4).len() < 250);
        let scope = Scope { id: "a".into(), title: "A".into(), documents: None };
        assert_eq!(sizes(&Scopes::Listed(vec![scope; 300]), 4), [1; 300]);
    }
}
