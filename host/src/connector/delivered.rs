//! What is made sure of whatever a guest delivers, whichever contract it speaks: its texts hold no
//! secret, what people read of them is a short line, and its checkpoints are small.

use std::borrow::Cow;

use super::fault::{Fault, Remedy};
use crate::document::{MAX_CHECKPOINT_BYTES, Page, Progress, Scope, Unreadable};
use crate::identities::{self, UnreadableGroup};
use crate::redact::{redact, redacted};
use crate::text::short_line;

/// The longest reason, or other sentence for people.
const MAX_SENTENCE: usize = 1_000;
/// Titles of scopes travel to whoever watches, many at a time.
const MAX_SCOPE_TITLE: usize = 200;

/// Documents are checked by the crawl's rules; this is about what surrounds them.
pub(super) fn page(page: Page) -> Result<Page, Fault> {
    Ok(Page {
        progress: match page.progress {
            Progress::More(checkpoint) => Progress::More(kept("checkpoint", checkpoint)?),
            Progress::Complete(bookmark) => {
                Progress::Complete(bookmark.map(|bookmark| kept("bookmark", bookmark)).transpose()?)
            }
            Progress::Partial(reason) => Progress::Partial(sentence(&reason)),
        },
        unreadable: page
            .unreadable
            .into_iter()
            .map(|found| Unreadable {
                id: found.id.map(redacted),
                view_url: found.view_url.map(redacted),
                reason: sentence(&found.reason),
            })
            .collect(),
        ..page
    })
}

/// Users and groups are checked where they are put together; this is about what surrounds them.
pub(super) fn identities(page: identities::Page) -> Result<identities::Page, Fault> {
    use identities::Progress;
    Ok(identities::Page {
        progress: match page.progress {
            Progress::More(checkpoint) => Progress::More(kept("checkpoint", checkpoint)?),
            Progress::Complete => Progress::Complete,
            Progress::Partial(reason) => Progress::Partial(sentence(&reason)),
        },
        unreadable: unread(page.unreadable),
        ..page
    })
}

/// Groups whose members could not be read, without anybody's secret.
pub(crate) fn unread(groups: Vec<UnreadableGroup>) -> Vec<UnreadableGroup> {
    let clean = |group: UnreadableGroup| UnreadableGroup {
        name: redacted(group.name),
        reason: sentence(&group.reason),
    };
    groups.into_iter().map(clean).collect()
}

/// Their ids go back to the guest: they are as it said them, or refused.
pub(super) fn scopes(scopes: Vec<Scope>) -> Result<Vec<Scope>, Fault> {
    if scopes.iter().any(|scope| holds_a_secret(&scope.id)) {
        return Err(gives_up("the id of one of its scopes holds a credential".into()));
    }
    Ok(with_short_titles(scopes))
}

pub(crate) fn with_short_titles(scopes: Vec<Scope>) -> Vec<Scope> {
    let short = |scope: Scope| Scope { title: shown(&scope.title, MAX_SCOPE_TITLE), ..scope };
    scopes.into_iter().map(short).collect()
}

/// What a guest says to people.
pub(crate) fn sentence(text: &str) -> String {
    shown(text, MAX_SENTENCE)
}

fn shown(text: &str, most: usize) -> String {
    // Whole secrets are found only before anything is cut.
    short_line(&redact(text), most)
}

/// A text that the host keeps between runs, as the guest wrote it.
fn kept(what: &str, text: String) -> Result<String, Fault> {
    if text.len() > MAX_CHECKPOINT_BYTES {
        let bytes = text.len();
        let most = MAX_CHECKPOINT_BYTES;
        return Err(gives_up(format!("its {what} has {bytes} bytes, and {most} is the most")));
    }
    if holds_a_secret(&text) {
        return Err(gives_up(format!("its {what} holds a credential")));
    }
    Ok(text)
}

/// One of its own connection's: its cell knows no others. A host has told it, and it must not get into the state.
fn holds_a_secret(text: &str) -> bool {
    matches!(redact(text), Cow::Owned(_))
}

fn gives_up(message: String) -> Fault {
    Fault { remedy: Remedy::GiveUp, message, retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn delivered(progress: Progress) -> Result<Page, Fault> {
        page(Page {
            documents: Vec::new(),
            deleted: Vec::new(),
            access_changes: Vec::new(),
            unreadable: vec![Unreadable {
                id: None,
                view_url: Some("https://example.com/delivered-secret-1".into()),
                reason: "delivered-secret-1 was refused".into(),
            }],
            progress,
        })
    }

    #[test]
    fn a_checkpoint_is_kept_as_it_is_or_refused() {
        Secret::new("delivered-secret-1");
        let long = || "x".repeat(MAX_CHECKPOINT_BYTES + 1);
        let secret = || "page 7, delivered-secret-1".to_owned();
        for (progress, refused) in [
            (Progress::More("page 7".into()), None),
            (Progress::More("x".repeat(MAX_CHECKPOINT_BYTES)), None),
            (Progress::Complete(None), None),
            (Progress::More(long()), Some("its checkpoint has 65537 bytes, and 65536 is the most")),
            (Progress::More(secret()), Some("its checkpoint holds a credential")),
            (Progress::Complete(Some(long())), Some("its bookmark has 65537 bytes")),
            (Progress::Complete(Some(secret())), Some("its bookmark holds a credential")),
        ] {
            match (delivered(progress.clone()), refused) {
                (Ok(page), None) => assert_eq!(page.progress, progress),
                (Err(fault), Some(part)) => {
                    assert!(fault.message.starts_with(part), "{fault:?}");
                    assert_eq!(fault.remedy, Remedy::GiveUp);
                }
                (found, _) => panic!("{progress:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_a_guest_says_of_its_pages_and_scopes_holds_no_secret() {
        Secret::new("delivered-secret-1");
        let page = delivered(Progress::Partial("delivered-secret-1".into())).expect("a page");
        let scope = Scope { id: "a".into(), title: "delivered-secret-1".into(), documents: None };
        let scopes = scopes(vec![scope]).expect("scopes");
        assert!(!format!("{page:?}{scopes:?}").contains("delivered-secret-1"), "{page:?}");
        let id = "of delivered-secret-1".to_owned();
        assert!(super::scopes(vec![Scope { id, title: String::new(), documents: None }]).is_err());
        assert_eq!(page.progress, Progress::Partial("[redacted]".into()));
    }

    #[test]
    fn what_people_read_of_a_guest_is_a_short_line_and_its_ids_are_left_alone() {
        let odd = "a\nb\u{1b}[2J\u{202e}";
        let page = delivered(Progress::Partial(odd.into())).expect("a page");
        assert_eq!(page.progress, Progress::Partial(r"a b\u{1b}[2J\u{202e}".into()));
        let scope = |title: String| Scope { id: odd.into(), title, documents: None };
        let scopes = with_short_titles(vec![scope(odd.into()), scope("\u{1b}".repeat(1 << 20))]);
        assert_eq!(
            (scopes[0].id.as_str(), scopes[0].title.as_str()),
            (odd, r"a b\u{1b}[2J\u{202e}")
        );
        assert!(scopes[1].title.len() <= MAX_SCOPE_TITLE + '…'.len_utf8());
    }
}
