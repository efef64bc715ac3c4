//! What people copy is right: the examples' configurations, and those that the READMEs show.

use std::path::{Path, PathBuf};

use sheaf::config::Config;
use sheaf_tests::root;

/// Every file of this name below a folder, but for what others put there.
fn found(folder: &Path, name: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_ours = !["target", "node_modules", ".git"].iter().any(|name| path.ends_with(name));
        if path.ends_with(name) {
            into.push(path);
        } else if path.is_dir() && is_ours {
            found(&path, name, into);
        }
    }
}

/// Reads it where each variable that it names has a value.
fn parse(path: &Path, text: &str) -> Config {
    let env =
        |name: &str| text.contains(&format!("env = \"{name}\"")).then(|| "a value".to_owned());
    Config::parse(path, text, &env).unwrap_or_else(|failure| panic!("{failure:#?}\n{text}"))
}

#[test]
fn each_example_s_configuration_is_one() {
    let mut examples = Vec::new();
    found(&root().join("examples"), "sheaf.toml", &mut examples);
    assert!(examples.len() >= 4, "{examples:?}");
    for path in examples {
        let text = std::fs::read_to_string(&path).expect("a text");
        assert!(!parse(&path, &text).connections.is_empty(), "{}", path.display());
    }
}

/// The blocks of TOML in a text.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0))
}

#[test]
fn each_configuration_in_a_readme_is_one() {
    let mut readmes = Vec::new();
    found(root(), "README.md", &mut readmes);
    let mut read = 0;
    for path in readmes {
        let text = std::fs::read_to_string(&path).expect("a text");
        // Others are a few lines of a connector's own settings.
        for block in blocks(&text).filter(|block| block.contains("[connections.")) {
            let (_, connection) = block.split_once("[connections.").expect("a connection");
            let name = connection.split(['.', ']']).next().expect("a name");
            // Some leave out what stands in each.
            let connection = format!("[connections.{name}]\n");
            let rest = format!("\n{connection}connector = \"any\"\ndatasource = \"any\"\n");
            let rest = if block.contains(&connection) { "" } else { &rest };
            parse(&path, &format!("{block}{rest}"));
            read += 1;
        }
    }
    assert!(read >= 7, "{read}");
}
