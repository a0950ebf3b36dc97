//! The package server as users, packagers and its operator see it.

use std::io::Read as _;
use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use slipway_stack::Stack;

use super::{Answer, send, sha256, wait_until};

const BOUNDARY: &str = "a-boundary-that-is-in-no-package";

/// A user of the package server, and the repository that is theirs.
#[derive(Clone, Debug)]
pub struct User {
    /// `user/repository`.
    pub repository: String,
    authorization: String,
}

/// The package server.
#[derive(Clone, Debug)]
pub struct Depot {
    /// Its API and repositories.
    pub url: String,
    control: String,
    /// The user of builds and of the edge's downloads.
    pub staging: User,
    /// Somebody else who may write the public repository, and staging too: people who do things by hand. The edge has a user of
    /// its own, so that whoever judges can tell the two apart.
    pub public: User,
}

impl Depot {
    pub(super) fn of(stack: &Stack) -> Self {
        let user = |repository: String, secret: &str| User {
            repository,
            authorization: format!("Basic {}", STANDARD.encode(format!("{}:", stack.secret(secret)))),
        };
        Self {
            url: stack.depot_url(),
            control: stack.depot_control(),
            staging: user(stack.staging_repository(), "STAGING_TOKEN"),
            public: user(stack.public_repository(), "HAND_TOKEN"),
        }
    }

    /// The user whom the edge releases as. Whoever uses it in a test writes as if they were the edge.
    pub fn edge(&self, stack: &Stack) -> User {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{}:", stack.secret("PUBLIC_TOKEN"))));
        User { repository: self.public.repository.clone(), authorization }
    }

    // ---- packagecloud's API ----

    /// A call of the API. `path` is what follows `/api/v1/`.
    pub fn api(&self, user: &User, method: &str, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let headers = [("authorization", user.authorization.as_str()), ("content-type", content_type)];
        send(method, &format!("{}/api/v1/{path}", self.url), &headers, body)
    }

    /// Pushes a file to a repository, whether it is the user's own or not.
    pub fn push(&self, user: &User, repository: &str, distro: &str, filename: &str, bytes: &[u8]) -> Answer {
        let mut form = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"package[distro_version_id]\"\r\n\r\n{}\r\n\
             --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"package[package_file]\"; filename=\"{filename}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            self.distro_version_id(user, distro, filename)
        )
        .into_bytes();
        form.extend_from_slice(bytes);
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        self.api(user, "POST", &format!("repos/{repository}/packages.json"), &content_type, form)
    }

    /// Pushes a file to the public repository as somebody else would, and waits until its index lists it.
    pub fn publish(&self, distro: &str, filename: &str, bytes: &[u8]) {
        self.push(&self.public, &self.public.repository, distro, filename, bytes).ok();
        wait_until("the public index lists it", || self.served(distro, filename).is_some());
    }

    fn distro_version_id(&self, user: &User, distro: &str, filename: &str) -> u64 {
        let kind = if is_rpm(filename) { "rpm" } else { "deb" };
        let (name, version) = distro.split_once('/').expect("a distro version such as `ubuntu/jammy`");
        let all = self.api(user, "GET", "distributions.json", "application/json", "").ok().json();
        let named = |list: &Value, name: &str| {
            list.as_array().and_then(|list| list.iter().find(|one| one["index_name"] == name).cloned())
        };
        let found = named(&all[kind], name).and_then(|distro| named(&distro["versions"], version));
        found.and_then(|found| found["id"].as_u64()).unwrap_or_else(|| panic!("the depot does not know {distro}"))
    }

    /// Deletes a file from a user's repository, by hand.
    pub fn delete(&self, user: &User, distro: &str, filename: &str) -> Answer {
        self.api(
            &self.public,
            "DELETE",
            &format!("repos/{}/{distro}/{filename}", user.repository),
            "application/json",
            "",
        )
    }

    /// What the user's repository holds under exactly this name: the digests that the API shows.
    pub fn listed(&self, user: &User, filename: &str) -> Vec<String> {
        self.listed_in(user, None, filename)
    }

    /// The same for one distro version.
    pub fn listed_in(&self, user: &User, distro: Option<&str>, filename: &str) -> Vec<String> {
        let path = format!("repos/{}/search.json?q={filename}&per_page=250", user.repository);
        let found = self.api(user, "GET", &path, "application/json", "").ok().json();
        let exact = found.as_array().expect("a list").iter().filter(|package| {
            package["filename"] == filename && distro.is_none_or(|distro| package["distro_version"] == distro)
        });
        exact.map(|package| package["sha256sum"].as_str().unwrap_or_default().to_owned()).collect()
    }

    // ---- the public repository, as anybody sees it ----

    /// The bytes that the public APT index leads to, which have the digest that it promises. `None` when it does not
    /// list the file.
    pub fn served(&self, distro: &str, filename: &str) -> Option<Vec<u8>> {
        if is_rpm(filename) {
            return self.served_rpm(distro, filename);
        }
        let architecture = filename.trim_end_matches(".deb").rsplit('_').next().unwrap_or_default();
        let architecture = if architecture == "all" { "amd64" } else { architecture };
        let (name, version) = distro.split_once('/').expect("a distro version such as `ubuntu/jammy`");
        let base = format!("{}/{}/{name}", self.url, self.public.repository);
        let index = send("GET", &format!("{base}/dists/{version}/main/binary-{architecture}/Packages"), &[], "");
        let index = if index.status == 404 { String::new() } else { index.ok().text() };
        let stanza = index.split("\n\n").find(|stanza| {
            stanza.lines().any(|line| line.starts_with("Filename: ") && line.ends_with(&format!("/{filename}")))
        })?;
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).expect("each stanza has it");
        let bytes = send("GET", &format!("{base}/{}", field("Filename: ")), &[], "").ok().body;
        assert_eq!(sha256(&bytes), field("SHA256: "), "the index promises what the pool has");
        Some(bytes)
    }

    /// The same for an rpm, whose index is a list of lists, this one with a list in gzip.
    fn served_rpm(&self, distro: &str, filename: &str) -> Option<Vec<u8>> {
        let base = format!("{}/{}/{distro}/x86_64", self.url, self.public.repository);
        let lists = send("GET", &format!("{base}/repodata/repomd.xml"), &[], "");
        let lists = if lists.status == 404 { return None } else { lists.ok().text() };
        let primary = between(&lists, "<data type=\"primary\">", "</data>").expect("each index has its main list");
        let place = between(primary, "<location href=\"", "\"").expect("a list has a place");
        let packed = send("GET", &format!("{base}/{place}"), &[], "").ok().body;
        let mut list = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut list).expect("the list is in gzip");
        let package = list.split("<package ").find(|package| package.contains(&format!("{filename}\"")))?;
        let place = between(package, "<location href=\"", "\"").expect("a package has a place");
        let bytes = send("GET", &format!("{base}/{place}"), &[], "").ok().body;
        let promised = between(package, "<checksum ", "</checksum>").and_then(|sum| sum.rsplit('>').next());
        assert_eq!(Some(sha256(&bytes).as_str()), promised, "the index promises what is beside it");
        Some(bytes)
    }

    // ---- what was accepted and asked ----

    /// Every accepted write.
    pub fn journal(&self) -> Vec<Value> {
        self.tell("GET", "journal", &Value::Null).as_array().expect("a list").clone()
    }

    /// The digests of the accepted pushes of a file to the public repository.
    pub fn pushes(&self, filename: &str) -> Vec<String> {
        self.pushes_to(None, filename)
    }

    /// The same for one distro version.
    pub fn pushes_to(&self, distro: Option<&str>, filename: &str) -> Vec<String> {
        let journal = self.journal();
        let pushes = journal.iter().filter(|entry| {
            entry["action"] == "push"
                && entry["repo"] == self.public.repository
                && entry["filename"] == filename
                && distro.is_none_or(|distro| entry["distro"] == distro)
        });
        pushes
            .map(|entry| {
                assert_eq!(entry["status"], 201, "{entry}");
                entry["sha256"].as_str().expect("a digest").to_owned()
            })
            .collect()
    }

    /// Every request since the depot was started, without queries.
    pub fn requests(&self) -> Vec<Value> {
        self.tell("GET", "requests", &Value::Null).as_array().expect("a list").clone()
    }

    /// Requests by what they were about, since the depot was started or the last reset.
    pub fn counts(&self) -> Value {
        self.tell("GET", "counts", &Value::Null)
    }

    /// How many requests there were at one of these points since the last reset.
    pub fn count(&self, point: &str) -> u64 {
        self.counts()[point]["requests"].as_u64().unwrap_or(0)
    }

    /// Counts from zero.
    pub fn reset_counts(&self) {
        self.tell("DELETE", "counts", &Value::Null);
    }

    /// How many times somebody tried to push to the public repository.
    pub fn tries_to_push(&self) -> usize {
        let path = format!("/api/v1/repos/{}/packages.json", self.public.repository);
        self.requests().iter().filter(|request| request["method"] == "POST" && request["path"] == path).count()
    }

    // ---- its operator ----

    /// Stops downloads of a file from the storage after some bytes.
    pub fn gate(&self, filename: &str, after_bytes: u64) -> Gate {
        let gate = json!({"on": "download", "filename": filename, "after_bytes": after_bytes});
        let id = self.tell("POST", "gates", &gate)["id"].clone();
        Gate { address: format!("gates/{id}"), depot: self.clone() }
    }

    /// Orders a fault, as `docs/depot.md` describes them. The number that clears it.
    pub fn fault(&self, fault: &Value) -> u64 {
        self.tell("POST", "faults", fault)["id"].as_u64().expect("a fault has a number")
    }

    /// Whether a fault still waits for requests that it fits.
    pub fn is_ordered(&self, fault: u64) -> bool {
        let faults = self.tell("GET", "faults", &Value::Null);
        faults.as_array().expect("a list").iter().any(|one| one["id"] == fault)
    }

    /// One fault is over.
    pub fn clear(&self, fault: u64) {
        self.tell("DELETE", &format!("faults/{fault}"), &Value::Null);
    }

    /// The package server has another table of the numbers of distro versions.
    pub fn use_ids(&self, table: &str) {
        self.tell("POST", "ids", &json!({"table": table}));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.tell("DELETE", "faults", &Value::Null);
    }

    /// From now on an accepted file is in the index so much later.
    pub fn index_delay_ms(&self, ms: u64) {
        self.tell("POST", "index-delay", &json!({"ms": ms}));
    }

    fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(method, &format!("{}/_control/{path}", self.control), &[("content-type", "application/json")], body)
            .ok()
            .json()
    }
}

fn is_rpm(filename: &str) -> bool {
    Path::new(filename).extension().is_some_and(|extension| extension == "rpm")
}

/// The part of a text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(part, _)| part)
}

/// A closed gate in the way of a download.
pub struct Gate {
    address: String,
    depot: Depot,
}

impl Gate {
    /// Waits until a download stands before it.
    pub fn wait(&self) {
        wait_until("the download stands before the gate", || {
            self.depot.tell("GET", &self.address, &Value::Null)["reached"] == true
        });
    }

    /// Lets everything through.
    pub fn open(self) {
        self.depot.tell("DELETE", &self.address, &Value::Null);
    }
}
