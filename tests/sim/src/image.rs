//! Images as they are made: an index of two platforms that share a layer, all of it following from a few bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::json;
use slipway_oci::{OCI_IMAGE, OCI_INDEX};
use slipway_wire::Digest;

/// A manifest, and what must be there with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
    /// The blobs that it names.
    pub blobs: Vec<Digest>,
    /// The manifests that it names.
    pub children: Vec<Digest>,
}

impl Stored {
    /// A manifest as somebody sends it. Whatever cannot be read in it names nothing.
    pub fn read(media_type: &str, bytes: Vec<u8>) -> Self {
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let named = |field: &str| -> Vec<Digest> {
            let one = std::slice::from_ref(&read[field]);
            let entries = read[field].as_array().map_or(one, Vec::as_slice);
            entries.iter().filter_map(|entry| entry["digest"].as_str()?.parse().ok()).collect()
        };
        let blobs = [named("config"), named("layers")].concat();
        let digest = Digest::of(&bytes);
        Self { media_type: media_type.to_owned(), children: named("manifests"), blobs, digest, bytes }
    }
}

/// What stands between an image's name and its base's.
pub const ON: &str = " on ";

/// A whole image.
#[derive(Debug)]
pub struct Made {
    /// Its manifests, each after those that it names.
    pub manifests: Vec<Rc<Stored>>,
    /// Its blobs.
    pub blobs: BTreeMap<Digest, Rc<[u8]>>,
    /// What it is: the digest of its index.
    pub digest: Digest,
    /// The layer that it has on one platform alone.
    pub own_layer: Digest,
}

thread_local! {
    static MADE: RefCell<BTreeMap<Vec<u8>, Rc<Made>>> = const { RefCell::new(BTreeMap::new()) };
}

impl Made {
    /// The image that these bytes stand for. All images have one layer in common. What stands behind [`ON`] is the image's base:
    /// for one platform it is the base itself, a manifest that all images on that base have in common.
    pub fn of(seed: &[u8]) -> Rc<Self> {
        MADE.with_borrow_mut(|made| {
            if made.len() > 400 {
                made.clear();
            }
            Rc::clone(made.entry(seed.to_vec()).or_insert_with(|| Rc::new(Self::make(seed))))
        })
    }

    fn make(seed: &[u8]) -> Self {
        let mut blobs = BTreeMap::new();
        let mut blob = |media_type: &str, bytes: Vec<u8>| {
            let (digest, size) = (Digest::of(&bytes), bytes.len());
            blobs.insert(digest, Rc::from(bytes));
            json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
        };
        let text = String::from_utf8_lossy(seed);
        let (config_type, layer_type) =
            ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip");
        let shared = blob(layer_type, b"a layer that every image has".to_vec());
        let own = blob(layer_type, format!("a layer for arm64 of {text}").into_bytes());
        let own_layer = own["digest"].as_str().and_then(|text| text.parse().ok()).expect("a digest");
        let mut manifests = Vec::new();
        let mut entries = Vec::new();
        for (architecture, layers) in [("amd64", vec![shared.clone()]), ("arm64", vec![shared.clone(), own])] {
            let of = match text.split_once(ON) {
                Some((_, base)) if architecture == "amd64" => base,
                _ => &text,
            };
            let config = blob(config_type, format!(r#"{{"architecture":"{architecture}","of":{of:?}}}"#).into_bytes());
            let manifest =
                json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": layers }).to_string();
            let stored = Stored::read(OCI_IMAGE, manifest.into_bytes());
            entries.push(json!({
                "mediaType": OCI_IMAGE, "digest": stored.digest.to_string(), "size": stored.bytes.len(),
                "platform": { "os": "linux", "architecture": architecture },
            }));
            manifests.push(Rc::new(stored));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }).to_string();
        let index = Stored::read(OCI_INDEX, index.into_bytes());
        let digest = index.digest;
        manifests.push(Rc::new(index));
        Self { manifests, blobs, digest, own_layer }
    }

    /// How many bytes its blobs have together.
    pub fn size(&self) -> u64 {
        self.blobs.values().map(|bytes| bytes.len() as u64).sum()
    }
}
