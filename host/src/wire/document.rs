//! Documents as the Indexing API reads them, written straight from the model: nothing is copied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Serialize, Serializer};

use super::identities::GroupNames;
use crate::document::{Access, Body, Comment, Content, Document, PropertyValue, UserRef};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentDefinition<'a> {
    pub datasource: &'a str,
    object_type: &'a str,
    id: &'a str,
    #[serde(rename = "viewURL")]
    view_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_datasource_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_object_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<ContentDefinition<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<ContentDefinition<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<UserDefinition<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<UserDefinition<'a>>,
    permissions: Permissions<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_by: Option<UserDefinition<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    interactions: Option<Interactions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    additional_urls: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    native_app_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comments: Vec<CommentDefinition<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    custom_properties: Vec<CustomProperty<'a>>,
}

impl<'a> DocumentDefinition<'a> {
    pub fn new(datasource: &'a str, document: &'a Document) -> Self {
        let container = document.container.as_ref();
        Self {
            datasource,
            object_type: &document.object_type,
            id: &document.id,
            view_url: &document.view_url,
            title: document.title.as_deref(),
            filename: document.filename.as_deref(),
            container: container.map(|container| container.name.as_str()),
            container_datasource_id: container.and_then(|container| container.id.as_deref()),
            container_object_type: container.and_then(|container| container.object_type.as_deref()),
            summary: document.summary.as_ref().map(ContentDefinition::new),
            body: document.body.as_ref().map(ContentDefinition::new),
            author: document.author.as_ref().map(UserDefinition::new),
            owner: document.owner.as_ref().map(UserDefinition::new),
            permissions: Permissions::new(&document.access),
            created_at: document.created_at,
            updated_at: document.updated_at,
            updated_by: document.updated_by.as_ref().map(UserDefinition::new),
            tags: &document.tags,
            interactions: document.interactions.as_ref().map(|seen| Interactions {
                num_views: seen.views,
                num_likes: seen.likes,
                num_comments: seen.comments,
            }),
            status: document.status.as_deref(),
            additional_urls: &document.additional_urls,
            native_app_url: document.native_app_url.as_deref(),
            comments: document.comments.iter().map(CommentDefinition::new).collect(),
            custom_properties: document
                .properties
                .iter()
                .map(|(name, value)| CustomProperty { name, value: PropertyText(value) })
                .collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContentDefinition<'a> {
    mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_content: Option<Base64<'a>>,
}

impl<'a> ContentDefinition<'a> {
    fn new(content: &'a Content) -> Self {
        let (text_content, binary_content) = match &content.body {
            Body::Text(text) => (Some(text.as_str()), None),
            Body::Binary(bytes) => (None, Some(Base64(bytes))),
        };
        Self { mime_type: &content.mime_type, text_content, binary_content }
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserDefinition<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datasource_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> UserDefinition<'a> {
    fn new(user: &'a UserRef) -> Self {
        Self {
            email: user.email.as_deref(),
            datasource_user_id: user.id.as_deref(),
            name: user.name.as_deref(),
        }
    }
}

/// Who may find a document. `Access::Unknown` is written as nobody.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Permissions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_users: Option<Vec<UserDefinition<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_groups: Option<GroupNames<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_group_intersections: Vec<Intersection<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_anonymous_access: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_all_datasource_users_access: Option<bool>,
}

impl<'a> Permissions<'a> {
    pub fn new(access: &'a Access) -> Self {
        match access {
            Access::Everyone => Self { allow_anonymous_access: Some(true), ..Self::default() },
            Access::SourceUsers => {
                Self { allow_all_datasource_users_access: Some(true), ..Self::default() }
            }
            Access::Restricted(to) => Self {
                allowed_users: Some(to.users.iter().map(UserDefinition::new).collect()),
                allowed_groups: Some(GroupNames(&to.groups)),
                allowed_group_intersections: to
                    .group_intersections
                    .iter()
                    .map(|names| Intersection { required_groups: GroupNames(names) })
                    .collect(),
                ..Self::default()
            },
            Access::Unknown => Self {
                allowed_users: Some(Vec::new()),
                allowed_groups: Some(GroupNames(&[])),
                ..Self::default()
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Intersection<'a> {
    required_groups: GroupNames<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Interactions {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_views: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_likes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_comments: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommentDefinition<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<UserDefinition<'a>>,
    content: ContentDefinition<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
}

impl<'a> CommentDefinition<'a> {
    fn new(comment: &'a Comment) -> Self {
        Self {
            id: &comment.id,
            author: comment.author.as_ref().map(UserDefinition::new),
            content: ContentDefinition::new(&comment.content),
            created_at: comment.created_at,
            updated_at: comment.updated_at,
        }
    }
}

#[derive(Serialize)]
struct CustomProperty<'a> {
    name: &'a str,
    value: PropertyText<'a>,
}

struct PropertyText<'a>(&'a PropertyValue);

impl Serialize for PropertyText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            PropertyValue::Text(text) => text.serialize(serializer),
            PropertyValue::Integer(number) => number.serialize(serializer),
            PropertyValue::Texts(texts) => texts.serialize(serializer),
        }
    }
}
