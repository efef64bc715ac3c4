//! `sheaf.toml`: read, checked, and turned into types. Every error names the file's line and key.

mod connection;
mod connectors;
mod crawler;
mod file;
mod glean;
mod grants;
mod limits;
mod live;
mod load;
mod locate;
mod observe;
mod schedules;
mod settings;
mod temporal;
mod values;

pub use live::Live;
pub use load::FILE_NAME;
pub use settings::Config;
