//! Who may find a document, as it is read back: from a document that would be sent, or from what Glean says that it was
//! sent. Glean: `DocumentPermissionsDefinition`.

use serde::{Deserialize, Deserializer, Serialize};

/// Whoever any part of it names may. What is left out, or null, names nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Allowed {
    #[serde(deserialize_with = "or_nothing")]
    pub allowed_users: Vec<AllowedUser>,
    /// As [`group_name`](super::identities::group_name) writes them.
    #[serde(deserialize_with = "or_nothing")]
    pub allowed_groups: Vec<String>,
    /// Whoever is in all groups of one of them.
    #[serde(deserialize_with = "or_nothing")]
    pub allowed_group_intersections: Vec<AllOf>,
    #[serde(deserialize_with = "or_nothing")]
    pub allow_anonymous_access: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub allow_all_datasource_users_access: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedUser {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datasource_user_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllOf {
    #[serde(deserialize_with = "or_nothing")]
    pub required_groups: Vec<String>,
}

impl Allowed {
    /// The same in one order and one case of e-mails: two that mean the same are then equal.
    #[must_use]
    pub fn normal(mut self) -> Self {
        for user in &mut self.allowed_users {
            if let Some(email) = &mut user.email {
                email.make_ascii_lowercase();
            }
        }
        for all in &mut self.allowed_group_intersections {
            sort(&mut all.required_groups);
        }
        sort(&mut self.allowed_users);
        sort(&mut self.allowed_groups);
        sort(&mut self.allowed_group_intersections);
        self
    }
}

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort();
    list.dedup();
}

fn or_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Access, Restricted, UserRef};
    use crate::wire::document::Permissions;

    #[test]
    fn what_is_written_is_read_back_and_order_and_case_make_no_difference() {
        let user = |email: &str| UserRef { email: Some(email.to_owned()), ..UserRef::default() };
        let access = Access::Restricted(Restricted {
            users: vec![user("Bob@x.com"), user("ann@x.com")],
            groups: vec!["Site Owners".to_owned(), "hr".to_owned()],
            group_intersections: vec![vec!["b".to_owned(), "a".to_owned()]],
        });
        let written = serde_json::to_value(Permissions::new(&access)).expect("JSON");
        let read: Allowed = serde_json::from_value(written).expect("read back");
        let other: Allowed = serde_json::from_value(serde_json::json!({
            "allowedUsers": [{ "email": "ann@x.com", "name": "Ann" }, { "email": "bob@x.com" }],
            "allowedGroups": ["hr", "Site%20Owners", "hr"],
            "allowedGroupIntersections": [{ "requiredGroups": ["a", "b"] }],
            "allowAnonymousAccess": null,
        }))
        .expect("read");
        assert_eq!(read.normal(), other.normal());
    }
}
