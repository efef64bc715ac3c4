//! Between the generated bindings and [`Connector`].

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::exports::sheaf::connector::documents::{Crawl, Limits, Page, Scope};
use crate::bindings::exports::sheaf::connector::{connector, documents};
use crate::bindings::sheaf::connector::{base, host};
use crate::connector::{Connector, Cursor as _};
use crate::error::{Error, Result};
use crate::logging;

/// Makes a [`Connector`] the contract's exports. [`export!`](crate::export) uses it; nobody else needs to.
pub struct Adapter<C>(PhantomData<C>);

/// The host has checked the settings by the schema; what a schema cannot say is found here.
pub(crate) fn settings<C: Connector>() -> Result<C::Settings> {
    serde_json::from_str(&host::settings())
        .map_err(|error| Error::fix_settings(format!("the settings are not right: {error}")))
}

impl<C: Connector> connector::Guest for Adapter<C> {
    fn describe() -> connector::Manifest {
        let manifest = C::manifest();
        let schema = schemars::schema_for!(C::Settings);
        connector::Manifest {
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            settings_schema: schema.as_value().to_string(),
            hosts: manifest.hosts,
            credentials: manifest
                .credentials
                .into_iter()
                .map(|(name, purpose)| connector::CredentialRequest { name, purpose })
                .collect(),
            incremental: manifest.incremental,
            folders: manifest.folders,
        }
    }

    fn datasource() -> Result<String, base::Fault> {
        logging::start();
        let datasource = settings::<C>().and_then(|settings| C::datasource(&settings))?;
        Ok(datasource.to_json())
    }

    fn check() -> Result<String, base::Fault> {
        logging::start();
        Ok(settings::<C>().and_then(|settings| C::check(&settings))?)
    }
}

impl<C: Connector> documents::Guest for Adapter<C> {
    type Cursor = Open<C>;

    fn scopes() -> Result<Vec<Scope>, base::Fault> {
        logging::start();
        Ok(settings::<C>().and_then(|settings| C::scopes(&settings))?)
    }

    fn open(crawl: Crawl) -> Result<documents::Cursor, base::Fault> {
        logging::start();
        let cursor = C::open(settings::<C>()?, crawl)?;
        Ok(documents::Cursor::new(Open::<C>(RefCell::new(cursor))))
    }
}

/// A cursor as the contract sees it: calls come one at a time.
pub struct Open<C: Connector>(RefCell<C::Cursor>);

impl<C: Connector> documents::GuestCursor for Open<C> {
    fn next(&self, limits: Limits) -> Result<Page, base::Fault> {
        Ok(self.0.borrow_mut().next(limits)?)
    }
}
