//! A list that is read, page after page and item after item, from where an earlier reading was interrupted.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use serde_json::Value;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result, log};

use crate::checkpoint::Checkpoint;
use crate::coverage::{Coverage, Verdict};
use crate::list::{List, Listed, Refusal};
use crate::paging::{Next, Pages, Place};

/// A page that takes longer is handed over as it is: each detail is a request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Walk {
    /// Where a later reading goes on.
    pub checkpoint: Checkpoint,
    /// What is left of the page that was read last.
    items: VecDeque<Value>,
    /// How many of the page were taken before.
    taken: usize,
    /// What follows on that page; `None` before one was read.
    next: Option<Next>,
    coverage: Coverage,
    lost_its_place: bool,
}

/// How a list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    More,
    /// All of it was seen.
    Whole,
    /// It ended, and some of it may have been missed.
    Doubtful,
}

impl Walk {
    pub(crate) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            coverage: Coverage::new(checkpoint.is_the_beginning(), checkpoint.tallies),
            checkpoint,
            items: VecDeque::new(),
            taken: 0,
            next: None,
            lost_its_place: false,
        }
    }

    /// Reads the page that it is at, unless that was done. `first` is the list's URL.
    pub(crate) fn read(
        &mut self,
        list: &List<'_>,
        first: impl FnOnce() -> Result<Url>,
    ) -> Result<std::result::Result<(), Refusal>> {
        if self.next.is_some() {
            return Ok(Ok(()));
        }
        let place = &self.checkpoint.place;
        let page = match list.read(place.url(first()?)?, place.clone())? {
            Ok(page) => page,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.begin(list, page)?;
        Ok(Ok(()))
    }

    /// A page was read.
    fn begin(&mut self, list: &List<'_>, page: Listed) -> Result<()> {
        self.checkpoint.began.get_or_insert(page.now);
        self.found_a_way_on(list, &page)?;
        // Whether pages are counted shows with the first or the second.
        let begins = self.checkpoint.place.pages < 2;
        self.checkpoint.shifts |= begins && page.shifts;
        let mut listed = page.items;
        // Where a total is said with one of the answers, the rows of all of them are compared with it.
        if begins || self.checkpoint.shifts || list.tells_total() {
            listed = self.unseen(list, listed, &page.totals)?;
        }
        self.next = Some(page.next);
        self.items = list.looked_up(listed)?.into();
        self.leave_out_what_was_taken(list);
        Ok(())
    }

    /// Where the page is the same as before the interruption, the reading resumes after what was taken; otherwise
    /// all of the page is taken again.
    fn leave_out_what_was_taken(&mut self, list: &List<'_>) {
        self.taken = 0;
        if let Some((count, mark)) = &self.checkpoint.after
            && let Some(last) = count.checked_sub(1).and_then(|last| self.items.get(last))
            && self::mark(list, last) == *mark
        {
            self.taken = *count;
            self.items.drain(..*count);
        }
        self.lost_its_place = self.taken == 0 && self.checkpoint.after.is_some();
    }

    /// Whether the page is another than before the interruption, so that some of it may be taken again.
    pub(crate) fn lost_its_place(&self) -> bool {
        self.lost_its_place
    }

    /// Which item was taken last, counted from the list's first.
    pub(crate) fn row(&self) -> u64 {
        self.checkpoint.place.items + self.taken as u64
    }

    /// A list that should have pages, and whose first one names no other, may be read by a wrong setting.
    fn found_a_way_on(&self, list: &List<'_>, page: &Listed) -> Result<()> {
        let only = self.checkpoint.place.pages == 0
            && page.next == Next::End { said: false }
            && !page.items.is_empty();
        if !only || list.one_page || list.listing.pages.as_ref().is_none_or(Pages::counts) {
            return Ok(());
        }
        Err(Error::fix_settings(format!(
            "the first answer of {} has {} items, and no next page where `paging` looks for it: correct \
             `paging`; if the list may have a single page, add `one_page = true` to it",
            list.listing,
            page.items.len()
        )))
    }

    /// Notes a page of a list whose end proves nothing, and leaves out what an earlier reading of it has seen.
    fn unseen(
        &mut self,
        list: &List<'_>,
        listed: Vec<Value>,
        totals: &[u64],
    ) -> Result<Vec<Value>> {
        for total in totals {
            self.coverage.said(*total);
        }
        let mut names = Vec::with_capacity(listed.len());
        for item in &listed {
            names.push(list.id(item).unwrap_or_else(|| item.to_string()));
        }
        let known = self.coverage.page(names.iter().map(String::as_str));
        let counts = list.listing.pages.as_ref().is_some_and(Pages::counts);
        // A list of changes may well name the same item twice.
        if counts && list.lookups.is_none() && self.coverage.repeats() {
            return Err(Error::fix_settings(format!(
                "two pages of {} are the same: does `parameter` of its `paging` name what turns the page?",
                list.listing
            )));
        }
        let new = listed.into_iter().zip(known).filter(|(_, known)| !known);
        Ok(new.map(|(item, _)| item).collect())
    }

    /// The next item of the page.
    pub(crate) fn take(&mut self, list: &List<'_>) -> Option<Value> {
        let item = self.items.pop_front()?;
        self.taken += 1;
        self.checkpoint.after = Some((self.taken, mark(list, &item)));
        Some(item)
    }

    /// How the list stands. Where a page was taken to its end, the walk turns to what follows on it.
    pub(crate) fn turn(&mut self) -> Stands {
        if !self.items.is_empty() {
            return Stands::More;
        }
        match self.next.take() {
            Some(Next::Page(place)) => self.turn_to(place),
            None => {}
            Some(Next::End { .. }) => match self.coverage.end(self.checkpoint.shifts) {
                Verdict::Whole => return Stands::Whole,
                Verdict::ReadAgain => {
                    log::info!(
                        "items of the list may have moved while it was read: reading it again"
                    );
                    self.coverage.read_again();
                    self.checkpoint.readings += 1;
                    self.turn_to(Place::default());
                }
                Verdict::Unknown => return Stands::Doubtful,
            },
        }
        Stands::More
    }

    fn turn_to(&mut self, place: Place) {
        self.checkpoint.tallies = self.coverage.tallies();
        self.checkpoint.place = place;
        self.checkpoint.after = None;
    }

    /// What is on the first page, for people.
    pub(crate) fn shown(&self, list: &List<'_>) -> String {
        let names_pages = list.listing.pages.as_ref().is_some_and(|pages| !pages.counts());
        let page = match &self.next {
            Some(Next::Page(_)) if names_pages => ", and names a next page",
            Some(Next::End { said: true }) if names_pages => ", and says that no other follows",
            Some(Next::End { said: false }) if names_pages => ", and names no next page",
            _ => "",
        };
        format!("has {} items on its first page{page}", self.items.len())
    }

    /// Why the list is not known to be whole, and what helps.
    pub(crate) fn doubt(&self, list: &List<'_>) -> String {
        let list = list.listing;
        match self.coverage.lacks() {
            Some((said, came)) => format!(
                "{list} has {said} items by what it says of itself, and {came} came: correct its `paging`, or leave \
                 `total` and `total_header` out of it if they count what is not listed"
            ),
            None => format!(
                "the list of {list} changed while it was read, and some of it may have been missed: let `total` or \
                 `total_header` in its `paging` say how many items there are, or sort it by what does not change"
            ),
        }
    }
}

/// What an item that was taken is known by when a reading resumes: its id or, as a checkpoint is short, a hash of it.
fn mark(list: &List<'_>, item: &Value) -> String {
    list.listing.id(item).unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        item.to_string().hash(&mut hasher);
        format!("without an id, {:016x}", hasher.finish())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use crate::api::Api;
    use crate::listing::{ListSettings, Listing};
    use crate::template::Template;

    use super::*;

    /// A list by a cursor, with a total.
    fn listing(id: &str) -> Listing {
        let paging =
            json!({ "kind": "cursor", "value": "next", "parameter": "c", "total": "total" });
        let paging = serde_json::from_value(paging).expect("paging");
        let list = ListSettings {
            items: None,
            items_optional: false,
            maps: false,
            whole: None,
            paging: Some(&paging),
            error: None,
        };
        let id = Template::new(id).expect("a template");
        Listing::new("the list".into(), &list, vec![id]).expect("a listing")
    }

    fn list(listing: &Listing, test: impl FnOnce(&List<'_>)) {
        let api = Api::new("https://a.example.com", None, &BTreeMap::new());
        test(&List::new(&api, listing));
    }

    /// The page at the walk's place, of which there are `pages`.
    fn page(walk: &Walk, items: Vec<Value>, total: Option<u64>, pages: u64) -> Listed {
        let place = &walk.checkpoint.place;
        let number = place.pages + 1;
        let next = Place {
            parameters: BTreeMap::from([("c".to_owned(), format!("token-{number}"))]),
            items: place.items + items.len() as u64,
            pages: number,
            url: None,
        };
        let next = if number < pages { Next::Page(next) } else { Next::End { said: true } };
        Listed { items, next, totals: total.into_iter().collect(), shifts: false, now: 0 }
    }

    #[test]
    fn the_rows_of_all_pages_are_compared_with_a_total_that_is_said_with_the_first() {
        let listing = listing("{id}");
        let stands = |totals: [Option<u64>; 4], stop: Option<u64>| {
            let mut last = Stands::More;
            list(&listing, |list| {
                let mut walk = Walk::new(Checkpoint::default());
                for (total, number) in totals.into_iter().zip(0u64..) {
                    if stop == Some(number) {
                        let noted = serde_json::to_string(&walk.checkpoint).expect("JSON");
                        walk = Walk::new(Checkpoint::parse(Some(&noted)).expect("a checkpoint"));
                    }
                    let items = vec![json!({ "id": 2 * number }), json!({ "id": 2 * number + 1 })];
                    walk.begin(list, page(&walk, items, total, 4)).expect("a page");
                    while walk.take(list).is_some() {}
                    last = walk.turn();
                }
            });
            last
        };
        for stop in [None, Some(1), Some(2), Some(3)] {
            for (totals, whole) in [
                ([Some(8), None, None, None], true),
                ([None, None, None, Some(8)], true),
                ([None; 4], true),
                ([Some(7), Some(8), Some(8), Some(9)], true),
                ([Some(9), None, None, None], false),
                ([None, None, None, Some(9)], false),
                ([Some(9), Some(10), Some(9), Some(10)], false),
            ] {
                let stands = stands(totals, stop);
                assert_eq!(stands == Stands::Whole, whole, "{totals:?}, {stop:?}: {stands:?}");
            }
        }
    }

    #[test]
    fn a_reading_goes_on_from_a_row_without_an_id() {
        let listing = listing("{id}");
        list(&listing, |list| {
            let rows =
                vec![json!({ "n": 1 }), json!({ "n": 2 }), json!({ "n": 3 }), json!({ "id": 4 })];
            let mut walk = Walk::new(Checkpoint::default());
            walk.begin(list, page(&walk, rows.clone(), None, 1)).expect("a page");
            let mut noted = Vec::new();
            for number in 1..=rows.len() {
                walk.take(list);
                let checkpoint = serde_json::to_string(&walk.checkpoint).expect("JSON");
                assert!(!noted.contains(&checkpoint), "{checkpoint}");
                let mut other = Walk::new(Checkpoint::parse(Some(&checkpoint)).expect("parsed"));
                other.begin(list, page(&other, rows.clone(), None, 1)).expect("a page");
                assert_eq!(other.take(list).as_ref(), rows.get(number));
                // Another row is where it was.
                let mut others = rows.clone();
                others[number - 1] = json!({ "n": 9 });
                let mut other = Walk::new(Checkpoint::parse(Some(&checkpoint)).expect("parsed"));
                other.begin(list, page(&other, others.clone(), None, 1)).expect("a page");
                assert_eq!(other.take(list).as_ref(), others.first());
                assert!(other.lost_its_place());
                noted.push(checkpoint);
            }
        });
    }

    #[test]
    fn a_row_whose_id_cannot_be_made_is_a_row_without_one() {
        let listing = listing("{lower(id)}");
        list(&listing, |list| {
            let mut walk = Walk::new(Checkpoint::default());
            let rows = vec![json!({ "id": 1, "kind": "robot" }), json!({ "id": "B" })];
            walk.begin(list, page(&walk, rows.clone(), Some(2), 1)).expect("a page");
            for row in rows {
                assert_eq!(walk.take(list), Some(row));
            }
            assert_eq!(walk.checkpoint.after, Some((2, "b".into())));
            assert_eq!(walk.turn(), Stands::Whole);
        });
    }
}
