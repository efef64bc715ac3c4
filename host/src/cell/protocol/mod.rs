//! What is said between a cell and the rest of the program. Either side may be taken over by a stranger, as
//! the other sees it: frames are bounded, and what is in them is looked at by whoever receives it.
//!
//! A cell gets one job over its socket. Most answer it and end; one that serves a connection gets `orders` there
//! from then on, and a socket of its own for each guest, over which it is `asked`.

mod asked;
mod channel;
mod frames;
mod jobs;
mod orders;

pub use asked::{Answer, Ask, CutWords, Handed, Told, Used, most_of_a_guest};
pub use channel::{Receiver, Sender, pair};
pub use frames::{Frame, receive, send};
pub use jobs::{Job, Said, Serving};
pub use orders::{
    Call, HEAVIEST, MOST_CONTROL, Order, Reply, Say, WaitWords, level_number, level_of, most_calls,
};
