//! Which published version is taken where none is named.

use semver::{Version, VersionReq};

use super::oci::tag_of;
use super::published::{Place, Published};
use crate::failure::Result;

/// Of a longer row of versions that were taken back, nobody looks for the one before.
const MOST: usize = 100;

/// The newest of some versions that its publisher stands by.
#[derive(Default)]
pub struct Newest {
    pub found: Option<(Version, Published)>,
    /// Newer ones that were taken back, and why.
    pub yanked: Vec<(Version, String)>,
}

impl Place {
    /// Of the versions that are wanted, the newest that was not taken back. A trial is taken only by its name.
    pub async fn newest(
        &self,
        versions: &[Version],
        wanted: impl Fn(&Version) -> bool,
    ) -> Result<Newest> {
        let mut newest = Newest::default();
        let wanted = |version: &&Version| version.pre.is_empty() && wanted(version);
        for version in versions.iter().rev().filter(wanted).take(MOST) {
            // A tag that is listed may be gone.
            let published = self.published(&tag_of(&version.to_string())).await?;
            let Some(published) = published else { continue };
            let Some(why) = published.yanked() else {
                newest.found = Some((version.clone(), published));
                break;
            };
            newest.yanked.push((version.clone(), why));
        }
        Ok(newest)
    }
}

/// Whether a version is of the same generation as a locked one, as Cargo and npm understand `^`.
pub fn is_compatible(locked: &str, version: &Version) -> bool {
    VersionReq::parse(&format!("^{locked}")).is_ok_and(|locked| locked.matches(version))
}

/// Whether a version is newer than a locked one; nothing is newer than what is no version.
pub fn is_newer(locked: &str, version: &Version) -> bool {
    Version::parse(locked).is_ok_and(|locked| *version > locked)
}
