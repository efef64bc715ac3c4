//! Users, groups and who is in them: each replaced as a whole, in a session of its own. Glean: "Bulk upload model".
//!
//! **A request that timed out may still be executed**, minutes later (see [`super::upload`]). So a first page is sent
//! once under an upload id, and the next try has another id and takes the place of whatever the one before may have
//! opened. Where there are several pages the first one is empty: a late copy of it brings nobody back, and if it
//! discards our session, the next page is refused and the session begins again. A session of one page says all of it
//! at once, and so may bring back what was when it is executed late: [`Told::InDoubt`], and it is told once more later.
//!
//! **A page that is refused** says of none of its rows that it is at fault, nor what becomes of its session. So the next
//! try begins with halves of it, in a session of its own (`sieve`), until the rows at fault are known, and leaves just
//! them out.

use std::iter::Peekable;

use bytes::Bytes;

use super::client::Client;
use super::error::{Error, Result};
pub use super::sieve::Leeway;
use super::sieve::{Passed, Sieve, is_of_rows};
use super::status::UploadEvent;
use crate::wire::identities::{PageOf, Replaced, Row};

/// Rows of one page, and about so many bytes of them.
const PAGE_ROWS: usize = 1_000;
const PAGE_BYTES: usize = 1 << 20;
/// So often a session is begun again that another took the place of.
const MAX_LOST: u32 = 3;

/// What one crawl tells Glean of a datasource's users and groups. Nobody else of ours does meanwhile.
pub struct Identities {
    pub client: Client,
    pub datasource: String,
    /// The ids of this crawl's sessions begin so.
    pub upload_id: String,
    /// A person has looked at what is deleted.
    pub approved: bool,
}

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Certain,
    /// A request before the one that was answered may be executed later.
    InDoubt,
}

/// What became of the rows.
#[derive(Debug)]
pub struct Replacement {
    pub told: Told,
    /// Rows that Glean does not take, by their numbers: it has all the others.
    pub refused: Vec<(usize, Error)>,
}

/// Why a try of a session ended.
enum Ended {
    /// Its first page was refused, or what became of it is not known.
    First(Error),
    /// A page after that was refused: the session is not in progress any more.
    Lost(Error),
    /// A page of these rows was refused, and no other session is known to be in the way.
    Rows(Vec<usize>, Error),
    Failed(Error),
}

/// One try of a session.
struct Try<'a> {
    what: Replaced<'a>,
    id: &'a str,
    /// It takes the place of one that was left unfinished.
    restart: bool,
    /// A session was lost before: this one is not lost by another's first page that came late, if it is refused too.
    again: bool,
    /// A person has looked at what is deleted.
    approved: bool,
}

impl Identities {
    /// Replaces all that Glean has of it by these rows, but for those that Glean refuses. Where it refuses more than
    /// may be left out, what it has stays.
    pub async fn replace<'r, R>(
        &self,
        what: Replaced<'_>,
        rows: impl Fn() -> R,
        leeway: Leeway,
    ) -> Result<Replacement>
    where
        R: Iterator<Item = Row<'r>>,
    {
        let mut tries = self.client.tries(what.path());
        let (mut restart, mut lost, mut told) = (false, 0, Told::Certain);
        let mut sieve = Sieve::new(leeway);
        loop {
            let id = format!("{}-{:08x}", self.upload_id, rand::random::<u32>());
            let again = lost > 0 || sieve.is_used();
            let one = Try { what, id: &id, restart, again, approved: self.approved };
            let ended = if sieve.is_used() {
                self.sift(&one, &rows, &mut sieve).await
            } else {
                self.session(&one, rows()).await
            };
            let error = match ended {
                Ok(()) => {
                    let refused = sieve.into_left_out().into_iter().collect();
                    return Ok(tries.done(Replacement { told, refused }));
                }
                // Either the rows are at fault, or a session that was left unfinished, by whomever: documents'
                // sessions make way as well.
                Err(Ended::First(error)) if error.is_refusal() => {
                    if restart {
                        return Err(error);
                    }
                    tracing::debug!("{error}; trying whether another session is in the way");
                    restart = true;
                    continue;
                }
                Err(Ended::Rows(page, error)) => {
                    sieve.refused(page, error)?;
                    restart = true;
                    continue;
                }
                Err(Ended::Lost(error)) => {
                    lost += 1;
                    if lost > MAX_LOST {
                        return Err(error);
                    }
                    restart = true;
                    continue;
                }
                Err(Ended::Failed(error)) => return Err(error),
                Err(Ended::First(error)) => error,
            };
            tries.again(error).await?;
            (restart, told) = (true, Told::InDoubt);
        }
    }

    /// All rows, in as few pages as there may be.
    async fn session<'r>(
        &self,
        one: &Try<'_>,
        rows: impl Iterator<Item = Row<'r>>,
    ) -> Result<(), Ended> {
        let mut rows = rows.enumerate().peekable();
        let mut next = page(&mut rows, |_| true, &Sieve::default()).map_err(Ended::Failed)?;
        if rows.peek().is_none() {
            let Page { numbers, encoded } = next;
            return match self.first(one, true, &encoded).await {
                Err(Ended::First(error))
                    if one.restart && is_of_rows(&error) && !numbers.is_empty() =>
                {
                    Err(Ended::Rows(numbers, error))
                }
                ended => ended,
            };
        }
        self.first(one, false, &[]).await?;
        loop {
            let last = rows.peek().is_none();
            self.further(one, last, next).await?;
            if last {
                return Ok(());
            }
            next = page(&mut rows, |_| true, &Sieve::default()).map_err(Ended::Failed)?;
        }
    }

    /// The rows in doubt first, then all others, and an end of its own: a session that ended with the page that is
    /// refused would have deleted whoever is in it.
    async fn sift<'r, R>(
        &self,
        one: &Try<'_>,
        rows: &impl Fn() -> R,
        sieve: &mut Sieve,
    ) -> Result<(), Ended>
    where
        R: Iterator<Item = Row<'r>>,
    {
        // Whom it leaves out nobody has looked at.
        let one = &Try { approved: one.approved && sieve.left_out().is_empty(), ..*one };
        self.first(one, false, &[]).await?;
        let mut passed = Passed::new();
        while let Some(part) = sieve.next() {
            let of_part = |number: usize| part.binary_search(&number).is_ok();
            let mut rows = rows().enumerate().peekable();
            loop {
                let next = page(&mut rows, of_part, sieve).map_err(Ended::Failed)?;
                if next.numbers.is_empty() {
                    break;
                }
                let numbers = next.numbers.clone();
                self.further(one, false, next).await?;
                sieve.passed();
                passed.extend(numbers);
            }
        }
        let mut all = rows().enumerate().peekable();
        let is_left = |number: usize| sieve.has(number) && !passed.contains(&number);
        let mut next = page(&mut all, is_left, sieve).map_err(Ended::Failed)?;
        if passed.is_empty()
            && next.numbers.is_empty()
            && let Some(error) = sieve.nothing_left()
        {
            return Err(Ended::Failed(error.clone()));
        }
        while !next.numbers.is_empty() {
            self.further(one, false, next).await?;
            next = page(&mut all, is_left, sieve).map_err(Ended::Failed)?;
        }
        self.further(one, true, Page::default()).await
    }

    async fn first(&self, one: &Try<'_>, last: bool, rows: &[u8]) -> Result<(), Ended> {
        let page = [Bytes::from(self.page_of(one, true, last).request(rows))];
        self.client.post_once(one.what.path(), &page).await.map_err(Ended::First)
    }

    /// A page after the first.
    async fn further(&self, one: &Try<'_>, last: bool, page: Page) -> Result<(), Ended> {
        let Page { numbers, encoded } = page;
        let request = vec![Bytes::from(self.page_of(one, false, last).request(&encoded))];
        let error = match self.client.post(one.what.path(), request).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_refusal() => error,
            Err(error) => return Err(Ended::Failed(error)),
        };
        // An answer may have been lost, and the session have ended by it.
        let all = self.history(one.what).await.map_err(Ended::Failed)?;
        let ours = all.iter().find(|upload| upload.upload_id.as_str() == one.id);
        if last && ours.is_some_and(UploadEvent::is_finished) {
            return Ok(());
        }
        let may_be_rows = one.again || ours.is_some_and(UploadEvent::is_active);
        if may_be_rows && is_of_rows(&error) && !numbers.is_empty() {
            return Err(Ended::Rows(numbers, error));
        }
        Err(Ended::Lost(error))
    }

    fn page_of<'a>(&'a self, one: &'a Try<'_>, first: bool, last: bool) -> PageOf<'a> {
        PageOf {
            what: one.what,
            datasource: &self.datasource,
            upload_id: one.id,
            first,
            last,
            restart: one.restart,
            approved: one.approved,
        }
    }

    /// Glean works on memberships now, instead of some time later.
    pub async fn process_memberships(&self) -> Result<()> {
        let body = serde_json::json!({ "datasource": self.datasource }).to_string();
        self.client.post("/processallmemberships", vec![body.into()]).await
    }

    async fn history(&self, what: Replaced<'_>) -> Result<Vec<UploadEvent>> {
        let status = self.client.datasource_status(&self.datasource).await?;
        Ok(status.identity_uploads(what.list()))
    }
}

/// Rows of a page: which they are, and as they are sent.
#[derive(Default)]
struct Page {
    numbers: Vec<usize>,
    encoded: Vec<u8>,
}

/// As many of the rows that are wanted as a page has.
fn page<'r>(
    rows: &mut Peekable<impl Iterator<Item = (usize, Row<'r>)>>,
    is_wanted: impl Fn(usize) -> bool,
    sieve: &Sieve,
) -> Result<Page> {
    let mut page = Page::default();
    let most = sieve.most().min(PAGE_ROWS);
    while page.numbers.len() < most && page.encoded.len() < PAGE_BYTES {
        let is_first = page.numbers.is_empty();
        let goes_on = |(number, _): &(usize, Row<'r>)| is_first || !sieve.begins(*number);
        let Some((number, row)) = rows.next_if(goes_on) else { break };
        if !is_wanted(number) {
            continue;
        }
        if !page.numbers.is_empty() {
            page.encoded.push(b',');
        }
        serde_json::to_writer(&mut page.encoded, &row).map_err(|error| {
            let what = format!("a row cannot be written as JSON: {error}");
            crate::failure::Failure::internal(what)
        })?;
        page.numbers.push(number);
    }
    Ok(page)
}
