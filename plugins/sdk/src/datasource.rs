//! The registration of a datasource. Glean: "Set up a datasource", `CustomDatasourceConfig`.

use serde_json::{Map, Value, json};

/// Glean's categories of datasources and of objects: `datasourceCategory` and `docCategory`. A category is a signal
/// for ranking. Glean names them without saying more; what stands here is what they are commonly used for.
pub mod category {
    /// Issues, bugs, requests for support.
    pub const TICKETS: &str = "TICKETS";
    /// Customers, accounts and deals.
    pub const CRM: &str = "CRM";
    /// What is published and read by many, such as a web site or a blog.
    pub const PUBLISHED_CONTENT: &str = "PUBLISHED_CONTENT";
    /// What several people write together, such as documents and slides.
    pub const COLLABORATIVE_CONTENT: &str = "COLLABORATIVE_CONTENT";
    /// Questions with answers, such as a forum.
    pub const QUESTION_ANSWER: &str = "QUESTION_ANSWER";
    /// Messages in channels and chats.
    pub const MESSAGING: &str = "MESSAGING";
    /// Source code.
    pub const CODE_REPOSITORY: &str = "CODE_REPOSITORY";
    /// Changes to code or systems, and their reviews.
    pub const CHANGE_MANAGEMENT: &str = "CHANGE_MANAGEMENT";
    /// People and teams.
    pub const PEOPLE: &str = "PEOPLE";
    /// Mail.
    pub const EMAIL: &str = "EMAIL";
    /// What a company knows and looks up, such as a wiki or a handbook.
    pub const KNOWLEDGE_HUB: &str = "KNOWLEDGE_HUB";
    /// Events and meetings.
    pub const CALENDAR: &str = "CALENDAR";
}

/// What the values of a custom property are: `propertyType`. It decides how Glean searches and filters by it.
pub mod property_type {
    /// A text: [`PropertyValue::Text`](crate::PropertyValue::Text).
    pub const TEXT: &str = "TEXT";
    /// One text out of a few, such as a priority.
    pub const PICKLIST: &str = "PICKLIST";
    /// Several texts: [`PropertyValue::Texts`](crate::PropertyValue::Texts).
    pub const TEXTLIST: &str = "TEXTLIST";
    /// A whole number: [`PropertyValue::Integer`](crate::PropertyValue::Integer).
    pub const INT: &str = "INT";
    /// A user, as the datasource refers to users: by e-mail, unless its registration says otherwise.
    pub const USERID: &str = "USERID";
    /// A date. How it is to be written, Glean's description leaves open.
    pub const DATE: &str = "DATE";
}

/// How Glean shall know and show this source. Its name is the operator's to give.
///
/// ```
/// use sheaf_sdk::{Datasource, category, property_type};
///
/// Datasource::new("Tracker", category::TICKETS, r"https://bugs\.example\.com/issue/.*")
///     .object("Issue", category::TICKETS)
///     .property("priority", property_type::PICKLIST)
///     .field("homeUrl", "https://bugs.example.com");
/// ```
#[derive(Debug, Clone)]
pub struct Datasource {
    fields: Map<String, Value>,
    objects: Vec<Value>,
}

impl Datasource {
    /// `display_name` is what people read; `category` is one of [`category`]; `url_regex` matches the view URLs of
    /// the documents, and no others: Glean finds the datasource of a URL by it, and the host quarantines documents
    /// whose URL it does not match. Users are referred to by e-mail (`isUserReferencedByEmail`).
    pub fn new(display_name: &str, category: &str, url_regex: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("displayName".into(), display_name.into());
        fields.insert("datasourceCategory".into(), category.into());
        fields.insert("urlRegex".into(), url_regex.into());
        fields.insert("isUserReferencedByEmail".into(), true.into());
        Self { fields, objects: Vec::new() }
    }

    /// A kind of document, by its object type, which has neither spaces nor underscores; `category` is one of
    /// [`category`].
    #[must_use]
    pub fn object(mut self, name: &str, category: &str) -> Self {
        self.objects.push(json!({ "name": name, "docCategory": category }));
        self
    }

    /// A custom property of the object that was added last, of one of the [`property_type`]s. Before the first
    /// object there is nothing that could have it, and the call does nothing.
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

    /// Any other field of `CustomDatasourceConfig`, by its JSON name, such as `homeUrl` or `iconUrl`.
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
