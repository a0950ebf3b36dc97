//! A registry of images: blobs, manifests, tags and uploads, kept by the rules of the OCI distribution specification 1.1, with
//! what registries leave open decided against whoever asks. A cache in front is behind, for those who show no credential.
//!
//! Absent on purpose: uploads in pieces, which begin at sizes that no simulated blob has; tokens; and lists of referrers,
//! which `tests/native` covers.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher};
use std::rc::Rc;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::json;
use slipway_wire::{Base, Digest, Request, Response, Token};

use crate::fault::Kind;
use crate::image::{Made, Stored};

/// Something in a repository.
pub type In<T> = (String, T);

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// What it leads to.
    pub digest: Digest,
    /// Whether the code under test set it.
    pub by_slipway: bool,
    /// From when on anybody is shown it.
    pub seen_at: i64,
    /// What anybody is shown until then.
    pub before: Option<Digest>,
}

/// How registries differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "registries differ in each of them by itself")]
pub struct Manner {
    /// Whether it refuses a manifest whose parts it lacks. Some do not, and then it is the writer who must not be early.
    pub checks_parts: bool,
    /// Whether it takes blobs from a repository beside.
    pub mounts: bool,
    /// Whether blobs are at another address.
    pub redirects: bool,
    /// Whether a tag can be taken away by itself.
    pub untags: bool,
}

/// All that is kept.
#[derive(Clone, Debug, Default)]
struct Held {
    blobs: BTreeMap<In<Digest>, Rc<[u8]>>,
    manifests: BTreeMap<In<Digest>, Rc<Stored>>,
    tags: BTreeMap<In<String>, Tagged>,
}

impl Held {
    /// What of a manifest is lacking, all the way down.
    fn lacks(&self, repository: &str, digest: &Digest) -> Option<String> {
        let at = |digest: &Digest| (repository.to_owned(), *digest);
        let Some(stored) = self.manifests.get(&at(digest)) else { return Some(format!("the manifest {digest}")) };
        if stored.digest != *digest {
            return Some(format!("the manifest {digest}, which is {}", stored.digest));
        }
        let blob = stored.blobs.iter().find(|blob| !self.blobs.contains_key(&at(blob)));
        blob.map(|blob| format!("the blob {blob}"))
            .or_else(|| stored.children.iter().find_map(|child| self.lacks(repository, child)))
    }

    /// The parts of a manifest that its repository lacks.
    fn missing(&self, repository: &str, manifest: &Stored) -> Vec<Digest> {
        let at = |digest: &Digest| (repository.to_owned(), *digest);
        let blobs = manifest.blobs.iter().filter(|blob| !self.blobs.contains_key(&at(blob)));
        let children = manifest.children.iter().filter(|child| !self.manifests.contains_key(&at(child)));
        blobs.chain(children).copied().collect()
    }
}

/// What a registry is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// As it is.
    Now,
    /// As it was before the last change.
    Before,
    /// With nothing in its lists.
    Bare,
    /// Without digests.
    Unhashed,
    /// With another manifest's bytes.
    Other,
}

/// A registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Its address.
    pub base: Base,
    /// The address of its blobs, where that is another.
    pub storage: Base,
    /// Who may write, and may read what is not open.
    pub user: (&'static str, Token),
    /// Which repositories anybody may read.
    pub opens: &'static str,
    /// How it differs from others.
    pub manner: Manner,
    /// How far the cache in front is behind.
    pub behind: i64,
    held: Held,
    before: Rc<Held>,
    uploads: BTreeMap<u64, String>,
    next_upload: u64,
    /// What tags led to, for anybody, of what they no longer lead to.
    served: BTreeSet<(String, String, Digest)>,
    /// How many blobs, manifests and tags it has taken.
    pub accepted: u32,
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Response {
    http::Response::builder().status(status).body(body.into()).expect("a status and no headers")
}

fn error(status: u16, code: &str, parts: &[Digest]) -> Response {
    let one = |detail| json!({ "code": code, "message": "it says why in its documentation", "detail": detail });
    let errors: Vec<_> = match parts {
        [] => vec![one(json!(null))],
        parts => parts.iter().map(|part| one(json!({ "digest": part.to_string() }))).collect(),
    };
    answer(status, json!({ "errors": errors }).to_string())
}

fn with(mut response: Response, name: http::HeaderName, value: &str) -> Response {
    response.headers_mut().insert(name, value.parse().expect("a plain value"));
    response
}

fn named(mut response: Response, digest: &Digest) -> Response {
    response.headers_mut().insert("docker-content-digest", digest.to_string().parse().expect("a digest"));
    response
}

fn query(query: Option<&str>, name: &str) -> Option<String> {
    let pair = query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_encoding::percent_decode_str(pair).decode_utf8_lossy().into_owned())
}

/// What a request to a registry asks for.
pub fn kind(request: &Request) -> Option<Kind> {
    let (path, is_head) = (request.uri().path(), request.method() == Method::HEAD);
    if let Some((_, name)) = path.rsplit_once("/manifests/") {
        return match *request.method() {
            Method::HEAD => Some(Kind::ImageHead),
            Method::GET => Some(Kind::ImageRead),
            Method::PUT if name.starts_with("sha256:") => Some(Kind::ManifestPut),
            Method::PUT => Some(Kind::TagPut),
            Method::DELETE => Some(Kind::ManifestDelete),
            _ => None,
        };
    }
    if path.contains("/blobs/uploads/") {
        let is_mount = request.uri().query().is_some_and(|query| query.contains("mount="));
        let begins = if is_mount { Kind::Mount } else { Kind::BlobBegin };
        return (request.method() == Method::POST).then_some(begins);
    }
    if path.contains("/blobs/") {
        return Some(if is_head { Kind::BlobHead } else { Kind::Download });
    }
    if path.contains("/referrers/") {
        return Some(Kind::ImageRead);
    }
    path.ends_with("/tags/list").then_some(Kind::TagList)
}

/// The repository that a request to a registry is about.
pub fn repository_of(path: &str) -> &str {
    let path = path.strip_prefix("/v2/").unwrap_or(path);
    let end = ["/manifests/", "/blobs/", "/tags/", "/referrers/"].iter().filter_map(|part| path.find(part)).min();
    path.get(..end.unwrap_or(path.len())).unwrap_or_default()
}

/// The tag that a request to a registry reads or writes.
pub fn tag_of(path: &str) -> Option<&str> {
    path.rsplit_once("/manifests/").map(|(_, name)| name).filter(|name| !name.starts_with("sha256:"))
}

impl Registry {
    /// An empty one at `https://NAME.test`.
    pub fn new(name: &str, password: &'static str, opens: &'static str, manner: Manner) -> Self {
        let base = |text: String| text.parse().expect("an address");
        Self {
            base: base(format!("https://{name}.test")),
            storage: base(format!("https://storage.{name}.test")),
            user: ("slipway", Token::new(password)),
            opens,
            manner,
            behind: 0,
            held: Held::default(),
            before: Rc::default(),
            uploads: BTreeMap::new(),
            next_upload: 0,
            served: BTreeSet::new(),
            accepted: 0,
        }
    }

    /// Whether a credential is its own.
    pub fn knows(&self, credential: Option<&http::HeaderValue>) -> bool {
        let (user, password) = &self.user;
        credential.is_some() && credential == password.basic_of(user).ok().as_ref()
    }

    fn changes(&mut self) -> &mut Held {
        self.before = Rc::new(self.held.clone());
        &mut self.held
    }

    // ---- what persons do, and the registry itself ----

    /// Puts a whole image there, without a tag.
    pub fn put(&mut self, repository: &str, image: &Made) {
        let held = self.changes();
        for (digest, bytes) in &image.blobs {
            held.blobs.insert((repository.to_owned(), *digest), Rc::clone(bytes));
        }
        for manifest in &image.manifests {
            held.manifests.insert((repository.to_owned(), manifest.digest), Rc::clone(manifest));
        }
    }

    /// Sets a tag, as somebody else.
    pub fn set(&mut self, repository: &str, tag: &str, digest: Digest, now: i64) {
        self.tags(repository, tag, Some(Tagged { digest, by_slipway: false, seen_at: now, before: None }), now);
    }

    /// Takes a tag away.
    pub fn untag(&mut self, repository: &str, tag: &str, now: i64) {
        self.tags(repository, tag, None, now);
    }

    fn tags(&mut self, repository: &str, tag: &str, tagged: Option<Tagged>, now: i64) {
        let at = (repository.to_owned(), tag.to_owned());
        let held = self.changes();
        let before = match tagged {
            Some(tagged) => held.tags.insert(at, tagged),
            None => held.tags.remove(&at),
        };
        if let Some(before) = before {
            let shown = if before.seen_at <= now { Some(before.digest) } else { before.before };
            self.served.extend(shown.map(|shown| (repository.to_owned(), tag.to_owned(), shown)));
        }
    }

    /// Takes a manifest away, and every tag that leads to it.
    pub fn delete(&mut self, repository: &str, digest: &Digest) {
        let held = self.changes();
        held.manifests.remove(&(repository.to_owned(), *digest));
        held.tags.retain(|(owner, _), tagged| owner != repository || tagged.digest != *digest);
    }

    /// Takes a blob away.
    pub fn lose(&mut self, repository: &str, blob: &Digest) {
        self.changes().blobs.remove(&(repository.to_owned(), *blob));
    }

    /// Takes away what no tag leads to; with its manifests, or blobs that no manifest names alone.
    pub fn collect(&mut self, with_manifests: bool) {
        let held = self.changes();
        if with_manifests {
            let tags = held.tags.iter().map(|((repository, _), tagged)| (repository.clone(), tagged.digest));
            let (mut waiting, mut reached): (Vec<_>, BTreeSet<_>) = (tags.collect(), BTreeSet::new());
            while let Some(at) = waiting.pop() {
                if let Some(stored) = held.manifests.get(&at) {
                    waiting.extend(stored.children.iter().map(|child| (at.0.clone(), *child)));
                }
                reached.insert(at);
            }
            held.manifests.retain(|at, _| reached.contains(at));
        }
        let named = held.manifests.iter().flat_map(|((repository, _), stored)| {
            stored.blobs.iter().map(|blob| (repository.clone(), *blob)).collect::<Vec<_>>()
        });
        let named: BTreeSet<In<Digest>> = named.collect();
        held.blobs.retain(|at, _| named.contains(at));
    }

    // ---- what is so ----

    /// What a tag leads to.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<&Tagged> {
        self.held.tags.get(&(repository.to_owned(), tag.to_owned()))
    }

    /// The tags of a repository.
    pub fn tags_of(&self, repository: &str) -> BTreeMap<&str, &Tagged> {
        let own = self.held.tags.iter().filter(|((owner, _), _)| owner == repository);
        own.map(|((_, tag), tagged)| (tag.as_str(), tagged)).collect()
    }

    /// Whether a manifest is there, with everything that it leads to.
    pub fn is_whole(&self, repository: &str, digest: &Digest) -> bool {
        self.held.lacks(repository, digest).is_none()
    }

    /// The first tag that the code under test has set and that leads to something that is not there, and what.
    pub fn broken_tag(&self) -> Option<String> {
        let own = self.held.tags.iter().filter(|(_, tagged)| tagged.by_slipway);
        own.into_iter().find_map(|((repository, tag), tagged)| {
            let lacks = self.held.lacks(repository, &tagged.digest)?;
            Some(format!("{repository}:{tag} leads to an image that lacks {lacks}"))
        })
    }

    /// Whether anybody is led to this by a tag, or once was.
    pub fn has_served(&self, repository: &str, tag: &str, digest: &Digest, now: i64) -> bool {
        self.tag(repository, tag).is_some_and(|tagged| tagged.digest == *digest && tagged.seen_at <= now)
            || self.served.contains(&(repository.to_owned(), tag.to_owned(), *digest))
    }

    /// All that it can answer from now on. Uploads are left out: what was begun and is sent late is known where it waits.
    pub fn fingerprint(&self, now: i64, hasher: &mut impl Hasher) {
        for held in [&self.held, &*self.before] {
            for at in held.blobs.keys() {
                at.hash(hasher);
            }
            for (at, stored) in &held.manifests {
                (at, stored.digest).hash(hasher);
            }
            for (at, Tagged { digest, by_slipway, seen_at, before }) in &held.tags {
                (at, digest, by_slipway, before, seen_at.max(&now)).hash(hasher);
            }
            (held.blobs.len(), held.manifests.len(), held.tags.len()).hash(hasher);
        }
        self.served.hash(hasher);
    }

    // ---- what it answers ----

    /// Answers a request whose body is small.
    pub fn answer(&mut self, request: &Request, sight: Sight, now: i64) -> Response {
        let (path, is_known) = (request.uri().path().to_owned(), self.knows(request.headers().get(AUTHORIZATION)));
        let repository = repository_of(&path).to_owned();
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if !(is_known || is_reading && repository.starts_with(self.opens)) {
            return with(error(401, "UNAUTHORIZED", &[]), WWW_AUTHENTICATE, r#"Basic realm="images""#);
        }
        if let Some((_, name)) = path.rsplit_once("/manifests/") {
            return match *request.method() {
                Method::PUT => self.take(request, &repository, name, now),
                Method::DELETE => self.take_away(&repository, name, now),
                _ => self.give(request.method(), &repository, name, sight, is_known, now),
            };
        }
        if path.contains("/referrers/") {
            // What it does not know: whoever asks looks at the tags instead.
            return error(404, "NOT_FOUND", &[]);
        }
        if path.contains("/blobs/uploads/") {
            return self.begin(request, &repository, sight);
        }
        let held = if sight == Sight::Before { &*self.before } else { &self.held };
        if let Some((_, digest)) = path.rsplit_once("/blobs/") {
            let blob = digest.parse().ok().and_then(|digest| held.blobs.get(&(repository.clone(), digest)));
            return match blob {
                None => error(404, "BLOB_UNKNOWN", &[]),
                Some(_) if self.manner.redirects && request.method() == Method::GET => {
                    let at = format!("{}/{repository}/{digest}?t=signed", self.storage);
                    with(answer(307, ""), LOCATION, &at)
                }
                Some(bytes) if request.method() == Method::HEAD => {
                    with(answer(200, ""), CONTENT_LENGTH, &bytes.len().to_string())
                }
                Some(bytes) => answer(200, bytes.to_vec()),
            };
        }
        let own = held.tags.iter().filter(|((owner, _), _)| *owner == repository && sight != Sight::Bare);
        let own = own.filter(|(_, tagged)| is_known || tagged.seen_at <= now || tagged.before.is_some());
        let tags: Vec<&String> = own.map(|((_, tag), _)| tag).collect();
        if tags.is_empty() && sight != Sight::Bare {
            // As Debian's registry does of a repository that has manifests alone.
            return error(404, "NAME_UNKNOWN", &[]);
        }
        let tags = if tags.is_empty() { json!(null) } else { json!(tags) };
        answer(200, json!({ "name": repository, "tags": tags }).to_string())
    }

    fn give(&self, method: &Method, repository: &str, name: &str, sight: Sight, is_known: bool, now: i64) -> Response {
        let held = if sight == Sight::Before { &*self.before } else { &self.held };
        let tagged = held.tags.get(&(repository.to_owned(), name.to_owned()));
        let digest = match tagged {
            Some(tagged) if is_known || tagged.seen_at <= now => Some(tagged.digest),
            Some(tagged) => tagged.before,
            None => name.parse().ok(),
        };
        let stored = digest.and_then(|digest| held.manifests.get(&(repository.to_owned(), digest)));
        let Some(stored) = stored else { return error(404, "MANIFEST_UNKNOWN", &[]) };
        let mut bytes = stored.bytes.clone();
        if sight == Sight::Other {
            // Those of another whole image of the repository: nothing but its digest tells.
            let others = held.manifests.iter().filter(|((owner, digest), other)| {
                owner == repository && *digest != stored.digest && other.media_type == stored.media_type
            });
            bytes = others.map(|(_, other)| other.bytes.clone()).next_back().unwrap_or_default();
        }
        let length = bytes.len().to_string();
        let response = answer(200, if method == Method::HEAD { Vec::new() } else { bytes });
        let response = with(with(response, CONTENT_TYPE, &stored.media_type), CONTENT_LENGTH, &length);
        if sight == Sight::Unhashed { response } else { named(response, &stored.digest) }
    }

    fn take(&mut self, request: &Request, repository: &str, name: &str, now: i64) -> Response {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let stored = Stored::read(media_type, request.body().clone());
        let digest = stored.digest;
        if name.starts_with("sha256:") && name != digest.to_string() {
            return error(400, "DIGEST_INVALID", &[]);
        }
        let missing = self.held.missing(repository, &stored);
        if self.manner.checks_parts && !missing.is_empty() {
            return error(400, "MANIFEST_BLOB_UNKNOWN", &missing);
        }
        self.accepted += 1;
        let at = (repository.to_owned(), digest);
        if self.held.manifests.get(&at).is_none_or(|before| **before != stored) {
            self.changes().manifests.insert(at, Rc::new(stored));
        }
        let before = self.tag(repository, name).map(|before| (before.digest, before.seen_at, before.before));
        if !name.starts_with("sha256:") && before.is_none_or(|(before, ..)| before != digest) {
            let shown = before.and_then(|(digest, seen_at, older)| if seen_at <= now { Some(digest) } else { older });
            let tagged = Tagged { digest, by_slipway: true, seen_at: now + self.behind, before: shown };
            self.tags(repository, name, Some(tagged), now);
        }
        named(answer(201, ""), &digest)
    }

    /// A tag goes alone, and an image with every tag that leads to it. What it consists of stays.
    fn take_away(&mut self, repository: &str, name: &str, now: i64) -> Response {
        let Ok(digest) = name.parse::<Digest>() else {
            return match (self.manner.untags, self.tag(repository, name).is_some()) {
                (false, _) => error(405, "UNSUPPORTED", &[]),
                (true, false) => error(404, "MANIFEST_UNKNOWN", &[]),
                (true, true) => {
                    self.untag(repository, name, now);
                    answer(202, "")
                }
            };
        };
        if !self.held.manifests.contains_key(&(repository.to_owned(), digest)) {
            return error(404, "MANIFEST_UNKNOWN", &[]);
        }
        self.delete(repository, &digest);
        answer(202, "")
    }

    fn begin(&mut self, request: &Request, repository: &str, sight: Sight) -> Response {
        let mount = query(request.uri().query(), "mount").and_then(|digest| digest.parse::<Digest>().ok());
        let from = query(request.uri().query(), "from");
        if let (Some(digest), Some(from), true, Sight::Now) = (mount, from, self.manner.mounts, sight)
            && let Some(bytes) = self.held.blobs.get(&(from, digest)).cloned()
        {
            self.accepted += 1;
            self.changes().blobs.insert((repository.to_owned(), digest), bytes);
            return with(answer(201, ""), LOCATION, &format!("/v2/{repository}/blobs/{digest}"));
        }
        self.next_upload += 1;
        self.uploads.insert(self.next_upload, repository.to_owned());
        let at = format!("{}/v2/{repository}/blobs/uploads/{}?_state=begun", self.base, self.next_upload);
        with(answer(202, ""), LOCATION, &at)
    }

    /// The bytes of a blob, at the registry or at its storage, which refuses a credential.
    pub fn stored(&self, source: &http::Request<()>) -> Result<Rc<[u8]>, StatusCode> {
        let url = source.uri().to_string();
        let (path, shown) = (source.uri().path(), source.headers().get(AUTHORIZATION));
        let is_storage = self.storage.serves(&url);
        if is_storage && (shown.is_some() || source.uri().query() != Some("t=signed")) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let (repository, digest) = match path.rsplit_once("/blobs/") {
            Some((_, digest)) => (repository_of(path), digest),
            None => path.trim_start_matches('/').rsplit_once('/').unwrap_or_default(),
        };
        if !is_storage && !self.knows(shown) && !repository.starts_with(self.opens) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        if !is_storage && self.manner.redirects {
            return Err(StatusCode::TEMPORARY_REDIRECT);
        }
        let digest: Digest = digest.parse().map_err(|_| StatusCode::NOT_FOUND)?;
        let blob = self.held.blobs.get(&(repository.to_owned(), digest));
        blob.map(Rc::clone).ok_or(StatusCode::NOT_FOUND)
    }

    /// Takes the bytes of a blob, which end its upload.
    pub fn push(&mut self, upload: &http::Request<()>, body: &[u8]) -> Response {
        if !self.knows(upload.headers().get(AUTHORIZATION)) {
            return with(error(401, "UNAUTHORIZED", &[]), WWW_AUTHENTICATE, r#"Basic realm="images""#);
        }
        let number = upload.uri().path().rsplit_once("/blobs/uploads/").and_then(|(_, number)| number.parse().ok());
        let Some(repository) = number.and_then(|number: u64| self.uploads.remove(&number)) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN", &[]);
        };
        let said = query(upload.uri().query(), "digest").and_then(|digest| digest.parse::<Digest>().ok());
        let Some(digest) = said.filter(|said| *said == Digest::of(body)) else {
            return error(400, "DIGEST_INVALID", &[]);
        };
        self.accepted += 1;
        self.changes().blobs.insert((repository.clone(), digest), body.into());
        with(answer(201, ""), LOCATION, &format!("/v2/{repository}/blobs/{digest}"))
    }
}
