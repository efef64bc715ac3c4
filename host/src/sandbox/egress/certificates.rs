//! Who is trusted, and who this client is, as it is sent to where connections are encrypted.

use std::fmt;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};

use crate::tls::choose_provider;

/// Certificates, each as DER.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// The authorities that are trusted: the system's, and those that are granted.
    pub authorities: Vec<Vec<u8>>,
    pub client: Option<ClientCertificate>,
}

/// A client's certificate with those above it, and its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    pub chain: Vec<Vec<u8>>,
    pub key: Vec<u8>,
}

/// Without the key.
impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Certificates {
    /// How connections are encrypted with them.
    pub(super) fn config(&self) -> Result<ClientConfig, rustls::Error> {
        choose_provider();
        let mut authorities = RootCertStore::empty();
        // Systems hold some that are of no use to anybody.
        authorities.add_parsable_certificates(self.authorities.iter().cloned().map(Into::into));
        if authorities.is_empty() {
            return Err(rustls::Error::General(
                "no authorities are trusted, neither the system's nor others".into(),
            ));
        }
        let config = ClientConfig::builder().with_root_certificates(authorities);
        let Some(client) = &self.client else { return Ok(config.with_no_client_auth()) };
        let key = PrivateKeyDer::try_from(client.key.clone())
            .map_err(|why| rustls::Error::General(why.into()))?;
        config.with_client_auth_cert(client.chain.iter().cloned().map(Into::into).collect(), key)
    }
}
