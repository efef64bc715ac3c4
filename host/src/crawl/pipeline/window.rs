//! How much may be on its way at once. Pure: no clock, nothing is sent from here.

/// `[glean]`: how large batches are, and how many of them are on their way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UploadLimits {
    /// Bytes of encoded documents in a batch.
    pub batch_bytes: usize,
    pub batch_documents: usize,
    /// A document larger than this when encoded is quarantined.
    pub document_bytes: usize,
    /// Batches that are sent and not yet acknowledged; in a folder, and kept.
    pub in_flight: usize,
}

/// Below the 5 MiB that Glean takes at once, with room for what is around the document.
const MAX_DOCUMENT_BYTES: usize = (5 << 20) - (64 << 10);

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            batch_bytes: 2 << 20,
            batch_documents: 1000,
            document_bytes: MAX_DOCUMENT_BYTES,
            in_flight: 4,
        }
    }
}

/// The batches that are sent and not yet acknowledged.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    most_unkept: u64,
    most_bytes: usize,
    sending: usize,
    bytes: usize,
}

impl Window {
    /// `unkept`: so many batches may be acknowledged and not yet kept.
    pub(super) fn new(limits: &UploadLimits, unkept: u64) -> Self {
        let UploadLimits { in_flight, batch_bytes, .. } = *limits;
        Self {
            most: in_flight,
            most_unkept: unkept.max(in_flight as u64),
            most_bytes: in_flight.saturating_mul(batch_bytes),
            sending: 0,
            bytes: 0,
        }
    }

    /// Whether a batch of so many bytes may be sent now. `unkept`: batches before it that would be sent
    /// again after a crash. Where a page is larger than the window, so is the window: `idle` says that
    /// nothing is under way whose end could make room.
    pub(super) fn has_room(&self, bytes: usize, unkept: u64, idle: bool) -> bool {
        self.sending < self.most
            && (self.sending == 0 || self.bytes + bytes <= self.most_bytes)
            && (idle || unkept < self.most_unkept)
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sending += 1;
        self.bytes += bytes;
    }

    pub(super) fn acknowledged(&mut self, bytes: usize) {
        self.sending -= 1;
        self.bytes -= bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sending == 0
    }

    pub(super) fn sending(&self) -> u32 {
        u32::try_from(self.sending).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_sent_while_there_is_room_for_it() {
        let limits = UploadLimits { in_flight: 2, batch_bytes: 100, ..UploadLimits::default() };
        for (sent, bytes, unkept, idle, has_room) in [
            (&[][..], 100, 0, true, true),
            // One that is larger than the window goes alone.
            (&[], 1_000, 0, true, true),
            (&[100], 100, 1, false, true),
            (&[100], 101, 1, false, false),
            (&[1_000], 1, 1, false, false),
            (&[100, 50], 1, 2, false, false),
            // Acknowledged batches that are not kept take room, until nothing else could make it.
            (&[], 100, 2, false, false),
            (&[], 100, 2, true, true),
        ] {
            let mut window = Window::new(&limits, 0);
            for bytes in sent {
                window.sent(*bytes);
            }
            let found = window.has_room(bytes, unkept, idle);
            assert_eq!(found, has_room, "{sent:?}, {bytes} bytes, {unkept} unkept, idle: {idle}");
        }
        let thrifty = Window::new(&limits, 3);
        assert!(thrifty.has_room(100, 2, false) && !thrifty.has_room(100, 3, false));
        let mut window = Window::new(&limits, 0);
        window.sent(150);
        window.acknowledged(150);
        assert!(window.is_empty() && window.has_room(200, 0, false));
    }
}
