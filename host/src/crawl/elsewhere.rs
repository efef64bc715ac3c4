//! A document that no crawl has seen: Glean may have it from another tool.

use super::crawler::Crawler;
use super::identities::Person;
use super::in_glean::InGlean;
use crate::failure::Failure;
use crate::glean::access::DocumentInGlean;

/// Object types of a datasource that are asked for.
const MOST: usize = 10;

/// What Glean says of it.
pub struct Elsewhere {
    pub person: Person,
    /// The object type under which Glean has it.
    pub object_type: Option<String>,
    /// Whether Glean says that it has it under none.
    pub is_missing: bool,
    /// Or why it was not asked.
    pub said: Result<InGlean, Failure>,
}

impl Crawler {
    /// Asks Glean. It knows documents by type and id, and only the datasource says which types there are.
    pub(super) async fn elsewhere(
        &self,
        datasource: &str,
        id: &str,
        person: Person,
    ) -> Option<Elsewhere> {
        if self.client.server_url().is_empty() {
            return None;
        }
        let config = match self.soon(self.client.datasource_config(datasource)).await {
            Ok(config) => config,
            Err(error) => {
                let (object_type, is_missing) = (None, false);
                return Some(Elsewhere {
                    person,
                    object_type,
                    is_missing,
                    said: Err(error.into()),
                });
            }
        };
        let defined = config["objectDefinitions"].as_array().into_iter().flatten();
        let types: Vec<_> = defined.filter_map(|defined| defined["name"].as_str()).collect();
        let mut last = None;
        // By an address Glean knows none.
        let mut is_missing = types.len() <= MOST && !id.contains("://");
        for object_type in types.into_iter().take(MOST) {
            let said = self.ask_glean(datasource, (object_type, id), &person).await?;
            let has = said.document.as_ref().is_ok_and(DocumentInGlean::is_there)
                || matches!(said.allowed, Ok(Some(true)));
            if has {
                let object_type = Some(object_type.to_owned());
                return Some(Elsewhere { person, object_type, is_missing: false, said: Ok(said) });
            }
            is_missing &= said.document.as_ref().is_ok_and(DocumentInGlean::is_missing);
            let is_away = said.document.is_err() && said.allowed.is_err();
            last = Some(said);
            if is_away {
                break;
            }
        }
        last.map(|said| Elsewhere { person, object_type: None, is_missing, said: Ok(said) })
    }
}
