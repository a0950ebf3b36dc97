//! One packagecloud installation: repositories, a push that never replaces, storage at another host, an APT index that
//! follows later.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION};
use serde_json::{Value, json};
use slipway_wire::{Base, Digest, Request, Response, Token};

use super::fault::Kind;

/// Who wrote a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The code under test, by a push.
    Slipway,
    /// The story.
    Somebody,
}

/// A file in a repository.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its contents.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
    /// Who wrote it.
    pub by: Writer,
    /// How many looks at the lists pass before they tell its digest.
    pub hashed_after: u32,
    /// How many looks at the index pass before it lists the package.
    pub indexed_after: u32,
}

/// A push that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// `user/repository`.
    pub repository: String,
    /// `ubuntu/jammy`.
    pub distro: String,
    /// The name under which it was stored.
    pub filename: String,
    /// What was stored.
    pub digest: Digest,
}

/// An installation.
#[derive(Debug)]
pub struct Packagecloud {
    /// Its address.
    pub base: Base,
    /// Where its downloads are redirected to.
    pub storage: Base,
    /// The API token of its one user.
    pub token: Token,
    /// The ids of its distro versions.
    pub ids: BTreeMap<String, u64>,
    /// Packages by repository, distro version and file name.
    pub packages: BTreeMap<(String, String, String), Package>,
    /// Accepted pushes, in order.
    pub writes: Vec<Write>,
    /// How many looks at its index pass before a pushed package is listed.
    pub indexed_after: u32,
    /// How many looks at its lists pass before they tell a pushed package's digest.
    pub hashed_after: u32,
    /// How often the next index is replaced between its `Release` and its `Packages`.
    pub index_moves: u32,
    /// A file that its index lists beside what it has.
    pub also_indexed: Option<(String, Digest)>,
    /// What its index answers instead of a file.
    pub index_status: Option<u16>,
    /// What its API answers, whatever is asked.
    pub closed: Option<u16>,
    /// What storage does to the bytes that it gives.
    pub storage_gives: fn(Vec<u8>) -> Vec<u8>,
    /// The last index, plain and packed: packing takes longer than everything else here.
    packed: (String, Vec<u8>),
    /// Whether pushed files are stored under another name.
    pub renames: bool,
    /// How many packages a page of a list has.
    pub per_page: usize,
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Response {
    http::Response::builder().status(status).body(body.into()).expect("a status and no headers")
}

fn not_found() -> Response {
    answer(404, r#"{"error": "not_found"}"#)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

impl Packagecloud {
    /// An empty one at `https://NAME.test`, with storage at `https://storage.NAME.test` and its own table of ids.
    pub fn new(name: &str, first_id: u64) -> Self {
        let base = |text: String| text.parse().expect("an address");
        let distros = ["ubuntu/focal", "ubuntu/jammy", "ubuntu/noble", "debian/bookworm"];
        Self {
            base: base(format!("https://{name}.test")),
            storage: base(format!("https://storage.{name}.test")),
            token: Token::new(format!("the token of {name}")),
            ids: distros.into_iter().map(str::to_owned).zip(first_id..).collect(),
            packages: BTreeMap::new(),
            writes: Vec::new(),
            indexed_after: 0,
            hashed_after: 0,
            index_moves: 0,
            also_indexed: None,
            index_status: None,
            closed: None,
            storage_gives: |bytes| bytes,
            packed: (String::new(), gzip("")),
            renames: false,
            per_page: 250,
        }
    }

    /// Puts a file there, listed and indexed, or replaces it: what a person can do and Slipway must not.
    pub fn put(&mut self, repository: &str, distro: &str, filename: &str, bytes: &[u8]) {
        let digest = Digest::of(bytes);
        let package =
            Package { bytes: bytes.to_vec(), digest, by: Writer::Somebody, hashed_after: 0, indexed_after: 0 };
        self.packages.insert((repository.to_owned(), distro.to_owned(), filename.to_owned()), package);
    }

    /// A file that is there.
    pub fn get(&self, repository: &str, distro: &str, filename: &str) -> Option<&Package> {
        self.packages.get(&(repository.to_owned(), distro.to_owned(), filename.to_owned()))
    }

    /// What the index lists, as digests by distro version and file name.
    pub fn indexed(&self, repository: &str) -> BTreeMap<(String, String), Digest> {
        let here = self.packages.iter().filter(|((of, ..), package)| of == repository && package.indexed_after == 0);
        here.map(|((_, distro, name), package)| ((distro.clone(), name.clone()), package.digest)).collect()
    }

    /// What a request to this installation asks for.
    pub fn kind(path: &str) -> Kind {
        match path.rsplit('/').next().unwrap_or_default() {
            "distributions.json" => Kind::Distributions,
            "search.json" => Kind::Search,
            "download" => Kind::Download,
            "InRelease" | "Release" => Kind::Release,
            "Packages.gz" => Kind::Packages,
            _ if path.contains("/package/deb/") => Kind::Show,
            _ => Kind::Other,
        }
    }

    /// Answers a small request.
    pub fn answer(&mut self, request: &Request) -> Response {
        let path = request.uri().path().to_owned();
        let path = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if let [user, repo, distro, "dists", codename, file @ ..] = parts.as_slice() {
            return self.index(&format!("{user}/{repo}"), &format!("{distro}/{codename}"), &file.join("/"));
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
                let query: BTreeMap<String, String> =
                    request.uri().query().unwrap_or_default().split('&').map(pair).collect();
                self.search(&format!("{user}/{repo}"), &query)
            }
            ["api", "v1", "repos", user, repo, "package", "deb", distro, version, filename] => {
                let (repository, distro) = (format!("{user}/{repo}"), format!("{distro}/{version}"));
                match self.get(&repository, &distro, filename.trim_end_matches(".json")) {
                    Some(_) => {
                        answer(200, self.describe(&repository, &distro, filename.trim_end_matches(".json")).to_string())
                    }
                    None => not_found(),
                }
            }
            [user, repo, "packages", distro, version, filename, "download"] => {
                match self.get(&format!("{user}/{repo}"), &format!("{distro}/{version}"), filename) {
                    Some(_) => {
                        let at = self.storage.url([*user, *repo, *distro, *version, *filename]);
                        let answer = http::Response::builder().status(302).header(LOCATION, format!("{at}?t=signed"));
                        answer.body(Vec::new()).expect("an address is a header")
                    }
                    None => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    fn knows(&self, authorization: Option<&http::HeaderValue>) -> bool {
        authorization == self.token.basic().ok().as_ref()
    }

    fn distributions(&self) -> Response {
        let mut kinds: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (name, id) in &self.ids {
            let (distro, version) = name.split_once('/').expect("ids are of distro versions");
            kinds.entry(distro).or_default().push(json!({ "id": id, "index_name": version }));
        }
        let deb: Vec<Value> =
            kinds.iter().map(|(name, versions)| json!({ "index_name": name, "versions": versions })).collect();
        answer(200, json!({ "deb": deb, "py": [{ "versions": [{ "id": 1 }] }] }).to_string())
    }

    fn describe(&self, repository: &str, distro: &str, filename: &str) -> Value {
        let package = self.get(repository, distro, filename).expect("callers have found it");
        let digest = (package.hashed_after == 0).then(|| package.digest.hex());
        json!({
            "filename": filename, "distro_version": distro, "sha256sum": digest, "size": package.bytes.len().to_string(),
            "indexed": package.indexed_after == 0, "private": true,
            "package_url": format!("/api/v1/repos/{repository}/package/deb/{distro}/{filename}.json"),
        })
    }

    fn search(&mut self, repository: &str, query: &BTreeMap<String, String>) -> Response {
        let asked = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let page: usize = asked("page").parse().unwrap_or(1);
        let fits = |(of, distro, filename): &(String, String, String)| {
            of == repository && filename.contains(asked("q")) && distro.starts_with(asked("dist"))
        };
        let found: Vec<_> = self.packages.keys().filter(|key| fits(key)).cloned().collect();
        let shown = found.iter().skip((page - 1) * self.per_page).take(self.per_page);
        let shown: Vec<Value> = shown.map(|(of, distro, filename)| self.describe(of, distro, filename)).collect();
        for key in &found {
            if let Some(package) = self.packages.get_mut(key) {
                package.hashed_after = package.hashed_after.saturating_sub(1);
            }
        }
        let mut response = answer(200, Value::from(shown).to_string());
        if page * self.per_page < found.len() {
            let next = self.base.url(["api", "v1", "search.json"]);
            let link = format!("<{next}?page={}>; rel=\"next\"", page + 1);
            response.headers_mut().insert(LINK, link.parse().expect("an address is a header"));
        }
        response
    }

    fn index(&mut self, repository: &str, distro: &str, file: &str) -> Response {
        if let Some(status) = self.index_status {
            return answer(status, "");
        }
        let of_distro = |(of, in_distro, _): &(String, String, String)| of == repository && in_distro == distro;
        if file == "InRelease" {
            for (_, package) in self.packages.iter_mut().filter(|(key, _)| of_distro(key)) {
                package.indexed_after = package.indexed_after.saturating_sub(1);
            }
        }
        let own = self.packages.iter().filter(|(key, package)| of_distro(key) && package.indexed_after == 0);
        let own = own.map(|((_, _, filename), package)| (filename.clone(), package.digest));
        let stanza = |(filename, digest): (String, Digest)| {
            format!("Filename: pool/main/{filename}\nSHA256: {}\n\n", digest.hex())
        };
        let packages: String = own.chain(self.also_indexed.clone()).map(stanza).collect();
        if self.packed.0 != packages {
            self.packed = (packages.clone(), gzip(&packages));
        }
        let packed = self.packed.1.clone();
        let release = format!(
            "Architectures: amd64\nSHA256:\n {} {} main/binary-amd64/Packages.gz\n",
            Digest::of(&packed).hex(),
            packed.len()
        );
        match file {
            "InRelease" => answer(
                200,
                format!(
                    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{release}-----BEGIN PGP SIGNATURE-----\n\n"
                ),
            ),
            "Release" => answer(200, release),
            "main/binary-amd64/Packages.gz" if self.index_moves > 0 => {
                self.index_moves -= 1;
                answer(200, gzip(&format!("{packages}\n")))
            }
            "main/binary-amd64/Packages.gz" => answer(200, packed),
            _ => not_found(),
        }
    }

    /// Storage's answer. Like S3, it refuses a signed address that comes with a credential.
    pub fn stored(&self, source: &http::Request<()>) -> Result<Vec<u8>, http::StatusCode> {
        let path = percent_encoding::percent_decode_str(source.uri().path()).decode_utf8_lossy().into_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let [user, repo, distro, version, filename] = parts.as_slice() else { return Err(http::StatusCode::NOT_FOUND) };
        if source.headers().contains_key(AUTHORIZATION) || source.uri().query() != Some("t=signed") {
            return Err(http::StatusCode::BAD_REQUEST);
        }
        let package = self.get(&format!("{user}/{repo}"), &format!("{distro}/{version}"), filename);
        package.map(|package| (self.storage_gives)(package.bytes.clone())).ok_or(http::StatusCode::NOT_FOUND)
    }

    /// Takes an upload. `None`: the body ended before its last boundary, so the connection is dropped and nothing is
    /// stored.
    pub fn push(&mut self, upload: &http::Request<()>, body: &[u8]) -> Option<Response> {
        let header = |name| upload.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = header(CONTENT_TYPE).strip_prefix("multipart/form-data; boundary=")?;
        let parts = parts(body, boundary).filter(|_| header(CONTENT_LENGTH) == body.len().to_string())?;
        let path = upload.uri().path().split('/').collect::<Vec<_>>();
        let ["", "api", "v1", "repos", user, repo, "packages.json"] = path.as_slice() else { return Some(not_found()) };
        if !self.knows(upload.headers().get(AUTHORIZATION)) {
            return Some(answer(401, r#"{"error":"Unauthenticated"}"#));
        }
        let [(id_head, id), (file_head, bytes)] = parts.as_slice() else { return Some(answer(422, "{}")) };
        let filename =
            file_head.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let id = String::from_utf8_lossy(id).parse().unwrap_or(0_u64);
        let named = id_head.contains("name=\"package[distro_version_id]\"")
            && file_head.contains("name=\"package[package_file]\"");
        let distro = self.ids.iter().find(|(_, known)| **known == id && named).map(|(name, _)| name.clone());
        let Some(distro) = distro else {
            return Some(answer(422, r#"{"distro_version_id":["is not included in the list"]}"#));
        };
        let filename = if self.renames { format!("canonical-{filename}") } else { filename.to_owned() };
        let repository = format!("{user}/{repo}");
        if self.get(&repository, &distro, &filename).is_some() {
            return Some(answer(422, r#"{"filename":["has already been taken"]}"#));
        }
        let (hashed_after, indexed_after) = (self.hashed_after, self.indexed_after);
        let digest = Digest::of(bytes);
        let package = Package { bytes: bytes.clone(), digest, by: Writer::Slipway, hashed_after, indexed_after };
        self.packages.insert((repository.clone(), distro.clone(), filename.clone()), package);
        let described = self.describe(&repository, &distro, &filename).to_string();
        self.writes.push(Write { repository, distro, filename, digest });
        Some(answer(201, described))
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
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
        parts.push((String::from_utf8_lossy(&part[..head]).into_owned(), part.get(head + 4..end)?.to_vec()));
        rest = &part[end + line.len()..];
    }
    (rest == b"--\r\n").then_some(parts)
}
