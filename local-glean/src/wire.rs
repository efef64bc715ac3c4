//! Requests of the Indexing API. Unknown fields are refused: the real API would lose them silently.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BulkIndexDocuments {
    pub upload_id: String,
    pub datasource: String,
    pub documents: Vec<Box<RawValue>>,
    #[serde(default)]
    pub is_first_page: bool,
    #[serde(default)]
    pub is_last_page: bool,
    #[serde(default)]
    pub force_restart_upload: bool,
    #[serde(default)]
    pub disable_stale_document_deletion_check: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IndexDocuments {
    #[allow(dead_code)]
    pub upload_id: Option<String>,
    pub datasource: String,
    pub documents: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IndexDocument {
    pub version: Option<i64>,
    pub document: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeleteDocument {
    pub version: Option<i64>,
    pub datasource: String,
    pub object_type: String,
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdatePermissions {
    pub datasource: String,
    pub object_type: Option<String>,
    pub id: Option<String>,
    #[serde(rename = "viewURL")]
    pub view_url: Option<String>,
    pub permissions: Permissions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForDatasource {
    pub datasource: String,
}

/// Without a datasource: all of them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForAll {
    pub datasource: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CheckAccess {
    pub datasource: String,
    pub object_type: String,
    pub doc_id: String,
    pub user_email: String,
}

/// `DocumentDefinition`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct Document {
    pub datasource: String,
    pub object_type: Option<String>,
    pub id: Option<String>,
    #[serde(rename = "viewURL")]
    pub view_url: Option<String>,
    pub title: Option<String>,
    pub filename: Option<String>,
    pub container: Option<String>,
    pub container_datasource_id: Option<String>,
    pub container_object_type: Option<String>,
    pub summary: Option<Content>,
    pub body: Option<Content>,
    pub author: Option<User>,
    pub owner: Option<User>,
    pub permissions: Option<Permissions>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub updated_by: Option<User>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub interactions: Option<Interactions>,
    pub status: Option<String>,
    #[serde(default)]
    pub additional_urls: Vec<String>,
    pub native_app_url: Option<String>,
    #[serde(default)]
    pub comments: Vec<Comment>,
    #[serde(default)]
    pub custom_properties: Vec<CustomProperty>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Content {
    pub mime_type: String,
    pub text_content: Option<String>,
    pub binary_content: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datasource_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Permissions {
    pub allowed_users: Vec<User>,
    pub allowed_groups: Vec<String>,
    pub allowed_group_intersections: Vec<Intersection>,
    pub allow_anonymous_access: bool,
    pub allow_all_datasource_users_access: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Intersection {
    pub required_groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct Interactions {
    pub num_views: Option<i64>,
    pub num_likes: Option<i64>,
    pub num_comments: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct Comment {
    pub id: String,
    pub author: Option<User>,
    pub content: Option<Content>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub updated_by: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct CustomProperty {
    pub name: Option<String>,
    pub value: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DatasourceUser {
    pub email: String,
    #[allow(dead_code)]
    pub name: String,
    pub user_id: Option<String>,
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Group {
    pub name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Membership {
    pub group_name: Option<String>,
    pub member_user_id: Option<String>,
    pub member_group_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BulkIdentities {
    pub upload_id: String,
    pub datasource: String,
    #[serde(default)]
    pub is_first_page: bool,
    #[serde(default)]
    pub is_last_page: bool,
    #[serde(default)]
    pub force_restart_upload: bool,
    #[serde(default)]
    pub disable_stale_data_deletion_check: bool,
    pub group: Option<String>,
    pub users: Option<Vec<DatasourceUser>>,
    pub groups: Option<Vec<Group>>,
    pub memberships: Option<Vec<Membership>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OneIdentity {
    pub datasource: String,
    pub version: Option<i64>,
    pub user: Option<DatasourceUser>,
    pub group: Option<Group>,
    pub membership: Option<Membership>,
    pub email: Option<String>,
    pub group_name: Option<String>,
}
