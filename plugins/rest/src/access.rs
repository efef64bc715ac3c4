//! Who may find a document.

use serde::Deserialize;
use serde_json::Value;
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{Access, Result};

use crate::expression::Expression;
use crate::template::{Template, all_texts};

/// "everyone", "source-users", or { users = [...], groups = [...] } with templates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum AccessMap {
    Named(NamedAccess),
    Only(OnlyAccess),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NamedAccess {
    /// Everyone in the company.
    Everyone,
    /// Everyone with an account in the datasource.
    SourceUsers,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnlyAccess {
    /// By e-mail.
    #[serde(default)]
    pub users: Vec<String>,
    /// By the group's name in the datasource.
    #[serde(default)]
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessRule {
    /// An expression.
    pub when: String,
    pub access: AccessMap,
}

/// The access of an endpoint's documents, ready for use.
pub(crate) struct AccessRules {
    rules: Vec<(Expression, Readers)>,
    /// Where no rule holds.
    otherwise: Readers,
}

impl AccessRules {
    pub(crate) fn new(otherwise: Option<&AccessMap>, rules: &[AccessRule]) -> Result<Self> {
        let rule = |rule: &AccessRule| {
            Ok((Expression::new(&rule.when)?, Readers::new(Some(&rule.access))?))
        };
        Ok(Self {
            otherwise: Readers::new(otherwise)?,
            rules: rules.iter().map(rule).collect::<Result<_>>()?,
        })
    }

    /// What the first rule that holds says of an item.
    pub(crate) fn access(&self, item: &Value) -> Result<Access> {
        for (when, readers) in &self.rules {
            if when.holds(item)? {
                return readers.access(item);
            }
        }
        self.otherwise.access(item)
    }
}

enum Readers {
    Everyone,
    SourceUsers,
    Only { users: Vec<Template>, groups: Vec<Template> },
    Unknown,
}

impl Readers {
    fn new(access: Option<&AccessMap>) -> Result<Self> {
        let templates =
            |texts: &[String]| texts.iter().map(|text| Template::new(text)).collect::<Result<_>>();
        Ok(match access {
            None => Self::Unknown,
            Some(AccessMap::Named(NamedAccess::Everyone)) => Self::Everyone,
            Some(AccessMap::Named(NamedAccess::SourceUsers)) => Self::SourceUsers,
            Some(AccessMap::Only(only)) => {
                Self::Only { users: templates(&only.users)?, groups: templates(&only.groups)? }
            }
        })
    }

    fn access(&self, item: &Value) -> Result<Access> {
        Ok(match self {
            Self::Everyone => Access::Everyone,
            Self::SourceUsers => Access::SourceUsers,
            Self::Unknown => Access::Unknown,
            Self::Only { users, groups } => {
                Access::only(all_texts(users, item)?, all_texts(groups, item)?)
            }
        })
    }
}
