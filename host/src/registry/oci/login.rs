//! What a registry is shown: credentials as Docker and Podman keep them, with their helpers.

use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::reference::Repository;
use crate::failure::{Failure, Kind, Result};
use crate::secret::Secret;

/// Who we are to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    Nobody,
    Password(String, Secret),
    /// One that a token is asked for with.
    Refresh(Secret),
}

/// What Docker calls its own registry in its files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

impl Login {
    /// What the files of this user say. A file that cannot be read, and a helper that fails, are errors: nobody is
    /// anonymous without knowing.
    pub(super) async fn of(repository: &Repository) -> Result<Self> {
        let host = match repository.host.as_str() {
            "docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
            host => host.to_owned(),
        };
        // A helper is a program that may wait for a person.
        let read = tokio::task::spawn_blocking(move || read(&host));
        read.await.map_err(|error| Failure::internal(format!("reading was cut off: {error}")))?
    }
}

fn read(host: &str) -> Result<Login> {
    let podman = podman_file().is_some_and(|file| file.is_file());
    if podman {
        let found = docker_credential::get_podman_credential(host);
        if let Some(login) = login(found, host)? {
            return Ok(login);
        }
    }
    if docker_file().is_some_and(|file| file.is_file()) {
        let found = docker_credential::get_credential(host);
        return Ok(login(found, host)?.unwrap_or(Login::Nobody));
    }
    Ok(Login::Nobody)
}

fn docker_file() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    Some(folder.or_else(home)?.join("config.json"))
}

fn podman_file() -> Option<PathBuf> {
    let named = std::env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from);
    let usual = || {
        let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)?;
        Some(folder.join("containers/auth.json"))
    };
    let home = || {
        let home = std::env::var_os("HOME").map(PathBuf::from)?;
        Some(home.join(".config/containers/auth.json"))
    };
    named.or_else(|| usual().filter(|file| file.is_file())).or_else(home)
}

fn login(
    found: Result<DockerCredential, CredentialRetrievalError>,
    host: &str,
) -> Result<Option<Login>> {
    use CredentialRetrievalError as Error;
    let failed = |what: String| {
        Failure::new(Kind::Secret, format!("the credentials for {host} cannot be had: {what}"))
            .next("log in again (`docker login`, `podman login`), or take the registry out of that file")
    };
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Login::Password(user, Secret::fetched(&password))))
        }
        Ok(DockerCredential::IdentityToken(token)) => {
            Ok(Some(Login::Refresh(Secret::fetched(&token))))
        }
        Err(Error::NoCredentialConfigured | Error::ConfigNotFound) => Ok(None),
        // So helpers say that they have none.
        Err(Error::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr].iter().any(|text| text.contains("credentials not found")) =>
        {
            Ok(None)
        }
        Err(Error::HelperFailure { helper, stderr, .. }) => {
            Err(failed(format!("`{helper}` failed")).detail(stderr))
        }
        Err(Error::HelperCommunicationError) => {
            Err(failed("their helper, `docker-credential-…`, cannot be run".to_owned()))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_fails_is_named_and_one_that_has_nothing_is_nobody() {
        let failure = |stdout: &str| CredentialRetrievalError::HelperFailure {
            helper: "docker-credential-pass".into(),
            stdout: stdout.into(),
            stderr: "locked".into(),
        };
        let nobody =
            login(Err(failure("credentials not found in native keychain")), "a.example.com");
        assert_eq!(nobody, Ok(None));
        let failed = login(Err(failure("")), "a.example.com").expect_err("failed");
        assert!(failed.what.contains("`docker-credential-pass` failed"), "{failed}");
        assert!(login(Err(CredentialRetrievalError::ConfigReadError), "a.example.com").is_err());
    }
}
