//! Log lines that a cell says, so many in a second.

use crate::cell::protocol::level_of;
use crate::sandbox::Limits;
use crate::sandbox::output::{Log, Writer};
use crate::text::bounded_str;

/// The longest line that is listened to.
const MAX_LINE: usize = 16 << 10;

pub(super) struct Lines {
    guests: Log,
    /// Its host's: what became of requests.
    hosts: Log,
}

impl Lines {
    pub(super) fn new(connection: &str, limits: &Limits) -> Self {
        // Each guest is held to its limit inside, and all of them here.
        let guests = u32::try_from(limits.guests).unwrap_or(u32::MAX);
        let most = limits.log_lines_per_second.saturating_mul(guests);
        let log = |writer| Log::by(writer, connection, most);
        Self { guests: log(Writer::Guest), hosts: log(Writer::Host) }
    }

    pub(super) fn tell(&mut self, level: u8, is_guests: bool, line: &str) {
        let log = if is_guests { &mut self.guests } else { &mut self.hosts };
        // All of it is looked through for secrets.
        log.line(level_of(level), bounded_str(line, MAX_LINE), &[]);
    }
}
