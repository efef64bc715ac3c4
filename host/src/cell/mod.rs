//! What touches a stranger's bytes runs in a process of its own: a cell.
//!
//! A cell is this same program, started with a hidden command. It gets its job over a socket, puts up its
//! walls before it looks at the first byte of a component, and answers in bounded frames. Two doors lead into
//! the room: `inside` is what a cell does, `outside` is how the rest of the program has it done; they share
//! nothing but the `protocol`. Outside trusts what a cell says as little as inside trusts a guest: it is
//! bounded, cleaned and checked again. No machine code of a connector's runs outside.

mod inside;
mod loader;
mod outside;
mod probe;
pub mod protocol;
mod walls;

pub use inside::main_of_a_cell;
pub use loader::{Candidate, CompileLimits, Connector, Loader, cache_folder};
pub use outside::regranted;
pub use outside::{
    ConnectionCell, Cursor, Guest, Identities, Opened, Program, is_asked_for, misdeeds,
    missing_walls,
};
