//! A whole image: its manifest, those that it names, and the blobs of all of them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use slipway_wire::{CallError, Digest, Http, Planted, planted};

use crate::manifest::{Descriptor, InvalidManifest, Manifest, is_manifest};
use crate::manifests::{NotRead, read};
use crate::name::Repository;
use crate::session::{Scope, Session};

/// An index that holds an index is legal; how deep that goes has to have an end.
const DEPTH_MAX: usize = 8;
/// Docker's official images have 20 and their attestations.
const MANIFESTS_MAX: usize = 1000;
/// All of them are held at once, by a Worker that has 128 MB for everything
/// (<https://developers.cloudflare.com/workers/platform/limits/>). One of 127 layers, Docker's limit, has 30 KB.
pub(crate) const MANIFESTS_MIB_MAX: usize = 16;
/// Each is asked for at both ends. Twenty platforms of 127 layers have 2560, if they have none in common.
const BLOBS_MAX: usize = 10_000;

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
    /// One of its manifests is none that can be released, whenever it is read.
    #[error("the manifest {digest} of `{repository}`: {source}")]
    Invalid {
        /// The repository.
        repository: Repository,
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        source: InvalidManifest,
    },
    /// Its manifests do not agree how large a blob is, so whatever is there is wrong for one of them.
    #[error("the blob {blob} has {} bytes to one manifest of the image, and {} to another", .sizes.0, .sizes.1)]
    TwoSizes {
        /// The blob.
        blob: Digest,
        /// The number of its bytes, as both say.
        sizes: (u64, u64),
    },
    /// It is larger than anybody needs, or has no end.
    #[error(
        "the image {0} has more than {MANIFESTS_MAX} manifests, {MANIFESTS_MIB_MAX} MiB of them, {DEPTH_MAX} within each \
         other, or {BLOBS_MAX} blobs"
    )]
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

    /// How many bytes its manifests have together.
    pub(crate) fn manifest_bytes(&self) -> usize {
        self.manifests.iter().map(|manifest| manifest.bytes().len()).sum()
    }

    /// The image whose manifests were read: `root`, and all that it names. If not, the blob that has two sizes.
    fn of(root: Digest, mut found: BTreeMap<Digest, Manifest>) -> Result<Self, (Digest, (u64, u64))> {
        let mut order = Vec::new();
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
            let children = found.get(&digest).into_iter().flat_map(|manifest| &manifest.children);
            waiting.extend(children.filter(|child| is_manifest(&child.media_type)).map(|child| (child.digest, false)));
        }
        let manifests: Vec<Manifest> = order.iter().filter_map(|digest| found.remove(digest)).collect();
        let mut blobs: Vec<Descriptor> = Vec::new();
        let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
        let looked_at = if planted(Planted::CopiesOnePlatform) { 1 } else { manifests.len() };
        // What an index names and no manifest is, such as a layer in BuildKit's cache, is a blob like any other.
        let named = manifests.iter().take(looked_at).flat_map(|manifest| {
            manifest.children.iter().filter(|child| !is_manifest(&child.media_type)).chain(&manifest.blobs)
        });
        for blob in named {
            let at = *known.entry(blob.digest).or_insert(blobs.len());
            match blobs.get_mut(at) {
                Some(first) if first.size != blob.size => {
                    return Err((blob.digest, (first.size, blob.size)));
                }
                // It may be absent only where no manifest needs it.
                Some(first) => first.may_be_absent &= blob.may_be_absent,
                None => blobs.push(blob.clone()),
            }
        }
        Ok(Self { manifests, blobs })
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
    let mut bytes = 0;
    let mut wanted = BTreeSet::from([digest]);
    for _ in 0..DEPTH_MAX {
        let reads = wanted.into_iter().map(|digest| async move {
            let which = digest.into();
            (digest, read(session, http, scope, repository, &which).await)
        });
        let mut reads = stream::iter(reads).buffer_unordered(http.connections());
        while let Some((part, read)) = reads.next().await {
            let repository = || repository.clone();
            let read = read.map_err(|error| match error {
                NotRead::Call(source) => NotWhole::Call { repository: repository(), digest: part, source },
                NotRead::Invalid(source) => NotWhole::Invalid { repository: repository(), digest: part, source },
            });
            let manifest = read?.ok_or_else(|| NotWhole::Lacks { repository: repository(), digest: part })?;
            bytes += manifest.bytes().len();
            if bytes > MANIFESTS_MIB_MAX << 20 {
                return Err(NotWhole::TooLarge(digest));
            }
            found.insert(part, manifest);
        }
        wanted = BTreeSet::new();
        for child in found.values().flat_map(|manifest| &manifest.children) {
            match found.get(&child.digest).map(|manifest| manifest.bytes().len() as u64) {
                Some(size) if size != child.size => {
                    return Err(NotWhole::OtherSize { digest: child.digest, found: size, said: child.size });
                }
                None if is_manifest(&child.media_type) => drop(wanted.insert(child.digest)),
                _ => {}
            }
        }
        if wanted.is_empty() {
            let image = Image::of(digest, found).map_err(|(blob, sizes)| NotWhole::TwoSizes { blob, sizes })?;
            return if image.blobs.len() > BLOBS_MAX { Err(NotWhole::TooLarge(digest)) } else { Ok(image) };
        }
        if found.len() + wanted.len() > MANIFESTS_MAX {
            break;
        }
    }
    Err(NotWhole::TooLarge(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Script, base, now, response, with_header};
    use crate::manifest::{MANIFEST_BYTES_MAX, OCI_IMAGE, OCI_INDEX};
    use crate::registry::Registry;

    /// Reads what `root` leads to at a registry that holds these manifests. How many were asked for, too.
    fn read(held: &[(&str, String)], root: &str) -> (Result<Image, NotWhole>, usize) {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let held: BTreeMap<String, _> = held.iter().map(|held| (of(&held.1).to_string(), held)).collect();
        let http = Script::new(|request| {
            let digest = request.uri().path().rsplit('/').next().unwrap_or_default();
            let found = held.get(digest);
            found.map_or_else(
                || response(404, ""),
                |(media_type, text)| with_header(200, "content-type", media_type, text),
            )
        });
        let repository: Repository = "team/app".parse().expect("a repository");
        let (session, scope) = (Session::new(&registry), Scope::pull(&repository));
        let image = now(read_image(&session, &http, &scope, &repository, of(root)));
        (image, http.asked().len())
    }

    fn of(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn descriptor(media_type: &str, digest: Digest, size: usize) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    }

    fn image(layers: &[String]) -> String {
        let config = descriptor("application/vnd.oci.image.config.v1+json", of("{}"), 2);
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","))
    }

    fn index(children: &[String]) -> String {
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, children.join(","))
    }

    #[test]
    fn a_blob_has_one_size_in_the_whole_image() {
        let [five, six] = [5, 6].map(|size| image(&[descriptor("application/x", of("layer"), size)]));
        let root = index(&[&five, &six].map(|text| descriptor(OCI_IMAGE, of(text), text.len())));
        let held = [(OCI_INDEX, root.clone()), (OCI_IMAGE, five), (OCI_IMAGE, six)];
        let error = read(&held, &root).0.expect_err("two sizes");
        let NotWhole::TwoSizes { blob, sizes } = error else { panic!("{error}") };
        assert_eq!((blob, BTreeSet::from([sizes.0, sizes.1])), (of("layer"), BTreeSet::from([5, 6])));
        // Twice in one manifest is the same.
        let twice = image(&[5, 6].map(|size| descriptor("application/x", of("layer"), size)));
        let error = read(&[(OCI_IMAGE, twice.clone())], &twice).0.expect_err("two sizes");
        assert!(matches!(error, NotWhole::TwoSizes { .. }), "{error}");
    }

    #[test]
    fn every_index_says_the_right_size_of_a_manifest() {
        let child = image(&[]);
        let (right, wrong) = (child.len(), child.len() + 1);
        for sizes in [[right, wrong], [wrong, right], [wrong, wrong]] {
            let root = index(&sizes.map(|size| descriptor(OCI_IMAGE, of(&child), size)));
            let held = [(OCI_INDEX, root.clone()), (OCI_IMAGE, child.clone())];
            let error = read(&held, &root).0.expect_err("a wrong size");
            assert!(matches!(error, NotWhole::OtherSize { .. }), "{sizes:?}: {error}");
        }
    }

    #[test]
    fn a_blob_may_be_absent_only_where_no_manifest_needs_it() {
        let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        for types in [[foreign, "application/x"], ["application/x", foreign], [foreign, foreign]] {
            let root = image(&types.map(|media_type| descriptor(media_type, of("layer"), 5)));
            let read = read(&[(OCI_IMAGE, root.clone())], &root).0.expect("an image");
            let layer = read.blobs().iter().find(|blob| blob.digest == of("layer")).expect("the layer");
            assert_eq!(layer.may_be_absent, types == [foreign, foreign], "{types:?}");
        }
    }

    #[test]
    fn an_image_of_a_hundred_thousand_layers_is_refused() {
        let layers: Vec<_> = (0..20_000).map(|number| descriptor("", of(&number.to_string()), 1)).collect();
        let root = image(&layers);
        let error = read(&[(OCI_IMAGE, root.clone())], &root).0.expect_err("too many blobs");
        assert!(matches!(error, NotWhole::TooLarge(_)), "{error}");
        // More do not fit into one manifest, so they are in several.
        let parts: Vec<String> = layers.chunks(4000).map(image).collect();
        let root = index(&parts.iter().map(|text| descriptor(OCI_IMAGE, of(text), text.len())).collect::<Vec<_>>());
        let held = parts.into_iter().map(|text| (OCI_IMAGE, text)).chain([(OCI_INDEX, root.clone())]);
        let error = read(&held.collect::<Vec<_>>(), &root).0.expect_err("too many blobs");
        assert!(matches!(error, NotWhole::TooLarge(_)), "{error}");
    }

    #[test]
    fn no_more_manifests_are_read_than_may_be_held() {
        // As large as they may be, each with other bytes.
        let padded = |number: usize| {
            let text = image(&[]);
            let space = " ".repeat(MANIFEST_BYTES_MAX - text.len() - number);
            format!("{text}{space}")
        };
        let children: Vec<String> = (0..8).map(padded).collect();
        let root = index(&children.iter().map(|text| descriptor(OCI_IMAGE, of(text), text.len())).collect::<Vec<_>>());
        let held = children.into_iter().map(|text| (OCI_IMAGE, text)).chain([(OCI_INDEX, root.clone())]);
        let (image, asked) = read(&held.collect::<Vec<_>>(), &root);
        let error = image.expect_err("too many bytes");
        assert!(matches!(error, NotWhole::TooLarge(_)) && asked < 9, "{error} after {asked} requests");
    }

    #[test]
    fn an_index_of_too_many_or_too_deep_is_refused_before_it_is_read() {
        let many: Vec<_> = (0..20_000).map(|number| descriptor(OCI_IMAGE, of(&number.to_string()), 1)).collect();
        let root = index(&many);
        let (image, asked) = read(&[(OCI_INDEX, root.clone())], &root);
        assert!(matches!(image, Err(NotWhole::TooLarge(_))) && asked == 1, "{image:?} after {asked} requests");

        let mut held = vec![(OCI_INDEX, index(&[]))];
        for _ in 0..50 {
            let inner = &held.last().expect("one").1;
            held.push((OCI_INDEX, index(&[descriptor(OCI_INDEX, of(inner), inner.len())])));
        }
        let root = held.last().expect("one").1.clone();
        let (image, asked) = read(&held, &root);
        assert!(matches!(image, Err(NotWhole::TooLarge(_))) && asked == DEPTH_MAX, "{image:?} after {asked} requests");
    }

    #[test]
    fn a_manifest_that_is_none_is_told_from_an_answer_that_is_wrong() {
        let other = image(&[]).replace("sha256:", "sha512:");
        let (image, _) = read(&[(OCI_IMAGE, other.clone())], &other);
        let error = image.expect_err("another algorithm");
        assert!(matches!(error, NotWhole::Invalid { .. }) && error.to_string().contains("SHA-256"), "{error}");

        let registry = Registry::anonymous(base("https://registry.example.com"));
        let proxy = Script::new(|_| with_header(200, "content-type", "text/html", "<h1>Please sign in</h1>"));
        let repository: Repository = "team/app".parse().expect("a repository");
        let session = Session::new(&registry);
        let image = now(read_image(&session, &proxy, &Scope::pull(&repository), &repository, of("x")));
        assert!(matches!(&image, Err(NotWhole::Call { source, .. }) if source.may_pass()), "{image:?}");
    }
}
