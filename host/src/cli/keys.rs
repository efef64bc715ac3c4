//! `sheaf keys new`: a pair to sign connectors with, which cosign reads, too.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::output::Report;
use crate::failure::{Failure, Result};
use crate::registry::trust::PrivateKey;

#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a pair of keys: NAME.key, to be kept secret, and NAME.pub, to be given to whoever runs your connectors.
    New {
        /// What the two files are called, without their endings.
        #[arg(default_value = "sheaf")]
        name: PathBuf,
    },
}

pub(super) fn run(args: Args) -> Result<Report> {
    let What::New { name } = args.what;
    let file = |ending: &str| PathBuf::from(format!("{}.{ending}", name.display()));
    let (secret, public) = (file("key"), file("pub"));
    let (key, pem) = PrivateKey::generate()?;
    // A secret is never written beside another's public key.
    write(&public, &key.public().to_pem(), 0o644)?;
    if let Err(failure) = write(&secret, &pem, 0o600) {
        let _ = std::fs::remove_file(&public);
        return Err(failure);
    }
    let id = key.public().id();
    let result = json!({ "private": secret, "public": public, "id": id });
    let summary = format!(
        "{} signs what you publish, and is to be kept secret; {} is for those who run it\n  id {id}",
        secret.display(),
        public.display()
    );
    Ok(Report::new(summary, result))
}

/// A file that was not there.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let next = match error.kind() {
            ErrorKind::AlreadyExists => {
                "give the pair another name; a key that is there is never written over"
            }
            _ => "see that its folder is there and may be written to, or name another",
        };
        Failure::settings(format!("the key cannot be written: {error}"))
            .at(path.display().to_string())
            .next(next)
    })
}
