//! Landlock: no file can be opened any more but to read in granted folders, and nobody be reached. What is open
//! already can be used.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::sandbox::folders::FolderGrant;

/// A kernel that has less takes less away; one without Landlock nothing, and then this is false.
pub(super) fn leave(folders: &[FolderGrant]) -> io::Result<bool> {
    let status = restrict(folders).map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn restrict(folders: &[FolderGrant]) -> Result<landlock::RestrictionStatus, RulesetError> {
    let newest = ABI::V6;
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?;
    // One that is not there is told of when a guest is started.
    for folder in folders.iter().filter_map(|folder| PathFd::new(&folder.host).ok()) {
        rules = rules.add_rule(PathBeneath::new(folder, read))?;
    }
    rules.restrict_self()
}
