//! Writes a project into a folder of its own.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::files::File;
use super::language::Language;
use super::name::Name;
use crate::failure::{Failure, Result};

/// What the SDK's own package takes from its workspace, which a project has not.
const OF_THE_WORKSPACE: &str = "\n[lints]\nworkspace = true\n";

/// Writes the project of a new connector into a folder that does not exist yet, or is empty.
pub(crate) fn write(name: &Name, language: Language, folder: &Path) -> Result<()> {
    refuse_what_is_there(folder)?;
    for file in language.template() {
        let path = match file.path {
            // With its dot it would count in the checkout, too.
            "gitignore" => ".gitignore",
            path => path,
        };
        put(&folder.join(path), &filled(file, name))?;
    }
    for (part, files) in language.parts() {
        for file in *files {
            let text = file.text.replace(OF_THE_WORKSPACE, "");
            put(&folder.join(part).join(file.path), &text)?;
        }
    }
    Ok(())
}

/// A file of a template with the names in their places.
fn filled(file: &File, name: &Name) -> String {
    file.text
        .replace("{{name}}", name.as_str())
        .replace("{{module}}", &name.module())
        .replace("{{datasource}}", &name.datasource())
        .replace("{{title}}", &name.title())
}

fn refuse_what_is_there(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let taken = |what: String| {
        Err(Failure::settings(what).next("choose another name, or move away what is there"))
    };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => taken(format!("the folder {shown} is there already, and it is not empty")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            taken(format!("{shown} is there already, and it is no folder"))
        }
        Err(error) => taken(format!("the folder {shown} cannot be read: {error}")),
    }
}

/// A file that is new: what is there is never written over.
fn put(path: &Path, text: &str) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        let mut file = fs::File::create_new(path)?;
        file.write_all(text.as_bytes())
    });
    written.map_err(|error| {
        Failure::settings(format!("the project cannot be written: {error}"))
            .at(path.display().to_string())
            .next(
                "remove what is there of it, and see that this folder can be written and has space",
            )
    })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn name() -> Name {
        Name::of("team-wiki").expect("a name")
    }

    #[test]
    fn a_project_has_its_name_everywhere_and_leads_nowhere_else() {
        for language in Language::value_variants() {
            let folder = tempfile::tempdir().expect("a folder");
            let project = folder.path().join("team-wiki");
            write(&name(), *language, &project).expect("written");
            let config = fs::read_to_string(project.join("sheaf.toml")).expect("sheaf.toml");
            assert!(config.contains("[connections.team-wiki]"), "{config}");
            for file in language.template() {
                let text = filled(file, &name());
                for place in ["../..", ".workspace", "workspace = true", "plugins/"] {
                    assert!(!text.contains(place), "{language:?}, {}: {place}", file.path);
                }
                let left = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
                let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
                let left: Vec<_> =
                    left.map(|(word, _)| word).filter(|word| is_word(word)).collect();
                assert!(left.is_empty(), "{language:?}, {}: {left:?}", file.path);
            }
        }
    }

    #[test]
    fn the_sdk_in_a_project_is_of_this_program_and_needs_no_workspace() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&name(), Language::Rust, folder.path()).expect("an empty folder is taken");
        let text = fs::read_to_string(folder.path().join("sdk/Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = toml::from_str(&text).expect("TOML");
        assert_eq!(manifest["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        assert!(!text.contains("workspace ="), "{text}");
        let contract = fs::read_to_string(folder.path().join("sdk/wit/connector.wit"));
        assert!(contract.expect("the contract").contains("package sheaf:connector@0.1.0;"));
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let full = folder.path().join("full");
        fs::create_dir(&full).expect("a folder");
        fs::write(full.join("README.md"), "mine").expect("written");
        let file = folder.path().join("file");
        fs::write(&file, "mine").expect("written");
        for (there, why) in [(&full, "it is not empty"), (&file, "it is no folder")] {
            let failure = write(&name(), Language::Rust, there).expect_err("refused");
            assert!(failure.what.contains(why), "{failure}");
            assert!(failure.next.is_some());
        }
        assert_eq!(fs::read_to_string(full.join("README.md")).expect("a file"), "mine");
        assert_eq!(fs::read_dir(&full).expect("a folder").count(), 1);
    }
}
