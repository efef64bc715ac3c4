//! Where connections come from, and what the crawls of this process began with.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use super::connection::Connection;
use crate::connector::Digest;
use crate::failure::Result;
use crate::name::UploadId;

/// The connections of a file, as it was read once.
pub trait Configured: Send + Sync {
    fn connection(&self, name: &str) -> Result<Arc<Connection>>;

    fn connections(&self) -> Vec<Arc<Connection>>;

    /// A digest of all that decides what a connection uploads and deletes.
    fn digest(&self, connection: &str) -> Option<Digest>;

    /// `sheaf.toml:12, connections.a.settings`: where a key stands, or the nearest one above it.
    fn place(&self, keys: &[&str]) -> String;
}

/// A file that may change while the process runs.
pub trait Connections: Send + Sync {
    /// What was read last.
    fn now(&self) -> Arc<dyn Configured>;

    /// Since when that is so, for people.
    fn since(&self) -> String;

    /// Reads the file again, if it is another now.
    fn read_again(&self) -> BoxFuture<'_, Result<Arc<dyn Configured>>>;
}

/// What the crawls of this process began with: they keep it to their ends.
#[derive(Debug, Default)]
pub struct Kept(Mutex<VecDeque<KeptCrawl>>);

#[derive(Clone, Debug)]
pub struct KeptCrawl {
    upload_id: UploadId,
    /// Who crawls: whoever resumes it begins with what the file says then.
    pub(super) by: String,
    pub connection: Arc<Connection>,
}

/// More than are under way at once in one process.
const CRAWLS: usize = 1_000;

impl Kept {
    pub fn of(&self, upload_id: &str) -> Option<KeptCrawl> {
        let crawls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crawls.iter().find(|kept| kept.upload_id == upload_id).cloned()
    }

    pub fn keep(&self, upload_id: &str, by: &str, connection: &Arc<Connection>) {
        let mut crawls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crawls.retain(|kept| kept.upload_id != upload_id);
        if crawls.len() >= CRAWLS {
            crawls.pop_front();
        }
        crawls.push_back(KeptCrawl {
            upload_id: upload_id.into(),
            by: by.to_owned(),
            connection: connection.clone(),
        });
    }
}
