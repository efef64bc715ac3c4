//! Certificates, read from the system and from the files that are granted.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind, from_buf};

use super::certificates::{Certificates, ClientCertificate};
use super::grant::Tls;
use crate::failure::{Failure, Result, cause};

/// Blocks while it reads.
pub(super) fn read(tls: &Tls, connection: &str) -> Result<Certificates> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!("the system's authorities cannot all be read: {error}");
    }
    let mut authorities: Vec<Vec<u8>> =
        system.certs.into_iter().map(|found| found.as_ref().to_vec()).collect();
    if let Some(path) = &tls.ca {
        authorities.extend(granted_authorities(path, connection)?);
    }
    let client = tls.client_certificate.as_deref().map(client).transpose()?;
    let certificates = Certificates { authorities, client };
    certificates.config().map_err(|error| no_client(&error, connection))?;
    Ok(certificates)
}

/// There is none that could use the certificates.
pub(super) fn no_client(error: &dyn std::error::Error, connection: &str) -> Failure {
    Failure::settings(format!("no HTTP client: {}", cause(error)))
        .at(connection)
        .next("see the certificates in `tls` of the connection's grants")
}

fn unusable(path: &Path, why: &str) -> Failure {
    Failure::settings(format!("the certificate cannot be used: {why}"))
        .at(path.display().to_string())
        .next("give a PEM file; a client's holds its certificate and its key")
}

fn granted_authorities(path: &Path, connection: &str) -> Result<Vec<Vec<u8>>> {
    let text = std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))?;
    let mut tried = RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate =
            certificate.map_err(|_| unusable(path, "invalid certificate encoding"))?;
        found.push(certificate.as_ref().to_vec());
        tried.add(certificate).map_err(|error| no_client(&error, connection))?;
    }
    if found.is_empty() {
        return Err(unusable(path, "there is none in it"));
    }
    Ok(found)
}

fn client(path: &Path) -> Result<ClientCertificate> {
    let text = std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))?;
    let (mut chain, mut key) = (Vec::new(), None);
    let mut rest = text.as_slice();
    // What the reader says of a file could quote it.
    while let Some((kind, found)) =
        from_buf(&mut rest).map_err(|_| unusable(path, "Invalid identity PEM file"))?
    {
        match kind {
            SectionKind::Certificate => chain.push(found),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                key = Some(found);
            }
            _ => return Err(unusable(path, "No valid certificate was found")),
        }
    }
    match key {
        Some(key) if !chain.is_empty() => Ok(ClientCertificate { chain, key }),
        _ => Err(unusable(path, "private key or certificate not found")),
    }
}
