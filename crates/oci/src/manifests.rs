//! `/v2/{repository}/manifests/{tag or digest}`: reading and writing manifests
//! (OCI distribution specification 1.1, "Pulling manifests", "Pushing manifests").

use http::header::{ACCEPT as ACCEPT_HEADER, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, StatusCode};
use slipway_wire::{CallError, Digest, Endpoint, Http, Planted, Request, Response, planted};

use crate::answer::{Reason, reasons, refusal, unreadable};
use crate::manifest::{ACCEPT, InvalidManifest, MANIFEST_BYTES_MAX, Manifest};
use crate::name::{Repository, Which};
use crate::registry::{Registry, with_body};
use crate::session::{Scope, Session};

/// What a registry says about a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its digest. Registries should give it, and some do not.
    pub digest: Option<Digest>,
    /// The number of its bytes, where it was given.
    pub size: Option<u64>,
}

/// `HEAD`: what a tag means, or whether a digest is there. `None` when it is not.
#[derive(Clone, Copy, Debug)]
pub struct HeadManifest<'a> {
    /// Who is asked.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a Repository,
    /// Which image.
    pub which: &'a Which,
}

fn url(registry: &Registry, repository: &Repository, which: &Which) -> String {
    registry.url(repository, format_args!("manifests/{which}"))
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The digest that an answer names. One of another algorithm is none that can be compared.
fn content_digest(response: &Response) -> Option<Digest> {
    header(response, "docker-content-digest").filter(|text| text.starts_with("sha256:"))?.parse().ok()
}

impl Endpoint for HeadManifest<'_> {
    type Output = Option<Head>;

    fn request(&self) -> Result<Request, http::Error> {
        let url = url(self.registry, self.repository, self.which);
        Registry::request(Method::HEAD, &url).header(ACCEPT_HEADER, ACCEPT).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Option<Head>, CallError> {
        match response.status() {
            StatusCode::OK => {
                let digest = content_digest(response);
                if let (Which::Digest(asked), Some(found)) = (self.which, digest)
                    && *asked != found
                {
                    return Err(unreadable(&self.registry.base, format!("asked for {asked}, it shows {found}")));
                }
                let size = header(response, CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
                Ok(Some(Head { digest, size }))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(&self.registry.base, response)),
        }
    }
}

/// Why a manifest cannot be read.
#[derive(Debug)]
pub(crate) enum NotRead {
    /// A call failed, or brought other bytes than were asked for.
    Call(CallError),
    /// These bytes are what was asked for, so they are the same whenever it is asked again.
    Invalid(InvalidManifest),
}

impl From<CallError> for NotRead {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// Reads a manifest: `None` when the registry does not have it.
///
/// Its bytes are hashed here. A registry that gives others than were asked for, or names another digest than they have, is
/// not believed.
pub async fn read_manifest(
    session: &Session<'_>,
    http: &impl Http,
    scope: &Scope,
    repository: &Repository,
    which: &Which,
) -> Result<Option<Manifest>, CallError> {
    read(session, http, scope, repository, which).await.map_err(|error| match error {
        NotRead::Call(error) => error,
        NotRead::Invalid(error) => wrong(session, repository, which, &error.to_string()),
    })
}

/// As [`read_manifest`], for whoever wants to know whether it is the manifest that is wrong.
pub(crate) async fn read(
    session: &Session<'_>,
    http: &impl Http,
    scope: &Scope,
    repository: &Repository,
    which: &Which,
) -> Result<Option<Manifest>, NotRead> {
    let registry = session.registry();
    let url = url(registry, repository, which);
    let request = || Registry::request(Method::GET, &url).header(ACCEPT_HEADER, ACCEPT).body(Vec::new());
    let mut bytes = Vec::new();
    let mut keep = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        bytes.len() <= MANIFEST_BYTES_MAX
    };
    let answer = session.read(http, scope, request, &mut keep).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(session.hide(refusal(&registry.base, &answer)).into()),
    }
    let is_cut = bytes.len() > MANIFEST_BYTES_MAX;
    let expected = match which {
        Which::Digest(digest) => Some(*digest),
        Which::Tag(_) => content_digest(&answer),
    };
    let found = Digest::of(&bytes);
    let is_wrong = |expected: &Digest| !is_cut && *expected != found && !planted(Planted::BelievesAManifest);
    if let Some(expected) = expected.filter(is_wrong) {
        return Err(wrong(session, repository, which, &format!("its bytes are {found}, not {expected}")).into());
    }
    let content_type = header(&answer, CONTENT_TYPE.as_str()).unwrap_or_default();
    Manifest::read(content_type, bytes).map(Some).map_err(NotRead::Invalid)
}

fn wrong(session: &Session<'_>, repository: &Repository, which: &Which, why: &str) -> CallError {
    session.hide(unreadable(&session.registry().base, format!("`{repository}` {which}: {why}")))
}

/// `PUT`: stores a manifest's bytes as they are.
#[derive(Clone, Copy, Debug)]
pub struct PutManifest<'a> {
    /// Who is asked.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a Repository,
    /// Under which name. By digest it is one more image; by tag, people find it.
    pub which: &'a Which,
    /// The manifest.
    pub manifest: &'a Manifest,
}

/// What came of storing a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Stored {
        /// Whether the registry now lists it as a referrer of its subject. If not, the fallback tag is the writer's work.
        lists_referrers: bool,
    },
    /// Parts of it are not in the repository: those that the registry names, which may be none or not all.
    LacksParts(Vec<Digest>),
}

impl Endpoint for PutManifest<'_> {
    type Output = Put;

    fn request(&self) -> Result<Request, http::Error> {
        let url = url(self.registry, self.repository, self.which);
        let request = Registry::request(Method::PUT, &url).header(CONTENT_TYPE, self.manifest.media_type());
        with_body(request, self.manifest.bytes().to_vec())
    }

    fn parse(&self, response: &Response) -> Result<Put, CallError> {
        let base = &self.registry.base;
        if matches!(response.status(), StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED) {
            let sent = self.manifest.digest();
            return match content_digest(response) {
                Some(stored) if stored != sent => {
                    Err(unreadable(base, format!("sent {sent}, it says that it stored {stored}")))
                }
                _ => Ok(Put::Stored { lists_referrers: response.headers().contains_key("oci-subject") }),
            };
        }
        let reasons = reasons(response);
        let lacks = |reason: &Reason| {
            matches!(reason.code.as_str(), "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN")
        };
        if response.status().is_client_error() && reasons.iter().any(lacks) {
            let missing = reasons.iter().filter(|reason| lacks(reason)).filter_map(Reason::digest);
            return Ok(Put::LacksParts(missing.collect()));
        }
        Err(refusal(base, response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Script, base, now, response};
    use crate::manifest::OCI_INDEX;
    use crate::name::Tag;

    const BYTES: &[u8] = br#"{ "schemaVersion": 2,  "manifests": [] }"#;

    fn registry() -> Registry {
        Registry::anonymous(base("https://registry.example.com"))
    }

    fn repository() -> Repository {
        "team/app".parse().expect("a repository")
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut builder = http::Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(body.to_vec()).expect("headers")
    }

    fn read(which: &Which, answer: &Response) -> Result<Option<Manifest>, CallError> {
        let registry = registry();
        let http = Script::new(|request: &Request| {
            // Debian's registry answers 404 for an index where it is not named.
            let accept = request.headers()["accept"].to_str().expect("text");
            assert!(accept.contains(OCI_INDEX) && accept.matches(',').count() == 3, "{accept}");
            answer.clone()
        });
        let session = Session::new(&registry);
        now(read_manifest(&session, &http, &Scope::pull(&repository()), &repository(), which))
    }

    #[test]
    fn a_manifest_is_read_with_its_own_bytes() {
        let digest = Digest::of(BYTES);
        let tag: Which = "1.0".parse::<Tag>().expect("a tag").into();
        for (which, said) in [(&Which::from(digest), None), (&tag, None), (&tag, Some(digest.to_string()))] {
            let mut headers = vec![("content-type", OCI_INDEX)];
            headers.extend(said.as_ref().map(|said| ("docker-content-digest", said.as_str())));
            let manifest = read(which, &answer(200, &headers, BYTES)).expect("an answer").expect("a manifest");
            assert_eq!((manifest.bytes(), manifest.digest()), (BYTES, digest));
        }
        assert_eq!(read(&tag, &response(404, "")).expect("an answer"), None);
        assert!(read(&tag, &response(500, "")).is_err());
    }

    #[test]
    fn other_bytes_than_were_asked_for_are_not_believed() {
        let (digest, other) = (Digest::of(BYTES), Digest::of(b"other"));
        let answered = answer(200, &[("content-type", OCI_INDEX)], BYTES);
        let error = read(&other.into(), &answered).expect_err("other bytes").to_string();
        assert!(error.contains(&digest.to_string()) && error.contains(&other.to_string()), "{error}");
        let headers = [("content-type", OCI_INDEX), ("docker-content-digest", &other.to_string())];
        let tag = "1.0".parse::<Tag>().expect("a tag").into();
        assert!(read(&tag, &answer(200, &headers, BYTES)).is_err());
        let head = HeadManifest { registry: &registry(), repository: &repository(), which: &digest.into() };
        assert!(head.parse(&answer(200, &headers, b"")).is_err());
    }

    #[test]
    fn a_manifest_that_has_no_end_is_not_kept() {
        let endless = vec![b' '; MANIFEST_BYTES_MAX + 1000];
        let error = read(&Digest::of(b"x").into(), &answer(200, &[("content-type", OCI_INDEX)], &endless));
        assert!(error.expect_err("too large").to_string().contains("registries take"));
    }

    fn put(answer: &Response) -> Result<Put, CallError> {
        let manifest = Manifest::read(OCI_INDEX, BYTES.to_vec()).expect("an index");
        let which = "1.0".parse::<Tag>().expect("a tag").into();
        let (registry, repository) = (registry(), repository());
        let put = PutManifest { registry: &registry, repository: &repository, which: &which, manifest: &manifest };
        let request = put.request().expect("a request");
        assert_eq!(request.uri().to_string(), "https://registry.example.com/v2/team/app/manifests/1.0");
        assert_eq!((request.body().as_slice(), request.headers()["content-type"] == *OCI_INDEX), (BYTES, true));
        put.parse(answer)
    }

    #[test]
    fn a_registry_that_stored_something_else_is_not_believed() {
        let (digest, other) = (Digest::of(BYTES).to_string(), Digest::of(b"x").to_string());
        let stored = put(&answer(201, &[("docker-content-digest", &digest)], b"")).expect("stored");
        assert_eq!(stored, Put::Stored { lists_referrers: false });
        let listed = put(&answer(201, &[("oci-subject", &other)], b"")).expect("stored");
        assert_eq!(listed, Put::Stored { lists_referrers: true });
        assert!(put(&answer(201, &[("docker-content-digest", &other)], b"")).is_err());
    }

    #[test]
    fn missing_parts_are_named_as_far_as_the_registry_names_them() {
        let part = Digest::of(b"x");
        let body = format!(r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":{{"digest":"{part}"}}}}]}}"#);
        assert_eq!(put(&answer(400, &[], body.as_bytes())).expect("an answer"), Put::LacksParts(vec![part]));
        let silent = br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}"#;
        assert_eq!(put(&answer(404, &[], silent)).expect("an answer"), Put::LacksParts(vec![]));
        for (status, body) in [(400, r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#), (413, ""), (500, "")] {
            assert!(put(&answer(status, &[], body.as_bytes())).is_err(), "{status}");
        }
    }
}
