//! Bringing what says something about an image to where the image is: signatures, bills of materials, attestations.
//!
//! It goes between the image and its tag, so that nobody finds the image without it. Each is an image itself and is copied
//! as one. Where the registry keeps no list of referrers, the client does, as an index under a tag made of the subject's
//! digest (OCI distribution specification 1.1, "Referrers tag schema"): what is listed there stays, and what is new is added.
//! Two writers at once could lose each other's line; the caller sees to it that there is one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use slipway_wire::{CallError, Digest, Http, Relay};

use crate::copy::{Moved, NotCopied, Shelf, Uploads, call_failed, copy, tag};
use crate::image::{Image, read_image};
use crate::manifest::{Descriptor, Manifest, OCI_INDEX};
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
    for digest in referrers.digests() {
        let image = read_image(source.session, http, &scope, source.repository, digest).await;
        images.push((digest, image.map_err(|error| NotCopied::NotWhole(Box::new(error)))?));
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
async fn list(
    http: &(impl Http + Relay),
    target: Shelf<'_>,
    subject: Digest,
    manifests: &[Manifest],
) -> Result<(), NotCopied> {
    let Shelf { session, repository } = target;
    let name = Tag::of_referrers(&subject);
    let doing = || format!("list what says something about {subject} in `{repository}`");
    let known = read_manifest(session, http, &Scope::push(repository), repository, &name.clone().into()).await;
    let known = known.map_err(call_failed(doing()))?;
    let Some(index) = with_added(known.as_ref(), manifests) else { return Ok(()) };
    let unsendable = |why: String| call_failed(doing())(CallError::Unsendable(why));
    let index = Manifest::read(OCI_INDEX, index).map_err(|error| unsendable(error.to_string()))?;
    tag(http, target, &index, &[name]).await
}

/// The list with what is not in it yet. `None` when nothing is missing.
fn with_added(known: Option<&Manifest>, manifests: &[Manifest]) -> Option<Vec<u8>> {
    let mut index = known
        .and_then(|known| serde_json::from_slice::<Value>(known.bytes()).ok())
        .unwrap_or_else(|| json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }));
    let entries = index.get_mut("manifests")?.as_array_mut()?;
    let listed: BTreeSet<String> =
        entries.iter().filter_map(|entry| entry.get("digest")?.as_str().map(str::to_owned)).collect();
    let new: Vec<Value> =
        manifests.iter().filter(|manifest| !listed.contains(&manifest.digest().to_string())).map(entry).collect();
    if new.is_empty() {
        return None;
    }
    entries.extend(new);
    serde_json::to_vec(&index).ok()
}

/// How a manifest is listed: with its `artifactType`, or the type of its configuration where it has none, and with its
/// annotations ("Referrers tag schema").
fn entry(manifest: &Manifest) -> Value {
    let read: Value = serde_json::from_slice(manifest.bytes()).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let configuration = read.get("config").and_then(|config| config.get("mediaType"));
    let mut entry = json!({
        "mediaType": manifest.media_type(),
        "digest": manifest.digest().to_string(),
        "size": manifest.bytes().len(),
    });
    if let Some(fields) = entry.as_object_mut() {
        let artifact_type = text(read.get("artifactType")).or_else(|| text(configuration));
        fields.extend(artifact_type.map(|artifact_type| ("artifactType".to_owned(), json!(artifact_type))));
        fields.extend(read.get("annotations").map(|annotations| ("annotations".to_owned(), annotations.clone())));
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::OCI_IMAGE;

    fn signature(more: &str) -> Manifest {
        let digest = Digest::of(b"{}");
        let config = format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{digest}","size":2}}"#);
        let subject = format!(r#"{{"mediaType":"{OCI_INDEX}","digest":"{digest}","size":2}}"#);
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"subject":{subject}{more}}}"#);
        Manifest::read(OCI_IMAGE, text.into_bytes()).expect("a manifest")
    }

    #[test]
    fn a_referrer_is_listed_with_its_type_and_its_annotations() {
        let plain = entry(&signature(""));
        assert_eq!(plain["artifactType"], "application/vnd.oci.empty.v1+json");
        assert_eq!(plain.get("annotations"), None);
        let typed = signature(r#","artifactType":"application/vnd.example.sbom","annotations":{"a":"b"}"#);
        let listed = entry(&typed);
        assert_eq!(listed["artifactType"], "application/vnd.example.sbom");
        assert_eq!(listed["annotations"], json!({"a": "b"}));
        assert_eq!(listed["digest"], typed.digest().to_string());
        assert_eq!(listed["size"], typed.bytes().len());
    }

    #[test]
    fn what_is_listed_stays_and_nothing_is_listed_twice() {
        let (first, second) = (signature(""), signature(r#","artifactType":"application/vnd.example.sbom""#));
        let one = with_added(None, std::slice::from_ref(&first)).expect("a list");
        let one = Manifest::read(OCI_INDEX, one).expect("an index");
        assert_eq!(with_added(Some(&one), std::slice::from_ref(&first)), None);
        let both = with_added(Some(&one), &[first.clone(), second.clone()]).expect("a list");
        let both = Manifest::read(OCI_INDEX, both).expect("an index");
        let digests: Vec<Digest> = both.children.iter().map(|child| child.digest).collect();
        assert_eq!(digests, [first.digest(), second.digest()]);
    }
}
