//! "What does the public index serve under this name?"

use std::collections::BTreeSet;

use http::header::{AUTHORIZATION, LOCATION};
use http::{StatusCode, Uri};
use slipway_wire::{Base, CallError, Digest, Http, Token};

use super::index::{Compression, IndexReader};
use super::release::Release;
use crate::answer::{host, refusal};
use crate::{Distro, Filename, Repository};

/// How large a `Release` file may be: twenty times Debian unstable's, which has 0.2 MB.
const RELEASE_BYTES_MAX: usize = 4 << 20;

/// How many redirects are followed for one file.
const REDIRECTS_MAX: usize = 3;

/// The APT index of one repository for one distro version.
#[derive(Clone, Copy, Debug)]
pub struct Suite<'a> {
    /// The installation.
    pub base: &'a Base,
    /// The repository.
    pub repository: &'a Repository,
    /// The distro version; its version is APT's codename.
    pub distro: &'a Distro,
    /// For private repositories: a read token, or an account's token. It is sent to the installation alone.
    pub credential: Option<&'a Token>,
    /// Where the installation may redirect to, beside itself.
    pub storage: &'a [Base],
}

/// What an index says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// It serves the file with these bytes.
    Digest(Digest),
    /// It lists the name more than once, with different bytes. Which ones a machine gets is open.
    Several(BTreeSet<Digest>),
    /// It does not list the file, or there is no index yet.
    NotListed,
    /// It is just being replaced: its parts do not belong together. Look again.
    InMotion,
}

impl Suite<'_> {
    /// The address of a file below `dists/<codename>/`.
    pub fn url(&self, path: &str) -> String {
        let (user, repo) = (self.repository.user(), self.repository.repo());
        let folder = [user, repo, self.distro.name(), "dists", self.distro.version()];
        self.base.url(folder.into_iter().chain(path.split('/')))
    }
}

/// Reads the suite's index back and says which bytes it serves under the file's name.
pub async fn served(http: &impl Http, suite: &Suite<'_>, filename: &Filename) -> Result<Served, CallError> {
    let architecture = filename.deb_architecture().ok_or_else(|| {
        CallError::Unsendable(format!("`{filename}` names no architecture: `name_version_architecture.deb` is needed"))
    })?;
    let Some(release) = read_release(http, suite).await? else { return Ok(Served::NotListed) };
    let Some(folder) = release.packages(architecture) else { return Ok(Served::NotListed) };
    for (name, compression) in [("Packages.gz", Compression::Gzip), ("Packages", Compression::Plain)] {
        let path = format!("{folder}/{name}");
        let Some(file) = release.files.get(&path) else { continue };
        let mut reader = IndexReader::new(filename, compression, *file);
        if !read(http, suite, &path, &mut |piece| reader.feed(piece)).await? {
            continue;
        }
        let digests = reader.finish().map_err(|why| unreadable(suite, &format!("in {path}, {why}")))?;
        let Some(digests) = digests else { return Ok(Served::InMotion) };
        let mut rest = digests.iter();
        return Ok(match (rest.next(), rest.next()) {
            (None, _) => Served::NotListed,
            (Some(digest), None) => Served::Digest(*digest),
            _ => Served::Several(digests),
        });
    }
    // The Release file names indexes that are not there.
    Ok(Served::InMotion)
}

/// The suite's `InRelease`, or its `Release`. `None` when it has neither.
async fn read_release(http: &impl Http, suite: &Suite<'_>) -> Result<Option<Release>, CallError> {
    for path in ["InRelease", "Release"] {
        let mut bytes = Vec::new();
        let mut fits = true;
        let mut each = |piece: &[u8]| {
            fits = bytes.len().saturating_add(piece.len()) <= RELEASE_BYTES_MAX;
            if fits {
                bytes.extend_from_slice(piece);
            }
            fits
        };
        if !read(http, suite, path, &mut each).await? {
            continue;
        }
        if !fits {
            return Err(unreadable(suite, &format!("{path} has more than {RELEASE_BYTES_MAX} bytes")));
        }
        return Release::parse(&bytes).map(Some).map_err(|error| unreadable(suite, &error.to_string()));
    }
    Ok(None)
}

/// Reads a file of the suite. `false` when it is not there.
async fn read(
    http: &impl Http,
    suite: &Suite<'_>,
    path: &str,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<bool, CallError> {
    let mut url = suite.url(path);
    for _ in 0..=REDIRECTS_MAX {
        let response = http.read(request(suite, &url)?, each).await?;
        match response.status() {
            StatusCode::OK => return Ok(true),
            StatusCode::NOT_FOUND => return Ok(false),
            status if status.is_redirection() => {
                let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
                url = redirect(suite, &url, location)?;
            }
            _ if suite.base.serves(&url) => return Err(refusal(suite.base, &response)),
            // Storage repeats signed addresses in its refusals, so their bodies are not evidence.
            status => {
                return Err(CallError::Unreadable { host: host(&url), why: format!("status {status} for {path}") });
            }
        }
    }
    Err(unreadable(suite, &format!("{path} is redirected more than {REDIRECTS_MAX} times")))
}

/// The request for an address. The credential goes to the installation alone.
fn request(suite: &Suite<'_>, url: &str) -> Result<slipway_wire::Request, CallError> {
    let mut request = http::Request::get(url);
    let credential = suite.credential.filter(|_| suite.base.serves(url)).map(Token::basic).transpose();
    if let Some(credential) = credential.map_err(unsendable)? {
        request = request.header(AUTHORIZATION, credential);
    }
    request.body(Vec::new()).map_err(unsendable)
}

/// Where a redirect leads, if it may be followed.
fn redirect(suite: &Suite<'_>, from: &str, location: Option<&str>) -> Result<String, CallError> {
    let location = location.ok_or_else(|| unreadable(suite, "a redirect names no address"))?;
    let url = match from
        .parse::<Uri>()
        .ok()
        .and_then(|uri| Some((uri.scheme_str()?.to_owned(), uri.authority()?.to_string())))
    {
        Some((scheme, authority)) if location.starts_with('/') && !location.starts_with("//") => {
            format!("{scheme}://{authority}{location}")
        }
        _ => location.to_owned(),
    };
    if suite.base.serves(&url) || suite.storage.iter().any(|storage| storage.serves(&url)) {
        Ok(url)
    } else {
        let why = format!("it redirects to {}, which is not among the configured hosts", host(&url));
        Err(unreadable(suite, &why))
    }
}

fn unreadable(suite: &Suite<'_>, why: &str) -> CallError {
    CallError::Unreadable {
        host: host(suite.base.as_str()),
        why: format!("APT index of {} for {}: {why}", suite.repository, suite.distro),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn unsendable(error: http::Error) -> CallError {
    CallError::Unsendable(error.to_string())
}
