//! Reading back what was published: whether anybody who asks gets what was sent.
//!
//! A registry that answered 201 has said so and no more. How closely it is looked at is the caller's choice, since to look
//! at everything is to download the image.

use std::fmt;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::StatusCode;
use sha2::{Digest as _, Sha256};
use slipway_wire::{CallError, Digest, Http};

use crate::answer::host;
use crate::blobs::{GetBlob, HeadBlob};
use crate::copy::Shelf;
use crate::image::Image;
use crate::manifest::{Descriptor, Manifest};
use crate::manifests::read_manifest;
use crate::name::{Repository, Tag, Which};
use crate::session::Scope;

/// How closely it is looked at. Each is also all that is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The tags, and the image's own manifest by its digest: its bytes.
    Names,
    /// Every manifest's bytes, and every blob's length.
    Parts,
    /// Every blob's bytes.
    Bytes,
}

/// Where something was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The registry's host.
    pub host: String,
    /// The repository.
    pub repository: Repository,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}/{}`", self.host, self.repository)
    }
}

/// What is served otherwise than it was sent.
#[derive(Debug, thiserror::Error)]
pub enum NotServed {
    /// A call failed, or its answer is no manifest, or one of other bytes than its digest says.
    #[error("cannot read back {what} from {place}: {source}")]
    Call {
        /// What was asked for.
        what: String,
        /// Where.
        place: Place,
        /// Why.
        source: CallError,
    },
    /// It is not there.
    #[error("{place} does not serve {what}")]
    Lacks {
        /// A tag, or the digest of a manifest or a blob.
        what: String,
        /// Where.
        place: Place,
    },
    /// A tag names another image.
    #[error("{place} shows {found} under the tag `{tag}`, not {expected}")]
    OtherImage {
        /// The tag.
        tag: Tag,
        /// Where.
        place: Place,
        /// What it names.
        found: Digest,
        /// What it was given to.
        expected: Digest,
    },
    /// A blob has other bytes than its name says.
    #[error("{place} serves other bytes for the blob {blob}: {}", other(.found.as_ref(), *.size))]
    OtherBytes {
        /// The blob.
        blob: Digest,
        /// Where.
        place: Place,
        /// The digest of what is served, where it was read to its end.
        found: Option<Digest>,
        /// How many bytes that has, or how many were read before there were too many.
        size: u64,
    },
}

fn other(found: Option<&Digest>, size: u64) -> String {
    found.map_or_else(|| format!("{size} of them"), |found| format!("{size} of them, {found}"))
}

/// Reads back an image and its tags. The session says as whom: an anonymous one sees what anybody does.
pub async fn read_back(
    http: &impl Http,
    shelf: Shelf<'_>,
    image: &Image,
    tags: &[Tag],
    depth: Depth,
) -> Result<(), NotServed> {
    let reading = Reading { http, shelf, scope: Scope::pull(shelf.repository) };
    let Some(root) = image.manifest() else { return Ok(()) };
    let tags = tags.iter().map(|tag| reading.tag(tag, root.digest()));
    stream::iter(tags).buffer_unordered(http.connections()).try_collect::<()>().await?;
    let manifests = image.manifests().iter();
    let manifests = manifests.filter(|manifest| depth > Depth::Names || manifest.digest() == root.digest());
    let manifests = manifests.map(|manifest| reading.manifest(manifest));
    stream::iter(manifests).buffer_unordered(http.connections()).try_collect::<()>().await?;
    read_back_blobs(http, shelf, image, depth).await
}

/// Reads back an image's blobs alone, for whoever has just read its manifests from there.
pub async fn read_back_blobs(http: &impl Http, shelf: Shelf<'_>, image: &Image, depth: Depth) -> Result<(), NotServed> {
    let reading = Reading { http, shelf, scope: Scope::pull(shelf.repository) };
    let blobs = image.blobs().iter().filter(|_| depth > Depth::Names).map(|blob| reading.blob(blob, depth));
    stream::iter(blobs).buffer_unordered(http.connections()).try_collect::<()>().await
}

struct Reading<'a, H> {
    http: &'a H,
    shelf: Shelf<'a>,
    scope: Scope,
}

impl<H: Http> Reading<'_, H> {
    fn place(&self) -> Place {
        let Shelf { session, repository } = self.shelf;
        Place { host: host(session.registry().base.as_str()), repository: repository.clone() }
    }

    fn failed(&self, what: impl fmt::Display) -> impl FnOnce(CallError) -> NotServed {
        let (what, place) = (what.to_string(), self.place());
        |source| NotServed::Call { what, place, source }
    }

    fn lacks(&self, what: impl fmt::Display) -> NotServed {
        NotServed::Lacks { what: what.to_string(), place: self.place() }
    }

    async fn read(&self, which: &Which) -> Result<Manifest, NotServed> {
        let Shelf { session, repository } = self.shelf;
        let read = read_manifest(session, self.http, &self.scope, repository, which).await;
        read.map_err(self.failed(which))?.ok_or_else(|| self.lacks(which))
    }

    async fn tag(&self, tag: &Tag, expected: Digest) -> Result<(), NotServed> {
        let found = self.read(&tag.clone().into()).await?.digest();
        if found == expected {
            return Ok(());
        }
        Err(NotServed::OtherImage { tag: tag.clone(), place: self.place(), found, expected })
    }

    /// Its bytes are hashed where they are read, so what comes is what was asked for.
    async fn manifest(&self, manifest: &Manifest) -> Result<(), NotServed> {
        self.read(&manifest.digest().into()).await.map(drop)
    }

    async fn blob(&self, blob: &Descriptor, depth: Depth) -> Result<(), NotServed> {
        let Shelf { session, repository } = self.shelf;
        let (registry, digest) = (session.registry(), blob.digest);
        if depth < Depth::Bytes {
            let head = HeadBlob { registry, repository, digest };
            return match session.call(self.http, &self.scope, &head).await.map_err(self.failed(digest))? {
                Some(head) if head.size.is_none_or(|size| size == blob.size) => Ok(()),
                Some(head) => Err(self.other_bytes(blob, None, head.size.unwrap_or_default())),
                None if blob.may_be_absent => Ok(()),
                None => Err(self.lacks(digest)),
            };
        }
        let get = GetBlob { registry, repository, digest };
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        let mut each = |piece: &[u8]| {
            hash.update(piece);
            size = size.saturating_add(piece.len() as u64);
            size <= blob.size
        };
        let request = || get.request().map(|request| request.map(|()| Vec::new()));
        let answer = session.read(self.http, &self.scope, request, &mut each).await.map_err(self.failed(digest))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return if blob.may_be_absent { Ok(()) } else { Err(self.lacks(digest)) };
        }
        if let Some(storage) = get.redirect(&answer).map_err(|error| self.failed(digest)(session.hide(error)))? {
            let unsendable = |error: http::Error| self.failed(digest)(CallError::Unsendable(error.to_string()));
            let request = storage.get().map_err(unsendable)?.map(|()| Vec::new());
            let request = session.with_credential(request, &self.scope).map_err(self.failed(digest))?;
            let answer =
                self.http.read(request, &mut each).await.map_err(|silent| self.failed(digest)(silent.into()))?;
            if answer.status() != StatusCode::OK {
                return Err(self.failed(digest)(session.hide(storage.refusal(&answer))));
            }
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if size == blob.size && found == digest {
            return Ok(());
        }
        Err(self.other_bytes(blob, (size <= blob.size).then_some(found), size))
    }

    fn other_bytes(&self, blob: &Descriptor, found: Option<Digest>, size: u64) -> NotServed {
        NotServed::OtherBytes { blob: blob.digest, place: self.place(), found, size }
    }
}
