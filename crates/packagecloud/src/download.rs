//! `GET /:user/:repo/packages/:distro/:version/:filename/download`: where a package's bytes are
//! (<https://packagecloud.io/docs/api#resource_packages>, `download_url`).
//!
//! The answer is a redirect to a signed address at another host, good for a short time. It is not followed here: the
//! caller compares its host with the configured ones, and asks there without a credential, since a signed address
//! refuses any.

use std::fmt;

use http::header::LOCATION;
use http::{Method, StatusCode};
use slipway_wire::{Base, CallError, Endpoint, Http, Request, Response};

use crate::answer::{host, refusal, unreadable};
use crate::{Account, Distro, Filename, Repository};

/// Where one package's bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// Who asks.
    pub account: &'a Account,
    /// The repository that has the package.
    pub repository: &'a Repository,
    /// The distro version that has it there.
    pub distro: &'a Distro,
    /// Its file's name.
    pub filename: &'a Filename,
}

/// An address that gives a package's bytes to whoever knows it, for a short time. Printing it shows the host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl(String);

impl SignedUrl {
    /// The host, for messages.
    pub fn host(&self) -> String {
        host(&self.0)
    }

    /// Whether it is at one of these services.
    pub fn is_at<'a>(&self, services: impl IntoIterator<Item = &'a Base>) -> bool {
        services.into_iter().any(|service| service.serves(&self.0))
    }

    /// The request for the bytes. It carries no credential.
    pub fn request(&self) -> Result<http::Request<()>, http::Error> {
        http::Request::get(&self.0).body(())
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedUrl(hidden, at {})", self.host())
    }
}

impl Endpoint for Download<'_> {
    type Output = SignedUrl;

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.account.base().url([
            self.repository.user(),
            self.repository.repo(),
            "packages",
            self.distro.name(),
            self.distro.version(),
            self.filename.as_str(),
            "download",
        ]);
        self.account.request(Method::GET, &url)
    }

    fn parse(&self, response: &Response) -> Result<SignedUrl, CallError> {
        let base = self.account.base();
        match response.status() {
            StatusCode::FOUND | StatusCode::SEE_OTHER | StatusCode::TEMPORARY_REDIRECT => {}
            StatusCode::OK => return Err(unreadable(base, "it gives the bytes itself instead of a redirect to them")),
            _ => return Err(refusal(base, response)),
        }
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let location = location.ok_or_else(|| unreadable(base, "its redirect names no address"))?;
        let uri = location.parse::<http::Uri>().ok();
        let plain = uri.as_ref().is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
        });
        if plain {
            Ok(SignedUrl(location.to_owned()))
        } else {
            Err(unreadable(base, "its redirect names no plain address"))
        }
    }
}

/// Asks where a package's bytes are. Unlike a plain call it reads no body of a success, which could be the package.
pub async fn locate(http: &impl Http, download: &Download<'_>) -> Result<SignedUrl, CallError> {
    let request = download.request().map_err(|error| CallError::Unsendable(error.to_string()))?;
    let response = http.read(request, &mut |_| false).await?;
    download.parse(&response)
}
