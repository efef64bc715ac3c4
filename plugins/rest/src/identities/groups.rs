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
        for (item, number) in found.iter().zip(1..) {
            match self.members(item, number)? {
                Ok(named) => members.extend(named),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(members))
    }

    /// Whom a member's item names; or why nobody knows whom. `number` is which of the members it is.
    pub(crate) fn members(
        &self,
        item: &Value,
        number: u64,
    ) -> Result<std::result::Result<Vec<Member>, String>> {
        if let Some(skip) = &self.skip
            && skip.holds(item)?
        {
            return Ok(Ok(Vec::new()));
        }
        let members = self.who.members(item)?;
        if members.is_empty() {
            return Ok(Err(format!(
                "`users`, `user_ids` and `groups` of `members` find nobody in member {number}: may the credential see \
                 who that is? Rows that are no members are left out with `skip`"
            )));
        }
        Ok(Ok(members))
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
        let named = |templates: &[Template]| -> Result<Vec<String>> {
            let mut texts = all_texts(templates, item)?;
            texts.retain(|text| !text.trim().is_empty());
            Ok(texts)
        };
        let users = named(&self.users)?;
        let ids = if users.is_empty() { named(&self.user_ids)? } else { Vec::new() };
        let groups = named(&self.groups)?;
        let users = users.into_iter().map(Member::Email);
        let ids = ids.into_iter().map(Member::Id);
        Ok(users.chain(ids).chain(groups.into_iter().map(Member::Group)).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_in_one_of_whose_members_nobody_is_found_cannot_be_read() {
        let setting = json!({
            "name": "{slug}",
            "members": {
                "items": "people", "skip": "kind == 'robot'", "users": ["{mail}"], "user_ids": ["{id}"],
                "groups": ["{team}"],
            },
        });
        let setting = serde_json::from_value(setting).expect("a setting");
        let groups = Groups::new(&setting, "the list").expect("groups");
        let members = |people: Value| {
            groups.in_row(&json!({ "slug": "hr", "people": people })).expect("a row")
        };
        let named =
            json!([{ "mail": "a@x.com", "id": 1 }, { "mail": "", "id": 2 }, { "team": "t" }]);
        let expected = vec![
            Member::Email("a@x.com".into()),
            Member::Id("2".into()),
            Member::Group("t".into()),
        ];
        assert_eq!(members(named), Ok(expected));
        assert_eq!(members(json!([])), Ok(Vec::new()));
        assert_eq!(members(json!([{ "kind": "robot" }])), Ok(Vec::new()), "it is left out");
        for nobody in [json!({}), json!({ "mail": null }), json!({ "id": "", "team": " " })] {
            let why = members(json!([{ "id": 1 }, nobody])).expect_err("nobody");
            assert!(why.contains("find nobody in member 2"), "{why}");
        }
    }
}
