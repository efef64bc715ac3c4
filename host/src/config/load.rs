//! Finds a `sheaf.toml` and reads it.

use std::path::{Path, PathBuf};

use super::file;
use super::locate::Locate;
use super::settings::Config;
use super::values::{Env, Secrets};
use crate::failure::{Failure, Result};

pub const FILE_NAME: &str = "sheaf.toml";

impl Config {
    /// Reads `named`, or the nearest `sheaf.toml` from this folder upwards.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let path = which(named)?;
        Self::parse(&path, &Self::text(&path)?, &|name| std::env::var(name).ok())
    }

    /// The same for what speaks neither to Glean nor to Temporal: their secrets need not be there.
    pub fn load_without_secrets(named: Option<&Path>) -> Result<Self> {
        let path = which(named)?;
        let env = |name: &str| std::env::var(name).ok();
        Self::parse_with(&path, &Self::text(&path)?, &env, Secrets::Later)
    }

    pub(super) fn text(path: &Path) -> Result<String> {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::settings(format!("cannot read the configuration: {error}"))
                .at(path.display().to_string())
                .next("name it with `--config`, or run from a folder below it")
        })
    }

    /// Checks the text of a file at `path`, with `env` for the environment.
    pub fn parse(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Self::parse_with(path, text, env, Secrets::Now(env))
    }

    fn parse_with(path: &Path, text: &str, env: Env<'_>, secrets: Secrets<'_>) -> Result<Self> {
        let locate = Locate { path, text };
        let file: file::File = toml::from_str(text).map_err(|error| locate.parse_error(&error))?;
        file.validate(&locate, env, secrets)
    }
}

fn which(named: Option<&Path>) -> Result<PathBuf> {
    named.map_or_else(find, |path| Ok(path.to_owned()))
}

fn find() -> Result<PathBuf> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::settings(format!("there is no current folder: {error}")))?;
    here.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.is_file()).ok_or_else(
        || {
            Failure::settings("there is no sheaf.toml here or in a folder above")
                .at(here.display().to_string())
                .next("name one with `--config`, or make one here: to `sheaf add` connectors, an empty one is enough")
        },
    )
}
