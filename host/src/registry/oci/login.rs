//! What a registry is shown: credentials as Docker and Podman keep them, with their helpers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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
        match repository.host.as_str() {
            "docker.io" | "registry-1.docker.io" => Self::at(DOCKER_HUB).await,
            host => Self::at(host).await,
        }
    }

    /// The same for a host, with its port where it has one.
    pub(super) async fn at(host: &str) -> Result<Self> {
        let host = host.to_owned();
        // A helper is a program that may wait for a person.
        let read = tokio::task::spawn_blocking(move || read(&host));
        read.await.map_err(|error| Failure::internal(format!("reading was cut off: {error}")))?
    }
}

fn read(host: &str) -> Result<Login> {
    for (file, bytes) in [podman_file()?, there(docker_file())?].into_iter().flatten() {
        let found = docker_credential::get_credential_from_reader(bytes.as_slice(), host);
        if let Some(login) = login(found, host, &file)? {
            return Ok(login);
        }
    }
    Ok(Login::Nobody)
}

/// A file that is there. One that is there and cannot be read is not the same as none.
fn there(file: Option<PathBuf>) -> Result<Option<(PathBuf, Vec<u8>)>> {
    let Some(file) = file else { return Ok(None) };
    match std::fs::read(&file) {
        Ok(bytes) => Ok(Some((file, bytes))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => {
            let what = format!("the credentials for registries cannot be read: {error}");
            Err(Failure::new(Kind::Secret, what)
                .at(file.display().to_string())
                .next("let this user read the file, or take it away: then nobody is logged in"))
        }
    }
}

fn docker_file() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    Some(folder.or_else(home)?.join("config.json"))
}

/// The first that is there of those where Podman looks.
fn podman_file() -> Result<Option<(PathBuf, Vec<u8>)>> {
    let below = |variable: &str, path: &str| {
        std::env::var_os(variable).map(|folder| PathBuf::from(folder).join(path))
    };
    let named = std::env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from);
    if named.is_some() {
        return there(named);
    }
    match there(below("XDG_RUNTIME_DIR", "containers/auth.json"))? {
        None => there(below("HOME", ".config/containers/auth.json")),
        usual => Ok(usual),
    }
}

fn login(
    found: Result<DockerCredential, CredentialRetrievalError>,
    host: &str,
    file: &Path,
) -> Result<Option<Login>> {
    use CredentialRetrievalError as Error;
    let failed = |what: String| {
        Failure::new(Kind::Secret, format!("the credentials for {host} cannot be had: {what}"))
            .at(file.display().to_string())
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
        let login = |error| login(Err(error), "a.example.com", Path::new("config.json"));
        assert_eq!(login(failure("credentials not found in native keychain")), Ok(None));
        let failed = login(failure("")).expect_err("failed");
        assert!(failed.what.contains("`docker-credential-pass` failed"), "{failed}");
        let failed = login(CredentialRetrievalError::ConfigReadError).expect_err("failed");
        assert_eq!(failed.at.as_deref(), Some("config.json"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_and_one_that_is_not_there_is_none() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("config.json");
        assert_eq!(there(Some(file.clone())), Ok(None));
        assert_eq!(there(Some(file.join("below"))), Ok(None));
        // What no right helps to read.
        std::os::unix::fs::symlink(&file, &file).expect("a link to itself");
        let failure = there(Some(file.clone())).expect_err("unread");
        assert_eq!(failure.kind, Kind::Secret);
        assert_eq!(failure.at, Some(file.display().to_string()));
    }
}
