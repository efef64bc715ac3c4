//! A row becomes a group, whose members are in it or in a list of their own.

use serde_json::Value;
use sheaf_sdk::identities::Member;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result};

use crate::api::Api;
use crate::expression::Expression;
use crate::identities::setting::{GroupMap, Members};
use crate::listing::{ListSettings, Listing, expression};
use crate::request::{Gaps, Request};
use crate::template::{Template, all_texts};

/// The setting `group`, ready for use.
pub(crate) struct Groups {
    name: Template,
    place: Place,
    skip: Option<Expression>,
    who: Who,
}

/// Where the members are.
enum Place {
    Row { items: Expression, optional: bool },
    List(Box<MemberList>),
}

/// A list of the members of each group.
pub(crate) struct MemberList {
    request: Request,
    pub listing: Listing,
}

/// Whom a member's templates name.
struct Who {
    users: Vec<Template>,
    user_ids: Vec<Template>,
    groups: Vec<Template>,
}

impl Groups {
    /// `roll` is what people call the list of groups.
    pub(crate) fn new(setting: &GroupMap, roll: &str) -> Result<Self> {
        let members = &setting.members;
        let title = format!("`members` in {roll}");
        if members.users.is_empty() && members.user_ids.is_empty() && members.groups.is_empty() {
            return Err(Error::fix_settings(format!(
                "{title} names nobody: say in `users`, `user_ids` or `groups` whom a member's templates find"
            )));
        }
        Ok(Self {
            name: Template::new(&setting.name)?,
            place: Place::new(members, title)?,
            skip: expression(members.skip.as_ref())?,
            who: Who::new(members)?,
        })
    }

    pub(crate) fn name(&self, item: &Value) -> Result<Option<String>> {
        self.name.text(item)
    }

    /// The list of members, where they are not in the group's row.
    pub(crate) fn list(&self) -> Option<&MemberList> {
        match &self.place {
            Place::Row { .. } => None,
            Place::List(list) => Some(list),
        }
    }

    /// The members in a group's row, or why they cannot be read.
    pub(crate) fn in_row(&self, row: &Value) -> Result<std::result::Result<Vec<Member>, String>> {
        let Place::Row { items, optional } = &self.place else { return Ok(Ok(Vec::new())) };
        let found = match items.find(row)? {
            Value::Array(found) => found,
            Value::Object(found) => found.into_iter().map(|(_, member)| member).collect(),
            Value::Null if *optional => Vec::new(),
            _ => {
                return Ok(Err(format!(
                    "`items` of `members`, `{items}`, finds no list in the group's row"
                )));
            }
        };
        let mut members = Vec::new();
        for item in &found {
            members.extend(self.members(item)?);
        }
        Ok(Ok(members))
    }

    /// Whom a member's item names.
    pub(crate) fn members(&self, item: &Value) -> Result<Vec<Member>> {
        if let Some(skip) = &self.skip
            && skip.holds(item)?
        {
            return Ok(Vec::new());
        }
        self.who.members(item)
    }
}

impl Place {
    fn new(members: &Members, title: String) -> Result<Self> {
        let Some(path) = &members.path else {
            let Some(items) = &members.items else {
                return Err(Error::fix_settings(format!(
                    "{title} has neither `items`, where they are in a group's row, nor `path`, where they are a list of \
                     their own"
                )));
            };
            for (key, given) in [
                ("query", !members.query.is_empty()),
                ("paging", members.paging.is_some()),
                ("error", members.error.is_some()),
            ] {
                if given {
                    return Err(Error::fix_settings(format!(
                        "{title} has `{key}`, for which members in a group's row have no use: say with `path` where \
                         their list is, or take it out"
                    )));
                }
            }
            return Ok(Self::Row {
                items: Expression::new(items)?,
                optional: members.items_optional,
            });
        };
        let list = ListSettings {
            items: members.items.as_ref(),
            items_optional: members.items_optional,
            maps: false,
            whole: None,
            paging: members.paging.as_ref(),
            error: members.error.as_ref(),
        };
        // A member is what its templates find, whatever else its item says.
        let Who { mut users, user_ids, groups } = Who::new(members)?;
        users.extend(user_ids);
        users.extend(groups);
        let request = Request::new(path, &members.query, Gaps::Refused)?;
        let listing = Listing::new(title, &list, users)?;
        Ok(Self::List(Box::new(MemberList { request, listing })))
    }
}

impl MemberList {
    /// The URL, or why there is none.
    pub(crate) fn url(&self, api: &Api, row: &Value) -> Result<std::result::Result<Url, String>> {
        let url = self.request.url(api, row)?;
        Ok(url.map_err(|part| format!("{part} of `members` finds nothing in the group's row")))
    }
}

impl Who {
    fn new(members: &Members) -> Result<Self> {
        let templates =
            |texts: &[String]| texts.iter().map(|text| Template::new(text)).collect::<Result<_>>();
        Ok(Self {
            users: templates(&members.users)?,
            user_ids: templates(&members.user_ids)?,
            groups: templates(&members.groups)?,
        })
    }

    fn members(&self, item: &Value) -> Result<Vec<Member>> {
        let mut users = all_texts(&self.users, item)?;
        users.retain(|email| !email.is_empty());
        let ids = if users.is_empty() { all_texts(&self.user_ids, item)? } else { Vec::new() };
        let groups = all_texts(&self.groups, item)?;
        let users = users.into_iter().map(Member::Email);
        let ids = ids.into_iter().map(Member::Id);
        let mut all: Vec<_> =
            users.chain(ids).chain(groups.into_iter().map(Member::Group)).collect();
        if all.is_empty() {
            // The host tells the operator of a member that is called nothing.
            all.push(Member::Id(String::new()));
        }
        Ok(all)
    }
}
