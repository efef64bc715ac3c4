//! What is kept of a connection's users and groups between its crawls, beside the state: what Glean was told, and a
//! reading that was interrupted.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::identities::{Known, Reading};
use super::identity_progress::IdentityCounts;
use crate::clock::Timestamp;
use crate::failure::{Failure, Result};
use crate::store::Store;

/// Where it is kept.
#[derive(Clone, Debug)]
pub struct KeptIdentities {
    store: Store,
    pub folder: String,
}

/// A reading that was interrupted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptReading {
    pub began: Timestamp,
    /// When the last page of it came.
    pub at: Timestamp,
    /// Who began it: whoever reads everything again goes on with what it read itself.
    #[serde(default)]
    pub run: String,
    /// What it was read with: another connector, or other settings, read it anew.
    pub with: String,
    pub checkpoint: String,
    pub reading: Reading,
}

/// The same in short: the reading may be large.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadingNote {
    pub at: Timestamp,
    #[serde(flatten)]
    pub counts: IdentityCounts,
}

/// A reading that was interrupted longer ago begins again.
pub const FRESH: Duration = Duration::from_secs(3600);

const READING: &str = "reading";
const NOTE: &str = "reading-note";

impl KeptIdentities {
    /// `place` is the connection's.
    pub fn new(store: &Store, place: &str) -> Self {
        Self { store: store.clone(), folder: format!("{place}/identities") }
    }

    /// What Glean was told; nothing where nothing was. Why that cannot be read, if so.
    pub async fn known(&self, datasource: &str) -> Result<Result<Option<Known>, String>> {
        self.read(&format!("known-{datasource}")).await
    }

    /// Each datasource knows what it was told itself.
    pub async fn keep_known(&self, datasource: &str, known: &Known) -> Result<()> {
        self.write(&format!("known-{datasource}"), known).await
    }

    /// What cannot be read blocks nothing any more. Where it is now.
    pub async fn move_known_aside(&self, datasource: &str) -> Result<String> {
        let part = format!("known-{datasource}");
        let stamp = Timestamp::now().in_names();
        let aside = format!("{}/damaged/{stamp}/{part}", self.folder);
        self.store.move_all(&self.name(&part), &aside).await?;
        Ok(self.store.place(&aside))
    }

    pub async fn reading(&self) -> Result<Option<KeptReading>> {
        // One that cannot be read any more is no loss.
        Ok(self.read(READING).await?.ok().flatten())
    }

    pub async fn keep_reading(&self, reading: &KeptReading) -> Result<()> {
        self.write(READING, reading).await?;
        let note = ReadingNote { at: reading.at, counts: reading.reading.counts() };
        self.write(NOTE, &note).await
    }

    /// How far the reading came that the next crawl goes on with.
    pub async fn note_of_reading(&self) -> Result<Option<ReadingNote>> {
        let note: Option<ReadingNote> = self.read(NOTE).await?.ok().flatten();
        Ok(note.filter(|note| note.at.age() < FRESH))
    }

    pub async fn forget_reading(&self) -> Result<()> {
        self.store.remove(&self.name(NOTE)).await?;
        self.store.remove(&self.name(READING)).await
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    async fn read<T: for<'de> Deserialize<'de>>(
        &self,
        name: &str,
    ) -> Result<Result<Option<T>, String>> {
        let name = self.name(name);
        let Some(bytes) = self.store.get(&name).await? else { return Ok(Ok(None)) };
        let place = || self.store.place(&name);
        Ok(match whole(&bytes).map(serde_json::from_slice) {
            Some(Ok(read)) => Ok(Some(read)),
            Some(Err(error)) => Err(format!("{} cannot be read: {error}", place())),
            None => Err(format!("{} is damaged", place())),
        })
    }

    /// Behind a hash of itself.
    async fn write<T: Serialize>(&self, name: &str, what: &T) -> Result<()> {
        let mut bytes = vec![b' '; HASH];
        serde_json::to_writer(&mut bytes, what)
            .map_err(|error| Failure::internal(format!("identities cannot be kept: {error}")))?;
        let hash = format!("{:032x}\n", xxh3_128(&bytes[HASH..]));
        bytes[..HASH].copy_from_slice(hash.as_bytes());
        self.store.put(&self.name(name), bytes).await
    }
}

/// 32 digits, and the end of their line.
const HASH: usize = 33;

/// What was written, if it is as it was.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (hash, json) = bytes.split_at_checked(HASH)?;
    (hash == format!("{:032x}\n", xxh3_128(json)).as_bytes()).then_some(json)
}
