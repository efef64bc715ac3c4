//! What the program and a connection's cell say to each other besides what its guests are asked.

use serde::{Deserialize, Serialize};
use tracing::Level;

use super::asked::Told;
use crate::clock::Timestamp;
use crate::sandbox::Limits;
use crate::sandbox::credentials::Refused;
use crate::sandbox::egress::{Certificates, Undialled};

/// The largest frame of a cell's socket: a settings schema is a megabyte at most.
pub const MOST_CONTROL: u32 = 4 << 20;

/// Calls that a cell has under way at once: some for each request that its guests may have, since what a guest gives up
/// goes on for a while.
pub fn most_calls(limits: &Limits) -> usize {
    limits.guests.saturating_mul(limits.http.open_requests).saturating_add(64).min(1 << 20)
}

/// To the cell.
#[derive(Serialize, Deserialize)]
pub enum Order {
    /// Start a guest. Beside it lies a socket for it. Its crawl, if it is one's: its name, and how many
    /// nanoseconds were computed for it elsewhere.
    Guest { crawl: Option<(String, u64)> },
    /// Hold the settings against this schema, and answer over the socket that lies beside.
    Fit { schema: String },
    /// The answer to a call. A connection lies beside it where one was dialled.
    Reply { call: u32, reply: Reply },
}

/// From the cell.
#[derive(Serialize, Deserialize)]
pub enum Say {
    /// It needs something of the world.
    Call { number: u32, call: Call },
    /// A line for the log: how bad, whether a guest wrote it, and what.
    Log { level: u8, is_guests: bool, line: String },
    /// What requests wait for now.
    Waits(Option<WaitWords>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitWords {
    pub why: String,
    pub since: Timestamp,
}

/// What a cell cannot do itself.
#[derive(Serialize, Deserialize)]
pub enum Call {
    Dial { url: String },
    Credential { name: String },
    Forget { name: String, sent: Vec<u8>, refused: Refused },
    Helped { name: String },
    Certificates,
}

impl Call {
    /// How many it counts as: certificates are a large answer to a small question.
    pub fn weight(&self) -> u32 {
        if matches!(self, Self::Certificates) { HEAVIEST } else { 1 }
    }
}

pub const HEAVIEST: u32 = 16;

#[derive(Serialize, Deserialize)]
pub enum Reply {
    Dialled(Result<(), Undialled>),
    Credential(Result<Vec<u8>, Told>),
    Forgot(bool),
    Noted,
    Certificates(Result<Certificates, Told>),
}

pub fn level_number(level: Level) -> u8 {
    LEVELS
        .iter()
        .position(|known| *known == level)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(0)
}

pub fn level_of(number: u8) -> Level {
    LEVELS.get(usize::from(number)).copied().unwrap_or(Level::ERROR)
}

const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
