//! What Glean's documents ask of a document and of a datasource.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use regex::Regex;
use rusqlite::{OptionalExtension as _, Transaction};
use serde_json::Value;

use crate::answer::{Answer, Refusal};
use crate::wire::{Content, Document};

/// Glean: a document's id "should not be more than 200 characters".
const MAX_ID_CHARS: usize = 200;

/// A registered datasource, as far as documents are checked against it.
pub(crate) struct Datasource {
    pub name: String,
    /// Its users and groups are those of another datasource.
    pub has_other_identities: bool,
    url: Option<Regex>,
}

impl Datasource {
    pub(crate) fn find(database: &Transaction<'_>, name: &str) -> Answer<Self> {
        let config: Option<String> = database
            .prepare_cached("SELECT config FROM datasources WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        let config = config.ok_or_else(|| {
            Refusal::bad(format!(
                "the datasource {name:?} does not exist: call /adddatasource first"
            ))
        })?;
        let config: Value = serde_json::from_str(&config).unwrap_or_default();
        let url = config["urlRegex"].as_str().and_then(|pattern| whole(pattern).ok());
        let has_other_identities = config["identityDatasourceName"].is_string();
        Ok(Self { name: name.to_owned(), has_other_identities, url })
    }

    pub(crate) fn check(&self, document: &Document) -> Answer {
        let id = document.id.as_deref().unwrap_or_default();
        let bad = |what: String| Err(Refusal::bad(format!("document {id:?}: {what}")));
        if document.datasource != self.name {
            return bad(format!(
                "its datasource is {:?}, and the request's is {:?}",
                document.datasource, self.name
            ));
        }
        if id.is_empty() {
            return bad("id is required".into());
        }
        if id.chars().count() > MAX_ID_CHARS {
            return bad("id has more than 200 characters".into());
        }
        if let Some(name) = &document.object_type
            && (name.is_empty() || name.contains([' ', '_']))
        {
            return bad(format!("objectType {name:?} is empty or has a space or underscore"));
        }
        if document.container_object_type.as_deref().is_some_and(|name| name.contains([' ', '_'])) {
            return bad("containerObjectType has a space or underscore".into());
        }
        match (&document.view_url, &self.url) {
            (None, Some(_)) => return bad("viewURL is required".into()),
            (Some(url), Some(regex)) if !regex.is_match(url) => {
                return bad(format!("viewURL {url:?} does not match the datasource's urlRegex"));
            }
            _ => {}
        }
        let comments = document.comments.iter().filter_map(|comment| comment.content.as_ref());
        for content in [&document.body, &document.summary].into_iter().flatten().chain(comments) {
            if let Some(what) = broken_content(content) {
                return bad(what.into());
            }
        }
        for property in &document.custom_properties {
            let right = match &property.value {
                Some(Value::String(_) | Value::Number(_)) => true,
                Some(Value::Array(values)) => values.iter().all(Value::is_string),
                _ => false,
            };
            if property.name.as_deref().is_none_or(str::is_empty) || !right {
                return bad(
                    "a custom property needs a name, and a string, integer or strings".into()
                );
            }
        }
        Ok(())
    }
}

fn broken_content(content: &Content) -> Option<&'static str> {
    if content.mime_type.is_empty() {
        return Some("content needs a mimeType");
    }
    match (&content.text_content, &content.binary_content) {
        (Some(_), None) => None,
        (None, Some(binary)) if BASE64.decode(binary).is_ok() => None,
        (None, Some(_)) => Some("binaryContent is not base64"),
        _ => Some("content needs exactly one of textContent and binaryContent"),
    }
}

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})"))
}

/// Fields of `CustomDatasourceConfig`.
const CONFIG_FIELDS: &[&str] = &[
    "name",
    "displayName",
    "datasourceCategory",
    "urlRegex",
    "iconUrl",
    "objectDefinitions",
    "suggestionText",
    "homeUrl",
    "crawlerSeedUrls",
    "iconDarkUrl",
    "hideBuiltInFacets",
    "canonicalizingURLRegex",
    "canonicalizingTitleRegex",
    "redlistTitleRegex",
    "connectorType",
    "quicklinks",
    "renderConfigPreset",
    "aliases",
    "isOnPrem",
    "trustUrlRegexForViewActivity",
    "includeUtmSource",
    "stripFragmentInCanonicalUrl",
    "identityDatasourceName",
    "productAccessGroup",
    "isUserReferencedByEmail",
    "isEntityDatasource",
    "isTestDatasource",
];

const CATEGORIES: &[&str] = &[
    "TICKETS",
    "CRM",
    "PUBLISHED_CONTENT",
    "COLLABORATIVE_CONTENT",
    "QUESTION_ANSWER",
    "MESSAGING",
    "CODE_REPOSITORY",
    "CHANGE_MANAGEMENT",
    "PEOPLE",
    "EMAIL",
    "SSO",
    "ATS",
    "KNOWLEDGE_HUB",
    "EXTERNAL_SHORTCUT",
    "ENTITY",
    "CALENDAR",
    "AGENTS",
    "AI_CONVERSATION",
    "AI_ARTIFACT",
];

/// The name of a datasource's registration, which must be whole.
pub(crate) fn check_config(config: &Value) -> Answer<String> {
    let fields = config.as_object().ok_or_else(|| Refusal::bad("the request is not an object"))?;
    if let Some(field) = fields.keys().find(|field| !CONFIG_FIELDS.contains(&field.as_str())) {
        return Err(Refusal::bad(format!("CustomDatasourceConfig has no field {field:?}")));
    }
    let name = config["name"].as_str().unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Refusal::bad(format!("{name:?} is not a datasource's name")));
    }
    let known = |category: &Value| category.as_str().is_some_and(|name| CATEGORIES.contains(&name));
    if !known(&config["datasourceCategory"]) {
        return Err(Refusal::bad(
            "datasourceCategory must be specified and cannot be UNCATEGORIZED",
        ));
    }
    let is_entity = config["isEntityDatasource"].as_bool().unwrap_or(false);
    match config["urlRegex"].as_str() {
        Some(pattern) => {
            whole(pattern).map_err(|error| Refusal::bad(format!("urlRegex: {error}")))?;
        }
        None if !is_entity => return Err(Refusal::bad("urlRegex is required")),
        None => {}
    }
    for object in config["objectDefinitions"].as_array().into_iter().flatten() {
        let name = object["name"].as_str().unwrap_or_default();
        if name.is_empty() || name.contains([' ', '_']) {
            return Err(Refusal::bad(format!("{name:?} is not the name of an object type")));
        }
    }
    Ok(name.to_owned())
}
