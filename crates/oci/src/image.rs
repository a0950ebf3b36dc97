//! A whole image: its manifest, those that it names, and the blobs of all of them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use slipway_wire::{CallError, Digest, Http, Planted, planted};

use crate::manifest::{Descriptor, Manifest, is_manifest};
use crate::manifests::read_manifest;
use crate::name::Repository;
use crate::session::{Scope, Session};

/// An index that holds an index is legal; how deep that goes has to have an end.
const DEPTH_MAX: usize = 8;
/// Docker's official images have 20 and their attestations.
const MANIFESTS_MAX: usize = 1000;

/// An image with all its parts, as one registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Every manifest once, each after those that it names. The last one is the image itself.
    manifests: Vec<Manifest>,
    /// Every blob once, in the order of the manifests.
    blobs: Vec<Descriptor>,
}

/// Why an image cannot be read whole.
#[derive(Debug, thiserror::Error)]
pub enum NotWhole {
    /// A call failed.
    #[error("cannot read the manifest {digest} of `{repository}`: {source}")]
    Call {
        /// The repository.
        repository: Repository,
        /// The manifest that was asked for.
        digest: Digest,
        /// Why.
        source: CallError,
    },
    /// The registry lacks a part of it.
    #[error("`{repository}` does not have the manifest {digest}")]
    Lacks {
        /// The repository.
        repository: Repository,
        /// The manifest that was asked for.
        digest: Digest,
    },
    /// An index says how large a manifest is, and it is not.
    #[error("the manifest {digest} has {found} bytes, and the index that names it says {said}")]
    OtherSize {
        /// The manifest.
        digest: Digest,
        /// The number of its bytes.
        found: u64,
        /// What its index says.
        said: u64,
    },
    /// It has no end that is reached.
    #[error("the image {0} has more than {MANIFESTS_MAX} manifests, or more than {DEPTH_MAX} within each other")]
    TooLarge(Digest),
}

impl Image {
    /// The image's own manifest: what a tag names.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifests.last()
    }

    /// Every manifest once, each after those that it names.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// Every blob once.
    pub fn blobs(&self) -> &[Descriptor] {
        &self.blobs
    }

    /// How many bytes its blobs have together.
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).fold(0, u64::saturating_add)
    }

    /// The image whose manifests were read, if `root` and all that it names are among them.
    fn of(root: Digest, mut found: BTreeMap<Digest, Manifest>) -> Option<Self> {
        let mut order = Vec::new();
        let mut blobs = Vec::new();
        let (mut known, mut waiting) = (BTreeSet::new(), vec![(root, false)]);
        // Depth first; a manifest is taken when all that it names are.
        while let Some((digest, are_its_parts_taken)) = waiting.pop() {
            if are_its_parts_taken {
                order.push(digest);
                continue;
            }
            if !known.insert(digest) {
                continue;
            }
            waiting.push((digest, true));
            let children = found.get(&digest)?.children.iter();
            waiting.extend(children.filter(|child| is_manifest(&child.media_type)).map(|child| (child.digest, false)));
        }
        let mut manifests = Vec::new();
        let mut known = BTreeSet::new();
        for digest in order {
            let manifest = found.remove(&digest)?;
            if planted(Planted::CopiesOnePlatform) && !manifests.is_empty() {
                manifests.push(manifest);
                continue;
            }
            // What an index names and no manifest is, such as a layer in BuildKit's cache, is a blob like any other.
            let others = manifest.children.iter().filter(|child| !is_manifest(&child.media_type));
            blobs.extend(others.chain(&manifest.blobs).filter(|blob| known.insert(blob.digest)).cloned());
            manifests.push(manifest);
        }
        Some(Self { manifests, blobs })
    }
}

/// Reads an image's manifests, those of one depth at once.
pub async fn read_image(
    session: &Session<'_>,
    http: &impl Http,
    scope: &Scope,
    repository: &Repository,
    digest: Digest,
) -> Result<Image, NotWhole> {
    let mut found: BTreeMap<Digest, Manifest> = BTreeMap::new();
    let mut wanted = BTreeMap::from([(digest, None)]);
    for _ in 0..DEPTH_MAX {
        let reads = wanted.into_iter().map(|(digest, said)| async move {
            let which = digest.into();
            let read = read_manifest(session, http, scope, repository, &which).await;
            (digest, said, read)
        });
        let mut reads = stream::iter(reads).buffer_unordered(http.connections());
        while let Some((digest, said, read)) = reads.next().await {
            let repository = || repository.clone();
            let read = read.map_err(|source| NotWhole::Call { repository: repository(), digest, source })?;
            let manifest = read.ok_or_else(|| NotWhole::Lacks { repository: repository(), digest })?;
            let size = manifest.bytes().len() as u64;
            if let Some(said) = said.filter(|said| *said != size) {
                return Err(NotWhole::OtherSize { digest, found: size, said });
            }
            found.insert(digest, manifest);
        }
        let children = found.values().flat_map(|manifest| &manifest.children);
        let unread = children.filter(|child| is_manifest(&child.media_type) && !found.contains_key(&child.digest));
        wanted = unread.map(|child| (child.digest, Some(child.size))).collect();
        if wanted.is_empty() {
            return Image::of(digest, found).ok_or(NotWhole::TooLarge(digest));
        }
        if found.len() + wanted.len() > MANIFESTS_MAX {
            break;
        }
    }
    Err(NotWhole::TooLarge(digest))
}
