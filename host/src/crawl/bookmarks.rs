//! Where the next incremental crawl of each scope begins.

use std::collections::BTreeMap;

use super::progress::{Ending, ScopeHead};
use super::request::ModeName;

/// Moves the bookmarks of the scopes that were read to their end, whatever became of the others.
///
/// A bookmark says: what changed before it need not be asked for again. Of an incremental crawl that is
/// true for each scope that it read to its end: from an old bookmark it delivered what changed since,
/// deletions too, and without one it delivered everything.
///
/// A full crawl delivers what is there, and no deletions: those come with the end of its session. As
/// long as that has not come (the crawl is partial or held), what was deleted at the source since the
/// old bookmark is still in Glean, and only an incremental crawl from the old bookmark would tell of it.
/// So an old bookmark stays. A scope that has none loses nothing by getting its first one: without it
/// the scope would be read in full, which tells of no deletions either. Its documents are all in Glean,
/// for what was uploaded stays when a session is left open.
///
/// Where too much was quarantined, or a source that never had a document delivers none, the connector or
/// its settings are wrong: nothing moves.
pub(super) fn advance(
    known: &mut BTreeMap<String, String>,
    mode: ModeName,
    whole: bool,
    read: &[(String, String)],
) {
    for (scope, bookmark) in read.iter().cloned() {
        if whole || mode == ModeName::Incremental {
            known.insert(scope, bookmark);
        } else {
            known.entry(scope).or_insert(bookmark);
        }
    }
}

/// The bookmarks of the scopes that were read to their end.
pub(super) fn bookmarks(scopes: &BTreeMap<String, ScopeHead>) -> Vec<(String, String)> {
    let bookmark = |(scope, progress): (&String, &ScopeHead)| match &progress.frontier.ending {
        Some(Ending::Complete { bookmark: Some(bookmark) }) => {
            Some((scope.clone(), bookmark.clone()))
        }
        _ => None,
    };
    scopes.iter().filter_map(bookmark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_told_of_deletions_moves_a_bookmark_that_is_there() {
        let read = [("old".to_owned(), "2".to_owned()), ("new".to_owned(), "2".to_owned())];
        for (mode, whole, old) in [
            (ModeName::Full, false, "1"),
            (ModeName::Full, true, "2"),
            (ModeName::Incremental, false, "2"),
        ] {
            let mut known = BTreeMap::from([("old".to_owned(), "1".to_owned())]);
            advance(&mut known, mode, whole, &read);
            assert_eq!((known["old"].as_str(), known["new"].as_str()), (old, "2"), "{mode}");
        }
    }
}
