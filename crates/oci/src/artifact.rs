//! An artifact that says something about an image, made here: some bytes as the one layer of an image that names its subject
//! (OCI image specification 1.1, "Guidelines for Artifact Usage").
//!
//! Its manifest is made of those bytes and nothing else, so the same bytes make the same artifact whenever they are attached:
//! to do it again changes nothing.

use std::collections::BTreeMap;

use futures_util::future::try_join;
use serde::Serialize;
use slipway_wire::{Digest, Http};

use crate::attach::list;
use crate::blobs::{BeginUpload, Begun, HeadBlob, PutBlob, Upload};
use crate::copy::{NotCopied, Shelf, call_failed, store};
use crate::manifest::{Manifest, OCI_IMAGE};
use crate::manifests::{HeadManifest, read_manifest};
use crate::session::Scope;

/// The configuration of what has none (OCI image specification 1.1, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// Some bytes that say something about an image.
#[derive(Clone, Copy, Debug)]
pub struct Artifact<'a> {
    /// What they are.
    pub media_type: &'a str,
    /// The bytes.
    pub bytes: &'a [u8],
    /// What is shown of them in lists.
    pub annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u8,
    media_type: &'a str,
    artifact_type: &'a str,
    config: Pointer<'a>,
    layers: [Pointer<'a>; 1],
    subject: Pointer<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pointer<'a> {
    media_type: &'a str,
    digest: Digest,
    size: usize,
}

impl Artifact<'_> {
    /// Its manifest, about a subject.
    fn about(&self, subject: &Manifest) -> Result<Manifest, String> {
        let pointer = |media_type, bytes: &[u8]| Pointer { media_type, digest: Digest::of(bytes), size: bytes.len() };
        let written = Written {
            schema_version: 2,
            media_type: OCI_IMAGE,
            artifact_type: self.media_type,
            config: pointer(EMPTY_TYPE, EMPTY),
            layers: [pointer(self.media_type, self.bytes)],
            subject: pointer(subject.media_type(), subject.bytes()),
            annotations: self.annotations,
        };
        let bytes = serde_json::to_vec(&written).map_err(|error| error.to_string())?;
        Manifest::read(OCI_IMAGE, bytes).map_err(|error| error.to_string())
    }
}

/// Attaches an artifact to an image that the repository has. The artifact's digest, or `None` where the image is not there.
///
/// Where the registry keeps no list of referrers, the caller sees to it that nobody else writes to the one of this image.
pub async fn attach(
    http: &impl Http,
    target: Shelf<'_>,
    subject: Digest,
    artifact: Artifact<'_>,
) -> Result<Option<Digest>, NotCopied> {
    let Shelf { session, repository } = target;
    let scope = Scope::push(repository);
    let failed = || call_failed(format!("read the image {subject} of `{repository}`"));
    let found = read_manifest(session, http, &scope, repository, &subject.into()).await.map_err(failed())?;
    let Some(found) = found else { return Ok(None) };
    let unsendable = |why| failed()(slipway_wire::CallError::Unsendable(why));
    let manifest = artifact.about(&found).map_err(unsendable)?;
    try_join(bring(http, target, &scope, EMPTY), bring(http, target, &scope, artifact.bytes)).await?;
    let which = manifest.digest().into();
    if store(http, target, &scope, &manifest, which).await?.is_some() {
        list(http, target, subject, std::slice::from_ref(&manifest)).await?;
    }
    // A registry that said 201 has said no more than that.
    let head = HeadManifest { registry: session.registry(), repository, which: &manifest.digest().into() };
    let looked = session.call(http, &scope, &head).await;
    match looked.map_err(call_failed(format!("look for {} in `{repository}`", manifest.digest())))? {
        Some(_) => Ok(Some(manifest.digest())),
        None => Err(NotCopied::PartsLost(vec![manifest.digest()])),
    }
}

/// Sends bytes that the repository lacks.
async fn bring(http: &impl Http, target: Shelf<'_>, scope: &Scope, bytes: &[u8]) -> Result<(), NotCopied> {
    let Shelf { session, repository } = target;
    let (registry, digest) = (session.registry(), Digest::of(bytes));
    let failed = |doing: &str| call_failed(format!("{doing} the blob {digest} to `{repository}`"));
    let head = HeadBlob { registry, repository, digest };
    if session.call(http, scope, &head).await.map_err(failed("look before sending"))?.is_some() {
        return Ok(());
    }
    let begin = BeginUpload { registry, repository, mount: None };
    match session.call(http, scope, &begin).await.map_err(failed("begin to send"))? {
        Begun::Mounted => Ok(()),
        Begun::Upload(location) => {
            let put = PutBlob { upload: Upload { registry, location: &location }, bytes };
            session.call(http, scope, &put).await.map_err(failed("send"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::{Value, json};
    use slipway_wire::{Request, Response};

    use super::*;
    use crate::fake::{Script, base, now, response};
    use crate::manifest::OCI_INDEX;
    use crate::name::{Repository, Tag};
    use crate::registry::Registry;
    use crate::session::Session;

    const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

    /// A registry in memory, by method and path. `lists`: whether it keeps a list of referrers.
    struct Kept {
        held: RefCell<BTreeMap<String, (String, Vec<u8>)>>,
        lists: bool,
    }

    impl Kept {
        fn answer(&self, request: &Request) -> Response {
            let path = request.uri().path();
            let mut held = self.held.borrow_mut();
            match request.method().as_str() {
                "HEAD" | "GET" => match held.get(path) {
                    Some((media_type, bytes)) => {
                        let builder = http::Response::builder().header("content-type", media_type);
                        let body = if request.method() == "GET" { bytes.clone() } else { Vec::new() };
                        builder.header("content-length", bytes.len()).body(body).expect("headers")
                    }
                    None => response(404, ""),
                },
                "POST" => crate::fake::with_header(202, "location", "/v2/team/app/blobs/uploads/1?state=x", ""),
                "PUT" if path.contains("/uploads/") => {
                    let digest = Digest::of(request.body());
                    let query = request.uri().query().unwrap_or_default();
                    assert_eq!(query, format!("state=x&digest={digest}"));
                    held.insert(format!("/v2/team/app/blobs/{digest}"), (String::new(), request.body().clone()));
                    response(201, "")
                }
                "PUT" => {
                    let media_type = request.headers()["content-type"].to_str().expect("text").to_owned();
                    let digest = Digest::of(request.body());
                    for name in [path.to_owned(), format!("/v2/team/app/manifests/{digest}")] {
                        held.insert(name, (media_type.clone(), request.body().clone()));
                    }
                    if self.lists {
                        crate::fake::with_header(201, "oci-subject", &digest.to_string(), "")
                    } else {
                        response(201, "")
                    }
                }
                other => panic!("{other} is not asked for"),
            }
        }

        fn json(&self, name: &str) -> Option<Value> {
            let held = self.held.borrow();
            held.get(&format!("/v2/team/app/manifests/{name}"))
                .map(|(_, bytes)| serde_json::from_slice(bytes).expect("JSON"))
        }
    }

    fn subject() -> Vec<u8> {
        br#"{"schemaVersion":2,"manifests":[]}"#.to_vec()
    }

    fn check(lists: bool, times: usize) -> (Kept, Option<Digest>, Vec<String>) {
        let digest = Digest::of(&subject());
        let first = (format!("/v2/team/app/manifests/{digest}"), (OCI_INDEX.to_owned(), subject()));
        let kept = Kept { held: RefCell::new([first].into()), lists };
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let annotations = [("in-toto.io/predicate-type".to_owned(), "urn:slipway:release:v1".to_owned())].into();
        let artifact = Artifact { media_type: ENVELOPE, bytes: b"envelope", annotations: &annotations };
        let repository: Repository = "team/app".parse().expect("a repository");
        let http = Script::new(|request: &Request| kept.answer(request));
        let mut attached = None;
        for _ in 0..times {
            let session = Session::new(&registry);
            let target = Shelf { session: &session, repository: &repository };
            attached = now(attach(&http, target, digest, artifact)).expect("it is attached");
        }
        let asked = http.asked();
        drop(http);
        (kept, attached, asked)
    }

    #[test]
    fn an_artifact_names_its_subject_its_type_and_its_bytes() {
        let (kept, attached, _) = check(true, 1);
        let attached = attached.expect("the image is there");
        let written = kept.json(&attached.to_string()).expect("its manifest");
        let envelope = Digest::of(b"envelope").to_string();
        // The digest of `{}`, as the specification gives it.
        let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(
            written,
            json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": ENVELOPE,
                "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
                "layers": [{ "mediaType": ENVELOPE, "digest": envelope, "size": 8 }],
                "subject": { "mediaType": OCI_INDEX, "digest": Digest::of(&subject()).to_string(), "size": subject().len() },
                "annotations": { "in-toto.io/predicate-type": "urn:slipway:release:v1" },
            })
        );
        for blob in [empty, &envelope] {
            assert!(kept.held.borrow().contains_key(&format!("/v2/team/app/blobs/{blob}")), "{blob}");
        }
    }

    #[test]
    fn where_the_registry_keeps_no_list_it_is_listed_under_the_tag_once_however_often_it_is_attached() {
        let tag = Tag::of_referrers(&Digest::of(&subject()));
        assert_eq!(check(true, 1).0.json(tag.as_str()), None);
        let (kept, attached, asked) = check(false, 3);
        let list = kept.json(tag.as_str()).expect("a list");
        let listed = list["manifests"].as_array().expect("a list");
        assert_eq!(listed.len(), 1, "{list}");
        assert_eq!(listed[0]["digest"], attached.expect("the image is there").to_string());
        assert_eq!(listed[0]["artifactType"], ENVELOPE);
        assert_eq!(listed[0]["annotations"]["in-toto.io/predicate-type"], "urn:slipway:release:v1");
        let uploads = asked.iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(uploads, 2, "what is there is not sent again: {asked:?}");
    }

    #[test]
    fn to_an_image_that_is_not_there_nothing_is_attached() {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let http = Script::new(|_: &Request| response(404, ""));
        let (session, repository) = (Session::new(&registry), "team/app".parse().expect("a repository"));
        let artifact = Artifact { media_type: ENVELOPE, bytes: b"envelope", annotations: &BTreeMap::new() };
        let target = Shelf { session: &session, repository: &repository };
        assert!(matches!(now(attach(&http, target, Digest::of(b"x"), artifact)), Ok(None)));
        assert_eq!(http.asked().len(), 1);
    }
}
