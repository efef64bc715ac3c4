//! `sheaf new NAME --lang LANGUAGE`: a project to write a connector in.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::json;

use super::output::Report;
use crate::failure::Result;
use crate::project::{self, Language, Name};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// What the connector is called, such as `team-wiki`. Its project becomes a folder of this name, here.
    name: String,
    /// What it is written in.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Language,
}

pub(super) fn run(args: &Args) -> Result<Report> {
    let name = Name::of(&args.name)?;
    let language = args.lang;
    project::write(&name, language, Path::new(name.as_str()))?;
    let name_of = name.as_str();
    let preview = format!("sheaf preview {name_of}");
    let result = json!({
        "name": name_of,
        "language": language.title(),
        "folder": name_of,
        "build": language.build(),
        "test": language.test(),
        "component": language.component(&name),
        "preview": preview,
    });
    let summary =
        format!("{name_of} is a connector in {} now, in the folder {name_of}", language.title());
    let mut text = format!("{summary}\n\nnext:\n  cd {name_of}\n");
    for line in language.build() {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(&format!("  {preview}\n\nREADME.md there says the rest.\n"));
    Ok(Report::new(summary, result).text(text))
}
