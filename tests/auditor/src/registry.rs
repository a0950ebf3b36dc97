//! A public registry: what anybody gets under its tags, and what it keeps itself of what was done to it.
//!
//! A registry has no journal of what was pushed. Debian's has two things that stand for one: the log of its requests, which says
//! when a tag was set or taken away and by which program, and its storage, where under each tag there is a file for each digest
//! that the tag has ever led to. A tag that was taken away takes that with it.

use std::cell::RefCell;
use std::path::Path;

use serde_json::Value;

use crate::{milliseconds, sha256};

/// How long one answer may take.
const SECONDS_MAX: u64 = 120;
/// How many pages a list of tags may have.
const PAGES_MAX: usize = 1000;

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A tag of a public registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The digest of the manifest that anybody gets.
    pub digest: String,
    /// The digests of the manifests that are parts of it.
    pub parts: Vec<String>,
    /// What is missing of that to which it leads, or is something else than its digest says.
    pub lacks: Vec<String>,
}

/// A digest to which a tag leads, or has led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// 64 hex digits.
    pub digest: String,
}

/// A write to a tag or a manifest that a registry has accepted, or the deletion of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// When, in milliseconds since 1970; the log counts in seconds.
    pub at_ms: i64,
    /// The repository.
    pub repository: String,
    /// The tag, or `sha256:` and 64 hex digits.
    pub name: String,
    /// Whether it is a blob's.
    pub is_blob: bool,
    /// Whether it is there afterwards. Otherwise it is gone.
    pub adds: bool,
    /// What the program calls itself that did it.
    pub program: String,
}

/// Reads as anybody does: with no credential, and where the registry wants a token, with one that anybody is given.
struct Anybody<'a> {
    registry: &'a str,
    repository: &'a str,
    token: RefCell<Option<String>>,
}

impl Anybody<'_> {
    fn ask(&self, path: &str, accept: &str) -> Result<minreq::Response, String> {
        let url = format!("{}{path}", self.registry);
        let mut request = minreq::get(&url).with_header("accept", accept).with_timeout(SECONDS_MAX);
        if let Some(token) = &*self.token.borrow() {
            request = request.with_header("authorization", format!("Bearer {token}"));
        }
        request.send().map_err(|error| format!("cannot read {url}: {error}"))
    }

    fn get(&self, path: &str, accept: &str) -> Result<Option<minreq::Response>, String> {
        let mut answer = self.ask(path, accept)?;
        if answer.status_code == 401 {
            let challenge = header(&answer, "www-authenticate").unwrap_or_default().to_owned();
            let token = self.token_of(&challenge)?;
            self.token.replace(Some(token));
            answer = self.ask(path, accept)?;
        }
        match answer.status_code {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            status => Err(format!("cannot read {}{path}: it answers {status}", self.registry)),
        }
    }

    /// What whoever is named in a challenge gives to anybody.
    fn token_of(&self, challenge: &str) -> Result<String, String> {
        let part = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let wants = || format!("{} wants more than a token: {challenge}", self.registry);
        let (realm, service) = (part("realm").ok_or_else(wants)?, part("service").unwrap_or_default());
        let url = format!("{realm}?service={service}&scope=repository:{}:pull", self.repository);
        let answer = minreq::get(&url).with_timeout(SECONDS_MAX).send();
        let answer = answer.map_err(|error| format!("cannot read {url}: {error}"))?;
        let said: Value = serde_json::from_slice(answer.as_bytes()).map_err(|error| format!("{url}: {error}"))?;
        let token = said["token"].as_str().or(said["access_token"].as_str());
        token.map(str::to_owned).ok_or_else(|| format!("{url} gives nobody a token: {}", answer.status_code))
    }
}

fn header<'a>(answer: &'a minreq::Response, name: &str) -> Option<&'a str> {
    let mut headers = answer.headers.iter();
    headers.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Every tag of a repository, with all that it leads to. Blobs of more bytes than `bytes_max` are asked for and not fetched.
pub fn read_images(registry: &str, repository: &str, bytes_max: u64) -> Result<Vec<Image>, String> {
    let anybody = Anybody { registry, repository, token: RefCell::new(None) };
    let mut path = format!("/v2/{repository}/tags/list?n=100");
    let mut tags = Vec::new();
    for _ in 0..PAGES_MAX {
        let Some(answer) = anybody.get(&path, "*/*")? else { break };
        let list: Value =
            serde_json::from_slice(answer.as_bytes()).map_err(|error| format!("{registry}{path}: {error}"))?;
        tags.extend(list["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        let next = header(&answer, "link").and_then(|link| link.split_once('<')?.1.split_once('>').map(|(to, _)| to));
        match next {
            None => break,
            Some(next) => next.strip_prefix(registry).unwrap_or(next).clone_into(&mut path),
        }
    }
    let mut images = Vec::new();
    for tag in tags {
        images.extend(read_image(&anybody, &tag, bytes_max)?);
    }
    Ok(images)
}

/// `None` when the tag was taken away a moment ago.
fn read_image(anybody: &Anybody<'_>, tag: &str, bytes_max: u64) -> Result<Option<Image>, String> {
    let Anybody { registry, repository, .. } = anybody;
    let base = format!("/v2/{repository}");
    let Some(manifest) = anybody.get(&format!("{base}/manifests/{tag}"), MANIFESTS)? else { return Ok(None) };
    let digest = sha256(manifest.as_bytes());
    let (mut parts, mut lacks) = (Vec::new(), Vec::new());
    let mut open = vec![manifest.into_bytes()];
    while let Some(manifest) = open.pop() {
        let manifest: Value =
            serde_json::from_slice(&manifest).map_err(|error| format!("{registry}{base}: {tag}: {error}"))?;
        let named = |name: &str| manifest[name].as_array().cloned().unwrap_or_default();
        for child in named("manifests") {
            let digest = child["digest"].as_str().unwrap_or_default();
            parts.push(digest.trim_start_matches("sha256:").to_owned());
            match anybody.get(&format!("{base}/manifests/{digest}"), MANIFESTS)? {
                Some(answer) if format!("sha256:{}", sha256(answer.as_bytes())) == digest => {
                    open.push(answer.into_bytes());
                }
                _ => lacks.push(digest.to_owned()),
            }
        }
        for blob in named("layers").iter().chain(Some(&manifest["config"]).filter(|config| config.is_object())) {
            let digest = blob["digest"].as_str().unwrap_or_default();
            if blob["size"].as_u64().is_some_and(|size| size > bytes_max) {
                continue;
            }
            match anybody.get(&format!("{base}/blobs/{digest}"), "*/*")? {
                Some(answer) if format!("sha256:{}", sha256(answer.as_bytes())) == digest => {}
                _ => lacks.push(digest.to_owned()),
            }
        }
    }
    Ok(Some(Image { repository: (*repository).to_owned(), tag: tag.to_owned(), digest, parts, lacks }))
}

/// The writes in the log of a registry's requests, which is in the form that web servers write:
/// `127.0.0.1 - - [02/Nov/2026:09:14:05 +0000] "PUT /v2/acme/app/manifests/1.0 HTTP/1.1" 201 0 "" "Slipway/0.1.0"`.
pub fn pushes(log: &str) -> Vec<Push> {
    log.lines().filter_map(push).collect()
}

fn push(line: &str) -> Option<Push> {
    let parts: Vec<&str> = line.split('"').collect();
    let [before, request, status, _, _, program, ..] = parts.as_slice() else { return None };
    let (method, rest) = request.split_once(' ')?;
    let (path, _) = rest.split_once(' ')?;
    let path = path.strip_prefix("/v2/")?;
    let manifest = path.split_once("/manifests/").map(|(repository, name)| (repository, name, false));
    let (repository, name, is_blob) =
        manifest.or_else(|| path.split_once("/blobs/").map(|(repository, name)| (repository, name, true)))?;
    let adds = match (method, status.split_whitespace().next()?) {
        // Blobs come by uploads, and lead to nothing by themselves.
        ("PUT", "201") if !is_blob => true,
        ("DELETE", "202") if name.starts_with("sha256:") || !is_blob => false,
        _ => return None,
    };
    let (_, time) = before.split_once('[')?;
    Some(Push {
        at_ms: logged(time)?,
        repository: repository.to_owned(),
        name: name.to_owned(),
        is_blob,
        adds,
        program: (*program).to_owned(),
    })
}

/// `02/Nov/2026:09:14:05 +0000`, in milliseconds since 1970. A log is written in the time of its machine, which here is UTC.
fn logged(time: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, zone) = time.split_once(' ')?;
    let mut parts = date.splitn(4, ['/', ':']);
    let (day, month, year, clock) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    zone.starts_with("+0000").then(|| milliseconds(&format!("{year}-{month:02}-{day}T{clock}Z"))).flatten()
}

/// What each tag of a repository has ever led to, from the storage of a registry
/// (<https://github.com/distribution/distribution/blob/v2.8.2/registry/storage/paths.go>).
pub fn tagged(storage: &Path, repository: &str) -> Result<Vec<Tagged>, String> {
    let tags = storage.join("docker/registry/v2/repositories").join(repository).join("_manifests/tags");
    let mut tagged = Vec::new();
    for tag in names(&tags)? {
        for digest in names(&tags.join(&tag).join("index/sha256"))? {
            tagged.push(Tagged { repository: repository.to_owned(), tag: tag.clone(), digest });
        }
    }
    Ok(tagged)
}

/// What is in a folder, sorted. Nothing where there is none.
fn names(folder: &Path) -> Result<Vec<String>, String> {
    let cannot = |error: std::io::Error| format!("cannot read `{}`: {error}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_read_from_the_log_and_what_was_refused_or_only_read_is_none() {
        let line = |request: &str, status: u16| {
            format!(
                "127.0.0.1 - - [02/Nov/2026:09:14:05 +0000] \"{request} HTTP/1.1\" {status} 0 \"\" \"Slipway/0.1.0\"\n"
            )
        };
        let log = [
            line("PUT /v2/acme/app/manifests/1.0", 201),
            line("GET /v2/acme/app/manifests/1.0", 200),
            line("PUT /v2/acme/app/manifests/1.1", 401),
            line("PUT /v2/acme/app/blobs/uploads/1?digest=x", 201),
            line("DELETE /v2/acme/app/manifests/sha256:ab", 202),
            line("DELETE /v2/acme/app/blobs/sha256:cd", 202),
            line("DELETE /v2/acme/app/blobs/uploads/1", 202),
            "time=\"2026-11-02\" level=info msg=\"response completed\"\n".to_owned(),
        ];
        let read: Vec<_> =
            pushes(&log.concat()).into_iter().map(|push| (push.name, push.is_blob, push.adds, push.at_ms)).collect();
        // date -u -d '2026-11-02T09:14:05Z' +%s
        let at_ms = 1_793_610_845_000;
        let write = |name: &str, is_blob, adds| (name.to_owned(), is_blob, adds, at_ms);
        assert_eq!(
            read,
            [write("1.0", false, true), write("sha256:ab", false, false), write("sha256:cd", true, false)]
        );
    }
}
