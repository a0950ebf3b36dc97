//! A packagecloud installation: lists that are behind, a push that never replaces, a move by name, storage at another
//! host, and signed indexes that follow later. It is kind to nobody, and it knows the time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::rc::Rc;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION};
use serde_json::{Value, json};
use slipway_core::time::Timestamp;
use slipway_packagecloud::{Filename, PackageKind};
use slipway_wire::{Base, Digest, Request, Response, Token};

use crate::fault::Kind;

/// A name in a repository: `harbour/stable`, `ubuntu/jammy`, `tug_1.2.0-1_amd64.deb`.
pub type Place = (String, String, String);

/// A file in a repository.
#[derive(Clone, Debug)]
pub struct File {
    /// Its contents.
    pub bytes: Rc<[u8]>,
    /// Their digest.
    pub digest: Digest,
    /// Whether the code under test brought it there.
    pub by_slipway: bool,
    /// When it came to the installation, in whichever of its repositories.
    pub arrived_at: i64,
    /// From when on lists have it.
    pub listed_at: i64,
    /// From when on they tell its digest.
    pub hashed_at: i64,
    /// From when on the index serves it.
    pub indexed_at: i64,
}

/// How far everything is behind, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// The lists, after a move.
    pub listed: i64,
    /// The digests, after a push.
    pub hashed: i64,
    /// The index.
    pub indexed: i64,
}

/// An installation.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub base: Base,
    /// Where its downloads are redirected to.
    pub storage: Base,
    /// The API tokens of its users.
    pub tokens: Vec<Token>,
    /// What it has.
    pub files: BTreeMap<Place, File>,
    /// The last change of each repository, so that an old list can be given.
    before: BTreeMap<String, (Place, Option<File>)>,
    /// What its indexes have served, of what is gone.
    served: BTreeSet<(Place, Digest)>,
    /// How far everything is behind.
    pub delays: Delays,
    /// The ids of its distro versions.
    pub ids: BTreeMap<String, u64>,
    /// How many packages a page of a list has.
    pub per_page: usize,
    /// What its API and its index answer, whatever is asked.
    pub closed: Option<u16>,
    /// What its index alone answers.
    pub index_closed: Option<u16>,
    /// A digest that the index lists beside its own, under this name.
    pub also_indexed: Option<(String, Digest)>,
    /// Whether pushed files are stored under another name.
    pub renames: bool,
    /// Every change that was ever made: whoever has the same history has the same files.
    history: u64,
    /// How many pushes and moves it has accepted.
    pub accepted: u32,
}

/// What an index is read as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// As it is.
    Now,
    /// As it was before the last change.
    Before,
    /// With nothing in it.
    Bare,
    /// Without digests.
    Unhashed,
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Response {
    http::Response::builder().status(status).body(body.into()).expect("a status and no headers")
}

fn not_found() -> Response {
    answer(404, r#"{"error": "not_found"}"#)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(text.as_bytes()).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// What a request to an installation asks for.
pub fn kind(request: &Request) -> Option<Kind> {
    let path = request.uri().path();
    if request.method() == http::Method::DELETE {
        return Some(Kind::Delete);
    }
    if request.method() == http::Method::POST {
        return path.ends_with("/promote.json").then_some(Kind::Promote);
    }
    Some(match path.rsplit('/').next().unwrap_or_default() {
        "distributions.json" => Kind::Distributions,
        "search.json" => Kind::Search,
        "download" => Kind::Download,
        "InRelease" | "Release" | "repomd.xml" => Kind::Head,
        "Packages.gz" => Kind::List,
        name if name.ends_with("primary.xml.gz") => Kind::List,
        _ if path.contains("/package/") => Kind::Show,
        _ => return None,
    })
}

thread_local! {
    /// What was packed before. The same text is packed into the same bytes, whoever asks.
    static PACKED: RefCell<BTreeMap<String, Packed>> = const { RefCell::new(BTreeMap::new()) };
}

/// A list as it is served, with its digest.
#[derive(Clone)]
struct Packed {
    bytes: Rc<[u8]>,
    digest: String,
}

fn packed(text: String) -> Packed {
    PACKED.with_borrow_mut(|packed| {
        if packed.len() > 600 {
            packed.clear();
        }
        let pack = |text: &String| {
            let bytes = gzip(text);
            Packed { digest: Digest::of(&bytes).hex(), bytes: bytes.into() }
        };
        packed.entry(text).or_insert_with_key(pack).clone()
    })
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Server {
    /// An empty one at `https://NAME.test`, with storage at `https://storage.NAME.test` and its own table of ids.
    pub fn new(name: &str, first_id: u64) -> Self {
        let base = |text: String| text.parse().expect("an address");
        let distros = [
            "ubuntu/focal",
            "ubuntu/jammy",
            "ubuntu/noble",
            "debian/bookworm",
            "raspbian/bookworm",
            "el/8",
            "el/9",
            "ol/9",
            "scientific/7",
        ];
        Self {
            base: base(format!("https://{name}.test")),
            storage: base(format!("https://storage.{name}.test")),
            tokens: Vec::new(),
            files: BTreeMap::new(),
            before: BTreeMap::new(),
            served: BTreeSet::new(),
            delays: Delays::default(),
            ids: distros.into_iter().map(str::to_owned).zip(first_id..).collect(),
            per_page: 250,
            closed: None,
            index_closed: None,
            also_indexed: None,
            renames: false,
            history: 0,
            accepted: 0,
        }
    }

    /// Puts a file there, listed and indexed, or replaces it: what a person can do and Slipway must not.
    pub fn put(&mut self, place: &Place, bytes: &[u8], now: i64) {
        let (digest, bytes) = (Digest::of(bytes), bytes.into());
        let (arrived_at, by_slipway) = (now, false);
        let file = File { bytes, digest, by_slipway, arrived_at, listed_at: now, hashed_at: now, indexed_at: now };
        self.change(place, Some(file), now);
    }

    /// Deletes a file.
    pub fn delete(&mut self, place: &Place, now: i64) -> Option<File> {
        self.change(place, None, now)
    }

    fn change(&mut self, place: &Place, file: Option<File>, now: i64) -> Option<File> {
        let mut hasher = DefaultHasher::new();
        (self.history, place, now).hash(&mut hasher);
        if let Some(File { bytes: _, digest, by_slipway, arrived_at: _, listed_at, hashed_at, indexed_at }) = &file {
            (digest, by_slipway, listed_at, hashed_at, indexed_at).hash(&mut hasher);
        }
        self.history = hasher.finish();
        let before = match file {
            Some(file) => self.files.insert(place.clone(), file),
            None => self.files.remove(place),
        };
        if let Some(gone) = &before
            && gone.indexed_at <= now
        {
            self.served.insert((place.clone(), gone.digest));
        }
        self.before.insert(place.0.clone(), (place.clone(), before.clone()));
        before
    }

    /// Whether the index serves this, or once did.
    pub fn has_served(&self, place: &Place, digest: &Digest, now: i64) -> bool {
        self.files.get(place).is_some_and(|file| file.digest == *digest && file.indexed_at <= now)
            || self.served.contains(&(place.clone(), *digest))
    }

    /// What was changed, in one number.
    pub fn history(&self) -> u64 {
        self.history
    }

    fn seen(&self, repository: &str, view: View) -> BTreeMap<&Place, &File> {
        if view == View::Bare {
            return BTreeMap::new();
        }
        let mut seen: BTreeMap<&Place, &File> = self.files.iter().filter(|(place, _)| place.0 == repository).collect();
        if view == View::Before
            && let Some((place, file)) = self.before.get(repository)
        {
            match file {
                Some(file) => seen.insert(place, file),
                None => seen.remove(place),
            };
        }
        seen
    }

    /// Answers a small request.
    pub fn answer(&mut self, request: &Request, view: View, now: i64) -> Response {
        let path = decoded(request.uri().path());
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            [user, repo, distro, "dists", codename, file @ ..] => {
                let place = (format!("{user}/{repo}"), format!("{distro}/{codename}"));
                return self.apt(&place, &file.join("/"), request, view, now);
            }
            [user, repo, distro, version, architecture, "repodata", file] if *user != "api" => {
                let place = (format!("{user}/{repo}"), format!("{distro}/{version}"));
                return self.yum(&place, architecture, file, request, view, now);
            }
            _ => {}
        }
        if !self.knows(request.headers().get(AUTHORIZATION)) {
            return answer(401, r#"{"error":"Unauthenticated"}"#);
        }
        if let Some(status) = self.closed {
            return answer(status, "");
        }
        match parts.as_slice() {
            ["api", "v1", "distributions.json"] => self.distributions(),
            ["api", "v1", "repos", user, repo, "search.json"] => {
                let pair = |text: &str| {
                    let (name, value) = text.split_once('=').unwrap_or((text, ""));
                    (name.to_owned(), decoded(value))
                };
                let query = request.uri().query().unwrap_or_default().split('&').map(pair).collect();
                self.search(&format!("{user}/{repo}"), &query, view, now)
            }
            ["api", "v1", "repos", user, repo, distro, version, filename, "promote.json"] => {
                let from = (format!("{user}/{repo}"), format!("{distro}/{version}"), (*filename).to_owned());
                self.promote(&from, request, now)
            }
            ["api", "v1", "repos", user, repo, distro, version, filename]
                if *request.method() == http::Method::DELETE =>
            {
                let place = (format!("{user}/{repo}"), format!("{distro}/{version}"), (*filename).to_owned());
                match self.change(&place, None, now) {
                    Some(_) => answer(200, "{}"),
                    None => answer(404, r#"{"filename":["not found"]}"#),
                }
            }
            ["api", "v1", "repos", user, repo, "package", _, distro, version, filename] => {
                let filename = filename.trim_end_matches(".json");
                let place = (format!("{user}/{repo}"), format!("{distro}/{version}"), filename.to_owned());
                match self.files.get(&place) {
                    Some(file) => answer(200, describe(&place, file, View::Now, now).to_string()),
                    None => not_found(),
                }
            }
            [user, repo, "packages", distro, version, filename, "download"] => {
                let place = (format!("{user}/{repo}"), format!("{distro}/{version}"), (*filename).to_owned());
                if !self.files.contains_key(&place) {
                    return not_found();
                }
                let at = self.storage.url([*user, *repo, *distro, *version, *filename]);
                let answer = http::Response::builder().status(302).header(LOCATION, format!("{at}?t=signed"));
                answer.body(Vec::new()).expect("an address is a header")
            }
            _ => not_found(),
        }
    }

    fn knows(&self, authorization: Option<&http::HeaderValue>) -> bool {
        self.tokens.iter().any(|token| authorization == token.basic().ok().as_ref())
    }

    fn distributions(&self) -> Response {
        let mut kinds: BTreeMap<bool, BTreeMap<&str, Vec<Value>>> = BTreeMap::new();
        for (name, id) in &self.ids {
            let (distro, version) = name.split_once('/').expect("ids are of distro versions");
            let is_deb = matches!(distro, "ubuntu" | "debian" | "raspbian");
            let versions = kinds.entry(is_deb).or_default().entry(distro).or_default();
            versions.push(json!({ "id": id, "index_name": version }));
        }
        let list = |is_deb: bool| -> Vec<Value> {
            let distros = kinds.get(&is_deb).into_iter().flatten();
            distros.map(|(name, versions)| json!({ "index_name": name, "versions": versions })).collect()
        };
        answer(200, json!({ "deb": list(true), "rpm": list(false), "py": [{ "versions": [{ "id": 1 }] }] }).to_string())
    }

    fn search(&self, repository: &str, query: &BTreeMap<String, String>, view: View, now: i64) -> Response {
        let asked = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let page: usize = asked("page").parse().unwrap_or(1);
        let (q, dist) = (asked("q"), asked("dist"));
        let seen = self.seen(repository, view);
        let found = seen.iter().filter(|(place, file)| {
            place.2.contains(q) && (dist.is_empty() || place.1 == dist) && file.listed_at <= now
        });
        let found: Vec<_> = found.collect();
        let shown = found.iter().skip((page - 1) * self.per_page).take(self.per_page);
        let shown: Vec<Value> = shown.map(|(place, file)| describe(place, file, view, now)).collect();
        let mut response = answer(200, Value::from(shown).to_string());
        if page * self.per_page < found.len() {
            let next = self.base.url(["api", "v1", "search.json"]);
            let link = format!("<{next}?page={}>; rel=\"next\"", page + 1);
            response.headers_mut().insert(LINK, link.parse().expect("an address is a header"));
        }
        response
    }

    fn promote(&mut self, from: &Place, request: &Request, now: i64) -> Response {
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let Some(destination) = body.strip_prefix("destination=").map(decoded) else { return answer(422, "{}") };
        let to = (destination, from.1.clone(), from.2.clone());
        if !self.files.contains_key(from) {
            return not_found();
        }
        if self.files.contains_key(&to) {
            return answer(422, r#"{"filename":["has already been taken"]}"#);
        }
        let Some(mut file) = self.change(from, None, now) else { return not_found() };
        file.by_slipway = true;
        self.accepted += 1;
        file.listed_at = now + self.delays.listed;
        file.indexed_at = file.listed_at + self.delays.indexed;
        let described = describe(&to, &file, View::Now, now).to_string();
        self.change(&to, Some(file), now);
        answer(201, described)
    }

    /// What the index lists of an architecture.
    fn indexed(&self, place: &(String, String), architecture: &str, view: View, now: i64) -> Vec<(String, Digest)> {
        let seen = self.seen(&place.0, view);
        let here = seen.iter().filter(|((_, distro, _), file)| *distro == place.1 && file.indexed_at <= now);
        let here = here.map(|((_, _, name), file)| (name.clone(), file.digest));
        let fits = |name: &str| {
            let name: Option<Filename> = name.parse().ok();
            name.as_ref().and_then(|name| name.architecture()).is_some_and(|own| own == architecture)
        };
        here.chain(self.also_indexed.clone()).filter(|(name, _)| fits(name)).collect()
    }

    fn conditional(request: &Request, etag: &str, body: Vec<u8>, view: View) -> Response {
        let asked = request.headers().get(IF_NONE_MATCH).and_then(|asked| asked.to_str().ok());
        // A lying server says of everything that it is the same.
        if asked.is_some_and(|asked| asked == etag || view == View::Unhashed) {
            return answer(304, "");
        }
        let mut response = answer(200, body);
        response.headers_mut().insert(ETAG, etag.parse().expect("a plain tag"));
        response
    }

    fn apt(&self, place: &(String, String), file: &str, request: &Request, view: View, now: i64) -> Response {
        if let Some(status) = self.index_closed {
            return answer(status, "");
        }
        let architecture = match file {
            "InRelease" | "Release" | "main/binary-amd64/Packages.gz" => "amd64",
            "main/binary-armhf/Packages.gz" => "armhf",
            _ => return not_found(),
        };
        let stanza = |(name, digest): (String, Digest)| {
            format!("Package: x\nFilename: pool/main/{name}\nSHA256: {}\n\n", digest.hex())
        };
        if file != "InRelease" && file != "Release" {
            let packages: String = self.indexed(place, architecture, view, now).into_iter().map(stanza).collect();
            return answer(200, packed(packages).bytes.to_vec());
        }
        let mut release = String::from("Architectures: amd64 armhf\nSHA256:\n");
        for architecture in ["amd64", "armhf"] {
            let packages: String = self.indexed(place, architecture, view, now).into_iter().map(stanza).collect();
            let Packed { bytes, digest } = packed(packages);
            let size = bytes.len();
            writeln!(release, " {digest} {size} main/binary-{architecture}/Packages.gz")
                .expect("memory takes everything");
        }
        let etag = format!("\"{}\"", &Digest::of(release.as_bytes()).hex()[..16]);
        let body = match file {
            "Release" => release,
            _ => format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{release}-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n"
            ),
        };
        Self::conditional(request, &etag, body.into_bytes(), view)
    }

    fn yum(
        &self,
        place: &(String, String),
        architecture: &str,
        file: &str,
        request: &Request,
        view: View,
        now: i64,
    ) -> Response {
        if let Some(status) = self.index_closed {
            return answer(status, "");
        }
        let package = |(name, digest): (String, Digest)| {
            format!(
                "<package type=\"rpm\"><name>x</name><checksum type=\"sha256\" pkgid=\"YES\">{}</checksum><location \
                 href=\"Packages/{name}\"/></package>\n",
                digest.hex()
            )
        };
        let list: String = self.indexed(place, architecture, view, now).into_iter().map(package).collect();
        let primary = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata xmlns=\"http://linux.duke.edu/metadata/common\">\n{list}</metadata>\n"
        );
        let open = Digest::of(primary.as_bytes()).hex();
        let Packed { bytes, digest } = packed(primary);
        if file != "repomd.xml" {
            return answer(200, bytes.to_vec());
        }
        // Its name has no digest in it, as older servers do it: so it can be just being replaced.
        let repomd = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><data \
             type=\"primary\"><checksum type=\"sha256\">{digest}</checksum><open-checksum type=\"sha256\">{open}</open-checksum>\
             <location href=\"repodata/primary.xml.gz\"/><size>{}</size></data></repomd>\n",
            bytes.len()
        );
        let etag = format!("\"{}\"", &digest[..16]);
        Self::conditional(request, &etag, repomd.into_bytes(), view)
    }

    /// Storage's answer. Like S3, it refuses a signed address that comes with a credential.
    pub fn stored(&self, source: &http::Request<()>) -> Result<Rc<[u8]>, http::StatusCode> {
        let path = decoded(source.uri().path());
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let [user, repo, distro, version, filename] = parts.as_slice() else { return Err(http::StatusCode::NOT_FOUND) };
        if source.headers().contains_key(AUTHORIZATION) || source.uri().query() != Some("t=signed") {
            return Err(http::StatusCode::BAD_REQUEST);
        }
        let place = (format!("{user}/{repo}"), format!("{distro}/{version}"), (*filename).to_owned());
        self.files.get(&place).map(|file| Rc::clone(&file.bytes)).ok_or(http::StatusCode::NOT_FOUND)
    }

    /// Where an upload would go, if it is one that could be stored.
    pub fn upload_place(&self, upload: &http::Request<()>, body: &[u8]) -> Option<(Place, Vec<u8>)> {
        let header = |name| upload.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = header(CONTENT_TYPE).strip_prefix("multipart/form-data; boundary=")?;
        let parts = parts(body, boundary).filter(|_| header(CONTENT_LENGTH) == body.len().to_string())?;
        let path = upload.uri().path().split('/').collect::<Vec<_>>();
        let ["", "api", "v1", "repos", user, repo, "packages.json"] = path.as_slice() else { return None };
        let [(id_head, id), (file_head, bytes)] = parts.as_slice() else { return None };
        let filename = file_head.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next())?;
        let id = String::from_utf8_lossy(id).parse().unwrap_or(0_u64);
        let named = id_head.contains("name=\"package[distro_version_id]\"")
            && file_head.contains("name=\"package[package_file]\"");
        let distro = self.ids.iter().find(|(_, known)| **known == id && named).map(|(name, _)| name.clone())?;
        let filename = if self.renames { format!("canonical-{filename}") } else { filename.to_owned() };
        Some(((format!("{user}/{repo}"), distro, filename), bytes.clone()))
    }

    /// Takes an upload. `None`: the body ended before its last boundary, so the connection is dropped and nothing is
    /// stored.
    pub fn push(&mut self, upload: &http::Request<()>, body: &[u8], now: i64) -> Option<Response> {
        let header = |name| upload.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = header(CONTENT_TYPE).strip_prefix("multipart/form-data; boundary=")?;
        parts(body, boundary).filter(|_| header(CONTENT_LENGTH) == body.len().to_string())?;
        if !self.knows(upload.headers().get(AUTHORIZATION)) {
            return Some(answer(401, r#"{"error":"Unauthenticated"}"#));
        }
        if let Some(status) = self.closed {
            return Some(answer(status, ""));
        }
        let Some((place, bytes)) = self.upload_place(upload, body) else {
            return Some(answer(422, r#"{"distro_version_id":["is not included in the list"]}"#));
        };
        if self.files.contains_key(&place) {
            return Some(answer(422, r#"{"filename":["has already been taken"]}"#));
        }
        let digest = Digest::of(&bytes);
        self.accepted += 1;
        let Delays { hashed, indexed, .. } = self.delays;
        let file = File {
            bytes: bytes.into(),
            digest,
            by_slipway: true,
            arrived_at: now,
            listed_at: now,
            hashed_at: now + hashed,
            indexed_at: now + indexed,
        };
        let described = describe(&place, &file, View::Now, now).to_string();
        self.change(&place, Some(file), now);
        Some(answer(201, described))
    }
}

fn describe(place: &Place, file: &File, view: View, now: i64) -> Value {
    let (repository, distro, filename) = place;
    let digest = (file.hashed_at <= now && view != View::Unhashed).then(|| file.digest.hex());
    let kind = filename.parse::<Filename>().ok().and_then(|name| name.kind()).map_or("deb", PackageKind::code);
    json!({
        "filename": filename, "distro_version": distro, "sha256sum": digest, "size": file.bytes.len().to_string(),
        "indexed": file.indexed_at <= now, "private": true, "created_at": Timestamp(file.arrived_at).to_string(),
        "package_url": format!("/api/v1/repos/{repository}/package/{kind}/{distro}/{filename}.json"),
    })
}

/// The parts of a multipart body with their headers. `None` when it is not complete.
fn parts(body: &[u8], boundary: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let find = |within: &[u8], what: &[u8]| within.windows(what.len()).position(|window| window == what);
    let line = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(line.trim_start().as_bytes())?;
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head = find(part, b"\r\n\r\n")?;
        let end = find(part, line.as_bytes())?;
        parts.push((String::from_utf8_lossy(part.get(..head)?).into_owned(), part.get(head + 4..end)?.to_vec()));
        rest = part.get(end + line.len()..)?;
    }
    (rest == b"--\r\n").then_some(parts)
}
