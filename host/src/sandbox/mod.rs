//! What a connector may touch, and how much of it.
//!
//! Everything here denies unless the operator granted it: a guest sees the granted folders read-only,
//! its own settings and a log, and reaches the granted hosts; it has no environment, no arguments and
//! no sockets, and never holds a credential. Each limit has a default and is named in the failure it
//! causes.
//!
//! [`policy`] decides what may be reached, [`credentials`] keeps what only the host may hold, and
//! [`egress`] is the way out, which asks both. [`grants`] says what an operator grants of all this.

pub mod credentials;
pub mod egress;
pub mod folders;
pub mod grants;
pub mod limits;
pub mod output;
pub mod policy;

pub use grants::Granted;
pub use limits::Limits;
