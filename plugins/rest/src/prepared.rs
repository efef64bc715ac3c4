//! Settings whose expressions were understood.

use std::collections::BTreeSet;

use sheaf_sdk::{Error, Result};

use crate::access::AccessRules;
use crate::changes::Changes;
use crate::detail::Details;
use crate::document::Mapper;
use crate::expression::Expression;
use crate::paging::Pages;
use crate::settings::{Endpoint, Settings};

/// An endpoint, ready for use.
pub(crate) struct Prepared {
    pub setting: Endpoint,
    pub items: Option<Expression>,
    pub pages: Option<Pages>,
    pub error: Option<Expression>,
    pub whole: Option<Expression>,
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
        let pages = setting.paging.as_ref().map(|paging| Pages::new(paging, &setting.name));
        let pages = pages.transpose()?;
        if pages.as_ref().is_some_and(Pages::counts)
            && setting.items.as_ref().is_some_and(|items| items.contains("[?"))
        {
            return Err(Error::fix_settings(format!(
                "the endpoint `{}` counts its items to find the next page, so `items` must not filter them: \
                 use `skip`",
                setting.name
            )));
        }
        let expression = |text: &Option<String>| text.as_deref().map(Expression::new).transpose();
        let access = AccessRules::new(setting.access.as_ref(), &setting.access_rules)?;
        Ok(Self {
            items: expression(&setting.items)?,
            pages,
            error: expression(&setting.error)?,
            whole: expression(&setting.whole)?,
            skip: expression(&setting.skip)?,
            deleted: expression(&setting.deleted)?,
            details: setting.detail.as_ref().map(Details::new).transpose()?,
            mapper: Mapper::new(&setting.document, access)?,
            changes: setting.incremental.as_ref().map(Changes::new).transpose()?,
            setting,
        })
    }
}
