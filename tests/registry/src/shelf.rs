//! What a registry holds, and the rules by which something comes there.

use serde_json::{Value, json};
use slipway_wire::Digest;

use crate::State;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An upload that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// The repository.
    pub repository: String,
    /// What has come.
    pub bytes: Vec<u8>,
    /// How many requests it has had. Its address changes with each.
    pub step: u32,
}

/// The blobs that must be there with a manifest: not those that its makers let nobody hand on.
fn blobs(manifest: &Value) -> Vec<Digest> {
    let layers: Vec<Value> = manifest["layers"].as_array().cloned().unwrap_or_default();
    let is_foreign = |layer: &Value| {
        let media_type = layer["mediaType"].as_str().unwrap_or_default();
        media_type.contains(".foreign.") || media_type.contains(".nondistributable.")
    };
    let own: Vec<Value> = layers.into_iter().filter(|layer| !is_foreign(layer)).collect();
    [named(manifest, "config"), named(&json!({ "layers": own }), "layers")].concat()
}

/// The digests that a manifest's `field` names, where it has it.
fn named(manifest: &Value, field: &str) -> Vec<Digest> {
    let entries = match &manifest[field] {
        Value::Array(entries) => entries.clone(),
        Value::Object(_) => vec![manifest[field].clone()],
        _ => Vec::new(),
    };
    entries.iter().filter_map(|entry| entry["digest"].as_str()?.parse().ok()).collect()
}

/// The parts of a manifest that a repository lacks.
pub(crate) fn missing(state: &State, repository: &str, bytes: &[u8]) -> Vec<Digest> {
    let manifest: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let has_blob = |digest: &Digest| state.blobs.contains_key(&(repository.to_owned(), *digest));
    let has_manifest = |digest: &Digest| state.manifests.contains_key(&(repository.to_owned(), digest.to_string()));
    let blobs = blobs(&manifest);
    let children = named(&manifest, "manifests");
    blobs
        .into_iter()
        .filter(|blob| !has_blob(blob))
        .chain(children.into_iter().filter(|child| !has_manifest(child)))
        .collect()
}

/// Whether everything that a name leads to is there, with the right bytes.
pub(crate) fn whole(state: &State, repository: &str, name: &str) -> Result<(), String> {
    let at = (repository.to_owned(), name.to_owned());
    let stored = state.manifests.get(&at).ok_or_else(|| format!("there is no {name}"))?;
    let found = Digest::of(&stored.bytes);
    if name.starts_with("sha256:") && name != found.to_string() {
        return Err(format!("{name} is {found}"));
    }
    let manifest: Value = serde_json::from_slice(&stored.bytes).map_err(|error| error.to_string())?;
    for blob in blobs(&manifest) {
        let bytes = state.blobs.get(&(repository.to_owned(), blob)).ok_or_else(|| format!("{name} lacks {blob}"))?;
        if Digest::of(bytes) != blob {
            return Err(format!("the blob {blob} of {name} has other bytes"));
        }
    }
    named(&manifest, "manifests").iter().try_for_each(|child| whole(state, repository, &child.to_string()))
}

/// Looks at every tag of the repository that is watched.
pub(crate) fn look(state: &mut State, after: &str) {
    let Some(repository) = state.watched.clone() else { return };
    let tags = state.manifests.keys().filter(|(owner, name)| *owner == repository && !name.contains(':'));
    let seen: Vec<String> = tags
        .filter_map(|(_, tag)| Some(format!("after {after}, {tag}: {}", whole(state, &repository, tag).err()?)))
        .collect();
    state.seen.extend(seen);
}

/// Takes away the blobs that no manifest of their repository names.
pub(crate) fn collect(state: &mut State) {
    let named: Vec<(String, Digest)> = state
        .manifests
        .iter()
        .flat_map(|((repository, _), stored)| {
            let manifest: Value = serde_json::from_slice(&stored.bytes).unwrap_or_default();
            let blobs = [named(&manifest, "config"), named(&manifest, "layers")].concat();
            blobs.into_iter().map(move |blob| (repository.clone(), blob))
        })
        .collect();
    state.blobs.retain(|at, _| named.contains(at));
}

/// The index of what says something about a manifest, as the referrers API gives it.
pub(crate) fn referrers(state: &State, repository: &str, subject: &str) -> Value {
    let of_subject = state.manifests.iter().filter(|((owner, name), stored)| {
        let manifest: Value = serde_json::from_slice(&stored.bytes).unwrap_or_default();
        owner == repository && name.starts_with("sha256:") && manifest["subject"]["digest"] == *subject
    });
    let entries: Vec<Value> = of_subject
        .map(
            |((_, name), stored)| json!({ "mediaType": stored.media_type, "digest": name, "size": stored.bytes.len() }),
        )
        .collect();
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries })
}
