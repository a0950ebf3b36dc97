//! Who asks which registry, and which addresses of others it may send us to.

use std::fmt;

use http::Method;
use http::header::LOCATION;
use slipway_wire::{Base, CallError, Errand, Request, Response, Token};

use crate::answer::{foreign, host, unreadable};
use crate::name::Repository;

/// A registry, and who asks it.
///
/// A registry names addresses itself: where tokens are given, where an upload goes on, where a blob's bytes are. It could
/// name any. So only those that the operator listed are visited, and the credential goes to the registry and its realm
/// alone.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Where its API is, without `/v2`.
    pub base: Base,
    /// Who asks. `None` asks as anybody would.
    pub credential: Option<Credential>,
    /// Where it may send for tokens. `None` allows only the registry's own address.
    pub realm: Option<Base>,
    /// What its tokens are for. `None` believes what the registry says.
    pub service: Option<String>,
    /// Addresses that bytes may come from, and uploads go to, beside its own.
    pub storage: Vec<Base>,
}

/// A user and a password, or what stands for one: a deploy token, an access token.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Token,
}

impl Registry {
    /// A registry that anybody may ask, at its own addresses alone.
    pub fn anonymous(base: Base) -> Self {
        Self { base, credential: None, realm: None, service: None, storage: Vec::new() }
    }

    /// The same registry, asked as anybody would.
    #[must_use]
    pub fn as_anybody(&self) -> Self {
        Self { credential: None, ..self.clone() }
    }

    /// `{base}/v2/{repository}/{rest}`. Repositories, tags and digests have no character that a path has to escape; the `:`
    /// of a digest, which it may, is left for registries that compare paths as text.
    pub(crate) fn url(&self, repository: &Repository, rest: impl fmt::Display) -> String {
        format!("{}/v2/{repository}/{rest}", self.base)
    }

    /// A request without a body or a credential, which is added by whoever sends it ([`crate::Session`]).
    pub(crate) fn request(method: Method, url: &str) -> http::request::Builder {
        http::Request::builder().method(method).uri(url)
    }

    /// The address that an answer leads to, if it may be visited.
    pub(crate) fn location(&self, response: &Response) -> Result<Location, CallError> {
        let text = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let text = text.ok_or_else(|| unreadable(&self.base, "its answer names no address to go on at"))?;
        let url = match text.strip_prefix('/') {
            Some(path) if !path.starts_with('/') => format!("{}/{path}", origin(&self.base)),
            _ => text.to_owned(),
        };
        self.kept(&Token::new(url))
    }

    /// An address that this registry gave earlier and that was kept ([`Location::keep`]), if it may still be visited.
    pub fn kept(&self, url: &Token) -> Result<Location, CallError> {
        let url = url.expose().to_owned();
        let is_own = self.base.serves(&url);
        if is_own || self.storage.iter().any(|storage| storage.serves(&url)) {
            return Ok(Location { url, is_own });
        }
        let why = format!("it sends on to {}, which the place's `storage` does not list", host(&url));
        Err(foreign(&self.base, Errand::Bytes, why))
    }
}

/// Scheme and authority of a base: absolute paths begin there, not behind the base's own path.
fn origin(base: &Base) -> &str {
    let text = base.as_str();
    let authority_at = text.find("://").map_or(0, |at| at + 3);
    let rest = text.get(authority_at..).unwrap_or_default();
    let end = rest.find('/').map_or(text.len(), |at| authority_at + at);
    text.get(..end).unwrap_or(text)
}

/// An address that a registry gave: opaque, good for one request, and perhaps a key to something. Printing it shows the
/// host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    url: String,
    is_own: bool,
}

impl Location {
    /// Whether it is at the registry itself, and so is asked with the registry's credential. Storage refuses one.
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// The address with one more parameter in its query.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let divider = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{divider}{name}={value}", self.url)
    }

    /// The host, for messages.
    pub fn host(&self) -> String {
        host(&self.url)
    }

    /// The address, to be kept until it is used: a secret like any other.
    pub fn keep(&self) -> Token {
        Token::new(self.url.clone())
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location(hidden, at {})", self.host())
    }
}

/// A request with its body.
pub(crate) fn with_body(request: http::request::Builder, body: Vec<u8>) -> Result<Request, http::Error> {
    // Registries want the length also where there is nothing: without it some wait for a body.
    request.header(http::header::CONTENT_LENGTH, body.len()).body(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{base, with_header};

    fn registry() -> Registry {
        let storage = vec![base("https://storage.example.net")];
        Registry { storage, ..Registry::anonymous(base("https://registry.example.com/in/front")) }
    }

    #[test]
    fn a_location_is_absolute_or_relative_and_keeps_its_query() {
        for (given, url, is_own) in [
            (
                "/v2/a/blobs/uploads/1?_state=x%3D",
                "https://registry.example.com/v2/a/blobs/uploads/1?_state=x%3D",
                true,
            ),
            ("https://registry.example.com:443/u/1", "https://registry.example.com:443/u/1", true),
            ("https://storage.example.net/b?sig=1", "https://storage.example.net/b?sig=1", false),
        ] {
            let location = registry().location(&with_header(202, "location", given, "")).expect(given);
            assert_eq!((location.url(), location.is_own()), (url, is_own));
        }
    }

    #[test]
    fn a_location_elsewhere_is_not_visited() {
        for given in [
            "https://evil.test/v2/a",
            "http://registry.example.com/v2/a",
            "https://registry.example.com@evil.test/x",
            "https://registry.example.com.evil.test/x",
            "//evil.test/x",
            "v2/a",
            "",
            "https://169.254.169.254/latest",
            "file:///etc/passwd",
        ] {
            let error = registry().location(&with_header(202, "location", given, "")).expect_err(given);
            assert!(matches!(error, CallError::Foreign { errand: Errand::Bytes, .. }) && !error.may_pass(), "{error}");
            assert!(error.to_string().contains("`storage` does not list"), "{given}: {error}");
        }
    }

    #[test]
    fn a_kept_location_is_visited_only_while_the_place_lists_it() {
        let given = "https://storage.example.net/b?sig=1";
        let location = registry().kept(&Token::new(given.to_owned())).expect("listed");
        assert_eq!((location.keep().expose(), location.is_own()), (given, false));
        let unlisted = Registry { storage: vec![], ..registry() };
        assert!(unlisted.kept(&Token::new(given.to_owned())).is_err());
    }

    #[test]
    fn a_digest_is_added_to_whatever_query_there_is() {
        for (given, url) in [
            ("/u/1", "https://registry.example.com/u/1?digest=sha256:00"),
            ("/u/1?_state=x", "https://registry.example.com/u/1?_state=x&digest=sha256:00"),
        ] {
            let location = registry().location(&with_header(202, "location", given, "")).expect(given);
            assert_eq!(location.with("digest", "sha256:00"), url);
        }
    }

    #[test]
    fn a_location_and_a_password_are_not_printed() {
        let location =
            registry().location(&with_header(307, "location", "https://storage.example.net/b?sig=s1gned", ""));
        assert_eq!(format!("{location:?}"), "Ok(Location(hidden, at storage.example.net))");
        let credential = Credential { user: "tester".to_owned(), password: Token::new("s3cret") };
        assert!(!format!("{credential:?}").contains("s3cret"));
    }
}
