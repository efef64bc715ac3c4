//! The files that projects are made of. They are in this program, each as it stands in the checkout.

/// A file's place below the folder that its part goes into, and what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// The files of one folder of the checkout. A test sees that none is left out.
macro_rules! files {
    ($(#[$doc:meta])* $name:ident = $root:literal: $($path:literal),+ $(,)?) => {
        $(#[$doc])*
        pub(super) const $name: &[File] = &[
            $(File { path: $path, text: include_str!(concat!("../../../", $root, "/", $path)) }),+
        ];
    };
}

files! {
    /// A page of notes for each file: what the templates read until they are given something else.
    SAMPLE = "host/templates/sample": "notes-1.json", "notes-2.json", "notes-3.json",
}

files! {
    RUST = "host/templates/rust":
        "Cargo.toml", "README.md", "gitignore", "sheaf.toml", "src/lib.rs", "src/source.rs", "src/tests.rs",
}

files! {
    SDK = "plugins/sdk":
        "Cargo.toml", "README.md", "src/adapter.rs", "src/connector.rs", "src/datasource.rs", "src/document.rs",
        "src/error.rs", "src/http.rs", "src/identities.rs", "src/lib.rs", "src/link.rs", "src/logging.rs",
        "src/manifest.rs", "src/retry_after.rs",
}

files! {
    PYTHON = "host/templates/python":
        "README.md", "gitignore", "pyproject.toml", "sheaf.toml", "src/connector.py", "src/source.py",
        "src/test_connector.py",
}

files! {
    JS = "host/templates/js":
        "README.md", "gitignore", "package-lock.json", "package.json", "sheaf.toml", "src/connector.js",
        "src/connector.test.js", "src/source.js",
}

files! {
    SDK_JS = "plugins/sdk-js":
        "README.md", "build.js", "package.json", "src/bytes.js", "src/component/exports.js",
        "src/component/files.js", "src/component/handles.js", "src/component/host.js", "src/component/send.js",
        "src/component/to-wit.js", "src/fault.js", "src/folders.d.ts", "src/folders.js", "src/http.d.ts",
        "src/http.js", "src/index.d.ts", "src/index.js", "src/native/files.js", "src/native/host.js",
        "src/native/send.js",
}

files! {
    SDK_PYTHON = "plugins/sdk-python":
        "README.md", "pyproject.toml", "sheaf_sdk/__init__.py", "sheaf_sdk/_native.py", "sheaf_sdk/_wasi.py",
        "sheaf_sdk/build.py", "sheaf_sdk/component.py", "sheaf_sdk/component_identities.py",
        "sheaf_sdk/connector.py", "sheaf_sdk/faults.py", "sheaf_sdk/host.py", "sheaf_sdk/http.py",
        "sheaf_sdk/identities.py", "sheaf_sdk/model.py", "sheaf_sdk/py.typed", "sheaf_sdk/to_wit.py",
}

files! {
    /// The worlds that connectors in other languages are built against, beside the contract and WASI.
    WORLD = "wit/sdk": "world.wit",
}

/// WASI's interfaces, out of the crate that this program is built with.
macro_rules! wasi {
    ($($path:literal),+ $(,)?) => {
        pub(super) const WASI: &[File] = &[
            $(File { path: $path, text: include_str!(concat!(env!("OUT_DIR"), "/wasi/", $path)) }),+
        ];
    };
}

wasi!("cli.wit", "clocks.wit", "filesystem.wit", "http.wit", "io.wit", "random.wit", "sockets.wit",);

files! {
    /// The contract, of the version that this program speaks.
    CONTRACT = "wit/0.1.0": "connector.wit",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The files below a folder, without what builds and tests leave there.
    fn below(folder: &Path, above: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let left_there =
                ["target", "wit", "test", "tests", "node_modules", "__pycache__", "build"];
            if name.starts_with('.') || left_there.contains(&name.as_str()) {
                continue;
            }
            // What only the checkout's own tests are built with.
            if folder.ends_with("sdk-js") && name == "package-lock.json" {
                continue;
            }
            let path = format!("{above}{name}");
            if entry.path().is_dir() {
                below(&entry.path(), &format!("{path}/"), found);
            } else {
                found.insert(path);
            }
        }
    }

    #[test]
    fn no_file_of_a_part_is_left_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the checkout");
        for (folder, files) in [
            ("host/templates/sample", SAMPLE),
            ("host/templates/rust", RUST),
            ("host/templates/python", PYTHON),
            ("host/templates/js", JS),
            ("plugins/sdk", SDK),
            ("plugins/sdk-js", SDK_JS),
            ("plugins/sdk-python", SDK_PYTHON),
            ("wit/sdk", WORLD),
            ("wit/0.1.0", CONTRACT),
        ] {
            let mut there = BTreeSet::new();
            below(&root.join(folder), "", &mut there);
            let here: BTreeSet<_> = files.iter().map(|file| file.path.to_owned()).collect();
            assert_eq!(here, there, "{folder}: a new file gets a place in `files.rs`");
        }
    }
}
