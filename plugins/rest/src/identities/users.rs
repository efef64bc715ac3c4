//! A row becomes a user, and says which groups they are in.

use serde_json::Value;
use sheaf_sdk::Result;
use sheaf_sdk::identities::{Member, User};

use crate::expression::Expression;
use crate::identities::setting::UserMap;
use crate::listing::expression;
use crate::template::{Template, all_texts};

/// The setting `user`, ready for use.
pub(crate) struct Users {
    email: Template,
    id: Option<Template>,
    name: Option<Template>,
    active: Option<Expression>,
    groups: Vec<Template>,
}

/// What a row says.
pub(crate) struct Told {
    pub user: User,
    /// How groups name them; nothing where nothing names them.
    pub member: Option<Member>,
    pub groups: Vec<String>,
}

impl Users {
    pub(crate) fn new(setting: &UserMap) -> Result<Self> {
        let template = |text: &Option<String>| text.as_deref().map(Template::new).transpose();
        Ok(Self {
            email: Template::new(&setting.email)?,
            id: template(&setting.id)?,
            name: template(&setting.name)?,
            active: expression(setting.active.as_ref())?,
            groups: setting.groups.iter().map(|text| Template::new(text)).collect::<Result<_>>()?,
        })
    }

    /// Whether the rows say who is in which group.
    pub(crate) fn tell_of_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// `row` is what people find it by.
    pub(crate) fn read(&self, item: &Value, row: &str) -> Result<Told> {
        let text = |template: &Option<Template>| match template {
            Some(template) => template.text(item),
            None => Ok(None),
        };
        let (email, id, name) = (self.email.text(item)?, text(&self.id)?, text(&self.name)?);
        let active = match &self.active {
            Some(active) => active.holds(item)?,
            None => true,
        };
        let member = email.clone().map(Member::Email).or_else(|| id.clone().map(Member::Id));
        // The host leaves out whoever has no e-mail, and tells the operator what stands in its place: never an
        // address, as it has spaces.
        let email = email.unwrap_or_else(|| {
            format!("(no e-mail: {})", id.as_deref().or(name.as_deref()).unwrap_or(row))
        });
        let user = User { email, id, name, active };
        Ok(Told { user, member, groups: all_texts(&self.groups, item)? })
    }
}
