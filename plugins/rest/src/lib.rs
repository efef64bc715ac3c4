//! Any JSON API, as its settings describe it: which requests list its items, how they are paged, and
//! which parts of an item become the parts of a document. Lists of users and groups are described alike.
//!
//! Each endpoint is a scope. A checkpoint is the request of the page being read and the last item of it
//! that was delivered, so that a crawl resumes in the middle of a page. A crawl's bookmark is the
//! source's own clock when the crawl began.

#![warn(unreachable_pub)]

mod access;
mod api;
mod changes;
mod checkpoint;
mod coverage;
mod cursor;
mod detail;
mod document;
mod expression;
mod identities;
mod list;
mod listing;
mod paging;
mod prepared;
mod request;
mod settings;
mod template;
mod time;
mod walk;

use sheaf_sdk::identities::Identities;
use sheaf_sdk::{Connector, Crawl, Datasource, Error, Manifest, Result, Scope, property_type};

pub use cursor::RestCursor;
pub use identities::RestReading;
use identities::rolls;
use prepared::prepare;
pub use settings::Settings;
/// For tests that feed it any text.
#[doc(hidden)]
pub use template::Template;

pub struct Rest;

impl Connector for Rest {
    type Settings = Settings;
    type Cursor = RestCursor;

    fn manifest() -> Manifest {
        Manifest::new(
            "rest",
            env!("CARGO_PKG_VERSION"),
            "Reads any JSON API, as its settings describe it.",
        )
        .host("{base_url}")
        .credential("api", "to read the API, where the setting `credential` is \"api\"")
        .incremental()
    }

    fn datasource(settings: &Settings) -> Result<Datasource> {
        prepare(settings)?;
        rolls(&settings.identities)?;
        let name = settings.display_name.as_deref().unwrap_or("REST");
        let mut datasource = Datasource::new(name, &settings.category, &settings.url_regex());
        for object_type in settings.object_types() {
            datasource = datasource.object(object_type, &settings.category);
            for name in settings.properties(object_type) {
                datasource = datasource.property(name, property_type::TEXT);
            }
        }
        Ok(datasource.field("homeUrl", settings.base_url.as_str()))
    }

    fn check(settings: &Settings) -> Result<String> {
        let api = settings.api();
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        for endpoint in prepare(settings)? {
            let name = endpoint.setting.name.clone();
            match RestCursor::at_its_beginning(api.clone(), endpoint).look() {
                Ok(said) => found.push(format!("{name} {said}")),
                Err(error) => wrong.push(error),
            }
        }
        for roll in rolls(&settings.identities)? {
            match roll.look(&api) {
                Ok(said) => found.push(format!("{} {said}", roll.setting.name)),
                Err(error) => wrong.push(error),
            }
        }
        match Error::all(wrong) {
            Some(error) => Err(error),
            None => Ok(found.join(", ")),
        }
    }

    fn scopes(settings: &Settings) -> Result<Vec<Scope>> {
        let scope = |endpoint: &settings::Endpoint| {
            Scope::new(&endpoint.name, endpoint.title.as_ref().unwrap_or(&endpoint.name))
        };
        Ok(settings.endpoints.iter().map(scope).collect())
    }

    fn open(settings: Settings, crawl: Crawl) -> Result<RestCursor> {
        let endpoints = prepare(&settings)?;
        let endpoint = endpoints.into_iter().find(|known| known.setting.name == crawl.scope);
        let endpoint = endpoint.ok_or_else(|| {
            Error::start_over(format!(
                "there is no endpoint `{}` in the settings any more",
                crawl.scope
            ))
        })?;
        RestCursor::open(settings.api(), endpoint, &crawl)
    }
}

impl Identities for Rest {
    type Reading = RestReading;

    fn open(settings: Settings, resume: Option<String>) -> Result<Option<RestReading>> {
        RestReading::open(settings.api(), rolls(&settings.identities)?, resume.as_deref())
    }
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code)]
mod exports {
    sheaf_sdk::export!(super::Rest);
    sheaf_sdk::export_identities!(super::Rest);
}
