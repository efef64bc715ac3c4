//! A list of users or of groups, ready for use.

use std::collections::BTreeSet;

use serde_json::Value;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result};

use crate::api::Api;
use crate::checkpoint::Checkpoint;
use crate::detail::Details;
use crate::expression::Expression;
use crate::identities::groups::Groups;
use crate::identities::setting::IdentityEndpoint;
use crate::identities::users::Users;
use crate::list::List;
use crate::listing::{ListSettings, Listing, expression};
use crate::request::Gaps;
use crate::template::Template;
use crate::walk::Walk;

pub(crate) struct Roll {
    pub setting: IdentityEndpoint,
    pub listing: Listing,
    skip: Option<Expression>,
    details: Option<Details>,
    pub rows: Rows,
}

/// What the rows are.
pub(crate) enum Rows {
    Users(Users),
    Groups(Groups),
}

/// All lists of users and groups of the settings. Those whose rows of users tell of groups come last: what is
/// gathered of them is lost where a reading is interrupted.
pub(crate) fn rolls(settings: &[IdentityEndpoint]) -> Result<Vec<Roll>> {
    let mut names = BTreeSet::new();
    let mut rolls = Vec::new();
    for setting in settings {
        if !names.insert(&setting.name) {
            return Err(Error::fix_settings(format!(
                "two lists of `identities` are named `{}`",
                setting.name
            )));
        }
        rolls.push(Roll::new(setting.clone())?);
    }
    rolls.sort_by_key(Roll::gathers);
    Ok(rolls)
}

impl Roll {
    fn new(setting: IdentityEndpoint) -> Result<Self> {
        let title = format!("`{}` of `identities`", setting.name);
        let (rows, id) = match (&setting.user, &setting.group) {
            (Some(user), None) => {
                let id = user.id.as_ref().unwrap_or(&user.email);
                (Rows::Users(Users::new(user)?), id)
            }
            (None, Some(group)) => (Rows::Groups(Groups::new(group, &title)?), &group.name),
            (user, _) => {
                let (has, and) = if user.is_some() { ("both", "and") } else { ("neither", "nor") };
                return Err(Error::fix_settings(format!(
                    "{title} has {has} `user` {and} `group`: give it the one of them that its rows are"
                )));
            }
        };
        let list = ListSettings {
            items: setting.items.as_ref(),
            items_optional: setting.items_optional,
            maps: false,
            whole: setting.whole.as_ref(),
            paging: setting.paging.as_ref(),
            error: setting.error.as_ref(),
        };
        let listing = Listing::new(title, &list, vec![Template::new(id)?])?;
        let details = setting.detail.as_ref().map(|detail| Details::new(detail, Gaps::Refused));
        Ok(Self {
            listing,
            skip: expression(setting.skip.as_ref())?,
            details: details.transpose()?,
            rows,
            setting,
        })
    }

    /// Whether its rows of users tell who is in which group.
    pub(crate) fn gathers(&self) -> bool {
        matches!(&self.rows, Rows::Users(users) if users.tell_of_groups())
    }

    pub(crate) fn list<'a>(&'a self, api: &'a Api) -> List<'a> {
        List::new(api, &self.listing)
    }

    pub(crate) fn url(&self, api: &Api) -> Result<Url> {
        api.url(&self.setting.path, &self.setting.query)
    }

    pub(crate) fn skips(&self, row: &Value) -> Result<bool> {
        self.skip.as_ref().map_or(Ok(false), |skip| skip.holds(row))
    }

    /// The row with its details, or why there are none.
    pub(crate) fn whole(
        &self,
        api: &Api,
        row: Value,
    ) -> Result<std::result::Result<Value, String>> {
        match &self.details {
            Some(details) => details.add(api, self.listing.error.as_ref(), row),
            None => Ok(Ok(row)),
        }
    }

    /// Reads the first page, and says what is there.
    pub(crate) fn look(&self, api: &Api) -> Result<String> {
        let (list, mut walk) = (self.list(api), Walk::new(Checkpoint::default()));
        walk.read(&list, || self.url(api))?.map_err(|refusal| refusal.error)?;
        Ok(walk.shown(&list))
    }
}
