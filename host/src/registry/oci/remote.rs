//! A repository in a registry: its manifests, blobs, versions, and what is attached to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::LINK;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::super::refusal::{Refusal, expect};
use super::artifact::{
    Annotations, Descriptor, EMPTY, EMPTY_BYTES, INDEX, Index, MANIFEST, Manifest,
};
use super::login::Login;
use super::reference::Repository;
use super::wire::{Answer, Ask, Progress, Wire};
use crate::connector::{Digest, Digesting};
use crate::failure::{Failure, Kind, Result};

/// The longest manifest ("OCI distribution specification": at least 4 MB have to be taken).
const MAX_MANIFEST: u64 = 4 << 20;
/// Pages of versions, and of what is attached.
const PAGES: usize = 100;
const MOST_TAGS: usize = 100_000;
/// What is attached to one manifest: more is no publisher's.
pub const MOST_ATTACHED: usize = 100;
/// How often something is put into a list that others write, too.
const PUTS: usize = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub struct Remote {
    wire: Wire,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Remote {
    /// One that is read from; with `pushes` also written to.
    pub async fn open(repository: &Repository, pushes: bool) -> Result<Self> {
        let login = Login::of(repository).await?;
        Ok(Self { wire: Wire::new(repository.clone(), login, pushes)? })
    }

    pub fn repository(&self) -> &Repository {
        &self.wire.repository
    }

    async fn get(&self, path: &str, accept: Option<String>) -> Result<Answer> {
        self.get_at(self.wire.url(path)?, accept).await
    }

    async fn get_at(&self, url: Url, accept: Option<String>) -> Result<Answer> {
        let ask = Ask::new(Method::GET, url).accepting(accept);
        self.wire.ask(&ask).await
    }

    /// A manifest by its tag or digest; nothing where there is none.
    pub async fn manifest(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let accept = format!("{MANIFEST}, {INDEX}");
        let answer = self.get(&format!("manifests/{name}"), Some(accept)).await?;
        match answer.status {
            StatusCode::OK => self.wire.body(answer, MAX_MANIFEST).await.map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.wire.refused(answer, &format!("the manifest `{name}`")).await),
        }
    }

    /// Exactly this manifest.
    pub async fn manifest_of(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let manifest = self.manifest(&digest.to_string()).await?;
        if let Some(manifest) = &manifest {
            expect(&Digest::of(manifest), digest, Refusal::ManifestChanged)
                .map_err(|refusal| refusal.of(self.named(digest)))?;
        }
        Ok(manifest)
    }

    fn named(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.repository())
    }

    /// Exactly these bytes.
    pub async fn blob(&self, of: &Descriptor, progress: &Progress) -> Result<Bytes> {
        let digest: Digest = of.digest.parse()?;
        let url = self.wire.url(&format!("blobs/{digest}"))?;
        let ask = Ask::new(Method::GET, url).anywhere();
        let answer = self.wire.ask(&ask).await?;
        if answer.status != StatusCode::OK {
            return Err(self.wire.refused(answer, "a file").await);
        }
        let refused = |refusal: Refusal| refusal.of(self.named(&digest));
        let wrong_size = |came| refused(Refusal::WrongSize { said: of.size, came });
        let mut digesting = Digesting::default();
        let bytes = self.wire.transferred(answer, of.size, |part, so_far| {
            digesting.take(part);
            progress(so_far);
        });
        let bytes = bytes.await?;
        let bytes = bytes.ok_or_else(|| wrong_size(of.size + 1))?;
        if bytes.len() as u64 != of.size {
            return Err(wrong_size(bytes.len() as u64));
        }
        expect(&digesting.digest(), &digest, Refusal::FileChanged).map_err(refused)?;
        Ok(bytes.into())
    }

    /// All versions, as they are tagged.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let mut next = Some(self.wire.url("tags/list?n=1000")?);
        for _ in 0..PAGES {
            let Some(url) = next.take() else { return Ok(all) };
            let answer = self.get_at(url.clone(), None).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(all),
                _ => return Err(self.wire.refused(answer, "the list of versions").await),
            }
            next = self.next_page(&url, &answer)?;
            let body = self.wire.body(answer, MAX_MANIFEST).await?;
            let Tags { tags } = serde_json::from_slice(&body)
                .map_err(|_| self.wire.nonsense("its list of versions cannot be read"))?;
            all.extend(tags.unwrap_or_default());
            if all.len() > MOST_TAGS {
                break;
            }
        }
        Err(self.wire.nonsense("its list of versions does not end"))
    }

    fn next_page(&self, url: &Url, answer: &Answer) -> Result<Option<Url>> {
        let link = answer.headers.get(LINK).and_then(|link| link.to_str().ok());
        let Some(link) = link.filter(|link| link.contains("rel=\"next\"")) else { return Ok(None) };
        let target = link.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let (target, _) = target.ok_or_else(|| self.wire.nonsense("it names no next page"))?;
        self.wire.own(url, target).map(Some)
    }

    /// What is attached to a manifest. A registry that has no list of that keeps it under a tag.
    pub async fn attached(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let mut all = Vec::new();
        let mut next = Some(self.wire.url(&format!("referrers/{digest}"))?);
        for _ in 0..PAGES {
            let Some(url) = next.take() else { return Ok(all) };
            let answer = self.get_at(url.clone(), Some(INDEX.to_owned())).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if all.is_empty() => {
                    let index = self.under_tag(digest).await?;
                    let all = index.map_or_else(Vec::new, |index| index.manifests);
                    return self.not_too_many(all, digest);
                }
                _ => return Err(self.wire.refused(answer, "the list of what is attached").await),
            }
            next = self.next_page(&url, &answer)?;
            let body = self.wire.body(answer, MAX_MANIFEST).await?;
            all.extend(self.index(&body)?.manifests);
            all = self.not_too_many(all, digest)?;
        }
        Err(self.wire.nonsense("its list of what is attached does not end"))
    }

    fn not_too_many(&self, attached: Vec<Descriptor>, to: &Digest) -> Result<Vec<Descriptor>> {
        if attached.len() <= MOST_ATTACHED {
            return Ok(attached);
        }
        let many = format!("more than {MOST_ATTACHED} things are attached to it");
        Err(Refusal::BundleUnread(many).of(self.named(to)))
    }

    async fn under_tag(&self, digest: &Digest) -> Result<Option<Index>> {
        let found = self.manifest(&tag_of(digest)).await?;
        found.map(|bytes| self.index(&bytes)).transpose()
    }

    fn index(&self, bytes: &[u8]) -> Result<Index> {
        let index: Result<Index, _> = serde_json::from_slice(bytes);
        index.map_err(|_| self.wire.nonsense("its list of what is attached cannot be read"))
    }

    async fn has_blob(&self, digest: &str) -> Result<bool> {
        let url = self.wire.url(&format!("blobs/{digest}"))?;
        let ask = Ask::new(Method::HEAD, url).anywhere();
        Ok(self.wire.ask(&ask).await?.status == StatusCode::OK)
    }

    /// Puts bytes there, where they are not yet.
    pub async fn put_blob(&self, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        self.put_known(&Digest::of(&bytes).to_string(), bytes, None).await
    }

    /// The same of bytes whose digest is known: the registry takes no others for it.
    pub async fn put_known(
        &self,
        digest: &str,
        bytes: Bytes,
        sent: Option<Arc<Progress>>,
    ) -> Result<()> {
        if self.has_blob(digest).await? {
            return Ok(());
        }
        let url = self.wire.url("blobs/uploads/")?;
        let kind = "application/octet-stream".to_owned();
        let begin = Ask::new(Method::POST, url.clone()).with(&kind, Bytes::new());
        let answer = self.wire.ask(&begin).await?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(self.wire.refused(answer, "to take a file").await);
        }
        let location = answer.headers.get(reqwest::header::LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let location =
            location.ok_or_else(|| self.wire.nonsense("it does not say where a file goes"))?;
        let mut to = self.wire.own(&url, location)?;
        to.query_pairs_mut().append_pair("digest", digest);
        let put = Ask { sent, ..Ask::new(Method::PUT, to).with(&kind, bytes) };
        let answer = self.wire.ask(&put).await?;
        match answer.status {
            StatusCode::CREATED => Ok(()),
            _ => Err(self.wire.refused(answer, "a file").await),
        }
    }

    /// Puts a manifest there, by a tag or its digest. Whether the registry keeps a list of what is attached.
    pub async fn put_manifest(&self, name: &str, kind: &str, bytes: Vec<u8>) -> Result<bool> {
        let url = self.wire.url(&format!("manifests/{name}"))?;
        let ask = Ask::new(Method::PUT, url).with(kind, bytes.into());
        let answer = self.wire.ask(&ask).await?;
        match answer.status {
            StatusCode::CREATED => Ok(answer.headers.contains_key("oci-subject")),
            _ => Err(self.wire.refused(answer, &format!("the manifest `{name}`")).await),
        }
    }

    /// Attaches something to a manifest.
    pub async fn attach(
        &self,
        subject: Descriptor,
        kind: &str,
        content: Vec<u8>,
        annotations: Annotations,
    ) -> Result<()> {
        let digest: Digest = subject.digest.parse()?;
        let layer = Descriptor::of(kind, &content);
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: Some(kind.to_owned()),
            config: Descriptor::of(EMPTY, EMPTY_BYTES),
            layers: vec![layer],
            subject: Some(subject),
            annotations: annotations.clone(),
        };
        let json = |error| Failure::internal(format!("a manifest is no JSON: {error}"));
        let manifest = serde_json::to_vec(&manifest).map_err(json)?;
        self.put_blob(EMPTY_BYTES).await?;
        self.put_blob(content).await?;
        let mut descriptor = Descriptor::of(MANIFEST, &manifest);
        let is_listed = self.put_manifest(&descriptor.digest, MANIFEST, manifest).await?;
        if is_listed {
            return Ok(());
        }
        descriptor.artifact_type = Some(kind.to_owned());
        descriptor.annotations = annotations;
        self.list_under_tag(&digest, descriptor).await
    }

    /// Puts it into the list under a tag. Two who do so at once may each write a list without the other's: whoever
    /// finds theirs missing writes again.
    async fn list_under_tag(&self, digest: &Digest, descriptor: Descriptor) -> Result<()> {
        for put in 0..=PUTS {
            let began = Instant::now();
            let index = self.under_tag(digest).await?;
            let mut index = index.unwrap_or_else(|| Index::new(Vec::new()));
            if index.manifests.iter().any(|one| one.digest == descriptor.digest) {
                return Ok(());
            }
            if put == PUTS {
                break;
            }
            index.manifests.push(descriptor.clone());
            index.manifests = self.not_too_many(index.manifests, digest)?;
            let json = |error| Failure::internal(format!("a list is no JSON: {error}"));
            let index = serde_json::to_vec(&index).map_err(json)?;
            self.put_manifest(&tag_of(digest), INDEX, index).await?;
            // Whoever had read the list before it was written has written theirs by then.
            tokio::time::sleep(began.elapsed().min(LONGEST_PAUSE) * 2).await;
        }
        let what =
            format!("others write the list of what is attached, too: ours was lost {PUTS} times");
        Err(Failure::new(Kind::Unreachable, what)
            .at(self.named(digest))
            .next("try again when nobody else signs it"))
    }
}

/// The tag under which a registry without a list keeps what is attached.
fn tag_of(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}
