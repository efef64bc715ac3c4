//! What is locked, and what is checked at each load of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::asks::Asks;
use super::find::Registry;
use super::kept::{keep, kept, kept_of};
use super::lock::{Lock, Locked, Source};
use super::oci::MOST_ATTACHED;
use super::published::{Attached, Published};
use super::refusal::Refusal;
use super::trust::KeyId;
use crate::cell::Connector;
use crate::connector::Digest;
use crate::failure::{Failure, Result};

impl Registry {
    /// The connector of an entry, once both its digests and its signature are what they were.
    pub async fn load_locked(&self, locked: &Locked) -> Result<Arc<Connector>> {
        self.check_locked(locked).await?;
        if self.is_other_in_folder(locked).await {
            tracing::warn!("{}", other_in_folder(locked));
        }
        let connector = self.exactly(&locked.wasm).await?;
        let connector = connector.ok_or_else(|| self.no_file(locked))?;
        if connector.manifest.name != locked.name {
            return Err(self.changed(locked, "a name"));
        }
        if connector.manifest.version != locked.version {
            return Err(self.changed(locked, "a version"));
        }
        if connector.inspection.contract != locked.contract {
            return Err(self.changed(locked, "a contract"));
        }
        if Asks::of(&connector) != locked.asks {
            return Err(self.changed(locked, "asks"));
        }
        Ok(connector)
    }

    /// Whether the folder has another file than the one that is locked, by the same name: somebody who builds it may
    /// think that it is the one that runs.
    pub async fn is_other_in_folder(&self, locked: &Locked) -> bool {
        let Source::File(name) = &locked.source else { return false };
        let found = self.loader.read(&self.folder().join(name)).await;
        found.is_ok_and(|found| found.digest != locked.wasm)
    }

    /// What is said of it is in the store as it was when it was locked, and is trusted now.
    pub async fn check_locked(&self, locked: &Locked) -> Result<Option<Published>> {
        self.rules.allow(&locked.wasm)?;
        let (Some(manifest), Source::Published(repository)) = (&locked.manifest, &locked.source)
        else {
            return Ok(None);
        };
        self.rules.allow(manifest)?;
        let published = kept(&self.store, repository, manifest).await;
        let published = published.map_err(|failure| failure.next(again(locked)))?;
        let published = published.ok_or_else(|| {
            let what = format!("`{}` is locked, and the store does not have it", locked.name);
            Failure::settings(what).at(self.store.place("connectors")).next(again(locked))
        })?;
        if published.described()?.wasm != locked.wasm {
            return Err(self.changed(locked, "a file"));
        }
        let signers = self.signers(&published)?;
        match &locked.signer {
            Some(signer) if !signers.contains(signer) => {
                Err(Refusal::OtherSigner(signer.to_string()).of(published.name()))
            }
            _ => Ok(Some(published)),
        }
    }

    /// The bytes of an entry's file.
    pub async fn locked_bytes(&self, locked: &Locked) -> Result<Vec<u8>> {
        self.stored(&locked.wasm).await?.ok_or_else(|| self.no_file(locked))
    }

    fn no_file(&self, locked: &Locked) -> Failure {
        let Locked { name, version, wasm, .. } = locked;
        let what =
            format!("the store does not have the file of `{name}` {version} as it was locked");
        Failure::settings(what).at(self.stored_at(wasm)).next(again(locked))
    }

    fn changed(&self, locked: &Locked, what: &str) -> Failure {
        let name = &locked.name;
        Failure::settings(format!("`{name}` is locked with {what} that it does not have"))
            .at(self.rules.lock.display().to_string())
            .next("the lock was changed by hand: take it from where it is kept, or add the connector again")
    }

    /// That a file, by whichever manifests it was published, may be run by one of them: a crawl under way knows only
    /// the file that it began with.
    pub(super) async fn allow_file(&self, wasm: &Digest) -> Result<()> {
        self.rules.allow(wasm)?;
        let known = || self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.rules.are_open() || known().contains(wasm) {
            return Ok(());
        }
        let lock = self.rules.locked()?;
        let is_file = |one: &Locked| one.wasm == *wasm && one.manifest.is_none();
        let kept = kept_of(&self.store, wasm).await?;
        kept.iter().try_for_each(|published| self.rules.allow(&published.digest()))?;
        // One that is trusted is enough.
        let mut refused = None;
        for published in &kept {
            match self.signers(published) {
                Ok(_) => {
                    refused = None;
                    break;
                }
                Err(failure) => refused = Some(failure),
            }
        }
        if let Some(failure) = refused.filter(|_| !lock.connectors.iter().any(is_file)) {
            return Err(failure);
        }
        known().insert(wasm.clone());
        Ok(())
    }

    /// Keeps what its registry says now of what is locked: for when it cannot be asked.
    pub async fn remember(&self, locked: &Locked, now: Published) -> Result<()> {
        let Some(mut kept) = self.published(locked).await? else { return Ok(()) };
        let before = kept.attached.len();
        self.add_what_is_new(&mut kept, now);
        if kept.attached.len() == before { Ok(()) } else { keep(&self.store, &kept).await }
    }

    /// Adds what was attached since. What was kept stays: a registry may have lost a signature, and cannot make one.
    pub fn add_what_is_new(&self, kept: &mut Published, now: Published) {
        let is_new =
            |one: &Attached| kept.attached.iter().all(|kept| kept.manifest != one.manifest);
        let room = MOST_ATTACHED.saturating_sub(kept.attached.len());
        let new: Vec<_> = now.attached.into_iter().filter(is_new).take(room).collect();
        let with = |new: Vec<Attached>| Published {
            attached: [&kept.attached[..], &new].concat(),
            ..kept.clone()
        };
        let yanks = new.iter().filter(|one| one.is_yank()).cloned().collect();
        // A signature that cannot be read would spoil the others.
        let may_be = [with(new), with(yanks)];
        if let Some(all) = may_be.into_iter().find(|all| self.signers(all).is_ok()) {
            *kept = all;
        }
    }

    /// All who stand for it that are trusted for where it is from; nobody where nobody has to.
    pub fn signers(&self, published: &Published) -> Result<BTreeSet<KeyId>> {
        let (bundles, repository) = (published.bundles(), &published.repository);
        let signers = self.rules.trust.signers(repository, &published.digest(), &bundles);
        signers.map_err(|refusal| refusal.of(published.name()))
    }

    /// What a locked connector was published as.
    pub async fn published(&self, locked: &Locked) -> Result<Option<Published>> {
        match (&locked.manifest, &locked.source) {
            (Some(manifest), Source::Published(from)) => kept(&self.store, from, manifest).await,
            _ => Ok(None),
        }
    }

    pub fn locked(&self) -> Result<Lock> {
        self.rules.locked()
    }

    /// What a connection's `connector` is locked to, if it is.
    pub fn locked_as(&self, named: &str) -> Result<Option<Locked>> {
        let lock = self.rules.locked()?;
        let found = lock.meant(named).or_else(|| lock.from(&Source::of_file(Path::new(named))));
        Ok(found.cloned())
    }
}

/// That a file which was built since does not run.
pub fn other_in_folder(locked: &Locked) -> String {
    let Locked { name, version, source, .. } = locked;
    let file = source.to_string();
    let file = file.strip_prefix("file:").unwrap_or(&file);
    format!(
        "the folder has another `{file}` than the one that is locked and runs as {name} {version}: `sheaf add {file}` locks it"
    )
}

fn again(locked: &Locked) -> String {
    match &locked.source {
        Source::Published(_) => {
            "`sheaf add`, with nothing behind it, fetches what is locked".to_owned()
        }
        Source::File(name) => format!(
            "put that `{name}` back into the folder of connectors, or lock another with `sheaf add`"
        ),
    }
}
