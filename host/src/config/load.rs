//! Finds a `sheaf.toml` and reads it.

use std::path::{Path, PathBuf};

use super::file;
use super::locate::Locate;
use super::settings::Config;
use crate::failure::{Failure, Result};

pub const FILE_NAME: &str = "sheaf.toml";

impl Config {
    /// Reads `named`, or the nearest `sheaf.toml` from this folder upwards.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => find()?,
        };
        Self::parse(&path, &Self::text(&path)?, &|name| std::env::var(name).ok())
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
        let locate = Locate { path, text };
        let file: file::File = toml::from_str(text).map_err(|error| locate.parse_error(&error))?;
        file.validate(&locate, env)
    }
}

fn find() -> Result<PathBuf> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::settings(format!("there is no current folder: {error}")))?;
    here.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.is_file()).ok_or_else(
        || {
            Failure::settings("there is no sheaf.toml here or in a folder above")
                .at(here.display().to_string())
                .next("name one with `--config`; examples/basic_workflow has one to copy")
        },
    )
}
