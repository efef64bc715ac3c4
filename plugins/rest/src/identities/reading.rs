//! A reading of the users and groups: list after list, and of a group whose members are a list of their own, page
//! after page of it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sheaf_sdk::identities::{Group, Member, Page, Progress, Reading, UnreadableGroup};
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result};

use crate::api::Api;
use crate::checkpoint::Checkpoint;
use crate::identities::gathered::Gathered;
use crate::identities::groups::Groups;
use crate::identities::roll::{Roll, Rows};
use crate::list::List;
use crate::walk::{PATIENCE, Stands, Walk};

/// Longer reasons for what was not read are cut: they travel with each checkpoint.
const MOST_REASONS: usize = 2_000;

/// How far a reading is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    /// Which list.
    list: usize,
    at: Checkpoint,
    /// The group of the next row, whose list of members is being read.
    group: Option<(String, Checkpoint)>,
    /// How many groups, or parts of them, were gathered from users' rows and delivered.
    gathered: u64,
    /// Why not all of it was read.
    partial: Option<String>,
}

pub struct RestReading {
    api: Api,
    rolls: Vec<Roll>,
    /// Of the list that is being read.
    walk: Walk,
    place: Place,
    open: Option<Open>,
    /// The groups that lists of groups had, each with a hash of its row.
    listed: HashMap<String, u64>,
    gathered: Gathered,
}

/// A group whose list of members is being read.
struct Open {
    name: String,
    url: Url,
    /// Where its list of groups was before this group was taken.
    before: Checkpoint,
    walk: Walk,
    /// Whether some of it may have been delivered with an earlier page.
    began: bool,
}

impl RestReading {
    pub(crate) fn open(api: Api, rolls: Vec<Roll>, resume: Option<&str>) -> Result<Option<Self>> {
        if rolls.is_empty() {
            return Ok(None);
        }
        let place = match resume {
            None => Place::default(),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                Error::start_over(format!("the checkpoint cannot be read: {error}"))
            })?,
        };
        let read = rolls.iter().take(place.list);
        let begun = rolls.get(place.list).filter(|_| !place.at.is_the_beginning());
        if read.chain(begun).any(Roll::gathers) {
            return Err(Error::start_over(
                "what the rows of users say of groups is gathered in one reading",
            ));
        }
        let (walk, listed) = (Walk::new(place.at.clone()), HashMap::new());
        let gathered = Gathered::default();
        Ok(Some(Self { api, rolls, walk, place, open: None, listed, gathered }))
    }

    fn checkpoint(&self) -> Result<String> {
        let Place { list, gathered, partial, .. } = &self.place;
        let (at, group) = match &self.open {
            Some(Open { name, before, walk, .. }) => {
                (before, Some((name.clone(), walk.checkpoint.clone())))
            }
            None => (&self.walk.checkpoint, self.place.group.clone()),
        };
        let (at, partial) = (at.clone(), partial.clone());
        let place = Place { list: *list, at, group, gathered: *gathered, partial };
        Ok(serde_json::to_string(&place)?)
    }

    /// Not all was read: who is missing stays as they were.
    fn not_whole(&mut self, why: &str) {
        if self.rolls[self.place.list].gathers() {
            self.gathered.doubt(why);
        }
        let reasons = self.place.partial.get_or_insert_default();
        if reasons.len() + why.len() < MOST_REASONS {
            let and = if reasons.is_empty() { "" } else { "; " };
            reasons.push_str(&format!("{and}{why}"));
        }
    }

    /// A request, or a row; how many users and members that was.
    fn step(&mut self, page: &mut Page, limit: usize) -> Result<usize> {
        let Some(roll) = self.rolls.get(self.place.list) else {
            return Ok(self.deliver_gathered(page, limit));
        };
        let mut count = 0;
        if self.open.is_some() {
            count = self.read_members(page)?;
        } else {
            let list = roll.list(&self.api);
            let read = self.walk.read(&list, || roll.url(&self.api))?;
            read.map_err(|refusal| refusal.error)?;
            let before = self.walk.checkpoint.clone();
            if let Some(row) = self.walk.take(&list) {
                count = self.take(row, before, page)?;
            }
        }
        if self.open.is_none() {
            self.turn()?;
        }
        Ok(count)
    }

    /// Turns to the next page or list, where all of this one was taken.
    fn turn(&mut self) -> Result<()> {
        let stands = self.walk.turn();
        if stands == Stands::Doubtful {
            let why = self.walk.doubt(&self.rolls[self.place.list].list(&self.api));
            self.not_whole(&why);
        }
        if stands != Stands::More {
            self.place.list += 1;
            self.walk = Walk::new(Checkpoint::default());
            if self.place.group.is_some() {
                return Err(its_group_is_gone());
            }
        }
        Ok(())
    }

    fn take(&mut self, row: Value, before: Checkpoint, page: &mut Page) -> Result<usize> {
        let roll = &self.rolls[self.place.list];
        if roll.skips(&row)? {
            return Ok(0);
        }
        match &roll.rows {
            Rows::Users(_) => self.take_user(row, page),
            Rows::Groups(groups) => {
                if self.walk.lost_its_place() {
                    return Err(Error::start_over(format!(
                        "{} changed where its reading was interrupted",
                        roll.listing
                    )));
                }
                let name = groups.name(&row)?;
                self.take_group(name, row, before, page)
            }
        }
    }

    fn take_user(&mut self, row: Value, page: &mut Page) -> Result<usize> {
        let roll = &self.rolls[self.place.list];
        let Rows::Users(users) = &roll.rows else { return Ok(0) };
        let id = roll.listing.id(&row);
        let number = self.row();
        match roll.whole(&self.api, row)? {
            Ok(row) => {
                let told = users.read(&row, &number)?;
                page.users.push(told.user);
                if let Some(member) = &told.member {
                    self.gathered.add(told.groups, member);
                }
            }
            Err(why) => self.not_whole(&format!("{}: {why}", id.unwrap_or(number))),
        }
        Ok(1)
    }

    /// What people find the row by that was taken last.
    fn row(&self) -> String {
        format!("row {} of {}", self.walk.row(), self.rolls[self.place.list].listing)
    }

    fn take_group(
        &mut self,
        name: Option<String>,
        row: Value,
        before: Checkpoint,
        page: &mut Page,
    ) -> Result<usize> {
        let Some(name) = name else {
            let reason = "`name` of `group` finds nothing in it".to_owned();
            page.unreadable.push(UnreadableGroup { name: self.row(), reason });
            return Ok(1);
        };
        let mut hasher = DefaultHasher::new();
        (self.place.list, row.to_string()).hash(&mut hasher);
        let hash = hasher.finish();
        match self.listed.insert(name.clone(), hash) {
            None => {}
            // A row that moved to the next page while the list was read.
            Some(known) if known == hash => return Ok(0),
            Some(_) => {
                let reason = "two rows are groups of this name: let `name` tell them apart".into();
                page.unreadable.push(UnreadableGroup { name, reason });
                return Ok(1);
            }
        }
        let resumed = self.place.group.take();
        if resumed.as_ref().is_some_and(|(resumed, _)| *resumed != name) {
            return Err(its_group_is_gone());
        }
        let began = resumed.is_some();
        match self.members(&name, row, before, resumed.map(|(_, at)| at))? {
            Ok(Some(members)) => {
                let count = members.len() + 1;
                page.groups.push(Group::new(name, members));
                Ok(count)
            }
            Ok(None) => Ok(1),
            Err(reason) => {
                if began {
                    // It ends, and the host forgets what it had of it.
                    page.groups.push(Group::new(&name, Vec::new()));
                }
                page.unreadable.push(UnreadableGroup { name, reason });
                Ok(1)
            }
        }
    }

    /// The members in a group's row, or why they cannot be read. Nothing where a list of them is opened.
    fn members(
        &mut self,
        name: &str,
        row: Value,
        before: Checkpoint,
        resumed: Option<Checkpoint>,
    ) -> Result<std::result::Result<Option<Vec<Member>>, String>> {
        let roll = &self.rolls[self.place.list];
        let Rows::Groups(groups) = &roll.rows else { return Ok(Ok(None)) };
        let row = match roll.whole(&self.api, row)? {
            Ok(row) => row,
            Err(why) => return Ok(Err(why)),
        };
        let Some(list) = groups.list() else {
            return Ok(groups.in_row(&row)?.map(Some));
        };
        let url = match list.url(&self.api, &row)? {
            Ok(url) => url,
            Err(why) => return Ok(Err(why)),
        };
        let began = resumed.is_some();
        let walk = Walk::new(resumed.unwrap_or_default());
        self.open = Some(Open { name: name.to_owned(), url, before, walk, began });
        Ok(Ok(None))
    }

    /// A page of the members of the group that is open.
    fn read_members(&mut self, page: &mut Page) -> Result<usize> {
        let roll = &self.rolls[self.place.list];
        let (Some(open), Rows::Groups(groups)) = (&mut self.open, &roll.rows) else {
            return Ok(0);
        };
        let Some(members) = groups.list() else { return Ok(0) };
        let list = List::new(&self.api, &members.listing);
        if let Err(refusal) = open.walk.read(&list, || Ok(open.url.clone()))? {
            open.cannot_be_read(refusal.why, page);
            self.open = None;
            return Ok(1);
        }
        let found = match open.take_page(&list, groups)? {
            Ok(found) => found,
            Err(why) => {
                open.cannot_be_read(why, page);
                self.open = None;
                return Ok(1);
            }
        };
        let count = found.len() + 1;
        match open.walk.turn() {
            Stands::More => open.deliver(found, true, page),
            Stands::Whole => {
                open.deliver(found, false, page);
                self.open = None;
            }
            Stands::Doubtful => {
                open.cannot_be_read(open.walk.doubt(&list), page);
                self.open = None;
            }
        }
        Ok(count)
    }

    fn deliver_gathered(&mut self, page: &mut Page, limit: usize) -> usize {
        let listed = &self.listed;
        let Some(next) = self.gathered.next(limit, |name| listed.contains_key(name)) else {
            return 0;
        };
        self.place.gathered += 1;
        match next {
            Ok(group) => {
                let count = group.members.len() + 1;
                page.groups.push(group);
                count
            }
            Err(unreadable) => {
                page.unreadable.push(unreadable);
                1
            }
        }
    }
}

fn its_group_is_gone() -> Error {
    Error::start_over("the group whose members were being read is not there any more")
}

impl Open {
    /// What is left of the page of members that was read, or why the group cannot be.
    fn take_page(
        &mut self,
        list: &List<'_>,
        groups: &Groups,
    ) -> Result<std::result::Result<Vec<Member>, String>> {
        let mut members = Vec::new();
        while let Some(item) = self.walk.take(list) {
            match groups.members(&item, self.walk.row())? {
                Ok(named) => members.extend(named),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(members))
    }

    fn deliver(&self, members: Vec<Member>, continues: bool, page: &mut Page) {
        match page.groups.last_mut().filter(|group| group.continues) {
            Some(group) => {
                group.members.extend(members);
                group.continues = continues;
            }
            None => page.groups.push(Group { name: self.name.clone(), members, continues }),
        }
    }

    fn cannot_be_read(&self, reason: String, page: &mut Page) {
        if self.began {
            // It ends, and the host forgets what it had of it.
            self.deliver(Vec::new(), false, page);
        } else {
            page.groups.pop_if(|group| group.continues);
        }
        page.unreadable.push(UnreadableGroup { name: self.name.clone(), reason });
    }
}

impl Reading for RestReading {
    fn next(&mut self, limit: u32) -> Result<Page> {
        let (since, limit) = (Instant::now(), limit.max(1) as usize);
        let mut page = Page::more(Vec::new(), Vec::new(), "");
        let mut count = 0;
        while self.place.list < self.rolls.len() || !self.gathered.is_empty() {
            count += self.step(&mut page, limit)?;
            if count >= limit || since.elapsed() >= PATIENCE {
                if let Some(open) = &mut self.open {
                    open.began = true;
                }
                page.progress = Progress::More(self.checkpoint()?);
                return Ok(page);
            }
        }
        page.progress = match self.place.partial.take() {
            Some(why) => Progress::Partial(why),
            None => Progress::Complete,
        };
        Ok(page)
    }
}
