//! The registration of a datasource. Glean: "Set up a datasource", `CustomDatasourceConfig`.

use serde_json::{Map, Value, json};

/// Glean's categories of datasources and of objects. A category is a signal for ranking.
pub mod category {
    pub const TICKETS: &str = "TICKETS";
    pub const CRM: &str = "CRM";
    pub const PUBLISHED_CONTENT: &str = "PUBLISHED_CONTENT";
    pub const COLLABORATIVE_CONTENT: &str = "COLLABORATIVE_CONTENT";
    pub const QUESTION_ANSWER: &str = "QUESTION_ANSWER";
    pub const MESSAGING: &str = "MESSAGING";
    pub const CODE_REPOSITORY: &str = "CODE_REPOSITORY";
    pub const CHANGE_MANAGEMENT: &str = "CHANGE_MANAGEMENT";
    pub const PEOPLE: &str = "PEOPLE";
    pub const EMAIL: &str = "EMAIL";
    pub const KNOWLEDGE_HUB: &str = "KNOWLEDGE_HUB";
    pub const CALENDAR: &str = "CALENDAR";
}

/// What the values of a custom property are.
pub mod property_type {
    pub const TEXT: &str = "TEXT";
    pub const PICKLIST: &str = "PICKLIST";
    pub const TEXTLIST: &str = "TEXTLIST";
    pub const INT: &str = "INT";
    pub const USERID: &str = "USERID";
    pub const DATE: &str = "DATE";
}

/// How Glean shall know and show this source. Its name is the operator's to give.
#[derive(Debug, Clone)]
pub struct Datasource {
    fields: Map<String, Value>,
    objects: Vec<Value>,
}

impl Datasource {
    /// `url_regex` matches the view URLs of the documents, and no others.
    pub fn new(display_name: &str, category: &str, url_regex: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("displayName".into(), display_name.into());
        fields.insert("datasourceCategory".into(), category.into());
        fields.insert("urlRegex".into(), url_regex.into());
        fields.insert("isUserReferencedByEmail".into(), true.into());
        Self { fields, objects: Vec::new() }
    }

    /// A kind of document, by its object type.
    #[must_use]
    pub fn object(mut self, name: &str, category: &str) -> Self {
        self.objects.push(json!({ "name": name, "docCategory": category }));
        self
    }

    /// A custom property of the object that was added last.
    #[must_use]
    pub fn property(mut self, name: &str, property_type: &str) -> Self {
        let definition =
            json!({ "name": name, "displayLabel": name, "propertyType": property_type });
        if let Some(object) = self.objects.last_mut().and_then(Value::as_object_mut) {
            let definitions = object.entry("propertyDefinitions").or_insert_with(|| json!([]));
            definitions.as_array_mut().into_iter().for_each(|all| all.push(definition.clone()));
        }
        self
    }

    /// Any other field of `CustomDatasourceConfig`.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    pub(crate) fn to_json(&self) -> String {
        let mut fields = self.fields.clone();
        if !self.objects.is_empty() {
            fields.insert("objectDefinitions".into(), self.objects.clone().into());
        }
        Value::Object(fields).to_string()
    }
}
