//! An item becomes a document.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{Content, Document, DocumentRef, PropertyValue, Result, Unreadable, UserRef};

use crate::access::AccessRules;
use crate::expression::Expression;
use crate::template::{Template, all_texts};
use crate::time;

/// Templates and expressions for the parts of a document.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    /// A template: unique in the datasource, and the same from crawl to crawl.
    pub id: String,
    /// One of Glean's object types, without spaces and underscores.
    #[serde(default = "item")]
    pub object_type: String,
    /// A template: where a reader opens it.
    pub url: String,
    /// A template.
    pub title: Option<String>,
    /// A template.
    pub body: Option<String>,
    /// What the body is: "text/plain", "text/html" or "text/markdown".
    #[serde(default = "plain")]
    pub body_type: String,
    /// A template.
    pub summary: Option<String>,
    /// A template: what it lies in.
    pub container: Option<String>,
    /// A template: who wrote it, by e-mail.
    pub author_email: Option<String>,
    /// A template: who wrote it, by their id in the source.
    pub author_id: Option<String>,
    /// A template: the name of who wrote it.
    pub author_name: Option<String>,
    /// An expression that finds a time.
    pub created: Option<String>,
    /// An expression that finds a time.
    pub updated: Option<String>,
    /// A template.
    pub status: Option<String>,
    /// Templates; one that is a single expression may find a list.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Custom properties of the datasource: templates by name.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

fn item() -> String {
    "Item".into()
}

fn plain() -> String {
    "text/plain".into()
}

/// A mapping, ready for use.
pub(crate) struct Mapper {
    id: Template,
    object_type: String,
    url: Template,
    body_type: String,
    texts: BTreeMap<&'static str, Template>,
    created: Option<Expression>,
    updated: Option<Expression>,
    tags: Vec<Template>,
    properties: Vec<(String, Template)>,
    access: AccessRules,
}

impl Mapper {
    pub(crate) fn new(mapping: &Mapping, access: AccessRules) -> Result<Self> {
        let mut texts = BTreeMap::new();
        for (name, template) in [
            ("title", &mapping.title),
            ("body", &mapping.body),
            ("summary", &mapping.summary),
            ("container", &mapping.container),
            ("author_email", &mapping.author_email),
            ("author_id", &mapping.author_id),
            ("author_name", &mapping.author_name),
            ("status", &mapping.status),
        ] {
            if let Some(template) = template {
                texts.insert(name, Template::new(template)?);
            }
        }
        let time = |text: &Option<String>| text.as_deref().map(Expression::new).transpose();
        let property = |(name, text): (&String, &String)| Ok((name.clone(), Template::new(text)?));
        Ok(Self {
            id: Template::new(&mapping.id)?,
            object_type: mapping.object_type.clone(),
            url: Template::new(&mapping.url)?,
            body_type: mapping.body_type.clone(),
            texts,
            created: time(&mapping.created)?,
            updated: time(&mapping.updated)?,
            tags: mapping.tags.iter().map(|text| Template::new(text)).collect::<Result<_>>()?,
            properties: mapping.properties.iter().map(property).collect::<Result<_>>()?,
            access,
        })
    }

    pub(crate) fn id(&self, item: &Value) -> Result<Option<String>> {
        self.id.text(item)
    }

    pub(crate) fn reference(&self, id: String) -> DocumentRef {
        DocumentRef { id, object_type: self.object_type.clone() }
    }

    /// The document of an item, or why there is none.
    pub(crate) fn document(
        &self,
        item: &Value,
    ) -> Result<std::result::Result<Document, Unreadable>> {
        let unreadable = |id: Option<String>, reason: &str| {
            Ok(Err(Unreadable { id, view_url: None, reason: reason.into() }))
        };
        let Some(id) = self.id(item)? else {
            return unreadable(None, "the setting `id` finds nothing in the item");
        };
        let Some(url) = self.url.url(item)? else {
            return unreadable(Some(id), "the setting `url` finds nothing in the item");
        };
        let mut document = Document::new(id, &self.object_type, url, self.access.access(item)?);
        document.title = self.text("title", item)?;
        document.body = self.text("body", item)?.map(|text| Content::text(&self.body_type, text));
        document.summary =
            self.text("summary", item)?.map(|text| Content::text("text/plain", text));
        if let Some(container) = self.text("container", item)? {
            document = document.container(container);
        }
        let email = self.text("author_email", item)?;
        let author = UserRef {
            email,
            id: self.text("author_id", item)?,
            name: self.text("author_name", item)?,
        };
        document.author = (author.email.is_some() || author.id.is_some()).then_some(author);
        document.created_at = find_time(self.created.as_ref(), item)?;
        document.updated_at = find_time(self.updated.as_ref(), item)?;
        document.status = self.text("status", item)?;
        document.tags = all_texts(&self.tags, item)?;
        for (name, template) in &self.properties {
            let mut texts = template.texts(item)?;
            match texts.len() {
                0 => {}
                1 => document = document.property(name, PropertyValue::Text(texts.remove(0))),
                _ => document = document.property(name, PropertyValue::Texts(texts)),
            }
        }
        Ok(Ok(document))
    }

    fn text(&self, name: &str, item: &Value) -> Result<Option<String>> {
        match self.texts.get(name) {
            Some(template) => template.text(item),
            None => Ok(None),
        }
    }
}

fn find_time(expression: Option<&Expression>, item: &Value) -> Result<Option<i64>> {
    match expression {
        Some(expression) => Ok(time::parse(&expression.find(item)?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sheaf_sdk::Access;

    use crate::access::{AccessMap, AccessRule, NamedAccess};

    use super::*;

    fn ready() -> Mapper {
        let mapping = json!({
            "id": "page-{id}", "object_type": "Page", "url": "{url}", "title": "{title}",
            "body": "{text}", "body_type": "text/html", "author_email": "{by.mail}", "author_name": "{by.name}",
            "updated": "at", "tags": ["{labels[].name}", "always"], "properties": { "team": "{team}" },
        });
        let rules = json!([{ "when": "private == `1`", "access": { "groups": ["{groups}"], "users": ["{by.mail}"] } }]);
        let rules: Vec<AccessRule> = serde_json::from_value(rules).expect("rules");
        let mapping = serde_json::from_value(mapping).expect("a mapping");
        let access = AccessRules::new(Some(&AccessMap::Named(NamedAccess::Everyone)), &rules);
        Mapper::new(&mapping, access.expect("rules")).expect("ready")
    }

    #[test]
    fn an_item_becomes_a_document_with_the_access_of_the_first_rule_that_holds() {
        let mut item = json!({
            "id": 3, "url": "https://a.example.com/x%20y?z=1", "title": "T", "text": "<p>B</p>",
            "by": { "mail": "ann@example.com", "name": "Ann" }, "at": "2024-01-12T12:00:00Z",
            "labels": [{ "name": "l1" }, { "name": "l2" }], "team": null, "private": 0, "groups": ["g1", "g2"],
        });
        let document = ready().document(&item).expect("mapped").expect("a document");
        assert_eq!(
            (document.id.as_str(), document.view_url.as_str()),
            ("page-3", "https://a.example.com/x%20y?z=1")
        );
        assert_eq!(document.access, Access::Everyone);
        assert_eq!(document.tags, ["l1", "l2", "always"]);
        assert_eq!(document.updated_at, Some(1_705_060_800));
        assert_eq!(document.author.expect("an author").name.as_deref(), Some("Ann"));
        assert!(document.properties.is_empty());
        item["private"] = json!(1);
        let document = ready().document(&item).expect("mapped").expect("a document");
        assert_eq!(document.access, Access::only(["ann@example.com"], ["g1", "g2"]));
    }

    #[test]
    fn an_item_without_an_id_or_a_url_is_unreadable_and_says_why() {
        let unreadable =
            ready().document(&json!({ "url": "https://a" })).expect("mapped").expect_err("none");
        assert!(unreadable.reason.contains("`id`") && unreadable.id.is_none());
        let unreadable = ready().document(&json!({ "id": 3 })).expect("mapped").expect_err("none");
        assert_eq!(
            (unreadable.id.as_deref(), unreadable.reason.contains("`url`")),
            (Some("page-3"), true)
        );
    }
}
