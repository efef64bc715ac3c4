//! Settings whose expressions were understood.

use std::collections::BTreeSet;

use sheaf_sdk::{Error, Result};

use crate::access::AccessRules;
use crate::changes::Changes;
use crate::detail::Details;
use crate::document::Mapper;
use crate::expression::Expression;
use crate::listing::{ListSettings, Listing, expression};
use crate::request::Gaps;
use crate::settings::{Endpoint, Settings};
use crate::template::Template;

/// An endpoint, ready for use.
pub(crate) struct Prepared {
    pub setting: Endpoint,
    pub listing: Listing,
    pub skip: Option<Expression>,
    pub deleted: Option<Expression>,
    pub details: Option<Details>,
    pub mapper: Mapper,
    pub changes: Option<Changes>,
}

/// All endpoints of the settings.
pub(crate) fn prepare(settings: &Settings) -> Result<Vec<Prepared>> {
    if settings.endpoints.is_empty() {
        return Err(Error::fix_settings("`endpoints` is empty: nothing would be read"));
    }
    let mut names = BTreeSet::new();
    let mut prepared = Vec::new();
    for endpoint in &settings.endpoints {
        if !names.insert(&endpoint.name) {
            return Err(Error::fix_settings(format!(
                "two endpoints are named `{}`",
                endpoint.name
            )));
        }
        prepared.push(Prepared::new(endpoint.clone())?);
    }
    Ok(prepared)
}

impl Prepared {
    fn new(setting: Endpoint) -> Result<Self> {
        let list = ListSettings {
            items: setting.items.as_ref(),
            items_optional: setting.items_optional,
            maps: true,
            whole: setting.whole.as_ref(),
            paging: setting.paging.as_ref(),
            error: setting.error.as_ref(),
        };
        let title = format!("the endpoint `{}`", setting.name);
        let listing = Listing::new(title, &list, vec![Template::new(&setting.document.id)?])?;
        let access = AccessRules::new(setting.access.as_ref(), &setting.access_rules)?;
        let details = setting.detail.as_ref().map(|detail| Details::new(detail, Gaps::LeftOut));
        Ok(Self {
            listing,
            skip: expression(setting.skip.as_ref())?,
            deleted: expression(setting.deleted.as_ref())?,
            details: details.transpose()?,
            mapper: Mapper::new(&setting.document, access)?,
            changes: setting.incremental.as_ref().map(Changes::new).transpose()?,
            setting,
        })
    }
}
