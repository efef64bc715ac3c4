//! `[observe]`: where a worker can be looked at, and who may do more than look.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::secret::Rotating;

#[derive(Clone, Debug)]
pub struct Settings {
    pub address: SocketAddr,
    /// Who has it may pause, resume and cancel crawls from the page. Without one the page only shows.
    pub token: Option<Arc<Rotating>>,
}
