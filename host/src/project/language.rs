//! The languages that a connector can be begun in, and what an author does next in each.

use super::files::{self, File};
use super::name::Name;

/// What a connector is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    Rust,
    Python,
    Js,
}

impl Language {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Js => "JavaScript",
        }
    }

    /// Where its component is, once it is built.
    pub(crate) fn component(self, name: &Name) -> String {
        match self {
            Self::Rust => format!("target/wasm32-wasip2/release/{}.wasm", name.module()),
            Self::Python | Self::Js => format!("build/{}.wasm", name.as_str()),
        }
    }

    /// The commands that build it, in its folder.
    pub(crate) fn build(self) -> &'static [&'static str] {
        match self {
            Self::Rust => {
                &["rustup target add wasm32-wasip2", "cargo build --release --target wasm32-wasip2"]
            }
            Self::Python => {
                &["python3 -m venv .venv", ".venv/bin/pip install ./sdk", ".venv/bin/sheaf-build"]
            }
            Self::Js => &["npm ci", "npm run build"],
        }
    }

    /// The command that runs its unit tests.
    pub(crate) fn test(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Python => ".venv/bin/python -m unittest discover src",
            Self::Js => "npm test",
        }
    }

    /// Its template, whose texts have places for the name.
    pub(super) fn template(self) -> &'static [File] {
        match self {
            Self::Rust => files::RUST,
            Self::Python => files::PYTHON,
            Self::Js => files::JS,
        }
    }

    /// What goes into a project as it is, and into which of its folders.
    pub(super) fn parts(self) -> &'static [(&'static str, &'static [File])] {
        match self {
            Self::Rust => {
                &[("sample", files::SAMPLE), ("sdk", files::SDK), ("sdk/wit", files::CONTRACT)]
            }
            Self::Python => &[
                ("sample", files::SAMPLE),
                ("sdk", files::SDK_PYTHON),
                ("sdk/sheaf_sdk/wit", files::WORLD),
                ("sdk/sheaf_sdk/wit/deps", files::CONTRACT),
                ("sdk/sheaf_sdk/wit/deps", files::WASI),
            ],
            Self::Js => &[
                ("sample", files::SAMPLE),
                ("sdk", files::SDK_JS),
                ("sdk/wit", files::WORLD),
                ("sdk/wit/deps", files::CONTRACT),
                ("sdk/wit/deps", files::WASI),
            ],
        }
    }
}
