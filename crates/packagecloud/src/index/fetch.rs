//! Getting one file of an index: conditionally, through redirects that may be followed, with the credential kept at home.

use http::header::{AUTHORIZATION, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use slipway_wire::{CallError, Http, Request, Token};

use super::{Index, Mark};
use crate::answer::{host, refusal};

/// How large a head may be: twenty times Debian unstable's `Release`, which has 0.2 MB.
const HEAD_BYTES_MAX: usize = 4 << 20;

/// How long an `ETag` or date may be that is kept. Others do as if there were none.
const VALIDATOR_BYTES_MAX: usize = 200;

/// How many redirects are followed for one file.
const REDIRECTS_MAX: usize = 3;

/// What became of asking for a file.
pub(super) enum Got {
    /// It was read.
    Whole {
        /// Its `ETag`.
        etag: Option<String>,
        /// Its `Last-Modified`.
        last_modified: Option<String>,
    },
    /// It is the same as at the mark.
    NotModified,
    /// It is not there.
    Missing,
}

/// What became of asking for a head.
pub(super) enum Head {
    /// Its bytes, and what they can be compared by next time.
    Whole { bytes: Vec<u8>, etag: Option<String>, last_modified: Option<String> },
    /// It is the same as at this mark.
    NotModified(Mark),
    /// It is not there.
    Missing,
}

/// Reads a head, unless it is the same as at the mark `known`.
pub(super) async fn head(
    http: &impl Http,
    index: &Index<'_>,
    path: &str,
    known: Option<&Mark>,
) -> Result<Head, CallError> {
    let mut bytes = Vec::new();
    let mut fits = true;
    let mut each = |piece: &[u8]| {
        fits = fits && bytes.len().saturating_add(piece.len()) <= HEAD_BYTES_MAX;
        if fits {
            bytes.extend_from_slice(piece);
        }
        fits
    };
    let got = get(http, index, path, known, &mut each).await?;
    if !fits {
        return Err(unreadable(index, format!("{path} has more than {HEAD_BYTES_MAX} bytes")));
    }
    match (got, known) {
        (Got::Whole { etag, last_modified }, _) => Ok(Head::Whole { bytes, etag, last_modified }),
        (Got::Missing, _) => Ok(Head::Missing),
        (Got::NotModified, Some(known)) => Ok(Head::NotModified(known.clone())),
        (Got::NotModified, None) => Err(unasked(index, path)),
    }
}

fn unasked(index: &Index<'_>, path: &str) -> CallError {
    unreadable(index, format!("{path} is answered with 304 (Not Modified), and nobody asked whether it is modified"))
}

/// Reads a file of the index, unless it is the same as at the mark `known`.
pub(super) async fn get(
    http: &impl Http,
    index: &Index<'_>,
    path: &str,
    known: Option<&Mark>,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Got, CallError> {
    let mut url = index.url(path);
    for _ in 0..=REDIRECTS_MAX {
        let request = request(index, &url, known)?;
        let conditional =
            request.headers().contains_key(IF_NONE_MATCH) || request.headers().contains_key(IF_MODIFIED_SINCE);
        let response = http.read(request, each).await?;
        match response.status() {
            StatusCode::OK => {
                let headers = response.headers();
                let [etag, last_modified] = [ETAG, LAST_MODIFIED].map(|name| validator(headers, &name));
                return Ok(Got::Whole { etag, last_modified });
            }
            StatusCode::NOT_FOUND => return Ok(Got::Missing),
            StatusCode::NOT_MODIFIED if conditional => return Ok(Got::NotModified),
            StatusCode::NOT_MODIFIED => return Err(unasked(index, path)),
            status if status.is_redirection() => {
                let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
                url = redirect(index, &url, location)?;
            }
            _ if index.base.serves(&url) => return Err(refusal(index.base, &response)),
            // Storage repeats signed addresses in its refusals, so their bodies are not evidence.
            status => {
                return Err(CallError::Unreadable { host: host(&url), why: format!("status {status} for {path}") });
            }
        }
    }
    Err(unreadable(index, format!("{path} is redirected more than {REDIRECTS_MAX} times")))
}

/// What a file can be compared by next time.
fn validator(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty() && value.len() <= VALIDATOR_BYTES_MAX).then(|| value.to_owned())
}

/// The request for an address. The credential goes to the installation alone.
fn request(index: &Index<'_>, url: &str, known: Option<&Mark>) -> Result<Request, CallError> {
    let mut request = http::Request::get(url);
    let credential = index.credential.filter(|_| index.base.serves(url)).map(Token::basic).transpose();
    if let Some(credential) = credential.map_err(unsendable)? {
        request = request.header(AUTHORIZATION, credential);
    }
    if let Some(etag) = known.and_then(|known| known.etag.as_ref()) {
        request = request.header(IF_NONE_MATCH, etag);
    }
    if let Some(date) = known.and_then(|known| known.last_modified.as_ref()) {
        request = request.header(IF_MODIFIED_SINCE, date);
    }
    request.body(Vec::new()).map_err(unsendable)
}

/// Where a redirect leads, if it may be followed.
fn redirect(index: &Index<'_>, from: &str, location: Option<&str>) -> Result<String, CallError> {
    let location = location.ok_or_else(|| unreadable(index, "a redirect names no address"))?;
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
    if index.base.serves(&url) || index.storage.iter().any(|storage| storage.serves(&url)) {
        Ok(url)
    } else {
        let why = format!("it redirects to {}, which is not among the configured hosts", host(&url));
        Err(unreadable(index, why))
    }
}

pub(super) fn unreadable(index: &Index<'_>, why: impl std::fmt::Display) -> CallError {
    let tool = match index.kind {
        crate::PackageKind::Deb => "APT",
        crate::PackageKind::Rpm => "YUM",
    };
    CallError::Unreadable {
        host: host(index.base.as_str()),
        why: format!("{tool} index of {} for {}: {why}", index.repository, index.distro),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn unsendable(error: http::Error) -> CallError {
    CallError::Unsendable(error.to_string())
}
