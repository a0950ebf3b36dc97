//! The images that are copied, put into a registry by plain requests.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bench::copy::servers::block;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The repository of all of them.
pub(super) const REPOSITORY: &str = "team/app";

/// An image under its own tag.
pub(super) struct Staged {
    pub(super) tag: &'static str,
    pub(super) digest: String,
    /// The bytes of its blobs together.
    pub(super) bytes: u64,
    /// Of its largest blob.
    pub(super) largest: String,
}

/// Puts an image there: for each platform the layers of these names, which all have `layer_bytes`.
pub(super) fn stage(
    url: &str,
    tag: &'static str,
    platforms: &[(&str, Vec<String>)],
    layer_bytes: usize,
) -> anyhow::Result<Staged> {
    let block = block();
    let mut known = std::collections::BTreeMap::new();
    let mut children = Vec::new();
    for (architecture, names) in platforms {
        let mut layers = Vec::new();
        for name in names {
            let layer = match known.get(name) {
                Some(layer) => Value::clone(layer),
                None => push(url, "application/vnd.oci.image.layer.v1.tar+gzip", &layer(&block, name, layer_bytes))?,
            };
            known.insert(name.clone(), layer.clone());
            layers.push(layer);
        }
        // Nobody unpacks it, so what its layers hold unpacked is not said truly.
        let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": ids },
        });
        let config = push(url, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
        known.insert(format!("config of {architecture}"), config.clone());
        let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers });
        let mut child = put(url, None, IMAGE, &manifest)?;
        child["platform"] = json!({ "architecture": architecture, "os": "linux" });
        children.push(child);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    let index = put(url, Some(tag), INDEX, &index)?;
    let size = |blob: &Value| blob["size"].as_u64().unwrap_or_default();
    let largest = known.values().max_by_key(|blob| size(blob)).context("an image has layers")?;
    let text = |blob: &Value| blob["digest"].as_str().map(str::to_owned).context("a descriptor has a digest");
    Ok(Staged { tag, digest: text(&index)?, bytes: known.values().map(size).sum(), largest: text(largest)? })
}

/// It begins as gzip does: a client that thinks it unpacked would pack it.
fn layer(block: &[u8], name: &str, bytes: usize) -> Vec<u8> {
    let mut layer = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    layer.extend_from_slice(name.as_bytes());
    while layer.len() < bytes {
        let rest = block.len().min(bytes - layer.len());
        layer.extend_from_slice(&block[..rest]);
    }
    layer
}

pub(super) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    let digest = format!("sha256:{:x}", Sha256::digest(bytes));
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// Where an upload of a new blob goes.
pub(super) fn upload_address(url: &str, repository: &str, digest: &str) -> anyhow::Result<String> {
    let begun =
        minreq::post(format!("{url}/v2/{repository}/blobs/uploads/")).with_header("content-length", "0").send()?;
    let location = begun.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
    let (_, location) = location.context("an upload has an address")?;
    let location = if location.starts_with('/') { format!("{url}{location}") } else { location.clone() };
    let divider = if location.contains('?') { '&' } else { '?' };
    Ok(format!("{location}{divider}digest={digest}"))
}

fn push(url: &str, media_type: &str, bytes: &[u8]) -> anyhow::Result<Value> {
    let blob = descriptor(media_type, bytes);
    let digest = blob["digest"].as_str().unwrap_or_default();
    let put = minreq::put(upload_address(url, REPOSITORY, digest)?)
        .with_header("content-type", "application/octet-stream")
        .with_body(bytes)
        .send()?;
    ensure!(put.status_code == 201, "a blob is answered {}", put.status_code);
    Ok(blob)
}

fn put(url: &str, tag: Option<&str>, media_type: &str, manifest: &Value) -> anyhow::Result<Value> {
    let bytes = manifest.to_string().into_bytes();
    let descriptor = descriptor(media_type, &bytes);
    let name = tag.or(descriptor["digest"].as_str()).unwrap_or_default();
    let put = minreq::put(format!("{url}/v2/{REPOSITORY}/manifests/{name}"))
        .with_header("content-type", media_type)
        .with_body(bytes)
        .send()?;
    ensure!(put.status_code == 201, "a manifest is answered {}", put.status_code);
    Ok(descriptor)
}
