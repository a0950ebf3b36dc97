//! What an image consists of, read from its manifest's own bytes.
//!
//! A manifest's digest is that of its bytes, so the bytes are kept and sent as they came: white space, doubled keys and
//! unknown fields included. Nothing here can change one.
//!
//! What is not asked for is passed over and not kept: as values, 4 MiB of small objects would be more than a Worker has.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use slipway_wire::Digest;

/// The largest manifest that registries should take (OCI distribution specification 1.1, "Pushing manifests").
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An OCI index: one image for several platforms.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image, or an artifact in the form of one.
pub const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image, schema 2.
pub const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Every form of manifest that is read here, as `Accept` wants it: Debian's registry answers 404 for an index that is not
/// named.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                                 application/vnd.docker.distribution.manifest.list.v2+json, \
                                 application/vnd.docker.distribution.manifest.v2+json";

/// One manifest: its bytes, and what they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    bytes: Vec<u8>,
    media_type: String,
    digest: Digest,
    /// The images of an index, in its order. Each is a manifest of the same repository.
    pub children: Vec<Descriptor>,
    /// The blobs of an image: its configuration first, then its layers.
    pub blobs: Vec<Descriptor>,
    /// What this one says something about: a signature names the image that it signs.
    pub subject: Option<Digest>,
}

/// A pointer to a manifest or a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The form of what it points at.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Whether a registry may lack it: a layer that its makers let nobody hand on, or that has an address elsewhere.
    pub may_be_absent: bool,
}

/// Why bytes are not a manifest that can be released.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidManifest {
    /// Docker's first form, which has no digest that survives a copy.
    #[error("it is a Docker schema 1 manifest, which no current tool writes; build the image again")]
    Schema1,
    /// A form that names its parts in a way that is not known here.
    #[error("its type `{0}` is not an image or an index of OCI or Docker")]
    UnknownType(String),
    /// The registry and the manifest do not agree what it is, and clients would choose differently.
    #[error("the registry says that it is `{said}`, and it says itself that it is `{written}`")]
    TwoTypes {
        /// The answer's `Content-Type`.
        said: String,
        /// Its own `mediaType`.
        written: String,
    },
    /// It is not the JSON that its type asks for.
    #[error("it is not a manifest: {0}")]
    Unreadable(String),
    /// A digest of another algorithm than SHA-256.
    #[error("it names `{0}`, which is no SHA-256 digest")]
    OtherDigest(String),
    /// It is an index and an image at once, and clients would choose differently (CVE-2021-41190).
    #[error("it is `{0}`, and has parts of an image and of an index; build the image again")]
    Ambiguous(String),
    /// It is larger than registries take.
    #[error("it has more than {MANIFEST_BYTES_MAX} bytes, which is what registries take")]
    TooLarge,
}

impl Manifest {
    /// Reads a manifest of the type that a registry gave for it, as in `Content-Type`.
    pub fn read(content_type: &str, bytes: Vec<u8>) -> Result<Self, InvalidManifest> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(InvalidManifest::TooLarge);
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| InvalidManifest::Unreadable(error.to_string()))?;
        let [media_type, version, manifests, config, layers, subject] =
            last(text, ["mediaType", "schemaVersion", "manifests", "config", "layers", "subject"])?;
        let said = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let written: String = media_type.map(read).transpose()?.unwrap_or_default();
        if !written.is_empty() && said != written && is_manifest(&said) {
            return Err(InvalidManifest::TwoTypes { said, written });
        }
        // A registry that names no type of manifest, as some do, leaves it to the manifest.
        let media_type = if is_manifest(&said) || written.is_empty() { said } else { written };
        let digest = Digest::of(&bytes);
        let ambiguous = || InvalidManifest::Ambiguous(media_type.clone());
        let (children, blobs) = match media_type.as_str() {
            OCI_INDEX | DOCKER_LIST if has_parts(config) || has_parts(layers) => return Err(ambiguous()),
            OCI_IMAGE | DOCKER_IMAGE if has_parts(manifests) => return Err(ambiguous()),
            OCI_INDEX | DOCKER_LIST => (descriptors(manifests)?, Vec::new()),
            OCI_IMAGE | DOCKER_IMAGE => {
                let config = config.ok_or_else(|| lacks("config"))?;
                let mut blobs = vec![descriptor(config)?];
                blobs.extend(descriptors(layers)?);
                (Vec::new(), blobs)
            }
            other if other.starts_with("application/vnd.docker.distribution.manifest.v1+") => {
                return Err(InvalidManifest::Schema1);
            }
            // Registries give schema 1 as plain JSON too; it has no `mediaType`.
            _ if version.is_some_and(|version| version.get() == "1") => return Err(InvalidManifest::Schema1),
            _ => return Err(InvalidManifest::UnknownType(media_type)),
        };
        let subject = subject.filter(|subject| subject.get() != "null").map(descriptor).transpose()?;
        let subject = subject.map(|subject| subject.digest);
        Ok(Self { bytes, media_type, digest, children, blobs, subject })
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its type, as `Content-Type` wants it when it is sent on.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Whether a type is one of the manifests that are read here.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | OCI_IMAGE | DOCKER_LIST | DOCKER_IMAGE)
}

fn unreadable(error: impl fmt::Display) -> InvalidManifest {
    InvalidManifest::Unreadable(error.to_string())
}

fn lacks(field: &str) -> InvalidManifest {
    InvalidManifest::Unreadable(format!("it has no `{field}`"))
}

/// A value as it is written.
fn read<'a, T: serde::Deserialize<'a>>(value: &'a RawValue) -> Result<T, InvalidManifest> {
    serde_json::from_str(value.get()).map_err(unreadable)
}

/// Some fields of a JSON object, as they are written. Of a key that is there twice, the last one counts, as it does to Go's
/// clients and registries.
pub(crate) fn last<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], InvalidManifest> {
    struct Fields<'n, const N: usize>([&'n str; N]);

    impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
        type Value = [Option<&'de RawValue>; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
            let mut found = [None; N];
            while let Some(key) = object.next_key::<String>()? {
                match self.0.iter().zip(&mut found).find(|(name, _)| **name == key) {
                    Some((_, value)) => *value = Some(object.next_value()?),
                    None => drop(object.next_value::<IgnoredAny>()?),
                }
            }
            Ok(found)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    let found = reader.deserialize_map(Fields(names)).map_err(unreadable)?;
    reader.end().map_err(unreadable)?;
    Ok(found)
}

/// Whether a part is there and is not empty.
fn has_parts(value: Option<&RawValue>) -> bool {
    value.is_some_and(|value| value.get() != "null" && read::<[IgnoredAny; 0]>(value).is_err())
}

/// A SHA-256 digest in the only form that clients read: in lower case, with its algorithm.
fn sha256(text: &str) -> Result<Digest, InvalidManifest> {
    let digest = text.parse::<Digest>().ok().filter(|digest| digest.to_string() == text);
    digest.ok_or_else(|| InvalidManifest::OtherDigest(text.chars().take(80).collect()))
}

fn descriptor(value: &RawValue) -> Result<Descriptor, InvalidManifest> {
    let [media_type, digest, size, urls] = last(value.get(), ["mediaType", "digest", "size", "urls"])?;
    let media_type: String = media_type.map(read).transpose()?.unwrap_or_default();
    let digest: String = read(digest.ok_or_else(|| lacks("digest"))?)?;
    let size = read(size.ok_or_else(|| lacks("size"))?)?;
    let is_foreign = media_type.contains(".foreign.") || media_type.contains(".nondistributable.");
    Ok(Descriptor { digest: sha256(&digest)?, size, may_be_absent: is_foreign || has_parts(urls), media_type })
}

fn descriptors(values: Option<&RawValue>) -> Result<Vec<Descriptor>, InvalidManifest> {
    // Go's tools write `null` for none.
    let values: Option<Vec<&RawValue>> = values.map(read).transpose()?.flatten();
    values.unwrap_or_default().into_iter().map(descriptor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    const B: &str = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";

    fn image(extra: &str) -> String {
        format!(
            r#"{{"schemaVersion":2{extra},"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{A}","size":1}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{B}","size":2}}]}}"#
        )
    }

    fn read(content_type: &str, text: &str) -> Result<Manifest, InvalidManifest> {
        Manifest::read(content_type, text.as_bytes().to_vec())
    }

    #[test]
    fn an_image_names_its_configuration_and_its_layers() {
        for content_type in [OCI_IMAGE, DOCKER_IMAGE, &format!("{OCI_IMAGE}; charset=utf-8")] {
            let manifest = read(content_type, &image("")).expect("an image");
            let blobs: Vec<_> = manifest.blobs.iter().map(|blob| (blob.digest.to_string(), blob.size)).collect();
            assert_eq!(blobs, [(A.to_owned(), 1), (B.to_owned(), 2)]);
            assert!(manifest.children.is_empty());
        }
    }

    #[test]
    fn an_index_names_its_images() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_IMAGE}","digest":"{A}","size":7,"platform":{{"os":"linux"}}}},
            {{"mediaType":"{OCI_IMAGE}","digest":"{B}","size":8,"platform":{{"os":"unknown","architecture":"unknown"}}}}]}}"#
        );
        for content_type in [OCI_INDEX, DOCKER_LIST] {
            let manifest = read(content_type, &text).expect("an index");
            assert_eq!(manifest.children.iter().map(|child| child.size).collect::<Vec<_>>(), [7, 8]);
            assert!(manifest.blobs.is_empty());
        }
    }

    #[test]
    fn odd_white_space_doubled_keys_and_unknown_fields_change_nothing() {
        let plain = image("").replace("\"size\":1", "\"size\" : 9,\n\t\"size\":  1, \"x\": {\"y\": [null]}");
        let manifest = read(OCI_IMAGE, &plain).expect("an image");
        assert_eq!(manifest.bytes(), plain.as_bytes());
        assert_eq!(manifest.digest(), Digest::of(plain.as_bytes()));
        // The last of two is the one that registries and clients written in Go see.
        assert_eq!(manifest.blobs.first().map(|config| config.size), Some(1));
    }

    #[test]
    fn a_subject_is_read_from_images_and_indexes() {
        let subject = format!(r#","subject":{{"mediaType":"{OCI_INDEX}","digest":"{B}","size":3}}"#);
        for text in [image(&subject), format!(r#"{{"manifests":[]{subject}}}"#)] {
            let content_type = if text.contains("manifests") { OCI_INDEX } else { OCI_IMAGE };
            let manifest = read(content_type, &text).expect("a manifest");
            assert_eq!(manifest.subject.map(|digest| digest.to_string()), Some(B.to_owned()));
        }
    }

    #[test]
    fn layers_that_nobody_may_hand_on_may_be_absent() {
        for (from, to) in [
            ("image.layer.v1.tar", "image.layer.nondistributable.v1.tar+gzip"),
            ("oci.image.layer.v1.tar", "docker.image.rootfs.foreign.diff.tar.gzip"),
            (r#""size":2"#, r#""size":2,"urls":["https://elsewhere.example.com/layer"]"#),
        ] {
            let manifest = read(OCI_IMAGE, &image("").replace(from, to)).expect("an image");
            assert_eq!(manifest.blobs.iter().map(|blob| blob.may_be_absent).collect::<Vec<_>>(), [false, true], "{to}");
        }
        let empty = image("").replace(r#""size":2"#, r#""size":2,"urls":[]"#);
        assert!(read(OCI_IMAGE, &empty).expect("an image").blobs.iter().all(|blob| !blob.may_be_absent));
    }

    #[test]
    fn a_type_that_is_named_twice_is_named_alike() {
        let typed = image(&format!(r#","mediaType":"{OCI_IMAGE}""#));
        assert_eq!(read(OCI_IMAGE, &typed).map(|manifest| manifest.media_type), Ok(OCI_IMAGE.to_owned()));
        // What a proxy makes of it is no contradiction.
        assert_eq!(read("application/json", &typed).map(|manifest| manifest.media_type), Ok(OCI_IMAGE.to_owned()));
        let error = read(DOCKER_IMAGE, &typed).expect_err("two types");
        assert!(matches!(error, InvalidManifest::TwoTypes { .. }), "{error}");
        assert!(error.to_string().contains(DOCKER_IMAGE) && error.to_string().contains(OCI_IMAGE), "{error}");
    }

    #[test]
    fn an_image_that_is_an_index_too_is_refused_since_clients_would_choose_differently() {
        let child = format!(r#"{{"mediaType":"{OCI_IMAGE}","digest":"{A}","size":7}}"#);
        let both = image(&format!(r#","manifests":[{child}]"#));
        for content_type in [OCI_IMAGE, DOCKER_IMAGE, OCI_INDEX, DOCKER_LIST] {
            let error = read(content_type, &both).expect_err("two forms");
            assert_eq!(error, InvalidManifest::Ambiguous(content_type.to_owned()));
        }
        for layers in ["[]", "null", " [ ] "] {
            let index = format!(r#"{{"manifests":[{child}],"layers":{layers}}}"#);
            assert_eq!(read(OCI_INDEX, &index).map(|index| index.children.len()), Ok(1), "{layers}");
        }
        assert!(read(OCI_IMAGE, &image(r#","manifests":null"#)).is_ok());
    }

    #[test]
    fn what_nobody_asks_for_may_be_nested_as_deep_as_it_likes() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let text = image(&format!(r#","x":{deep}"#));
        assert_eq!(read(OCI_IMAGE, &text).map(|image| image.blobs.len()), Ok(2));
    }

    #[test]
    fn what_is_no_image_is_refused_with_its_reason() {
        let other = A.replace("sha256", "sha512");
        for (content_type, text, why) in [
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", r#"{"schemaVersion":1}"#, "schema 1"),
            ("application/json", r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
            ("application/vnd.oci.artifact.manifest.v1+json", r#"{"blobs":[]}"#, "artifact.manifest"),
            ("text/html", "{}", "text/html"),
            (OCI_IMAGE, "<html>", "not a manifest"),
            (OCI_IMAGE, "[]", "not a manifest"),
            (OCI_IMAGE, r#"{"schemaVersion":2}"#, "config"),
            (OCI_IMAGE, &image("").replace(A, &other), "sha512"),
            (OCI_IMAGE, &image("").replace("\"size\":1", "\"size\":-1"), "not a manifest"),
            (OCI_IMAGE, &image("").replace("\"size\":1", "\"size\":1e3"), "not a manifest"),
            (OCI_IMAGE, &image("").replace("\"size\":1", "\"size\":18446744073709551616"), "not a manifest"),
            // Clients refuse to pull by either.
            (OCI_IMAGE, &image("").replace(A, &A.to_ascii_uppercase().replace("SHA", "sha")), "no SHA-256 digest"),
            (OCI_IMAGE, &image("").replace("sha256:", ""), "no SHA-256 digest"),
            (OCI_IMAGE, &image(r#","subject":{"digest":"sha512:00","size":1}"#), "sha512"),
            (OCI_IMAGE, &format!("{} {{}}", image("")), "not a manifest"),
            (OCI_IMAGE, "", "not a manifest"),
        ] {
            let error = read(content_type, text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = Manifest::read(OCI_IMAGE, vec![b' '; MANIFEST_BYTES_MAX + 1]).expect_err("too large");
        assert_eq!(error, InvalidManifest::TooLarge);
    }
}
