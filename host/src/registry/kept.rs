//! What was taken from a registry, in the store that the workers share: nobody asks the registry again.

use super::oci::Repository;
use super::published::Published;
use super::refusal::Refusal;
use crate::connector::Digest;
use crate::failure::{Failure, Result};
use crate::store::Store;

const FOLDER: &str = "connectors/published";

/// Keeps all of it but the file, which lies with the others by its digest.
pub(super) async fn keep(store: &Store, published: &Published) -> Result<()> {
    let json = |error| Failure::internal(format!("a manifest cannot be kept: {error}"));
    let bytes = serde_json::to_vec(published).map_err(json)?;
    store.put(&place(&published.repository, &published.digest()), bytes).await
}

/// Exactly this one, if it is here; what was changed in the store is refused.
pub(super) async fn kept(
    store: &Store,
    repository: &Repository,
    manifest: &Digest,
) -> Result<Option<Published>> {
    let name = place(repository, manifest);
    let Some(bytes) = store.get(&name).await? else { return Ok(None) };
    let changed = || Refusal::StoreChanged.of(store.place(&name));
    let published: Published = serde_json::from_slice(&bytes).map_err(|_| changed())?;
    if published.digest() != *manifest {
        return Err(changed());
    }
    Ok(Some(published))
}

/// All of which this is the file.
pub(super) async fn kept_of(store: &Store, wasm: &Digest) -> Result<Vec<Published>> {
    let mut found = Vec::new();
    for kept in store.list(FOLDER).await? {
        let Some(bytes) = store.get(&kept.name).await? else { continue };
        let published: Option<Published> = serde_json::from_slice(&bytes).ok();
        let is_whole = |it: &Published| kept.name == place(&it.repository, &it.digest());
        let published = published.filter(is_whole);
        // Of what was changed nobody knows whether it was this one.
        let published =
            published.ok_or_else(|| Refusal::StoreChanged.of(store.place(&kept.name)))?;
        if published.described().is_ok_and(|described| described.wasm == *wasm) {
            found.push(published);
        }
    }
    Ok(found)
}

/// The same from another place is another's: its signatures may be others.
fn place(repository: &Repository, manifest: &Digest) -> String {
    let of = Digest::of(repository.to_string().as_bytes());
    format!("{FOLDER}/{}/{}.json", of.hex(), manifest.hex())
}
