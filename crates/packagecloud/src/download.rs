//! `GET /:user/:repo/packages/:distro/:version/:filename/download`: where a package's bytes are
//! (<https://packagecloud.io/docs/api#resource_packages>, `download_url`).
//!
//! The answer is a redirect to a signed address at another host, good for a short time. It is not followed here: the
//! caller compares its host with the configured ones, and asks there without a credential, since a signed address
//! refuses any.

use std::fmt;

use http::header::LOCATION;
use http::{Method, StatusCode};
use slipway_wire::{Base, CallError, Endpoint, Http, Planted, Request, Response, planted};

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
        if planted(Planted::SendsTheTokenToStorage) {
            return http::Request::get(&self.0).header(http::header::AUTHORIZATION, "Basic dG9rZW46").body(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Recorded, account, base, filename, jammy, now, response, staging, with_header};

    const URL: &str =
        "https://packages.example.com/harbour-ci/pre-release/packages/ubuntu/jammy/tug_1%252_amd64.deb/download";
    const SIGNED: &str = "https://storage.example.net/1/2/package_files/3.deb?t=1795392000_s1gned";

    fn ask(answer: Response) -> (Result<SignedUrl, CallError>, Recorded) {
        let http = Recorded::default().with(URL, answer);
        let (account, repository, distro, filename) = (account(), staging(), jammy(), filename("tug_1%2_amd64.deb"));
        let download = Download { account: &account, repository: &repository, distro: &distro, filename: &filename };
        (now(locate(&http, &download)), http)
    }

    #[test]
    fn a_download_leads_to_a_signed_address_without_a_credential() {
        for status in [302, 303, 307] {
            let (url, http) = ask(with_header(status, "location", SIGNED, "<a href>moved</a>"));
            let url = url.expect("a redirect");
            let request = url.request().expect("a request");
            assert_eq!(request.uri().to_string(), SIGNED);
            assert!(request.headers().is_empty(), "{request:?}");
            assert_eq!(http.asked(), [format!("GET {URL}")]);
        }
    }

    #[test]
    fn a_signed_address_is_compared_with_the_configured_hosts() {
        let url = ask(with_header(302, "location", SIGNED, "")).0.expect("a redirect");
        assert!(url.is_at([&base("https://other.example.net"), &base("https://storage.example.net")]));
        assert!(!url.is_at([&base("https://storage.example.net:8443"), &base("http://storage.example.net")]));
        assert!(!url.is_at([]));
    }

    #[test]
    fn a_signed_address_is_not_printed() {
        let url = ask(with_header(302, "location", SIGNED, "")).0.expect("a redirect");
        assert_eq!(format!("{url:?}"), "SignedUrl(hidden, at storage.example.net)");
    }

    #[test]
    fn other_answers_lead_nowhere() {
        for location in
            ["/relative", "//storage.example.net/x", "ftp://x/y", "https://u:p@storage.example.net/x", "", "a b"]
        {
            let error = ask(with_header(302, "location", location, "")).0.expect_err(location);
            assert!(matches!(error, CallError::Unreadable { .. }), "{error}");
        }
        let error = ask(response(302, "")).0.expect_err("no Location");
        assert!(error.to_string().contains("names no address"), "{error}");
        let (answer, http) = ask(response(200, vec![0; 100_000]));
        let error = answer.expect_err("the bytes themselves");
        assert!(error.to_string().contains("itself"), "{error}");
        assert!(http.read_bytes() <= 100, "it is not read to its end");
        for status in [401, 402, 404, 429, 500] {
            let error = ask(response(status, "no")).0.expect_err("a refusal");
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        }
    }
}
