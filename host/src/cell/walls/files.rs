//! Landlock: no file can be opened any more, and nobody be reached. What is open already can be used.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetError, Scope,
};

/// A kernel that has less takes less away; one without Landlock nothing.
pub(super) fn leave_none() -> io::Result<()> {
    restrict().map(drop).map_err(io::Error::other)
}

fn restrict() -> Result<landlock::RestrictionStatus, RulesetError> {
    let newest = ABI::V6;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .restrict_self()
}
