//! Bringing what says something about an image to where the image is: signatures, bills of materials, attestations.
//!
//! It goes between the image and its tag, so that nobody finds the image without it. Each is an image itself and is copied
//! as one. Where the registry keeps no list of referrers, the client does, as an index under a tag made of the subject's
//! digest (OCI distribution specification 1.1, "Referrers tag schema"): what is listed there stays, and what is new is added.
//! Two writers at once could lose each other's line; the caller sees to it that there is one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::{RawValue, to_raw_value};
use slipway_wire::{CallError, Digest, Http, Relay};

use crate::copy::{Moved, NotCopied, Shelf, Uploads, call_failed, copy, tag};
use crate::image::{Image, MANIFESTS_MIB_MAX, NotWhole, read_image};
use crate::manifest::{Descriptor, Manifest, OCI_INDEX, last};
use crate::manifests::read_manifest;
use crate::name::Tag;
use crate::referrers::Referrers;
use crate::session::Scope;

/// Copies what says something about an image that is at the target already, without a tag.
pub async fn copy_referrers(
    http: &(impl Http + Relay),
    source: Shelf<'_>,
    target: Shelf<'_>,
    referrers: &Referrers,
    uploads: &impl Uploads,
    moved: &dyn Fn(&Descriptor, Moved),
) -> Result<(), NotCopied> {
    let scope = Scope::pull(source.repository);
    let mut unlisted: BTreeMap<Digest, Vec<Manifest>> = BTreeMap::new();
    let mut read = BTreeMap::new();
    let mut images = Vec::new();
    // All of them are held at once.
    let mut bytes = 0;
    for digest in referrers.digests() {
        let image = read_image(source.session, http, &scope, source.repository, digest).await;
        let image = image.map_err(|error| NotCopied::NotWhole(Box::new(error)))?;
        bytes += image.manifest_bytes();
        if bytes > MANIFESTS_MIB_MAX << 20 {
            return Err(NotCopied::NotWhole(Box::new(NotWhole::TooLarge(digest))));
        }
        images.push((digest, image));
    }
    // Some registries refuse what says something about a manifest that they do not have. So each comes after its subject.
    while !images.is_empty() {
        let waiting: BTreeSet<Digest> = images.iter().map(|(digest, _)| *digest).collect();
        let waits = |image: &Image| image.manifests().iter().any(|manifest| is_waiting(manifest, &waiting));
        let (mut next, mut later): (Vec<_>, Vec<_>) = images.into_iter().partition(|(_, image)| !waits(image));
        if next.is_empty() {
            // No digest can be part of what it is the digest of, so this is no circle that anybody made.
            std::mem::swap(&mut next, &mut later);
        }
        for (digest, image) in next {
            let not_listed = copy(http, source, target, &image, uploads, moved).await?;
            for manifest in image.manifests().iter().filter(|manifest| not_listed.contains(&manifest.digest())) {
                if let Some(subject) = manifest.subject {
                    unlisted.entry(subject).or_default().push(manifest.clone());
                }
            }
            read.extend(image.manifest().map(|manifest| (digest, manifest.clone())));
        }
        images = later;
    }
    for (subject, manifests) in &unlisted {
        list(http, target, *subject, manifests).await?;
    }
    for (name, digest) in &referrers.tags {
        if let Some(manifest) = read.get(digest) {
            tag(http, target, manifest, std::slice::from_ref(name)).await?;
        }
    }
    Ok(())
}

/// Whether a manifest says something about one that is still to come.
fn is_waiting(manifest: &Manifest, waiting: &BTreeSet<Digest>) -> bool {
    manifest.subject.is_some_and(|subject| subject != manifest.digest() && waiting.contains(&subject))
}

/// Adds manifests to the list of a subject's referrers.
pub(crate) async fn list(
    http: &impl Http,
    target: Shelf<'_>,
    subject: Digest,
    manifests: &[Manifest],
) -> Result<(), NotCopied> {
    let Shelf { session, repository } = target;
    let name = Tag::of_referrers(&subject);
    let doing = || format!("list what says something about {subject} in `{repository}`");
    let known = read_manifest(session, http, &Scope::push(repository), repository, &name.clone().into()).await;
    let known = known.map_err(call_failed(doing()))?;
    if known.as_ref().is_some_and(|known| known.media_type() != OCI_INDEX) {
        return Err(NotCopied::NoList { repository: repository.clone(), tag: name });
    }
    let unsendable = |why: String| call_failed(doing())(CallError::Unsendable(why));
    let index = with_added(known.as_ref(), manifests).map_err(|error| unsendable(error.to_string()))?;
    let Some(index) = index else { return Ok(()) };
    let index = Manifest::read(OCI_INDEX, index).map_err(|error| unsendable(error.to_string()))?;
    tag(http, target, &index, &[name]).await
}

/// The list with what is not in it yet, and all that is there as it is written. `None` when nothing is missing.
fn with_added(known: Option<&Manifest>, manifests: &[Manifest]) -> serde_json::Result<Option<Vec<u8>>> {
    let listed: BTreeSet<Digest> =
        known.into_iter().flat_map(|known| &known.children).map(|child| child.digest).collect();
    let new = manifests.iter().filter(|manifest| !listed.contains(&manifest.digest())).map(entry);
    let new: Vec<Box<RawValue>> = new.collect::<Result<_, _>>()?;
    if new.is_empty() {
        return Ok(None);
    }
    let empty = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#;
    let mut index: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(known.map_or(empty, Manifest::bytes))?;
    let entries: Option<Option<Vec<&RawValue>>> =
        index.get("manifests").map(|entries| serde_json::from_str(entries.get())).transpose()?;
    let entries = entries.flatten().unwrap_or_default().into_iter();
    let entries: Vec<&RawValue> = entries.chain(new.iter().map(AsRef::as_ref)).collect();
    let entries = to_raw_value(&entries)?;
    index.insert("manifests".to_owned(), entries);
    serde_json::to_vec(&index).map(Some)
}

/// How a manifest is listed: with its `artifactType`, or the type of its configuration where it has none, and with its
/// annotations ("Referrers tag schema").
fn entry(manifest: &Manifest) -> serde_json::Result<Box<RawValue>> {
    let written = std::str::from_utf8(manifest.bytes()).unwrap_or_default();
    let [artifact_type, config, annotations] =
        last(written, ["artifactType", "config", "annotations"]).unwrap_or_default();
    let config = config.and_then(|config| last(config.get(), ["mediaType"]).ok());
    let text = |value: Option<&RawValue>| {
        value.and_then(|value| serde_json::from_str::<String>(value.get()).ok()).filter(|text| !text.is_empty())
    };
    let artifact_type = text(artifact_type).or_else(|| text(config.and_then(|[media_type]| media_type)));
    let mut entry = BTreeMap::from([
        ("mediaType", to_raw_value(manifest.media_type())?),
        ("digest", to_raw_value(&manifest.digest())?),
        ("size", to_raw_value(&manifest.bytes().len())?),
    ]);
    if let Some(artifact_type) = artifact_type {
        entry.insert("artifactType", to_raw_value(&artifact_type)?);
    }
    if let Some(annotations) = annotations {
        entry.insert("annotations", annotations.to_owned());
    }
    to_raw_value(&entry)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use slipway_wire::{RelayError, Relayed, Request, Response, Transfer, Unreachable};

    use super::*;
    use crate::fake::{Script, base, now, with_header};
    use crate::manifest::OCI_IMAGE;
    use crate::registry::Registry;
    use crate::session::Session;

    fn signature(more: &str) -> Manifest {
        let digest = Digest::of(b"{}");
        let config = format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{digest}","size":2}}"#);
        let subject = format!(r#"{{"mediaType":"{OCI_INDEX}","digest":"{digest}","size":2}}"#);
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"subject":{subject}{more}}}"#);
        Manifest::read(OCI_IMAGE, text.into_bytes()).expect("a manifest")
    }

    fn listed(manifest: &Manifest) -> Value {
        serde_json::from_str(entry(manifest).expect("an entry").get()).expect("JSON")
    }

    fn with(known: Option<&Manifest>, manifests: &[Manifest]) -> Option<Manifest> {
        let index = with_added(known, manifests).expect("a list")?;
        Some(Manifest::read(OCI_INDEX, index).expect("an index"))
    }

    fn digests(index: &Manifest) -> Vec<Digest> {
        index.children.iter().map(|child| child.digest).collect()
    }

    #[test]
    fn a_referrer_is_listed_with_its_type_and_its_annotations() {
        let plain = listed(&signature(""));
        assert_eq!(plain["artifactType"], "application/vnd.oci.empty.v1+json");
        assert_eq!(plain.get("annotations"), None);
        let typed = signature(r#","artifactType":"application/vnd.example.sbom","annotations":{"a":"b"}"#);
        let listed = listed(&typed);
        assert_eq!(listed["artifactType"], "application/vnd.example.sbom");
        assert_eq!(listed["annotations"], json!({"a": "b"}));
        assert_eq!(listed["mediaType"], OCI_IMAGE);
        assert_eq!(listed["digest"], typed.digest().to_string());
        assert_eq!(listed["size"], typed.bytes().len());
    }

    #[test]
    fn what_is_listed_stays_and_nothing_is_listed_twice() {
        let (first, second) = (signature(""), signature(r#","artifactType":"application/vnd.example.sbom""#));
        let one = with(None, std::slice::from_ref(&first)).expect("a list");
        assert_eq!(with(Some(&one), std::slice::from_ref(&first)), None);
        let both = with(Some(&one), &[first.clone(), second.clone()]).expect("a list");
        assert_eq!(digests(&both), [first.digest(), second.digest()]);
        // As another tool has written it.
        let theirs = String::from_utf8(one.bytes().to_vec()).expect("text");
        let theirs = theirs.replace("\"size\":", "\"x\" : 1.50, \"size\":");
        let theirs = Manifest::read(OCI_INDEX, theirs.into_bytes()).expect("an index");
        let both = with(Some(&theirs), std::slice::from_ref(&second)).expect("a list");
        assert!(String::from_utf8_lossy(both.bytes()).contains("\"x\" : 1.50, "), "{both:?}");
    }

    #[test]
    fn a_list_of_none_in_any_spelling_is_added_to() {
        let signature = signature("");
        for text in [r#"{"schemaVersion":2}"#, r#"{"manifests":null}"#, r#"{"manifests":[]}"#] {
            let known = Manifest::read(OCI_INDEX, text.as_bytes().to_vec()).expect("an index");
            let index = with(Some(&known), std::slice::from_ref(&signature)).expect("it is not listed yet");
            assert_eq!(digests(&index), [signature.digest()], "{text}");
        }
    }

    #[test]
    fn where_the_list_has_to_be_is_nothing_else_replaced() {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let image = signature("");
        let text = String::from_utf8(image.bytes().to_vec()).expect("text");
        let http = Script::new(|_| with_header(200, "content-type", OCI_IMAGE, &text));
        let (session, repository) = (Session::new(&registry), "team/app".parse().expect("a repository"));
        let target = Shelf { session: &session, repository: &repository };
        let listed = now(list(&Sends(&http), target, Digest::of(b"subject"), std::slice::from_ref(&image)));
        assert!(matches!(listed, Err(NotCopied::NoList { .. })), "{listed:?}");
        assert!(http.asked().iter().all(|line| line.starts_with("GET ")), "{:?}", http.asked());
    }

    /// A script that relays nothing.
    struct Sends<'a, F>(&'a Script<F>);

    impl<F: Fn(&Request) -> Response> Http for Sends<'_, F> {
        async fn send(&self, request: Request) -> Result<Response, Unreachable> {
            self.0.send(request).await
        }

        async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            self.0.read(request, each).await
        }
    }

    impl<F> Relay for Sends<'_, F> {
        async fn relay(&self, _transfer: Transfer) -> Result<Relayed, RelayError> {
            panic!("nothing is sent here")
        }
    }
}
